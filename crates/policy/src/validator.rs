//! SafetyValidator: the stages in their order.

use std::borrow::Cow;
use std::sync::Arc;

use ctrlz_core::verdict::Risk;

use crate::content;
use crate::context::Context;
use crate::effect::{EffectKind, Target};
use crate::evaluate::{self, Evaluation};
use crate::rules::pack::{Application, Cause};
use crate::rules::{BuiltIn, Packs, Rule};
use crate::script::Language;
use crate::source_range::SourceRange;
use crate::verdict::{Finding, Stage, Verdict};

/// The longest text that is judged to its end. What is longer is risky for that alone.
const LONGEST: usize = 128 << 10;

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
        let evaluation = evaluate::arguments(arguments, &self.context);
        self.verdict(&text, evaluation)
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
        let packs = self.packs.as_deref();
        let packs = packs.map(|packs| Application::new(packs, text, &evaluation, &self.context));
        let mut add = |rule: &'static Rule, stage, range, subject: String, cause| {
            let mut finding = Finding {
                rule: Cow::Borrowed(&rule.id),
                stage,
                risk: rule.risk,
                share: 0,
                range,
                subject: content::redact(&subject).into_owned(),
                reason: Cow::Borrowed(&rule.reason),
                hint: Cow::Borrowed(&rule.hint),
            };
            if let Some(packs) = &packs {
                packs.overridden(&mut finding, rule, cause);
            }
            findings.push(finding);
        };
        for effect in &evaluation.effects {
            for rule in BuiltIn::of_effect(effect.kind) {
                if rule.is_about(effect, &self.context) {
                    let stage = stage_of(effect.kind, &effect.target);
                    add(
                        rule,
                        stage,
                        effect.range,
                        effect.target.to_string(),
                        Cause::Effect(effect),
                    );
                }
            }
        }
        for call in &evaluation.calls {
            for rule in BuiltIn::of_program(&call.name) {
                if rule.is_about_call(call) {
                    add(rule, Stage::Command, call.range, call.name.clone(), Cause::Call(call));
                }
            }
        }
        for remark in &evaluation.remarks {
            for rule in BuiltIn::of_remark(remark.kind) {
                add(rule, Stage::Command, remark.range, String::new(), Cause::Remark(remark));
            }
        }
        if let Some(packs) = packs {
            packs.finish(&mut findings);
        }
        Verdict::from_findings(findings, evaluation.effects)
    }
}

fn start_of(text: &[u8]) -> &[u8] {
    text.get(..LONGEST).unwrap_or(text)
}

fn content_findings(text: &[u8]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = content::inspect(start_of(text), content::DEFAULT_SIZE_LIMIT)
        .into_iter()
        .map(|found| Finding {
            rule: Cow::Borrowed(found.kind.name()),
            stage: Stage::Content,
            risk: found.risk,
            share: 0,
            range: found.range,
            subject: found.excerpt,
            reason: Cow::Borrowed(found.kind.reason()),
            hint: Cow::Borrowed(found.kind.hint()),
        })
        .collect();
    if text.len() > LONGEST {
        findings.push(Finding {
            rule: Cow::Borrowed("too-large"),
            stage: Stage::Content,
            risk: Risk::High,
            share: 0,
            range: SourceRange::new(LONGEST, text.len()),
            subject: format!("{} bytes", text.len()),
            reason: Cow::Borrowed("it is longer than what is judged to its end"),
            hint: Cow::Borrowed("split it, or put its data into files"),
        });
    }
    findings
}

pub(crate) fn stage_of(kind: EffectKind, target: &Target) -> Stage {
    match (kind, target) {
        (EffectKind::Exhaust, _) => Stage::Resources,
        (_, Target::Path { .. }) => Stage::Files,
        _ => Stage::Command,
    }
}

fn language_named(name: &str) -> Option<Language> {
    Some(match name.to_ascii_lowercase().as_str() {
        "python" | "py" | "python3" => Language::Python,
        "javascript" | "js" | "node" | "typescript" | "ts" | "mjs" => Language::JavaScript,
        "perl" | "pl" => Language::Perl,
        "ruby" | "rb" => Language::Ruby,
        "php" => Language::Php,
        "lua" => Language::Lua,
        "awk" => Language::Awk,
        _ => return None,
    })
}
