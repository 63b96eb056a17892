//! `check` at a service.

use ctrlz_policy::redact;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::not_remote;
use crate::Answer;
use crate::arguments::CheckArguments;
use crate::failure::{Failure, OWN_FAILURE};
use crate::judging;
use crate::show::{self, Style, ToldVerdict};

pub(super) fn check(client: &Client, arguments: &CheckArguments, json: bool) -> Answer {
    let CheckArguments { file, jsonl, lang, explain, workdir, sandbox, command } = arguments;
    if file.is_some() || *jsonl || lang.is_some() || *explain || workdir.is_some() {
        return Err(not_remote(
            "`ctrlz check` of a file, of many questions, in a folder or with --explain",
            "its validator is asked about one command",
        )
        .hint("without --server and CTRLZ_SERVER it is judged here, by the rules of this host"));
    }
    let word = |word: &std::ffi::OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| {
            let message = format!("{} is no UTF-8, which a service needs", word.display());
            Failure::new(OWN_FAILURE, "input", message)
        })
    };
    let words = command.iter().map(word).collect::<Result<Vec<_>, _>>()?;
    let question = match words.as_slice() {
        [text] => json!({ "command": text, "sandbox": sandbox }),
        words => json!({ "argv": words, "sandbox": sandbox }),
    };
    let fields: Map<String, Value> = client.post("/v1/policy/check", &question)?;
    let verdict: ToldVerdict =
        serde_json::from_value(Value::Object(fields.clone())).map_err(|error| {
            super::problem::not_understood(env!("CARGO_PKG_VERSION"), &error.to_string())
        })?;
    if json {
        let text = words.join(" ");
        let mut told = vec![("text", show::to_json(&redact(&text))?)];
        told.extend(fields.iter().map(|(name, value)| (name.as_str(), value.clone())));
        show::print_json(&told);
    } else {
        verdict.print(Style::stdout());
    }
    Ok(judging::exit_code(verdict.decision))
}
