//! What stands for several in Perl, Ruby and PHP: variables of loops, functions, open files.

use super::*;

#[test]
fn what_is_deleted_one_after_the_other_is_found() {
    assert_found(
        Language::Perl,
        &[
            ("my @dirs = qw(/etc /var); remove_tree($_) for @dirs;", "Delete /var recursive"),
            ("for (qw{/etc /var}) { remove_tree($_) }", "Delete /var recursive"),
            ("sub wanted { unlink $_ } find(\\&wanted, '/home');", "Delete /home recursive"),
            ("rmtree(\"$ENV{HOME}/work\");", "Delete ~/work recursive"),
        ],
    );
    assert_found(
        Language::Ruby,
        &[
            ("%w[/etc /var].each do |dir|\n  FileUtils.rm_rf(dir)\nend", "Delete /var recursive"),
            ("%w[etc var].each { |d| system('rm', '-rf', \"/#{d}\") }", "program rm -rf /etc /var"),
            ("%w[etc var].each { |d| system(\"rm -rf /#{d}\") }", "shell rm -rf /etc /var"),
            ("FileUtils.rm_rf(*%w[/etc /var])", "Delete /var recursive"),
            (
                "all = Dir.children('/').map { |d| File.join('/', d) }\nall.each { |it| File.delete(it) }",
                "Delete / recursive",
            ),
            (
                "Dir.glob('/srv/*').select { |it| File.file?(it) }.each { |it| File.delete(it) }",
                "Delete /srv/*",
            ),
        ],
    );
    assert_found(
        Language::Php,
        &[
            (
                "<?php $all = new RecursiveIteratorIterator(new RecursiveDirectoryIterator('/srv'));\nforeach ($all as $one) { unlink($one->getPathname()); }",
                "Delete /srv/ recursive",
            ),
            ("<?php foreach (scandir('/srv') as $f) { unlink(\"/srv/$f\"); }", "Delete /srv/"),
            ("<?php unlink($_SERVER['HOME'] . '/notes');", "Delete ~/notes"),
            ("<?php unlink(getenv('HOME') . '/notes');", "Delete ~/notes"),
        ],
    );
}

#[test]
fn functions_are_followed_with_what_they_are_called_with() {
    assert_found(
        Language::Php,
        &[
            (
                "<?php function wipe($d) { foreach (scandir($d) as $f) { $p = \"$d/$f\"; is_dir($p) ? wipe($p) : unlink($p); } rmdir($d); }\nwipe('/srv/data');",
                "Delete /srv/data recursive",
            ),
            ("<?php function go(string $c, $n = 1) { system($c); }\ngo('id');", "shell id"),
        ],
    );
    assert_found(
        Language::Perl,
        &[
            ("sub go { my ($c, $n) = @_; system($c); }\ngo('id', 2);", "shell id"),
            ("sub go { my $n = shift; my $c = shift; system($c); }\ngo(2, 'id');", "shell id"),
            (
                "sub go { my ($d) = @_; remove_tree($d); }\ngo($_) for qw(/srv /var);",
                "Delete /var recursive",
            ),
            ("sub go { unlink @_ }\ngo('/etc/passwd');", "Delete /etc/passwd"),
            ("sub go { fork; go() }\ngo();", "Exhaust processes endless"),
        ],
    );
    assert_found(
        Language::Ruby,
        &[
            (
                "def wipe(dir, quiet = true)\n  return if dir.empty?\n  if quiet\n    puts dir\n  end\n  FileUtils.rm_rf(dir)\nend\nwipe('/srv')",
                "Delete /srv recursive",
            ),
            ("class A\n  def self.go(c)\n    system(c)\n  end\nend\nA.go('id')", "shell id"),
        ],
    );
    assert_found(
        Language::Lua,
        &[("local function go(c)\n  if c then os.execute(c) end\nend\ngo('id')", "shell id")],
    );
}

#[test]
fn what_stands_behind_a_function_does_not_belong_to_it() {
    let ruby = "def go(c)\n  while c do\n    c = nil\n  end\nend\nsystem(c)\ngo('id')";
    assert!(!words(Language::Ruby, ruby).contains(&"shell id".to_owned()));
    let php = "<?php function go($c) { if ($c) { echo $c; } } system($c); go('id');";
    assert!(!words(Language::Php, php).contains(&"shell id".to_owned()));
}

#[test]
fn functions_that_variables_name_are_called() {
    assert_found(
        Language::Php,
        &[
            ("<?php $f = 'sys' . 'tem'; $f('id');", "shell id"),
            ("<?php $f = $_GET['f']; $f('id');", "NetworkCode"),
            ("<?php @eval(base64_decode($_POST['x'])); ?>", "NetworkCode"),
            ("<?php @unlink('/etc/passwd');", "Delete /etc/passwd"),
        ],
    );
}

#[test]
fn what_is_written_to_an_open_file_is_seen() {
    assert_found(
        Language::Perl,
        &[
            ("open(my $f, '>>', \"$ENV{HOME}/.profile\"); print $f 'id';", "Write ~/.profile"),
            ("open(F, '>', '/etc/cron.d/a'); print F 'id';", "Write /etc/cron.d/a"),
        ],
    );
    assert_found(
        Language::Ruby,
        &[
            (
                "File.open(File.join(Dir.home, '.profile'), 'a') do |f|\n  f.puts 'id'\nend",
                "Write ~/.profile",
            ),
            ("f = File.open('/etc/cron.d/a', 'w')\nf.write('id')", "Write /etc/cron.d/a"),
        ],
    );
    let php = "<?php $f = fopen('/etc/cron.d/a', 'w'); fwrite($f, 'id');";
    assert_found(Language::Php, &[(php, "Write /etc/cron.d/a")]);
    let written = acts(Language::Php, php.as_bytes());
    assert!(
        written.iter().any(|act| matches!(act, Act::Write { content, .. } if content == b"id"))
    );
}
