//! `ctrlz check --file`: a script, in the language that it is written in.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::arguments::LanguageWord;
use crate::failure::{Failure, OWN_FAILURE};

/// The longest file that is read.
const LONGEST: u64 = 64 << 20;

/// A script that was read.
pub(crate) struct Script {
    /// What people know it by.
    pub(crate) name: String,
    pub(crate) text: Vec<u8>,
    /// `None` for the shell.
    pub(crate) language: Option<LanguageWord>,
}

/// Reads a script; its name or its first line tells the language that is not given.
pub(crate) fn read(file: &Path, language: Option<LanguageWord>) -> Result<Script, Failure> {
    let from_stdin = file == Path::new("-");
    let name = if from_stdin { "<stdin>".to_owned() } else { file.display().to_string() };
    let failed = |error: std::io::Error| {
        Failure::new(OWN_FAILURE, "input", format!("cannot read {name}: {error}"))
    };
    let text =
        if from_stdin { all(std::io::stdin().lock()) } else { File::open(file).and_then(all) };
    let text = text.map_err(failed)?;
    if text.len() as u64 > LONGEST {
        let message = format!("{name} has more than {} MiB", LONGEST >> 20);
        return Err(Failure::new(OWN_FAILURE, "input", message));
    }
    let language = language.or_else(|| language_of(file, &text));
    let language = language.filter(|language| !matches!(language, LanguageWord::Shell));
    Ok(Script { name, text, language })
}

fn all(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(LONGEST + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// The language of a script, as its name or its `#!` line tells it.
pub(in crate::commands) fn language_of(file: &Path, text: &[u8]) -> Option<LanguageWord> {
    let by_name = file.extension().and_then(|extension| of_extension(extension.to_str()?));
    by_name.or_else(|| of_first_line(text))
}

fn of_extension(extension: &str) -> Option<LanguageWord> {
    Some(match extension.to_ascii_lowercase().as_str() {
        "sh" | "bash" | "zsh" | "ksh" | "dash" | "bats" | "command" => LanguageWord::Shell,
        "py" | "pyw" => LanguageWord::Python,
        "js" | "mjs" | "cjs" | "ts" | "mts" | "cts" => LanguageWord::Javascript,
        "pl" | "pm" => LanguageWord::Perl,
        "rb" => LanguageWord::Ruby,
        "php" => LanguageWord::Php,
        "lua" => LanguageWord::Lua,
        "awk" => LanguageWord::Awk,
        _ => return None,
    })
}

/// The language that a `#!` line tells: `#!/usr/bin/env -S python3.12 -u`, `#!/bin/sh`.
fn of_first_line(text: &[u8]) -> Option<LanguageWord> {
    let line = text.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let mut program = base(words.next()?);
    if program == "env" {
        program = base(words.find(|word| !word.starts_with('-') && !word.contains('='))?);
    }
    Some(match program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" | "mksh" | "bats" => LanguageWord::Shell,
        "python" | "pypy" => LanguageWord::Python,
        "node" | "nodejs" | "deno" | "bun" | "tsx" | "ts-node" => LanguageWord::Javascript,
        "perl" => LanguageWord::Perl,
        "ruby" => LanguageWord::Ruby,
        "php" => LanguageWord::Php,
        "lua" | "luajit" => LanguageWord::Lua,
        "awk" | "gawk" | "mawk" | "nawk" => LanguageWord::Awk,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_first_lines_tell_the_language() {
        assert_eq!(of_extension("PY"), Some(LanguageWord::Python));
        assert_eq!(of_extension("txt"), None);
        for (line, language) in [
            ("#!/bin/sh\n", Some(LanguageWord::Shell)),
            ("#! /usr/bin/env -S python3.12 -u\nx", Some(LanguageWord::Python)),
            ("#!/usr/bin/env A=1 node", Some(LanguageWord::Javascript)),
            ("#!/usr/bin/perl -w", Some(LanguageWord::Perl)),
            ("#!/opt/own", None),
            ("#!", None),
            ("echo #!/bin/sh", None),
        ] {
            assert_eq!(of_first_line(line.as_bytes()), language, "{line}");
        }
    }
}
