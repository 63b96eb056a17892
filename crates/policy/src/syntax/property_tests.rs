//! What holds for every text.

use proptest::prelude::*;

use super::tree::*;
use super::{parse, parse_document};
use crate::source_range::SourceRange;

/// Checks that ranges lie within the text, and those of parts within those of their wholes.
struct Ranges {
    length: usize,
}

impl Ranges {
    fn inside(&self, inner: SourceRange, outer: SourceRange) {
        assert!(inner.start <= inner.end && inner.end <= self.length, "{inner:?}");
        assert!(outer.start <= inner.start && inner.end <= outer.end, "{inner:?} in {outer:?}");
    }

    fn list(&self, list: &List, outer: SourceRange) {
        for item in &list.items {
            for pipeline in
                std::iter::once(&item.first).chain(item.rest.iter().map(|(_, next)| next))
            {
                for command in &pipeline.commands {
                    self.command(command, outer);
                }
            }
        }
    }

    fn command(&self, command: &Command, outer: SourceRange) {
        self.inside(command.range, outer);
        let outer = command.range;
        for redirect in &command.redirects {
            self.inside(redirect.range, outer);
            match &redirect.kind {
                RedirectKind::HereDocument { body, .. } => {
                    self.word(body, SourceRange::new(0, self.length));
                }
                RedirectKind::Input(word)
                | RedirectKind::Output(word)
                | RedirectKind::Append(word)
                | RedirectKind::ReadWrite(word)
                | RedirectKind::Both(word)
                | RedirectKind::BothAppend(word)
                | RedirectKind::Duplicate { word, .. }
                | RedirectKind::HereString(word) => self.word(word, redirect.range),
            }
        }
        match &command.kind {
            CommandKind::Simple { assignments, words } => {
                for assignment in assignments {
                    self.inside(assignment.range, outer);
                    match &assignment.value {
                        AssignedValue::Scalar(word) => self.word(word, assignment.range),
                        AssignedValue::Array(elements) => elements.iter().for_each(|(_, word)| {
                            self.word(word, assignment.range);
                        }),
                    }
                }
                words.iter().for_each(|word| self.word(word, outer));
            }
            CommandKind::Subshell(list) | CommandKind::Group(list) => self.list(list, outer),
            CommandKind::If { branches, otherwise } => {
                for (condition, branch) in branches {
                    self.list(condition, outer);
                    self.list(branch, outer);
                }
                otherwise.iter().for_each(|list| self.list(list, outer));
            }
            CommandKind::Loop { condition, body, .. } => {
                self.list(condition, outer);
                self.list(body, outer);
            }
            CommandKind::For { words, body, .. } => {
                words.iter().flatten().for_each(|word| self.word(word, outer));
                self.list(body, outer);
            }
            CommandKind::ArithmeticFor { header, body } => {
                self.word(header, outer);
                self.list(body, outer);
            }
            CommandKind::Case { word, arms } => {
                self.word(word, outer);
                for (patterns, list) in arms {
                    patterns.iter().for_each(|word| self.word(word, outer));
                    self.list(list, outer);
                }
            }
            CommandKind::Function { body, .. } => self.command(body, outer),
            CommandKind::Coprocess { command: body, .. } => {
                self.command(body, outer);
            }
            CommandKind::Condition(words) => words.iter().for_each(|word| self.word(word, outer)),
            CommandKind::Arithmetic(word) => self.word(word, outer),
            CommandKind::Broken(_) => {}
        }
    }

    fn word(&self, word: &Word, outer: SourceRange) {
        self.inside(word.range, outer);
        self.parts(&word.parts, word.range);
    }

    fn parts(&self, parts: &[Part], outer: SourceRange) {
        for part in parts {
            match part {
                Part::DoubleQuoted(parts) | Part::Arithmetic(parts) => self.parts(parts, outer),
                // A here-document within a substitution can begin behind it.
                Part::CommandSubstitution(list) | Part::ProcessSubstitution { list, .. } => {
                    self.list(list, outer);
                }
                _ => {}
            }
        }
    }
}

fn check(text: &[u8]) {
    let whole = SourceRange::new(0, text.len());
    let ranges = Ranges { length: text.len() };
    ranges.list(&parse(text), whole);
    ranges.word(&parse_document(text), whole);
}

const TOKENS: &[&str] = &[
    "a", "b=", "x=(", "[1]=", " ", "\n", ";", ";;", "&", "&&", "|", "||", "|&", "(", ")", "((",
    "))", "{", "}", "if", "then", "else", "elif", "fi", "while", "do", "done", "for", "in", "case",
    "esac", "function", "f()", "[[", "]]", "=~", "!", "time", "coproc", "<", ">", ">>", "<<E",
    "<<-'E'", "E", "\nE\n", "<<<", "<(", ">(", "2>", "{fd}>", "&>", "$", "$(", "$((", "${", "${a",
    ":-", "/", "#", "%", "@", "$[", "`", "\\`", "'", "\"", "$'", "$\"", "\\", "\\\n", "\r\n", "\t",
    "*(", "!(", "\\x41", "\u{e9}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_and_ranges_nest(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&text);
    }

    #[test]
    fn any_tokens_are_read_and_ranges_nest(
        tokens in proptest::collection::vec(proptest::sample::select(TOKENS), 0..60),
        blanks in any::<bool>(),
    ) {
        check(tokens.join(if blanks { " " } else { "" }).as_bytes());
    }
}

