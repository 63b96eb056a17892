//! Commands whose evaluation copies, compares or counts much.

use super::Hostile;

/// `L` stands for many letters, `N` for a number that is counted up in each repetition.
const TEMPLATES: [(&str, usize); 45] = [
    ("rm -rf `L` $(L)", 60_000),
    ("x=L;echo ${x//+(a|b)*/}", 2000),
    ("x=L;echo ${x//+(a|b)*/}", 1000),
    ("x=L;echo ${x//@(a|aa|aaa)@(a|aa)b/}", 1000),
    ("x=L;echo ${x//*a*a*a*a*a*a*b/}", 1000),
    ("x=L;echo ${x##*a*a*a*a*a*a*a*a*b}", 4000),
    ("x=L;echo ${x%%*a*a*a*a*a*a*a*a*b}", 4000),
    ("x=L;echo ${x#*[!b]*[!b]*[!b]*b}", 4000),
    ("x=L;echo ${x//[a-z][a-z][a-z]b/c}", 1000),
    ("x=L;case $x in *a*a*a*a*a*a*b) y;; esac", 100_000),
    ("x=L;[[ $x == *a*a*a*a*a*a*a*b ]]", 100_000),
    ("x=L;echo ${x^^}${x,,}${x@Q}${x@E}", 100_000),
    ("x=L;echo ${x:1:99999}", 100_000),
    ("x=L;y=$x$x;z=$y$y;echo $z$z$z$z", 100_000),
    ("echo L | base64 | base64 | base64 -d | base64 -d", 100_000),
    ("echo L | tr a-z b-za | tr a-z b-za | rev | sed s/a/b/g", 100_000),
    ("echo L | sed 's/a/aaaaaaaaaa/g;s/a/aaaaaaaaaa/g;s/a/aaaaaaaaa/g'", 10_000),
    ("echo L | sed 's/a*a*a*a*a*b//g'", 10_000),
    ("echo L | sed -e :a -e 's/a/bb/;ta'", 10_000),
    ("echo L | grep -E '(a*)*b'", 10_000),
    ("echo L | awk '{gsub(/a/,\"aaa\");print}'", 10_000),
    ("echo L | cut -c1-99999 | sort | uniq | head | tail | wc", 100_000),
    ("echo L | fold -w1 | sort -u | tac | paste -s", 100_000),
    ("echo L | xxd -p | xxd -r -p | od -c", 100_000),
    ("echo L | sh", 100_000),
    ("cat <<E | sh\nL\nE\n", 100_000),
    ("rm -rf L", 100_000),
    ("rm -rf /L", 100_000),
    ("L", 120_000),
    ("L=1", 100_000),
    ("curl http://L", 100_000),
    ("git L", 100_000),
    ("IFS=L; set -- L$x; echo $*", 50_000),
    ("printf '%s' L", 100_000),
    ("printf 'L%99999s' x", 1000),
    ("printf '%s\\n' {1..500}{1..500}", 1),
    ("seq 1 99999999 | xargs rm", 1),
    ("yes | head -n 99999999 | sh", 1),
    ("echo {1..512} {1..512} {1..512}", 1),
    ("find L -exec rm {} +", 100_000),
    ("chmod 777 L", 100_000),
    ("ssh h 'L'", 100_000),
    ("sudo -u L sh -c L", 60_000),
    ("echo $((L))", 1000),
    ("a=(L); echo ${a[@]/a/b}", 1000),
];

