//! SandboxCore: what ctrlz does, in the words of the traits in `ctrlz-core`. It names no driver
//! and no store.
#![forbid(unsafe_code)]

mod approval;
mod archival;
mod automatic;
pub mod background;
mod commit;
mod core;
mod effect;
mod emergency;
mod error;
mod files;
pub mod health;
mod initializer;
mod known_good;
mod lifecycle;
mod live;
mod memory;
mod mending;
mod operation;
mod recovery;
mod retention;
mod rollback;
mod run;
mod setup;
mod state;
pub mod tracker;
mod undo;
mod upkeep;

pub use self::core::{Contents, SandboxCore, Waiting};
pub use self::error::{EngineError, in_full};
pub use approval::{Approved, SANDBOX_VARIABLE, refuse};
pub use archival::{Bring, LeftBySetup};
pub use automatic::{AutomaticRules, risk_rises};
pub use commit::{CommitOptions, CommitReport};
pub use emergency::Containment;
pub use files::{FileError, FileReport, Files, Spot};
pub use initializer::{BaseChoice, NewNamed};
pub use known_good::HealthResult;
pub use lifecycle::{LifeReport, Moved};
pub use live::{LONGEST_STOP, Meanwhile, Moment, Watchman};
pub use mending::{Lost, Mended};
pub use recovery::Recovered;
pub use retention::{
    Decision, HistoryDecision, KEPT_OPERATIONS, Past, RetentionPlan, RetentionPolicy, Sizes, plan,
};
pub use rollback::{RollbackOptions, RollbackReport, RollbackTarget};
pub use run::{Progress, RunReport, RunRequest};
pub use setup::SetupPlan;
pub use state::StateChange;
pub use undo::UndoReport;
pub use upkeep::{Kept, Upkeep, UpkeepReport};
