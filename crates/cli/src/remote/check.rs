//! `check` at a service.

use std::ffi::OsString;

use ctrlz_policy::{Effect, Finding, redact};
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::client::{Call, Client};
use super::not_remote;
use super::problem::not_understood;
use crate::Answer;
use crate::arguments::CheckArguments;
use crate::commands::check::{Script, TextKind, answer, explain, read};
use crate::failure::{Failure, OWN_FAILURE};
use crate::judging;
use crate::show::{self, Style, ToldVerdict};

/// What is judged.
struct Text {
    name: String,
    text: String,
    kind: TextKind,
    question: Value,
}

/// A verdict as the service tells it.
type Fields = Map<String, Value>;

pub(super) fn check(client: &Client, arguments: &CheckArguments, json: bool) -> Answer {
    if arguments.workdir.is_some() {
        return Err(not_remote("`ctrlz check --workdir`", "the folder is of this host")
            .hint("--sandbox names a sandbox there; without --server it is judged here"));
    }
    if arguments.jsonl {
        let judge = |language: &str, text: &[u8]| {
            let Ok(text) = std::str::from_utf8(text) else {
                return Ok(Err("it is no UTF-8, which a service needs".to_owned()));
            };
            let sandbox = &arguments.sandbox;
            let question = json!({ "command": text, "language": language, "sandbox": sandbox });
            let fields = match client.wait(client.ask_told(call(&question)))? {
                Ok(answer) => answer.read::<Fields>()?,
                // The line is at fault, and not all of them.
                Err(refusal) if refusal.is_of_body() => return Ok(Err(refusal.title)),
                Err(refusal) => return Err(refusal.into_failure()),
            };
            let is_told =
                |name: &str| json || matches!(name, "risk" | "decision" | "score" | "rules");
            let told = fields.into_iter().filter(|(name, _)| is_told(name)).collect::<Fields>();
            Ok(Ok(Value::Object(told)))
        };
        return answer(&judge, arguments.lang);
    }
    let Text { name, text, kind, question } = asked(arguments)?;
    let fields: Fields = client.wait(client.ask(call(&question)))?.read()?;
    let verdict: ToldVerdict = part(&Value::Object(fields.clone()))?;
    let decision = verdict.decision;
    if json {
        let mut told = vec![("text", show::to_json(&redact(&text))?)];
        told.extend(fields.iter().map(|(name, value)| (name.as_str(), value.clone())));
        show::print_json(&told);
    } else if arguments.explain {
        let of = |name: &str| fields.get(name).unwrap_or(&Value::Null);
        let (findings, effects): (Vec<Finding>, Vec<Effect>) =
            (part(of("findings"))?, part(of("effects"))?);
        explain((&name, text.as_bytes(), &kind), (&findings, &effects), verdict);
    } else {
        verdict.print(Style::stdout());
    }
    Ok(judging::exit_code(decision))
}

/// Judging changes nothing.
fn call(question: &Value) -> Call {
    Call::new(Method::POST, "/v1/policy/check").json(question)
}

fn part<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    T::deserialize(value)
        .map_err(|error| not_understood(env!("CARGO_PKG_VERSION"), &error.to_string()))
}

fn asked(arguments: &CheckArguments) -> Result<Text, Failure> {
    let sandbox = &arguments.sandbox;
    if let Some(file) = &arguments.file {
        let Script { name, text, language } = read(file, arguments.lang)?;
        let text = String::from_utf8(text).map_err(|_| no_text(&name))?;
        let (language, kind) = match language {
            None => (None, TextKind::Shell),
            Some(language) => (Some(language.name()), TextKind::Program),
        };
        let question = json!({ "command": text, "language": language, "sandbox": sandbox });
        return Ok(Text { name, text, kind, question });
    }
    let word = |word: &OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| no_text(&word.display().to_string()))
    };
    let words = arguments.command.iter().map(word).collect::<Result<Vec<_>, _>>()?;
    let (kind, question) = match words.as_slice() {
        [text] => (TextKind::Shell, json!({ "command": text, "sandbox": sandbox })),
        words => (TextKind::Words, json!({ "argv": words, "sandbox": sandbox })),
    };
    Ok(Text { name: "command".to_owned(), text: words.join(" "), kind, question })
}

fn no_text(what: &str) -> Failure {
    Failure::new(OWN_FAILURE, "input", format!("{what} is no UTF-8, which a service needs"))
}
