//! Every command, as a user gives it.

mod bases;
mod commit;
mod configuration;
mod history;
mod json;
mod limits;
mod manage;
mod roots;
mod run;
mod sharing;
mod signals;
mod snapshots;
mod streams;
mod terminal;
mod waiting;
