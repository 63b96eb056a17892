//! Lines that are meant for a program, not for the shell: `ftp host`, and below it `!sh`.
//!
//! Whoever pastes such a text into a terminal types its later lines into the program that the
//! first line starts. The shell's reading of them stands beside this one.

use super::Evaluator;
use super::value::Value;
use crate::source_range::SourceRange;

/// Programs that read commands from the terminal when they stand alone.
const ALONE: &[&[u8]] = &[
    b"python",
    b"python3",
    b"node",
    b"irb",
    b"pry",
    b"lua",
    b"jjs",
    b"jshell",
    b"ghci",
    b"erl",
    b"iex",
    b"scala",
    b"R",
    b"julia",
    b"octave",
    b"tclsh",
    b"wish",
    b"swipl",
    b"ocaml",
    b"guile",
    b"racket",
    b"sbcl",
    b"clisp",
    b"gdb",
    b"ed",
    b"m4",
    b"pwsh",
    b"groovysh",
    b"bc",
];

/// Programs that read commands from the terminal, whatever else they are told.
const ALWAYS: &[&[u8]] = &[
    b"ftp",
    b"sftp",
    b"lftp",
    b"ed",
    b"ex",
    b"vi",
    b"vim",
    b"less",
    b"more",
    b"man",
    b"gdb",
    b"mysql",
    b"mariadb",
    b"psql",
    b"sqlite3",
    b"redis-cli",
    b"mongosh",
    b"mongo",
    b"cqlsh",
    b"smbclient",
    b"dotnet",
    b"expect",
];

impl Evaluator<'_> {
    /// Judges the lines below a program that reads commands as what is typed into it.
    pub(super) fn typed_lines(&mut self, text: &[u8]) {
        let Some(end) = text.iter().position(|byte| *byte == b'\n') else { return };
        let Some((first, rest)) = text.split_at_checked(end) else { return };
        if rest.trim_ascii().is_empty() || !waits_for_lines(first) {
            return;
        }
        let range = SourceRange::new(end + 1, text.len());
        self.copied(rest.len());
        self.stdin = Some(Value::known(rest.get(1..).unwrap_or_default()));
        self.captured_code(&Value::known(first), range);
        self.stdin = None;
        // `terraform console`, and below it `file("/etc/shadow")`
        self.named_credentials(rest, range);
    }
}

/// Whether a line starts a program that reads the next lines itself.
fn waits_for_lines(line: &[u8]) -> bool {
    // What the shell joins or redirects is no program that waits.
    if line.iter().any(|byte| matches!(byte, b'|' | b'&' | b';' | b'<' | b'>' | b'`' | b'\\')) {
        return false;
    }
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty() && !matches!(*word, b"sudo" | b"doas"));
    let Some(name) = words.next() else { return false };
    if matches!(name, b"terraform" | b"tofu" | b"rails" | b"heroku" | b"symfony") {
        return words.next() == Some(b"console");
    }
    ALWAYS.contains(&name) || ALONE.contains(&name) && words.all(|word| word.starts_with(b"-"))
}

#[cfg(test)]
mod tests {
    use super::waits_for_lines;

    #[test]
    fn a_program_that_waits_is_told_from_one_that_does_not() {
        for line in [
            &b"ftp"[..],
            b"sudo less /etc/hosts",
            b"python3 -q",
            b"redis-cli -h db",
            b"tofu console",
        ] {
            assert!(waits_for_lines(line), "{}", String::from_utf8_lossy(line));
        }
        for line in
            [&b"python3 build.py"[..], b"less x | head", b"mysql < dump.sql", b"tofu plan", b"ls"]
        {
            assert!(!waits_for_lines(line), "{}", String::from_utf8_lossy(line));
        }
    }
}
