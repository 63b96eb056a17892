//! Secrets in the arguments of programs whose options do not say what they hold.

use super::super::scan::is_token_byte;
use super::super::{ContentKind, Hit};
use super::SecretKind;
use super::block::{starts_token, weighed};
use super::placeholder::is_placeholder;
use super::value::{self, Value};

/// The program whose arguments are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// `-psecret`.
    Mysql,
    /// `-p secret`, `-psecret`.
    Sshpass,
    /// `-u user:secret`.
    Curl,
    /// `-u user:secret`, `-a user:secret`, `-u user%secret`, `-U user%secret`.
    UserAndPassword,
    /// `-a secret`.
    Redis,
    /// `-p secret` after `login`, or of a client of a database.
    Login,
    /// `-w secret`.
    Ldap,
    /// `-P secret`.
    CapitalP,
    /// `-psecret`, `-p"secret"` of an archiver.
    Archiver,
}

/// What is known of the command that is being read.
#[derive(Debug, Default)]
pub(in super::super) struct Commands {
    program: Option<Program>,
    /// Whether `docker` or its like stands before, whose `login` takes `-p`.
    registry: bool,
}

impl Commands {
    /// At a letter that begins a word.
    pub(in super::super) fn word(&mut self, text: &[u8], start: usize) {
        let Some(first) = text.get(start) else { return };
        if !matches!(first, b'a'..=b'z' | b'7') {
            return;
        }
        let sample = text.get(start..start.saturating_add(16).min(text.len())).unwrap_or_default();
        let length = sample.iter().take_while(|byte| is_token_byte(**byte)).count();
        let program = match sample.get(..length).unwrap_or_default() {
            b"mysql" | b"mysqldump" | b"mysqladmin" | b"mysqlimport" | b"mariadb"
            | b"mariadb-dump" | b"mariadb-admin" | b"mysqlcheck" | b"mysqlsh" => Program::Mysql,
            b"sshpass" => Program::Sshpass,
            b"curl" => Program::Curl,
            b"http" | b"https" | b"xh" | b"smbclient" | b"lftp" | b"rpcclient" | b"ncftp" => {
                Program::UserAndPassword
            }
            b"redis-cli" => Program::Redis,
            b"ldapsearch" | b"ldapadd" | b"ldapmodify" | b"ldapdelete" | b"ldapwhoami" => {
                Program::Ldap
            }
            b"mongo" | b"mongosh" | b"mongodump" | b"mongorestore" | b"evil-winrm"
            | b"crackmapexec" | b"netexec" => Program::Login,
            b"sqlcmd" | b"bcp" | b"zip" | b"unzip" | b"ipmitool" => Program::CapitalP,
            b"7z" | b"7za" | b"7zz" | b"rar" | b"unrar" => Program::Archiver,
            b"docker" | b"podman" | b"buildah" | b"skopeo" | b"helm" | b"oc" | b"az"
            | b"nerdctl" => {
                self.registry = true;
                return;
            }
            b"login" if self.registry => Program::Login,
            _ => return,
        };
        // `http://…` names no program, and `-u user` is no option of one that was named before.
        if text.get(start + length) == Some(&b':') {
            return;
        }
        self.program = Some(program);
    }

    /// Where a command ends, unless the line goes on.
    pub(in super::super) fn end(&mut self, continued: bool) {
        if !continued {
            *self = Self::default();
        }
    }

    /// At a `-`: the secret in the option that begins there.
    pub(in super::super) fn option(&self, text: &[u8], start: usize) -> Option<Hit> {
        let program = self.program?;
        let before = start.checked_sub(1).and_then(|index| text.get(index));
        if before.is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return None;
        }
        let rest = text.get(start + 1..)?;
        let letter = *rest.first()?;
        let next = *rest.get(1)?;
        let attached = (next != b' ').then_some(start + 2);
        let separate = (next == b' ').then_some(start + 3);
        match (program, letter) {
            (Program::Mysql | Program::Archiver, b'p') => password(text, attached?),
            (Program::Sshpass, b'p') => password(text, attached.or(separate)?),
            (Program::Curl, b'u' | b'U') => after_user(text, attached.or(separate)?),
            (Program::Curl | Program::UserAndPassword, b'-') => {
                let words: [&[u8]; 4] = [b"-user ", b"-proxy-user ", b"-auth ", b"-user="];
                let word = words.iter().find(|word| rest.starts_with(word))?;
                after_user(text, start + 1 + word.len())
            }
            (Program::UserAndPassword, b'u' | b'U' | b'a') => after_user(text, separate?),
            (Program::Redis, b'a')
            | (Program::Ldap, b'w')
            | (Program::Login, b'p')
            | (Program::CapitalP, b'P') => password(text, separate?),
            _ => None,
        }
    }
}

fn found(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let secret = text.get(start..end)?;
    if secret.len() < 2 || is_placeholder(secret) || starts_token(secret) {
        return None;
    }
    let hit = Hit::new(ContentKind::Secret(SecretKind::Password), start, end);
    Some(weighed(text, hit))
}

fn password(text: &[u8], start: usize) -> Option<Hit> {
    let (value, _) = value::read(text, start, true);
    let Value { start, end, .. } = value?;
    if text.get(start) == Some(&b'-') {
        return None;
    }
    found(text, start, end)
}

/// What follows the `:` or `%` of `user:secret`.
fn after_user(text: &[u8], start: usize) -> Option<Hit> {
    let (value, _) = value::read(text, start, true);
    let Value { start, end, .. } = value?;
    let pair = text.get(start..end)?;
    if pair.starts_with(b"$") && !pair.contains(&b':') {
        return None;
    }
    let sign = pair.iter().position(|byte| matches!(byte, b':' | b'%'))?;
    found(text, start + sign + 1, end)
}

/// How far before a program the text is looked at that a pipe brings to it.
const PIPED_MAX: usize = 128;

/// At a letter: the password that `echo` pipes into `sudo -S`, `chpasswd` or `passwd --stdin`.
pub(in super::super) fn piped_password(text: &[u8], start: usize) -> Option<Hit> {
    let rest = text.get(start..)?;
    let pairs = rest.starts_with(b"chpasswd");
    if !pairs && !rest.starts_with(b"sudo -S") && !rest.starts_with(b"passwd --stdin") {
        return None;
    }
    let from = start.saturating_sub(PIPED_MAX);
    let before = trim_end(text.get(from..start)?);
    let before = before.strip_suffix(b"sudo").map_or(before, trim_end);
    let before = trim_end(before.strip_suffix(b"|")?);
    let shown = before.windows(4).any(|part| part == b"echo")
        || before.windows(6).any(|part| part == b"printf");
    let before = before.strip_suffix(b"\"").or_else(|| before.strip_suffix(b"'")).unwrap_or(before);
    let before = before.strip_suffix(b"\\n").unwrap_or(before);
    let stops = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b':');
    let begin = before.iter().rposition(stops)? + 1;
    if !shown || (pairs && before.get(begin - 1) != Some(&b':')) {
        return None;
    }
    found(text, from + begin, from + before.len())
}

fn trim_end(text: &[u8]) -> &[u8] {
    let length = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    text.get(..length).unwrap_or_default()
}
