//! The Model Context Protocol (MCP), with the official SDK: the same steps as the calls of `/v1`, as tools for
//! agents, over standard input and output or over HTTP. See docs/mcp.md.

mod call;
mod catalogue;
mod confirm;
mod guard;
mod http;
mod server;
mod sessions;
mod stdio;
mod tool;
mod tools;

pub(crate) use http::{__path_delete, __path_get, __path_post, delete, get, post};
pub(crate) use sessions::Sessions;
pub use stdio::{Stdio, serve_stdio};
