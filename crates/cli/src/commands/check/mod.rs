//! `ctrlz check`: the verdict without the command.

mod jsonl;
mod script;

pub(in crate::commands) use script::language_of;

use std::os::unix::ffi::OsStrExt as _;

use ctrlz_policy::{Validator, Verdict, redact};

use crate::arguments::CheckArguments;
use crate::show::{
    self, Style, print_conclusion, print_effects, print_excerpts, print_verdict, verdict_fields,
};
use crate::{Answer, judging, places};

pub(crate) fn check(arguments: &CheckArguments, json: bool) -> Answer {
    let folder = match &arguments.workdir {
        Some(folder) => places::canonical(folder)?,
        None => places::working_folder()?,
    };
    let packs = super::policy::packs_in(&folder, None)?;
    let validator = Validator::with_packs(judging::in_folder(&folder), packs);
    if arguments.jsonl {
        return jsonl::answer(&validator, arguments.lang, json);
    }
    let judged = judge(arguments, &validator)?;
    if json {
        let text = String::from_utf8_lossy(&judged.text);
        let mut fields = vec![("text", show::to_json(&redact(&text))?)];
        fields.extend(verdict_fields(&judged.verdict)?);
        show::print_json(&fields);
    } else if arguments.explain {
        let Judged { name, text, verdict } = &judged;
        let style = Style::stdout();
        print_excerpts(name, text, &verdict.findings, style);
        print_effects(&verdict.effects, style);
        print_conclusion(verdict, style);
    } else {
        print_verdict(&judged.verdict, Style::stdout());
    }
    Ok(judging::exit_code(judged.verdict.decision))
}

/// A text and what the validator says of it. Ranges of the verdict are ranges of the text.
struct Judged {
    /// What people know the text by.
    name: String,
    text: Vec<u8>,
    verdict: Verdict,
}

fn judge(
    arguments: &CheckArguments,
    validator: &Validator,
) -> Result<Judged, crate::failure::Failure> {
    if let Some(file) = &arguments.file {
        return script::judge(file, arguments.lang, validator);
    }
    let words: Vec<Vec<u8>> =
        arguments.command.iter().map(|word| word.as_bytes().to_vec()).collect();
    let verdict = match words.as_slice() {
        [text] => validator.command(text),
        words => validator.arguments(words),
    };
    Ok(Judged { name: "command".to_owned(), text: words.join(&b' '), verdict })
}
