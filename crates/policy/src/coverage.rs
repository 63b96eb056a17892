//! Coverage: which effects the sandbox around an operation holds back, and which of those that it
//! lets happen no undo brings back.
//!
//! What is held back is told, and lowers nothing: the risk says what a command is after, and the
//! next sandbox, or the next flag, may let it. What is beyond undo raises the risk.

use std::borrow::Cow;
use std::fmt;

use ctrlz_core::isolation::Network;
use ctrlz_core::verdict::Risk;
use serde::Serialize;

use crate::context::{Outside, Surroundings};
use crate::effect::{Effect, EffectKind, Qualities, Target};
use crate::path_class::PathClass;
use crate::source_range::SourceRange;
use crate::verdict::{Finding, Stage};

/// How many effects of a kind are told.
const MOST_TOLD: usize = 3;

/// What the sandbox around an operation means for its effects. Empty where nobody knows of one,
/// and for all that an undo takes back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Coverage {
    /// What the sandbox does not let happen.
    pub held: Vec<Covered>,
    /// What happens, and cannot be undone.
    pub beyond_undo: Vec<Covered>,
}

/// One effect, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// What is done.
    pub effect: EffectKind,
    /// To what, without secrets; empty for nothing that has a name.
    pub target: String,
    /// What holds it, or why it cannot be undone.
    pub reason: &'static str,
    #[serde(skip)]
    range: SourceRange,
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.effect.word())?;
        if !self.target.is_empty() {
            write!(f, " ({})", self.target)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// What becomes of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// It happens inside, and goes with an undo.
    Covered,
    /// It does not happen.
    Held(&'static str),
    /// It happens, and stays.
    Beyond(&'static str),
}

impl Coverage {
    /// What `surroundings` mean for effects.
    pub(crate) fn of(effects: &[Effect], surroundings: &Surroundings) -> Self {
        let mut coverage = Self::default();
        for effect in effects {
            let (list, reason) = match reach(effect, surroundings) {
                Reach::Covered => continue,
                Reach::Held(reason) => (&mut coverage.held, reason),
                Reach::Beyond(reason) => (&mut coverage.beyond_undo, reason),
            };
            // Of many alike, the first says enough.
            if list.iter().filter(|one| one.effect == effect.kind).count() == MOST_TOLD {
                continue;
            }
            let target = crate::content::redact(&effect.target.to_string()).into_owned();
            let told = Covered { effect: effect.kind, target, reason, range: effect.range };
            if !list.iter().any(|one| one.effect == told.effect && one.target == told.target) {
                list.push(told);
            }
        }
        coverage
    }

    /// What the findings do not say yet: that something is beyond undo. Where it is risky by
    /// itself, strict surroundings count it as the riskier one.
    pub(crate) fn weigh(&self, findings: &mut Vec<Finding>, surroundings: &Surroundings) {
        let Some(first) = self.beyond_undo.iter().find(|one| changes(one.effect)) else { return };
        let risky = |one: &Covered| {
            changes(one.effect)
                && findings.iter().any(|f| f.risk >= Risk::Medium && f.effect == Some(one.effect))
        };
        let doubted = surroundings.strict && self.beyond_undo.iter().any(risky);
        findings.push(Finding {
            rule: Cow::Borrowed("beyond-undo"),
            risk: if doubted { Risk::High } else { Risk::Medium },
            range: first.range,
            subject: match first.target.as_str() {
                "" => first.effect.word().to_owned(),
                target => format!("{} {target}", first.effect.word()),
            },
            reason: Cow::Borrowed("what it does elsewhere cannot be undone"),
            hint: Cow::Borrowed("leave the network off (--net none) until it must be on"),
            ..Finding::of(Stage::Risk)
        });
    }
}

/// Whether an effect changes something that is not this sandbox's, or gives something away; those
/// that only talk do not raise a risk by themselves.
fn changes(kind: EffectKind) -> bool {
    !matches!(kind, EffectKind::Connect | EffectKind::Scan | EffectKind::Listen)
}

fn reach(effect: &Effect, surroundings: &Surroundings) -> Reach {
    if effect.qualities.has(Qualities::DRY_RUN) {
        return Reach::Covered;
    }
    if needs_network(effect) {
        return match surroundings.network {
            Network::None => Reach::Held("the network is off"),
            Network::Host if effect.kind == EffectKind::Fetch => Reach::Covered,
            Network::Host => Reach::Beyond("the network is on"),
        };
    }
    // What nobody can read beforehand, and what was read, may leave by the network.
    let may_leave = matches!(
        effect.kind,
        EffectKind::DecodedCode
            | EffectKind::ComputedCode
            | EffectKind::Secret
            | EffectKind::History
    );
    if may_leave && surroundings.network == Network::Host {
        return Reach::Beyond("the network is on");
    }
    if let Target::Path { class, .. } = &effect.target {
        return match effect.kind {
            EffectKind::Read | EffectKind::Secret => Reach::Covered,
            _ => reach_of_path(*class, surroundings.outside),
        };
    }
    match effect.kind {
        EffectKind::Wipe
        | EffectKind::Kernel
        | EffectKind::Mount
        | EffectKind::Halt
        | EffectKind::Breakout
        | EffectKind::Inject
        | EffectKind::Kill
        | EffectKind::Service => Reach::Held("it sees no processes or devices of the host"),
        _ => Reach::Covered,
    }
}

fn reach_of_path(class: PathClass, outside: Outside) -> Reach {
    match class {
        PathClass::Device | PathClass::KernelSwitch => {
            Reach::Held("the host's devices and switches are not there")
        }
        PathClass::Workspace
        | PathClass::WorkspaceRoot
        | PathClass::Repository
        | PathClass::Temporary
        | PathClass::HarmlessDevice
        | PathClass::Unknown => Reach::Covered,
        _ if outside == Outside::ReadOnly => Reach::Held("the host's files can only be read"),
        _ => Reach::Covered,
    }
}

/// Whether nothing comes of an effect without a network.
pub(crate) fn needs_network(effect: &Effect) -> bool {
    if effect.qualities.has(Qualities::REMOTE) {
        return true;
    }
    let kind = matches!(
        effect.kind,
        EffectKind::NetworkCode
            | EffectKind::ReverseShell
            | EffectKind::BindShell
            | EffectKind::Listen
            | EffectKind::Send
            | EffectKind::Fetch
            | EffectKind::Connect
            | EffectKind::Scan
            | EffectKind::Remote
    );
    kind && !is_local(&effect.target)
}

/// Loopback is always there.
fn is_local(target: &Target) -> bool {
    let Target::Host(host) = target else { return false };
    let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    [host.as_str(), name].iter().any(|name| {
        matches!(*name, "localhost" | "::1" | "[::1]" | "ip6-localhost")
            || name.ends_with(".localhost")
            || name.starts_with("127.") && name.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    })
}
