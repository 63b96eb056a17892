//! SafetyValidator: bytes in, verdict out.
//!
//! A command is read by a parser of its language, evaluated as far as its text tells, and judged
//! by the effects that it would have. Nothing here touches a file, a clock, the environment or a
//! runtime, and the same bytes always get the same verdict.
#![forbid(unsafe_code)]

mod content;
mod context;
mod coverage;
mod demand;
mod effect;
mod evaluate;
mod file_name;
mod history;
pub mod import;
mod outline;
mod path_class;
mod rules;
mod script;
mod source_range;
mod syntax;
mod validator;
mod verdict;
mod work;

pub use content::{redact, redact_bytes};
pub use context::{Context, Outside, Surroundings};
pub use coverage::{Coverage, Covered};
pub use effect::{Effect, EffectKind, Qualities, Target};
pub use history::{Deletions, History};
pub use outline::{Outline, outline};
pub use path_class::PathClass;
pub use rules::{Pack, PackError, Packs, Rule, Shown, Standing, built_in};
pub use source_range::SourceRange;
pub use validator::{LANGUAGES, Validator, knows_language};
pub use verdict::{Finding, SnapshotDemand, Stage, Verdict};
