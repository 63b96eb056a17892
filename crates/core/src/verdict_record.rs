//! What the journal keeps of a verdict, and of who let the operation run.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::ConfigurationFile;
use crate::verdict::{Decision, Risk};

/// What the journal keeps of a verdict. It holds no secrets: whoever makes one redacts its texts,
/// and keeps its lists and texts short.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VerdictRecord {
    /// How much was risked.
    pub risk: Risk,
    /// What followed.
    pub decision: Decision,
    /// From 0 to 100.
    pub score: u8,
    /// The ids of the rules that matched, the gravest first, each once.
    pub rules: Vec<String>,
    /// The programs that it calls, as far as its text tells, each once.
    pub programs: Vec<String>,
    /// What the rules are about.
    pub effects: Vec<EffectRecord>,
    /// What an undo would not bring back, in words.
    pub beyond_undo: Vec<String>,
    /// Who let it run, when somebody had to.
    pub approval: Option<Approval>,
    /// The files of configuration and rules by which it was judged and would run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub configuration: Vec<ConfigurationFile>,
}

/// One effect, or one call, that a rule was about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EffectRecord {
    /// What is done, by the validator's word for it; empty when the call itself is what matters.
    pub kind: String,
    /// To what; empty for nothing that has a name.
    pub target: String,
    /// The program that does it, if that is known.
    pub program: String,
}

/// A yes to one operation and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who gave it.
    pub by: Approver,
    /// The hash of all that was approved, in hexadecimal digits.
    pub hash: String,
}

/// Who approves an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approver {
    /// Somebody at a terminal, who answered the question.
    Terminal,
    /// The caller, with `--yes`.
    Yes,
    /// The caller, with `--allow-critical`.
    AllowCritical,
    /// A client of the service with the right to approve.
    Client,
}

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminal => "an answer on the terminal",
            Self::Yes => "--yes",
            Self::AllowCritical => "--allow-critical",
            Self::Client => "a client of the service",
        })
    }
}
