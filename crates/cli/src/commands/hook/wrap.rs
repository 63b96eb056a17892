//! The same command as a transaction of `ctrlz run`.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::event::Act;

/// The longest text that is handed to a shell: the kernel takes no argument above 128 KiB.
const LONGEST: usize = 96 << 10;

/// The tool's input with its command wrapped. `None` when it has none that can be wrapped.
pub(super) fn wrapped(input: &Map<String, Value>, acts: &[Act]) -> Option<Map<String, Value>> {
    if acts.iter().any(names_ctrlz) {
        return None;
    }
    let (name, _) = ["command", "cmd"].iter().find_map(|name| input.get_key_value(*name))?;
    let ctrlz = own_path()?;
    let command = match acts {
        [Act::Shell(text)] if text.len() <= LONGEST && !text.contains('\0') => {
            Value::String(transaction(&ctrlz, shell(), text))
        }
        [Act::Program(words)] => {
            let before = [ctrlz.as_str(), "run", "--"];
            before.into_iter().chain(words.iter().map(String::as_str)).collect()
        }
        _ => return None,
    };
    let mut input = input.clone();
    input.insert(name.clone(), command);
    Some(input)
}

/// Whether ctrlz itself may be called. It does not run inside of itself, and what frees an agent
/// from it would do so from inside, too.
fn names_ctrlz(act: &Act) -> bool {
    let named = |text: &str| {
        let words = text.split(|c: char| c.is_whitespace() || ";|&()<>'\"`$\\".contains(c));
        words.into_iter().any(|word| word.rsplit('/').next() == Some("ctrlz"))
    };
    match act {
        Act::Shell(text) => named(text),
        Act::Program(words) => words.iter().any(|word| named(word)),
        Act::Write { .. } | Act::Delete { .. } => false,
    }
}

fn transaction(ctrlz: &str, shell: &str, text: &str) -> String {
    format!("{} run -- {shell} -c {}", word(ctrlz), quoted(text))
}

/// The shell that the text is for: agents run theirs in bash, and whatever sh can do, bash can.
fn shell() -> &'static str {
    if in_path("bash").is_some() { "bash" } else { "sh" }
}

/// How settings call this program: by its name where that leads to it, else by its path.
pub(super) fn own_name() -> Option<String> {
    let own = std::env::current_exe().ok()?;
    let named = in_path("ctrlz").and_then(|path| path.canonicalize().ok());
    if named.is_some() && named == own.canonicalize().ok() {
        return Some("ctrlz".to_owned());
    }
    own_path()
}

/// Where this program lies. An agent may run its commands in a login shell, whose `PATH` is not
/// that of the hook.
fn own_path() -> Option<String> {
    std::env::current_exe().ok()?.into_os_string().into_string().ok()
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let runs = |file: &PathBuf| {
        file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(runs)
}

/// A word for a shell: as it is where that is safe, else quoted.
pub(super) fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) { text.to_owned() } else { quoted(text) }
}

/// `text` as one word of any POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether a command line of settings calls this program's hook for `agent`.
pub(super) fn is_own(command: &str, agent: &str) -> bool {
    let name = |word: &str| {
        let word = word.trim_matches('\'');
        Path::new(word).file_name() == Some(OsStr::new("ctrlz"))
    };
    let Some((program, rest)) = command.split_once(" hook ") else { return false };
    name(program.trim()) && rest.split_whitespace().next() == Some(agent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_survives_two_shells() {
        for text in ["echo it's", "a\nb", "echo \"$(x)\" '' '\\'' \\", "'", "", "é\u{1b}"] {
            let line = transaction("printf %s", "x", text);
            // The shell gives back what was quoted.
            let line = line.split_once(" -c ").expect("-c").1;
            let script = format!("printf %s {line}");
            let output =
                std::process::Command::new("sh").args(["-c", &script]).output().expect("sh");
            assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        }
        assert_eq!(transaction("/a b/ctrlz", "sh", "ls"), "'/a b/ctrlz' run -- sh -c 'ls'");
    }

    #[test]
    fn own_entries_are_known_and_others_not() {
        for own in [
            "ctrlz hook claude",
            "/opt/bin/ctrlz hook claude --on-high ask",
            "'/a b/ctrlz' hook claude",
            "ctrlz hook claude || exit 2",
        ] {
            assert!(is_own(own, "claude"), "{own}");
        }
        for other in
            ["ctrlz hook codex", "ctrlz run", "myctrlz hook claude", "echo ctrlz hook claude", "x"]
        {
            assert!(!is_own(other, "claude"), "{other}");
        }
    }
}
