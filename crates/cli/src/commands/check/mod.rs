//! `ctrlz check`: the verdict without the command.

mod jsonl;
mod question;
mod script;

pub(crate) use jsonl::answer;
pub(in crate::commands) use script::language_of;
pub(crate) use script::{Script, read};

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use ctrlz_config::Flags;
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Root;
use ctrlz_policy::{Effect, Finding, Outline, SourceRange, Validator, Verdict, outline, redact};

use super::{approval, past};
use crate::arguments::CheckArguments;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::{
    self, Read, Style, ToldVerdict, print_effects, print_excerpts, print_verdict, told_verdict,
    verdict_fields,
};
use crate::{Answer, judging, places};

pub(crate) fn check(arguments: &CheckArguments, json: bool) -> Answer {
    let folder = match &arguments.workdir {
        Some(folder) => places::canonical(folder)?,
        None => places::working_folder()?,
    };
    let (packs, _) = super::policy::packs_in(&folder, None)?;
    let context = match &arguments.sandbox {
        Some(name) => in_sandbox(name, &folder)?,
        None => judging::in_folder(&folder),
    };
    let validator = Validator::with_packs(context, packs);
    if arguments.jsonl {
        let judge = |language: &str, text: &[u8]| {
            jsonl::of_verdict(&validator.program(language, text), json).map(Ok)
        };
        return answer(&judge, arguments.lang);
    }
    let mut judged = judge(arguments, &validator)?;
    if arguments.sandbox.is_none() {
        judged.verdict = past::weighed(judged.verdict, &folder)?;
    }
    if json {
        let text = String::from_utf8_lossy(&judged.text);
        let mut fields = vec![("text", show::to_json(&redact(&text))?)];
        fields.extend(verdict_fields(&judged.verdict)?);
        show::print_json(&fields);
    } else if arguments.explain {
        let Judged { name, text, verdict, kind } = &judged;
        let text = (name.as_str(), text.as_slice(), kind);
        explain(text, (&verdict.findings, &verdict.effects), told_verdict(verdict)?);
    } else {
        print_verdict(&judged.verdict, Style::stdout())?;
    }
    Ok(judging::exit_code(judged.verdict.decision))
}

/// Shows a text with what was found in it, how it was read, and what it would do.
pub(crate) fn explain(
    (name, text, kind): (&str, &[u8], &TextKind),
    (findings, effects): (&[Finding], &[Effect]),
    verdict: ToldVerdict,
) {
    let style = Style::stdout();
    print_excerpts(name, text, findings, style);
    Read { text, findings, effects }.print(&kind.outline(text), style);
    print_effects(effects, style);
    verdict.print_conclusion(style);
}

/// The context of a command in a sandbox, by somebody who stands in `folder`.
fn in_sandbox(name: &SandboxName, folder: &Path) -> Result<ctrlz_policy::Context, Failure> {
    let context = Context::open()?;
    let sandbox = context.sandbox(Some(name))?;
    let config = ctrlz_config::load(&places::configuration(folder), &Flags::default())
        .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))?;
    let start = match &sandbox.root {
        Root::Host if folder.starts_with(&sandbox.base) => folder,
        Root::Host => &sandbox.base,
        Root::Overlay => folder,
        Root::Directory { .. } | Root::Image { .. } => Path::new("/"),
    };
    let history = past::history(context.store(), &sandbox)?;
    let inside = approval::context(&sandbox.root, &sandbox.base, start, &config);
    Ok(ctrlz_policy::Context { history, ..inside })
}

/// A text and what the validator says of it. Ranges of the verdict are ranges of the text.
struct Judged {
    /// What people know the text by.
    name: String,
    text: Vec<u8>,
    verdict: Verdict,
    kind: TextKind,
}

/// What a judged text is.
pub(crate) enum TextKind {
    /// A program of the shell.
    Shell,
    /// The words of one command, which no shell reads.
    Words,
    /// A program in another language.
    Program,
}

impl TextKind {
    /// How a text of this kind is read.
    fn outline(&self, text: &[u8]) -> Vec<Outline> {
        let range = SourceRange { start: 0, end: text.len() };
        match self {
            Self::Shell => outline(text),
            Self::Words => vec![Outline { what: "command", range, inner: Vec::new() }],
            Self::Program => Vec::new(),
        }
    }
}

fn judge(arguments: &CheckArguments, validator: &Validator) -> Result<Judged, Failure> {
    if let Some(file) = &arguments.file {
        let Script { name, text, language } = read(file, arguments.lang)?;
        let (verdict, kind) = match language {
            None => (validator.command(&text), TextKind::Shell),
            Some(language) => (validator.program(language.name(), &text), TextKind::Program),
        };
        return Ok(Judged { name, text, verdict, kind });
    }
    let words: Vec<Vec<u8>> =
        arguments.command.iter().map(|word| word.as_bytes().to_vec()).collect();
    let (verdict, kind) = match words.as_slice() {
        [text] => (validator.command(text), TextKind::Shell),
        words => (validator.arguments(words), TextKind::Words),
    };
    Ok(Judged { name: "command".to_owned(), text: words.join(&b' '), verdict, kind })
}
