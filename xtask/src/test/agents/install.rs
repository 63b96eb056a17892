//! Getting the agents.

use std::path::{Path, PathBuf};

use crate::failure::Answer;
use crate::test::npm;

/// The versions that the scenarios were seen with.
const PACKAGES: [&str; 2] = ["@anthropic-ai/claude-code@2.1.197", "@openai/codex@0.169.0"];

/// The folder with the agents' programs, in cargo's target folder.
pub(super) fn agents(target: &Path) -> Answer<PathBuf> {
    npm::programs(&target.join("tools/agents"), &PACKAGES)
}
