//! SandboxCore: what ctrlz does, in the words of the traits in `ctrlz-core`. It names no driver
//! and no store.
#![forbid(unsafe_code)]

mod approval;
pub mod background;
mod commit;
mod core;
mod effect;
mod error;
pub mod health;
mod initializer;
mod operation;
mod recovery;
mod rollback;
mod run;
mod state;
mod undo;

pub use self::core::{SandboxCore, Waiting};
pub use self::error::EngineError;
pub use approval::{Approved, SANDBOX_VARIABLE, refuse};
pub use commit::{CommitOptions, CommitReport};
pub use initializer::{BaseChoice, NewNamed};
pub use recovery::Recovered;
pub use rollback::{RollbackOptions, RollbackReport, RollbackTarget};
pub use run::{RunReport, RunRequest};
pub use state::StateChange;
pub use undo::UndoReport;
