//! Reads a program with the parser of its language, within bounds.

use std::ops::ControlFlow;

use tree_sitter::{Node, ParseOptions, Parser, Tree};

use super::Language;
use crate::work::Work;

/// The longest text that is parsed. What stands behind it is reported as not read.
pub(super) const LONGEST_PROGRAM: usize = 16 * 1024;
/// What the parser may spend: one for each hundred steps. Ordinary text takes about one hundred
/// steps for each forty bytes.
const BUDGET: usize = 500;
/// What a hundred steps cost in the units of [`Work`].
const WORK: usize = 700;
/// What a hundred steps cost once there was an error: then the parser tries several ways at
/// once, and a step takes up to ten times as long.
const COST_AFTER_ERROR: usize = 18;
/// So much is parsed of a text that is hard to parse.
const SHORT: usize = 512;

/// The tree of as much of `text` as can be parsed within bounds, and how much that is.
pub(super) fn parse(language: Language, text: &[u8], work: &mut Work) -> Option<(Tree, usize)> {
    let longest = text.len().min(LONGEST_PROGRAM);
    let reached = match attempt(language, text.get(..longest)?, BUDGET, work) {
        Ok(tree) => return Some((tree, longest)),
        Err(reached) => reached.min(longest),
    };
    // What the parser got through once, or a good part of it, it gets through again.
    let part = reached / 8 * 3;
    if let Ok(tree) = attempt(language, text.get(..part)?, BUDGET / 2, work) {
        return Some((tree, part));
    }
    let beginning = longest.min(SHORT);
    let tree = attempt(language, text.get(..beginning)?, BUDGET / 2, work).ok()?;
    Some((tree, beginning))
}

/// The tree, or how far the parser got.
fn attempt(language: Language, text: &[u8], budget: usize, work: &mut Work) -> Result<Tree, usize> {
    let mut parser = Parser::new();
    let grammar = match language {
        Language::Python => tree_sitter_python::LANGUAGE,
        _ => tree_sitter_javascript::LANGUAGE,
    };
    parser.set_language(&grammar.into()).map_err(|_| 0_usize)?;
    // Steps are counted, not time: the same text always ends the same way.
    let (mut left, mut reached, mut erred) = (budget, 0, false);
    let mut progress = |state: &tree_sitter::ParseState| {
        reached = state.current_byte_offset();
        erred |= state.has_error();
        let cost = if erred { COST_AFTER_ERROR } else { 1 };
        match left.checked_sub(cost) {
            Some(rest) if work.spend(cost * WORK) => {
                left = rest;
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(()),
        }
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    let mut read = |at: usize, _| text.get(at..).unwrap_or_default();
    let tree = parser.parse_with_options(&mut read, None, Some(options));
    tree.ok_or(reached)
}

/// The named children of a node, in one pass.
pub(super) fn children(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).collect()
}

/// The child that `name` names.
pub(super) fn field<'t>(node: Node<'t>, name: &str) -> Option<Node<'t>> {
    node.child_by_field_name(name)
}

/// All children that `name` names.
pub(super) fn fields<'t>(node: Node<'t>, name: &str) -> Vec<Node<'t>> {
    let mut cursor = node.walk();
    node.children_by_field_name(name, &mut cursor).collect()
}

/// The text of a node.
pub(super) fn text_of<'t>(node: Node<'_>, source: &'t [u8]) -> &'t [u8] {
    source.get(node.byte_range()).unwrap_or_default()
}
