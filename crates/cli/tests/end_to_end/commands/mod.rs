//! Every command, as a user gives it.

mod approval;
mod bases;
mod check;
mod commit;
mod configuration;
mod events;
mod health;
mod history;
mod hook;
mod json;
mod limits;
mod manage;
mod policy;
mod roots;
mod run;
mod sharing;
mod signals;
mod sinks;
mod snapshots;
mod state;
mod streams;
mod terminal;
mod verdicts;
mod waiting;