/// Texts that nest, repeat or never close.
fn hostile() -> Vec<(&'static str, String)> {
    let repeated = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let mut texts: Vec<(&'static str, String)> = [
        "(",
        "((",
        "( (",
        "$((",
        "$( (",
        "\"$(",
        "`",
        "\\`",
        "\"`",
        "${",
        "${a:-",
        "\"${a:-\"",
        "{a,b}",
        "{ ",
        "<<",
        "<<E ",
        "<<E\n",
        "cat <<E\nE\n",
        "$(cat <<E\n",
        "case ",
        "case x in ",
        "case x in (",
        "if ",
        "while ",
        "! ",
        "time ",
        "coproc ",
        "f() ",
        "function f ",
        "[[ ",
        "[[ a =~ (",
        "a[",
        ";a[",
        "a=(",
        "a=( ",
        "x[1]=",
        ")",
        ") ",
        "fi ",
        "fi;",
        "a;",
        "a ",
        "a|",
        "a&&",
        "&",
        "| ",
        "$a",
        "$'",
        "'",
        "\"",
        "\\",
        "\\\n",
        "\r",
        "\r\n",
        "\n",
        "*(",
        "@(a|",
        "<(",
        ">x ",
        "2>",
        "{a",
        "{a}>",
        "#",
        "$((1))",
        "((1))\n",
        "(( '",
        "((a # '\n",
        "$(( \" ",
        "((\\",
        "`\\`a\\``",
        "$[",
        "${a[",
        "${a/",
        "for ",
        "for x in ",
        "for ((",
        "; ",
        ";;",
        "${ ",
        "=(",
        " =(",
        "a() {",
        "$",
        "${(",
        "${#",
        "${!",
    ]
    .into_iter()
    .map(|piece| (piece, repeated(piece)))
    .collect();
    texts.push((
        "backquotes doubled",
        (0..19).map(|level| "\\".repeat((1 << level) - 1) + "`a ").collect(),
    ));
    texts.push(("closed", "(".repeat(1 << 19) + &")".repeat(1 << 19)));
    texts.push(("closed twice", "((".repeat(1 << 18) + &"))".repeat(1 << 18)));
    texts.push(("documents without end", "cat <<A\n$(cat <<B\n".repeat(1 << 16)));
    texts
}

#[test]
fn hostile_texts_fit_a_small_stack() {
    let reader = std::thread::Builder::new().stack_size(2 << 20).spawn(|| {
        for (_, text) in hostile() {
            let text = text.get(..text.len().min(1 << 14)).unwrap_or(&text);
            check(text.as_bytes());
        }
        // The deepest nests, of every kind that nests.
        for piece in TOKENS {
            for other in ["$(", "\"", "{ ", "(", "${a:-", "if ", "`"] {
                check(format!("{piece}{other}").repeat(200).as_bytes());
                check(format!("{piece} {other} ").repeat(200).as_bytes());
            }
        }
    });
    reader.unwrap().join().unwrap();
}

/// Run it with `--release --ignored --nocapture`.
#[test]
#[ignore = "prints times"]
fn times() {
    let commands: [&str; 6] = [
        "ls -la",
        "rm -rf /tmp/build/*",
        "cd \"$HOME/project\" && git add -A && git commit -m 'message' | tail -n 3",
        "for f in *.txt; do mv \"$f\" \"${f%.txt}.md\"; done 2>/dev/null",
        "curl -fsSL https://example.com/install.sh | sh -s -- --yes",
        "if [[ -f $x && $y =~ ^a(b|c)$ ]]; then echo $((1+2)) $(date); fi",
    ];
    for command in commands {
        let begin = std::time::Instant::now();
        for _ in 0..10_000 {
            std::hint::black_box(parse(std::hint::black_box(command.as_bytes())));
        }
        println!("{:>9.3} us  {command}", begin.elapsed().as_secs_f64() * 1e6 / 1e4);
    }
    let line = "rm -rf \"$HOME/x\" && ls\n";
    let ordinary = [1 << 16, 1 << 20].map(|length| ("ordinary", line.repeat(length / line.len())));
    for (name, text) in hostile().into_iter().chain(ordinary) {
        let begin = std::time::Instant::now();
        std::hint::black_box(parse(std::hint::black_box(text.as_bytes())));
        println!("{:>9.2} ms  {} bytes {name:?}", begin.elapsed().as_secs_f64() * 1e3, text.len());
    }
}
