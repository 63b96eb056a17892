//! Changes to files without a command: calls of the service, and scripts that do the same.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use super::random::Random;
use super::stage::NAME;
use crate::failure::{Answer, Failure};

/// Files and folders of the scripts, and some that are never there.
const PATHS: [&str; 14] = [
    "file-N",
    "file-1",
    "a",
    "a/one",
    "a/b",
    "a/b/c-N",
    "a/b/c-N/deep",
    "moved-N",
    "moved-1/one",
    "link-N",
    "linked",
    "other-N",
    "pipe-N",
    "new-N/x",
];

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Write {
    /// A file, which has that text then.
    File(String, String),
    /// Removes what is there, with all that is in it.
    Remove(String),
    /// A folder, with those above it.
    Folder(String),
    /// Another name, perhaps in place of a file.
    Move(String, String, bool),
}

impl Write {
    pub(super) fn choose(random: &mut Random, number: u64) -> Self {
        let mut path = || {
            let path = random.one_of(&PATHS).copied().unwrap_or_default();
            path.replace('N', &number.to_string())
        };
        let (one, other) = (path(), path());
        match random.below(8) {
            0..3 => Self::File(one, format!("written {number}\n")),
            3 => Self::Remove(one),
            4 => Self::Folder(one),
            5 => Self::Move(one, other, false),
            _ => Self::Move(one, other, true),
        }
    }

    /// Method, path with its query, and body.
    fn call(&self) -> (&'static str, String, &str) {
        let files = format!("/v1/sandboxes/{NAME}/files");
        match self {
            Self::File(path, text) => ("PUT", format!("{files}?path={path}"), text),
            Self::Remove(path) => ("DELETE", format!("{files}?path={path}&recursive=true"), ""),
            Self::Folder(path) => ("POST", format!("{files}/folder?path={path}&parents=true"), ""),
            Self::Move(from, to, over) => {
                ("POST", format!("{files}/move?from={from}&to={to}&overwrite={over}"), "")
            }
        }
    }

    /// What a shell would do to the same end; nothing where the call is refused.
    pub(super) fn script(&self) -> String {
        let there = |path: &str| format!("{{ [ -e {path} ] || [ -L {path} ]; }}");
        let steps = match self {
            // In its place as a whole: other names of the file keep what they had.
            Self::File(path, text) => format!(
                "f=$(readlink -m {path}); [ -d \"$(dirname \"$f\")\" ] || exit 0
                if [ -e \"$f\" ]; then
                    [ -f \"$f\" ] || exit 0
                    m=$(stat -c %a \"$f\"); printf %s '{text}' > .new; chmod $m .new; mv -fT .new \"$f\"
                else printf %s '{text}' > \"$f\"; fi"
            ),
            Self::Remove(path) => format!("rm -rf {path}"),
            Self::Folder(path) => format!("mkdir -p {path}"),
            Self::Move(from, to, over) => {
                let (has_from, has_to) = (there(from), there(to));
                format!(
                    "{has_from} || exit 0; [ {from} != {to} ] || exit 0
                    [ -d \"$(dirname {to})\" ] || exit 0
                    if [ -d {from} ] && [ ! -L {from} ]; then
                        {has_to} && exit 0; case {to}/ in {from}/*) exit 0;; esac
                    else
                        [ -d {to} ] && [ ! -L {to} ] && exit 0; {over} || {{ {has_to} && exit 0; }}
                    fi
                    mv -fT {from} {to}"
                )
            }
        };
        format!("umask 022\n{steps}")
    }

    /// Asks a service of its own, which is killed after `delay` when there is one. Answers as a program
    /// does: 0 when it is done, 123 when it is refused, and what was said.
    pub(super) fn perform(
        &self,
        mut serve: Command,
        store: &Path,
        token: &str,
        delay: Option<Duration>,
    ) -> Answer<(ExitStatus, String)> {
        let start = |source| Failure::Start { program: "ctrlz serve".to_owned(), source };
        serve.args(["serve", "--listen", "none", "--no-daemons", "--json", "--log", "off"]);
        let mut service = serve.stdout(Stdio::piped()).spawn().map_err(start)?;
        let answered = self.ask(&mut service, store, token, delay).map_err(start);
        service.kill().map_err(start)?;
        service.wait().map_err(start)?;
        let answer = answered?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        let code = match status {
            "200" => 0,
            "403" | "404" | "409" | "422" => 123,
            _ => 125,
        };
        Ok((ExitStatus::from_raw(code << 8), answer))
    }

    fn ask(
        &self,
        service: &mut Child,
        store: &Path,
        token: &str,
        delay: Option<Duration>,
    ) -> std::io::Result<String> {
        let mut line = String::new();
        if let Some(output) = &mut service.stdout {
            // Once it is said where it listens, it does.
            BufReader::new(output).read_line(&mut line)?;
        }
        let mut stream = UnixStream::connect(store.join("service.sock"))?;
        let (method, path, body) = self.call();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: soak\r\nauthorization: Bearer {token}\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        if let Some(delay) = delay {
            thread::sleep(delay);
            service.kill()?;
        }
        let mut answer = String::new();
        // Of one that was killed, no more comes than what it had said.
        match stream.read_to_string(&mut answer) {
            Err(error) if delay.is_none() => Err(error),
            _ => Ok(answer),
        }
    }
}
