//! What the validator says of an operation, in two words: how risky it is, and what follows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much an operation can harm, from the least to the most.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Ordinary work.
    #[default]
    Low,
    /// Sensitive data, resources, or what is worth a snapshot.
    Medium,
    /// Changes that reach beyond the workspace, or code that nobody has seen.
    High,
    /// Destroys a system, or hands it to somebody else.
    Critical,
}

/// What follows from a verdict, from the mildest to the strictest: of several, the strictest wins.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It runs.
    #[default]
    Allow,
    /// Somebody has to confirm it.
    Confirm,
    /// It does not run.
    Block,
}

/// A word that names no risk or no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is none of {known}")]
pub struct UnknownLevel {
    word: String,
    known: &'static str,
}

impl Risk {
    /// All, from the least to the most.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl Decision {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Confirm => "confirm",
            Self::Block => "block",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Risk {
    type Err = UnknownLevel;
    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Self::ALL.into_iter().find(|risk| risk.name() == text).ok_or_else(|| UnknownLevel {
            word: text.to_owned(),
            known: "low, medium, high, critical",
        })
    }
}

impl FromStr for Decision {
    type Err = UnknownLevel;
    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        [Self::Allow, Self::Confirm, Self::Block]
            .into_iter()
            .find(|decision| decision.name() == text)
            .ok_or_else(|| UnknownLevel { word: text.to_owned(), known: "allow, confirm, block" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_orders_by_strictness() {
        for risk in Risk::ALL {
            assert_eq!(risk.to_string().parse(), Ok(risk));
        }
        assert!("severe".parse::<Risk>().is_err());
        assert!(Risk::Critical > Risk::High && Decision::Block > Decision::Confirm);
    }
}
