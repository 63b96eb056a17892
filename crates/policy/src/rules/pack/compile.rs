//! From an entry to a rule that can be asked.

use std::borrow::Cow;

use ctrlz_core::verdict::Risk;

use super::condition::Condition;
use super::entry::{Entry, OF_BOTH, OF_CALLS, OF_EFFECTS};
use super::error::{PackError, quoted, suggestion};
use super::read::Written;
use super::words;
use super::{Override, PackRule, Standing};
use crate::rules::kind_set::KindSet;
use crate::rules::text::{Text, Texts};
use crate::rules::{BuiltIn, Rule};

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Effect,
    Call,
    Remark,
}

impl Subject {
    fn of(rule: &Rule) -> Self {
        if !rule.effects.is_empty() {
            Self::Effect
        } else if rule.remarks.is_empty() {
            Self::Call
        } else {
            Self::Remark
        }
    }

    /// The name, and the keys that ask about it.
    fn terms(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Effect => ("effects", &OF_EFFECTS),
            Self::Call => ("calls of programs", &OF_CALLS),
            Self::Remark => ("spellings", &["remark"]),
        }
    }
}

/// A rule of the pack `pack`.
pub(super) fn rule(pack: &str, written: Written) -> Result<PackRule, PackError> {
    let fail = |key: &str, message: String| Err(written.error(pack, key, message));
    let entry = &written.entry;
    if let Err(message) = check_id(&entry.form.id) {
        return fail("id", message);
    }
    if entry.form.reason.trim().is_empty() && !entry.allow {
        return fail("reason", "it must say why".to_owned());
    }
    let risk = risk(pack, &written)?.unwrap_or_default();
    if risk > Risk::Low && entry.allow {
        return fail("allow", format!("what is allowed cannot be of {risk} risk"));
    }
    let subject = if !entry.form.effect.0.is_empty() {
        Subject::Effect
    } else if !entry.form.remark.0.is_empty() {
        Subject::Remark
    } else if entry.form.program.0.is_empty() && entry.prefix.is_empty() && entry.command.is_empty()
    {
        let message =
            "it asks nothing: it needs `effect`, `program`, `prefix`, `command` or `remark`";
        return fail("", message.to_owned());
    } else {
        Subject::Call
    };
    if entry.allow && subject != Subject::Call {
        return fail("allow", "only calls of programs can be allowed".to_owned());
    }
    check_keys(pack, &written, subject)?;
    let mut rule = conditions(pack, &written)?;
    rule.id = Text::from(format!("{pack}/{}", entry.form.id).as_str());
    rule.family = Text::from(pack);
    // Not `rule.risk`: with one, a dry run would be exempt, which is for the pack to say.
    rule.reason = Text::from(entry.form.reason.as_str());
    rule.hint = Text::from(entry.form.hint.as_str());
    if subject == Subject::Call && rule.programs.is_empty() {
        let first = entry.prefix.first();
        let names = first.map(|names| names.iter().map(|name| escaped(name)).collect());
        rule.programs = names.unwrap_or_else(every_program);
    }
    let when = condition(pack, &written)?;
    Ok(PackRule { rule, risk, when, line: written.line, entry: written.entry })
}

/// An override of a built-in rule.
pub(super) fn over(
    pack: &str,
    written: Written,
    standing: &Standing,
) -> Result<Override, PackError> {
    let fail = |key: &str, message: String| Err(written.error(pack, key, message));
    let entry = &written.entry;
    let Some(built_in) = BuiltIn::all().iter().find(|rule| *rule.id == *entry.form.id) else {
        let near = suggestion(&entry.form.id, BuiltIn::all().iter().map(|rule| &*rule.id));
        return fail("rule", format!("there is no built-in rule of that name{near}"));
    };
    for key in ["hint", "executable", "prefix", "command"] {
        if written.has(key) {
            return fail(key, "it has no meaning in an override".to_owned());
        }
    }
    let subject = Subject::of(built_in);
    let (name, keys) = subject.terms();
    for (key, _) in &written.keys {
        let foreign =
            [&OF_EFFECTS[..], &OF_CALLS[..], &["remark"]].concat().contains(&key.as_str());
        if foreign && !keys.contains(&key.as_str()) {
            return fail(key, format!("the rule is about {name}, which this cannot narrow"));
        }
    }
    let narrowed = written.keys.iter().any(|(key, _)| {
        key == "when" || keys.contains(&key.as_str()) || OF_BOTH.contains(&key.as_str())
    });
    let risk = match (risk(pack, &written)?, entry.allow) {
        (Some(_), true) => return fail("allow", "there is a `risk` already".to_owned()),
        (Some(risk), false) => risk,
        (None, true) if narrowed => Risk::Low,
        (None, true) => return fail("allow", "it needs a condition that narrows it".to_owned()),
        (None, false) => return fail("", "it needs `risk` or `allow`".to_owned()),
    };
    if risk < built_in.risk
        && let Standing::OnlyTightens { because } = standing
    {
        let key = if entry.allow { "allow" } else { "risk" };
        let message = format!("it would loosen {} to {risk}; {because}", built_in.risk);
        return fail(key, message);
    }
    let mut narrowing = conditions(pack, &written)?;
    if narrowing.programs.is_empty() {
        narrowing.programs = every_program();
    }
    let when = condition(pack, &written)?;
    Ok(Override { built_in, risk, narrowing, when, line: written.line, entry: written.entry })
}

