//! SafetyValidator: the stages in their order.

use std::borrow::Cow;
use std::sync::Arc;

use ctrlz_core::verdict::Risk;

use crate::content;
use crate::context::Context;
use crate::coverage::Coverage;
use crate::demand;
use crate::effect::{Effect, Target};
use crate::evaluate::{self, Call, Evaluation};
use crate::file_name;
use crate::rules::pack::Application;
use crate::rules::{BuiltIn, Cause, Packs, Rule};
use crate::script::Language;
use crate::source_range::SourceRange;
use crate::verdict::{Finding, Stage, Verdict, gravest_first};

/// The longest text that is judged to its end. What is longer is risky for that alone.
const LONGEST: usize = 128 << 10;

/// How many programs are told, and for how many findings.
const MOST_PROGRAMS: usize = 32;

/// Judges operations.
#[derive(Debug, Clone)]
pub struct Validator {
    context: Context,
    packs: Option<Arc<Packs>>,
}

impl Validator {
    /// A validator for operations in a place.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { context, packs: None }
    }

    /// A validator that asks packs besides the built-in rules.
    #[must_use]
    pub fn with_packs(context: Context, packs: Packs) -> Self {
        Self { context, packs: packs.shared() }
    }

    /// Judges a text of the shell.
    #[must_use]
    pub fn command(&self, text: &[u8]) -> Verdict {
        let judged = start_of(text);
        let evaluation = evaluate::shell(judged, &self.context);
        self.verdict(text, evaluation)
    }

    /// Judges a program and its arguments, which no shell reads.
    #[must_use]
    pub fn arguments(&self, arguments: &[Vec<u8>]) -> Verdict {
        let text = arguments.join(&b' ');
        let evaluation = evaluate::arguments(start_of_arguments(arguments), &self.context);
        self.verdict(&text, evaluation)
    }

    /// The files that a program and its arguments name, and those that the commands name which it
    /// starts, as far as the text tells: absolute paths, each once, not all of very many. An
    /// approval covers what lies there.
    #[must_use]
    pub fn files_named(&self, arguments: &[Vec<u8>]) -> Vec<Vec<u8>> {
        evaluate::files_named(start_of_arguments(arguments), &self.context)
    }

    /// Judges a program in a language: `python`, `javascript`, `perl`, `ruby`, `php`, `lua`, `awk`;
    /// every other name means the shell.
    #[must_use]
    pub fn program(&self, language: &str, text: &[u8]) -> Verdict {
        let Some(language) = language_named(language) else { return self.command(text) };
        let evaluation = evaluate::script(language, start_of(text), &self.context);
        self.verdict(text, evaluation)
    }

    /// Judges writing `content` to the file at `path`, as far as it matters where the file lies;
    /// with `adds`, what it holds stays. What a script would do, [`Validator::program`] tells.
    #[must_use]
    pub fn write(&self, path: &[u8], content: &[u8], adds: bool) -> Verdict {
        let evaluation = evaluate::write(path, start_of(content), adds, &self.context);
        self.verdict(b"", evaluation)
    }

    fn verdict(&self, text: &[u8], evaluation: Evaluation) -> Verdict {
        let mut findings = content_findings(text);
        let programs = programs(&evaluation);
        let packs = self.packs.as_deref();
        let packs = packs.map(|packs| Application::new(packs, text, &evaluation, &self.context));
        let mut add = |rule: &'static Rule, cause: Cause<'_>| {
            let mut finding = cause.finding(rule);
            if let Some(packs) = &packs {
                packs.overridden(&mut finding, rule, cause);
            }
            findings.push(finding);
        };
        for effect in &evaluation.effects {
            for rule in BuiltIn::of_effect(effect.kind) {
                if rule.is_about(effect, &self.context) {
                    add(rule, Cause::Effect(effect));
                }
            }
        }
        for call in &evaluation.calls {
            for rule in BuiltIn::of_program(&call.name) {
                if rule.is_about_call(call) {
                    add(rule, Cause::Call(call));
                }
            }
        }
        for remark in &evaluation.remarks {
            for rule in BuiltIn::of_remark(remark.kind) {
                add(rule, Cause::Remark(remark));
            }
        }
        if let Some(packs) = packs {
            packs.finish(&mut findings);
        }
        file_name::inspect(&evaluation, &mut findings);
        let coverage = match &self.context.surroundings {
            Some(surroundings) => {
                demand::over_limits(&evaluation, &surroundings.limits, &mut findings);
                demand::network(&evaluation, surroundings.network, &mut findings);
                let coverage = Coverage::of(&evaluation.effects, surroundings);
                coverage.weigh(&mut findings, surroundings);
                coverage
            }
            None => Coverage::default(),
        };
        let mut effects = evaluation.effects;
        conceal(start_of(text), &mut findings, &mut effects);
        gravest_first(&mut findings);
        name_programs(&mut findings, &evaluation.calls);
        let verdict = Verdict::from_ordered(findings, effects);
        Verdict { coverage, programs, ..verdict }.in_light_of(&self.context.history)
    }
}