/// Lines that are repeated until 128 KiB are full.
const LINES: [&str; 46] = [
    "aN=b",
    "aN=$(x)",
    "aN=1;(x)",
    "aN=1;y=$(x)",
    "fN(){ x;}",
    "fN(){ x;};y=$(fN)",
    "alias aN=b;aN",
    "a[N]=x;y=${a[*]}",
    "a[N]=x;echo ${a[@]/x/y}",
    "declare -A m;m[N]=x;echo ${!m[@]}",
    "set -- $* N;y=\"$*\"",
    "set -- \"$@\" N;f \"$@\"",
    "x=$x-N;y=$x",
    "x=aaaaaaaaaaaaaaaaaaaaaaaa;y=${x//a*b/}",
    "x=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;y=${x//*a*a*a*b/}",
    "x=$x$x$x;echo $x>fN",
    "echo N>fN;cat fN|sh",
    "ln -s /etc lN;rm lN/x",
    "cd dN;rm x",
    "cd ..;rm -rf xN",
    "rm -rf /a/b/cN",
    "curl http://hN/x|sh",
    "trap 'rm N' EXIT",
    "python3 -c 'import os;os.system(\"x N\")'",
    "node -e 'require(\"child_process\").exec(\"x N\")'",
    "perl -e 'system(\"x N\")'",
    "ruby -e '`x N`'",
    "awk 'BEGIN{system(\"x N\")}'",
    "echo N|base64 -d|sh",
    "bash -c 'x N'",
    "eval \"x N\"",
    "sudo env A=N nice timeout 9 x",
    "find . -name N -exec rm {} \\;",
    "xargs -I{} sh -c 'rm {}N'",
    "git -c alias.x='!y N' x",
    "ssh hN 'rm -rf /'",
    "docker run -v /:/x imN rm -rf /x",
    "x <<E\nN\nE",
    "for i in {1..48};do x N;done",
    "while read x;do y N;done<fN",
    "case N in *N*) x;; esac",
    "printf '%s' {1..400}N|sh",
    "echo {a,b}{c,d}{e,f}{g,h}N",
    "echo $((N+N*N))",
    "export TOKEN_N=aB3dE5fG7hJ9kL1mN3pQ5rS7",
    "awk -vx=N '{print $1}' fN|sort|uniq -c|head",
];

pub(super) fn texts() -> Vec<Hostile> {
    let mut texts = Vec::new();
    for (template, letters) in TEMPLATES {
        let name = format!("{template:?} with {letters} letters");
        texts.push(Hostile::shell(name, template.replace('L', &"a".repeat(letters))));
        let words = "a ".repeat(letters / 2);
        let name = format!("{template:?} with {letters} words");
        texts.push(Hostile::shell(name, template.replace('L', &words)));
        let mixed: String = "ab1 /.=-".chars().cycle().take(letters).collect();
        let name = format!("{template:?} with {letters} signs");
        texts.push(Hostile::shell(name, template.replace('L', &mixed)));
        let once = template.replace('L', &"a".repeat(letters.min(200)));
        let many = format!("{once}\n").repeat((120 << 10) / (once.len() + 1));
        texts.push(Hostile::shell(format!("{template:?} with 200 letters, many"), many));
    }
    // A long file that the commands write, and many programs that name it again and again.
    for names in [1, 48] {
        let calls = format!("x {}\n", "f ".repeat(names)).repeat(200);
        let text = format!("cat >f <<'E'\n{}\nE\n{calls}", "/etc/".repeat(20_000));
        texts.push(Hostile::shell(format!("a long file, named {names} times in a call"), text));
    }
    for line in LINES {
        for separator in ["\n", ";", " & "] {
            if separator != "\n" && line.contains("<<") {
                continue;
            }
            let mut text = String::new();
            let mut number = 0;
            while text.len() < 127 << 10 {
                text.push_str(&line.replace('N', &number.to_string()));
                text.push_str(separator);
                number += 1;
            }
            texts.push(Hostile::shell(format!("{line:?}, many, {separator:?}"), text.clone()));
            if separator == "\n" {
                let short = text.get(..20_000).unwrap_or(&text);
                let loops = "for i in {1..40};do ".repeat(4);
                let text = format!("{loops}{short}\n{}", "done;".repeat(4));
                texts.push(Hostile::shell(format!("{line:?}, many, in loops"), text));
                let text = format!("f(){{\n{short}\nf;}};f;y=$(f;f;f)");
                texts.push(Hostile::shell(format!("{line:?}, many, in a function"), text));
            }
        }
    }
    texts
}
