//! The service of ctrlz: what the command line can do, over the network, for many users at once.
//!
//! Trusted are the tenants' stores and whoever holds a token, as far as its role goes. Everything
//! else that comes from a client, and everything that a sandbox writes, is data: it is bounded in
//! size and never interpreted. A tenant has a store of its own, so that a name of another tenant's
//! means nothing here; see docs/decisions/0012-the-service.md.
#![forbid(unsafe_code)]

mod auth;
mod disk;
mod errand;
mod execute;
mod first_token;
mod glances;
mod halt;
mod held;
mod idempotency;
mod listen;
mod mcp;
mod metrics;
mod observed;
mod openapi;
mod places;
mod port;
mod problem;
mod processes;
mod quota;
mod routes;
mod sandboxes;
mod service;
mod telemetry;
mod tidings;

pub use auth::word;
pub use axum::http::StatusCode;
pub use errand::{Errand, Pushed};
pub use first_token::{first_token, new_token};
pub use halt::{Halt, Halting};
pub use listen::{Bound, Listener, Tls, TlsError, TlsFiles, serve};
pub use mcp::{Stdio, serve_stdio};
pub use port::{
    Asked, Backend, Base, Check, Command, Judged, NewValue, Order, Ran, Session, TerminalSize,
};
pub use problem::Problem;
pub use processes::LogBounds;
pub use service::{Parts, Service};
pub use telemetry::{Form, Level, Logging, TraceError, Traces, log};