/// The programs that are called, each once, as far as [`MOST_PROGRAMS`].
fn programs(evaluation: &Evaluation) -> Vec<String> {
    let mut programs: Vec<String> = Vec::new();
    for call in &evaluation.calls {
        if programs.len() == MOST_PROGRAMS {
            break;
        }
        if !programs.contains(&call.name) {
            programs.push(call.name.clone());
        }
    }
    programs
}

/// Says which program has an effect: the innermost call that the effect stands in, of those the
/// last that was met before it. Code within one word has one place for all its calls. Only for
/// the first findings, the gravest, since it takes time for each.
fn name_programs(findings: &mut [Finding], calls: &[Call]) {
    let about = findings.iter_mut().filter(|f| f.effect.is_some() && f.program.is_empty());
    for finding in about.take(MOST_PROGRAMS) {
        let (before, after) = calls.split_at_checked(finding.calls).unwrap_or((calls, &[]));
        let narrowest = |calls: &[Call]| {
            let around = calls.iter().rev().filter(|call| {
                call.range.start <= finding.range.start && finding.range.end <= call.range.end
            });
            let call = around.min_by_key(|call| call.range.end - call.range.start)?;
            Some(call.name.clone())
        };
        if let Some(name) = narrowest(before).or_else(|| narrowest(after)) {
            finding.program = name;
        }
    }
}

/// Takes the secrets of the text out of all that is told about it.
fn conceal(text: &[u8], findings: &mut [Finding], effects: &mut [Effect]) {
    // Most texts hold none.
    if !findings.iter().any(|finding| finding.stage == Stage::Content) {
        return;
    }
    let found = content::Found::of(text);
    let hide = |told: &mut String| {
        if let Cow::Owned(concealed) = found.concealed(told) {
            *told = concealed;
        }
    };
    findings.iter_mut().for_each(|finding| hide(&mut finding.subject));
    for effect in effects {
        match &mut effect.target {
            Target::None => {}
            Target::Path { path: told, .. } | Target::Host(told) | Target::Name(told) => hide(told),
        }
    }
}

fn start_of(text: &[u8]) -> &[u8] {
    text.get(..LONGEST).unwrap_or(text)
}

fn start_of_arguments(arguments: &[Vec<u8>]) -> &[Vec<u8>] {
    let mut left = LONGEST;
    let judged = arguments.iter().take_while(|argument| {
        left = left.saturating_sub(argument.len() + 1);
        left > 0
    });
    arguments.get(..judged.count()).unwrap_or_default()
}

fn content_findings(text: &[u8]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = content::inspect(start_of(text), content::DEFAULT_SIZE_LIMIT)
        .into_iter()
        .map(|found| Finding {
            rule: Cow::Borrowed(found.kind.name()),
            risk: found.risk,
            range: found.range,
            subject: found.excerpt,
            reason: Cow::Borrowed(found.kind.reason()),
            hint: Cow::Borrowed(found.kind.hint()),
            ..Finding::of(Stage::Content)
        })
        .collect();
    if text.len() > LONGEST {
        findings.push(Finding {
            rule: Cow::Borrowed("too-large"),
            risk: Risk::High,
            range: SourceRange::new(LONGEST, text.len()),
            subject: format!("{} bytes", text.len()),
            reason: Cow::Borrowed("it is longer than what is judged to its end"),
            hint: Cow::Borrowed("split it, or put its data into files"),
            ..Finding::of(Stage::Content)
        });
    }
    findings
}

/// The languages that are read, by their plain names.
pub const LANGUAGES: [&str; 8] =
    ["shell", "python", "javascript", "perl", "ruby", "php", "lua", "awk"];

/// Whether a language has this name, or this is a name that people give it: `bash`, `py`, `ts`.
#[must_use]
pub fn knows_language(name: &str) -> bool {
    let shells = ["shell", "sh", "bash", "zsh", "dash", "ash", "ksh", "mksh", "fish", "posix"];
    shells.iter().any(|shell| shell.eq_ignore_ascii_case(name)) || language_named(name).is_some()
}

fn language_named(name: &str) -> Option<Language> {
    Some(match name.to_ascii_lowercase().as_str() {
        "python" | "py" | "python2" | "python3" => Language::Python,
        "javascript" | "js" | "mjs" | "cjs" | "jsx" | "node" | "nodejs" | "typescript" | "ts"
        | "tsx" => Language::JavaScript,
        "perl" | "pl" | "perl5" => Language::Perl,
        "ruby" | "rb" => Language::Ruby,
        "php" => Language::Php,
        "lua" | "luajit" => Language::Lua,
        "awk" | "gawk" | "mawk" | "nawk" => Language::Awk,
        _ => return None,
    })
}
