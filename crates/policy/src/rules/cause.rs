//! What a rule applied to, and what is found with it.

use super::Rule;
use crate::content;
use crate::effect::{Effect, EffectKind, Target};
use crate::evaluate::{Call, Remark};
use crate::verdict::{Finding, Stage};

/// What a rule applied to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause<'e> {
    Effect(&'e Effect),
    Call(&'e Call),
    Remark(&'e Remark),
}

impl Cause<'_> {
    /// What `rule` says of it.
    pub(crate) fn finding(self, rule: &Rule) -> Finding {
        let about = match self {
            Self::Effect(effect) => Finding {
                range: effect.range,
                subject: content::redact(&effect.target.to_string()).into_owned(),
                effect: Some(effect.kind),
                calls: effect.calls,
                ..Finding::of(stage_of(effect))
            },
            Self::Call(call) => Finding {
                range: call.range,
                subject: content::redact(&call.name).into_owned(),
                program: call.name.clone(),
                ..Finding::of(Stage::Command)
            },
            Self::Remark(remark) => Finding { range: remark.range, ..Finding::of(Stage::Command) },
        };
        Finding {
            rule: rule.id.lasting(),
            risk: rule.risk,
            reason: rule.reason.lasting(),
            hint: rule.hint.lasting(),
            ..about
        }
    }
}

fn stage_of(effect: &Effect) -> Stage {
    match (effect.kind, &effect.target) {
        (EffectKind::Exhaust, _) => Stage::Resources,
        (_, Target::Path { .. }) => Stage::Files,
        _ => Stage::Command,
    }
}
