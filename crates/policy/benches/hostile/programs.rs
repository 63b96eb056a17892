//! Programs in other languages, alone and where a shell starts them.

use super::Hostile;

/// A language, what opens a level, what stands in the innermost, what closes a level.
const LEVELS: [(&str, &str, &str, &str); 14] = [
    ("python", "[", "1", "]"),
    ("python", "(", "1", ")"),
    ("python", "f(", "x", ")"),
    ("python", "{'a':", "1", "}"),
    ("python", "lambda x:", "x", ""),
    ("python", "[x for x in ", "y", "]"),
    ("python", "f'{", "x", "}'"),
    ("javascript", "[", "1", "]"),
    ("javascript", "(()=>{", "x", "})()"),
    ("javascript", "`${", "x", "}`"),
    ("javascript", "{a:", "1", "}"),
    ("javascript", "a?b:", "c", ""),
    ("perl", "system(qx{", "rm", "});"),
    ("ruby", "system(`", "rm", "`)"),
];

/// A language and a line that is repeated; `N` is counted up.
const LINES: [(&str, &str); 40] = [
    ("python", "x = x + x"),
    ("python", "xN = [xN, xN]"),
    ("python", "os.system('x N')"),
    ("python", "os.system('x' + y + 'N' * 99)"),
    ("python", "def fN(a): return fN(a) + f(a)"),
    ("python", "def f(a): os.system(a)\nf('N')"),
    ("python", "for i in range(999): x += 'N'"),
    ("python", "x = ''.join([chr(i) for i in range(N)])"),
    ("python", "x = 'a' * 99999"),
    ("python", "exec(base64.b64decode('cm0gLXJmIC8='))"),
    ("python", "exec('exec(\"x\")')"),
    ("python", "d['N'] = d"),
    ("python", "a.b.c.d.e.f.g = a.b.c"),
    ("python", "((((("),
    ("python", "if x:\n "),
    ("python", "@"),
    ("python", "x = '''"),
    ("python", "print(\"%s\" % x"),
    ("python", "subprocess.run(['rm', '-rf', '/N'])"),
    ("javascript", "x = x + x;"),
    ("javascript", "const xN = [xN, ...xN];"),
    ("javascript", "exec('x N');"),
    ("javascript", "require('child_process').exec('x N');"),
    ("javascript", "function fN(a) { return fN(a) + f(a) }"),
    ("javascript", "for (const i of [1,2,3]) { x += 'N' }"),
    ("javascript", "</a<b>{"),
    ("javascript", "a=>b=>{"),
    ("javascript", "/a/g/b/"),
    ("javascript", "`${"),
    ("javascript", "<a>"),
    ("javascript", "x = 'a'.repeat(99999);"),
    ("perl", "system('x N');"),
    ("perl", "$x = $x . $x;"),
    ("perl", "qx{"),
    ("perl", "s/a/b/e;"),
    ("ruby", "system('x N')"),
    ("ruby", "x = \"#{x}#{x}\""),
    ("php", "<?php system('x N'); ?>"),
    ("lua", "os.execute('x N')"),
    ("awk", "BEGIN { system(\"x N\") }"),
];

/// How the shell starts a program of a language.
fn starter(language: &str) -> &'static str {
    match language {
        "python" => "python3 -",
        "javascript" => "node -",
        "perl" => "perl -",
        "ruby" => "ruby -",
        "php" => "php",
        "lua" => "lua -",
        _ => "awk -f -",
    }
}

pub(super) fn texts() -> Vec<Hostile> {
    let mut texts = Vec::new();
    let mut add = |name: String, language, text: String| {
        let fed = format!("{} <<'E-O-F'\n{text}\nE-O-F\n", starter(language));
        texts.push(Hostile::shell(format!("{name}, by a shell"), fed.clone()));
        let short: String = fed.chars().take(1500).collect();
        let many = format!("{short}\nE-O-F\n").repeat((127 << 10) / (short.len() + 7));
        texts.push(Hostile::shell(format!("{name}, by a shell, many"), many));
        texts.push(Hostile::new(name, language, text));
    };
    for (language, open, inside, close) in LEVELS {
        for depth in [8, 64, 1000, 20_000] {
            let text = [open.repeat(depth), inside.to_owned(), close.repeat(depth)].concat();
            add(format!("{language} {open:?} {depth} deep"), language, text);
        }
    }
    for (language, line) in LINES {
        for length in [1 << 10, 4 << 10, 16 << 10, 128 << 10] {
            let mut text = String::new();
            let mut number = 0;
            while text.len() < length {
                text.push_str(&line.replace('N', &number.to_string()));
                text.push('\n');
                number += 1;
            }
            add(format!("{language} {line:?} × {} KiB", length >> 10), language, text);
        }
    }
    for depth in [4, 8, 16, 32, 64] {
        let mut text = String::new();
        for level in 0..depth {
            let space = " ".repeat(level);
            text.push_str(&format!("{space}for i{level} in range(99):\n{space} x = x + 'a'\n"));
        }
        text.push_str(&format!("{}os.system(x)\n", " ".repeat(depth)));
        add(format!("python loops {depth} deep"), "python", text);
        let text = [
            "for (const a of [1,2,3,4,5,6,7,8]) { x += a; ".repeat(depth),
            "f(x)".to_owned(),
            "}".repeat(depth),
        ];
        add(format!("javascript loops {depth} deep"), "javascript", text.concat());
        let text = [
            "foreach my $a (1..99) { $x .= $a; ".repeat(depth),
            "system($x);".to_owned(),
            "}".repeat(depth),
        ];
        add(format!("perl loops {depth} deep"), "perl", text.concat());
        let mut text = String::new();
        for level in 0..depth {
            text.push_str(&format!(
                "def f{level}(a):\n f{0}(a+a)\n f{0}(a)\n f{0}('x')\n",
                level + 1
            ));
        }
        text.push_str("f0('rm')\nf0('x')\n");
        add(format!("python calls {depth} deep"), "python", text);
    }
    texts
}
