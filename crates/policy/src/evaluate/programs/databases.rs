//! Database clients: what their statements drop, and the shells that they start.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::Value;
use crate::source_range::SourceRange;

impl Evaluator<'_> {
    pub(super) fn database(&mut self, call: &Call) {
        let options = call.options(
            "ecdhpPuUDSFfvtTqQn",
            &[
                "execute", "command", "eval", "query", "database", "host", "port", "user",
                "username", "dbname", "file", "pass",
            ],
        );
        let mut statements: Vec<Field> =
            options.values("e|c|execute|command|eval|query|q|Q").cloned().collect();
        let keyed = call.name == "redis-cli";
        // A database that is a file, or made for trying: deleting in it is as undoable as that.
        let named_test = call.arguments.iter().any(|field| {
            let text = field.text();
            // `mongodb://localhost/test`
            let text = match text.windows(3).any(|part| part == b"://") {
                true => text.rsplit(|byte| *byte == b'/').next().unwrap_or_default(),
                false => text,
            };
            !text.contains(&b' ')
                && [&b"test"[..], b"dev", b"tmp", b"sandbox"].iter().any(|word| {
                    text == *word
                        || text.ends_with(&[b"_", *word].concat())
                        || text.starts_with(&[*word, b"_"].concat())
                })
        });
        let is_file = call.name.starts_with("sqlite") || named_test;
        if is_file && let Some(file) = options.operands.first().map(|field| (*field).clone()) {
            self.read_file(&file.value, file.range);
        }
        if call.name.starts_with("sqlite") {
            statements.extend(options.operands.iter().skip(1).map(|field| (*field).clone()));
            statements
                .extend(call.arguments.iter().filter(|f| f.text().starts_with(b".")).cloned());
        }
        if keyed {
            let text = crate::evaluate::builtin::joined(
                &options.operands.iter().map(|f| (*f).clone()).collect::<Vec<_>>(),
            );
            self.redis(&text, call.range);
            return;
        }
        for statement in &statements {
            self.statements(&statement.value, statement.range, is_file);
        }
        if let Some(stdin) = self.stdin.take() {
            self.statements(&stdin, call.range, is_file);
        }
    }

    fn redis(&mut self, text: &Value, range: SourceRange) {
        let upper = text.lossy().to_ascii_uppercase();
        if upper.starts_with("FLUSHALL") || upper.starts_with("FLUSHDB") {
            self.emit(EffectKind::Remote, Target::Name(upper), Qualities::ALL_OF_THEM, range);
        } else if upper.contains("CONFIG SET DIR")
            || upper.contains("CONFIG SET DBFILENAME")
            || upper.contains("MODULE LOAD")
        {
            self.emit(EffectKind::Inject, Target::Name(upper), Qualities::NONE, range);
        } else if upper.contains("EVAL") && upper.contains("OS.EXECUTE") {
            self.emit(
                EffectKind::ShellEscape,
                Target::Name("redis-cli".into()),
                Qualities::NONE,
                range,
            );
        }
    }

    /// SQL, as far as its words tell what is lost.
    fn statements(&mut self, text: &Value, range: SourceRange, is_file: bool) {
        for line in text.text.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            let shell = [&b"\\!"[..], b"!", b".shell", b".system", b"system", b"\\s!"]
                .iter()
                .find_map(|word| {
                    let rest = line.strip_prefix(*word)?;
                    let spaced = *word == b"\\!" || rest.starts_with(b" ");
                    (spaced && !rest.trim_ascii().is_empty()).then(|| rest.trim_ascii())
                });
            if let Some(code) = shell {
                self.escape_to_shell(&Value::known(code), range);
            }
        }
        if text.text.windows(8).any(|window| window.eq_ignore_ascii_case(b" program"))
            && text.text.windows(4).any(|window| window.eq_ignore_ascii_case(b"copy"))
        {
            let text = text.lossy();
            if let Some(code) = text.split('\'').nth(1) {
                self.escape_to_shell(&Value::known(code), range);
            }
        }
        for statement in String::from_utf8_lossy(&text.text).split(';') {
            if let Some((what, quality)) = lost(statement) {
                let quality = quality.with_if(is_file, Qualities::CONFINED);
                self.emit(EffectKind::Remote, Target::Name(what), quality, range);
            }
            let upper = statement.to_ascii_uppercase();
            let personal =
                ["PASSWORD", "SSN", "IBAN", "CREDIT_CARD", "EMAIL", "PHONE", "TOKEN", "BIRTH"];
            if upper.contains("SELECT") && personal.iter().any(|word| upper.contains(word)) {
                self.emit(
                    EffectKind::Secret,
                    Target::Name("personal data".into()),
                    Qualities::NONE,
                    range,
                );
            }
        }
    }
}

/// What a statement deletes, if it deletes much.
pub(crate) fn lost(statement: &str) -> Option<(String, Qualities)> {
    let upper = statement.to_ascii_uppercase();
    let words: Vec<&str> =
        upper.split_whitespace().filter(|word| !word.starts_with("--")).take(64).collect();
    let has = |word: &str| words.contains(&word);
    if words.first() == Some(&"DROP") && has("EXISTS") && !has("DATABASE") {
        // A migration that starts anew.
        return Some(("drop if it exists".to_owned(), Qualities::NONE));
    }
    let name = |at: usize| words.get(at).copied().unwrap_or_default().to_owned();
    let told = |what: &str| Some((format!("{what} {}", name(2)), Qualities::ALL_OF_THEM));
    match words.as_slice() {
        ["DROP", "DATABASE" | "SCHEMA", ..] => told("drop database"),
        ["DROP", "TABLE" | "TABLESPACE" | "USER" | "ROLE" | "OWNED" | "KEYSPACE", ..] => {
            told("drop table")
        }
        ["TRUNCATE", ..] => told("truncate"),
        ["DELETE", "FROM", ..] if !has("WHERE") && !has("LIMIT") => told("delete all of"),
        ["DELETE", "FROM", ..]
            if has("WHERE")
                && (upper.contains("WHERE 1=1")
                    || upper.contains("WHERE TRUE")
                    || upper.contains("WHERE 1 = 1")) =>
        {
            told("delete all of")
        }
        ["UPDATE", _, "SET", ..] if !has("WHERE") => told("update all of"),
        _ => None,
    }
    .or_else(|| {
        if upper.contains("DROPDATABASE(") {
            return Some(("drop database".to_owned(), Qualities::ALL_OF_THEM));
        }
        let script = upper.contains(".DROP()")
            || upper.contains("DELETEMANY({})")
            || upper.contains(".REMOVE({})");
        script.then(|| ("delete everything".to_owned(), Qualities::ALL_OF_THEM))
    })
}