fn check_id(id: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match id {
        "" => Err("it needs a name".to_owned()),
        _ if id.len() > 100 || !id.bytes().all(fits) => {
            Err(format!("{} is no name: letters, digits, `-`, `_` and `.`", quoted(id)))
        }
        _ => Ok(()),
    }
}

/// See [`check_id`].
pub(super) fn is_name(name: &str) -> bool {
    check_id(name).is_ok()
}

fn risk(pack: &str, written: &Written) -> Result<Option<Risk>, PackError> {
    let word = &written.entry.form.risk;
    if !written.has("risk") {
        return match written.entry.allow || !written.has("id") {
            true => Ok(None),
            false => Err(written.error(pack, "risk", "it must say how much is risked")),
        };
    }
    match word.parse() {
        Ok(risk) => Ok(Some(risk)),
        Err(_) => {
            let near = suggestion(word, Risk::ALL.iter().map(|risk| risk.name()));
            let message = format!("{} is none of low, medium, high, critical{near}", quoted(word));
            Err(written.error(pack, "risk", message))
        }
    }
}

/// Every key must have a say.
fn check_keys(pack: &str, written: &Written, subject: Subject) -> Result<(), PackError> {
    let (name, keys) = subject.terms();
    for (key, _) in &written.keys {
        let key = key.as_str();
        let asks = OF_EFFECTS.contains(&key) || OF_CALLS.contains(&key) || key == "remark";
        let of_both = subject == Subject::Remark && OF_BOTH.contains(&key);
        if asks && !keys.contains(&key) || of_both {
            let message = format!("the rule is about {name}, of which this asks nothing");
            return Err(written.error(pack, key, message));
        }
        if key == "executable" && !written.entry.allow {
            return Err(written.error(pack, key, "it has a meaning only beside `allow: true`"));
        }
    }
    for (key, list) in written.entry.lists() {
        if written.has(key) && list.is_empty() {
            return Err(written.error(pack, key, "an empty list matches nothing; leave it out"));
        }
    }
    Ok(())
}

fn condition(pack: &str, written: &Written) -> Result<Option<Condition>, PackError> {
    let compiled = written.entry.when.as_deref().map(Condition::compile).transpose();
    compiled.map_err(|message| written.error(pack, "when", message))
}

/// A rule with the conditions of an entry, and nothing else.
fn conditions(pack: &str, written: &Written) -> Result<Rule, PackError> {
    let Entry { form, .. } = &written.entry;
    let fail = |key: &'static str| move |message: String| written.error(pack, key, message);
    let texts = |list: &[String]| list.iter().collect::<Texts>();
    let effects = form.effect.0.iter();
    let effects: KindSet<_> = effects
        .map(|word| words::variant(word, "effect").map_err(fail("effect")))
        .collect::<Result<_, _>>()?;
    let classes = form.target.0.iter();
    let classes: KindSet<_> = classes
        .map(|word| words::variant(word, "kind of place").map_err(fail("target")))
        .collect::<Result<_, _>>()?;
    let remarks = form.remark.0.iter();
    let remarks: KindSet<_> = remarks
        .map(|word| words::variant(word, "remark").map_err(fail("remark")))
        .collect::<Result<_, _>>()?;
    Ok(Rule {
        id: Text::from(""),
        family: Text::from(""),
        risk: Risk::Low,
        reason: Text::from(""),
        hint: Text::from(""),
        effects,
        classes,
        paths: texts(&form.path.0),
        not_paths: texts(&form.not_path.0),
        hosts: texts(&form.host.0),
        named: texts(&form.named.0),
        with: words::qualities(&form.with.0).map_err(fail("with"))?,
        with_any: words::qualities(&form.with_any.0).map_err(fail("with_any"))?,
        without: words::qualities(&form.without.0).map_err(fail("without"))?,
        remarks,
        programs: texts(&form.program.0),
        not_programs: texts(&form.not_program.0),
        words: texts(&form.word.0),
        any_words: texts(&form.any_word.0),
        not_words: texts(&form.not_word.0),
        options: texts(&form.option.0),
        all_options: texts(&form.all_option.0),
        not_options: texts(&form.not_option.0),
        arguments: texts(&form.argument.0),
        all_arguments: texts(&form.all_argument.0),
        not_arguments: texts(&form.not_argument.0),
    })
}

fn every_program() -> Texts {
    ["*"].into_iter().collect()
}

/// A text as a pattern that only it matches.
pub(crate) fn escaped(text: &str) -> Cow<'static, str> {
    if !text.contains(['*', '?', '[', '\\']) {
        return Cow::Owned(text.to_owned());
    }
    let escape = |letter| match letter {
        '*' | '?' | '[' | '\\' => vec!['\\', letter],
        _ => vec![letter],
    };
    Cow::Owned(text.chars().flat_map(escape).collect())
}
