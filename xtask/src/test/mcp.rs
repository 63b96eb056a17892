//! The official SDKs of the Model Context Protocol, for the tests that use ctrlz as agents do.

use std::path::{Path, PathBuf};

use super::{npm, python};
use crate::failure::Answer;

/// The versions that the tests were seen with.
const PYTHON: &[&str] = &["mcp==2.3.0"];
const TYPESCRIPT: &[&str] = &["@modelcontextprotocol/sdk@1.32.2"];

/// Where they lie, each with the variable by which the tests are told: Python with its SDK, and the folder of the
/// other.
pub(super) fn sdks(target: &Path) -> Answer<[(&'static str, PathBuf); 2]> {
    let tools = target.join("tools/mcp");
    let python = python::programs(&tools.join("python"), PYTHON)?.join("python");
    let typescript = npm::programs(&tools.join("typescript"), TYPESCRIPT)?;
    let typescript = typescript.join("../@modelcontextprotocol/sdk");
    Ok([("CTRLZ_MCP_PYTHON", python), ("CTRLZ_MCP_TYPESCRIPT", typescript)])
}
