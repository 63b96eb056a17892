//! Reads a program with the parser of its language, within bounds.

use std::ops::ControlFlow;

use tree_sitter::{Node, ParseOptions, Parser, Tree};

use super::Language;

/// The longest text that is parsed. What stands behind it is reported as not read.
pub(super) const LONGEST_PROGRAM: usize = 128 * 1024;
/// How many hundred steps the parser may take, and how many more for each KiB of text.
const STEPS: usize = 400;
const STEPS_PER_KIB: usize = 60;

/// The tree of as much of `text` as can be parsed within bounds, and how much that is.
pub(super) fn parse(language: Language, text: &[u8]) -> Option<(Tree, usize)> {
    let mut length = text.len().min(LONGEST_PROGRAM);
    // A text that the parser cannot cope with is mostly not of that language; a shorter
    // part of it still tells what it begins with.
    for _ in 0..3 {
        if let Some(tree) = attempt(language, text.get(..length)?) {
            return Some((tree, length));
        }
        length /= 8;
    }
    None
}

fn attempt(language: Language, text: &[u8]) -> Option<Tree> {
    let mut parser = Parser::new();
    let grammar = match language {
        Language::Python => tree_sitter_python::LANGUAGE,
        _ => tree_sitter_javascript::LANGUAGE,
    };
    parser.set_language(&grammar.into()).ok()?;
    // Steps are counted, not time: the same text always ends the same way.
    let mut steps = STEPS + STEPS_PER_KIB * text.len() / 1024;
    let mut progress = |_: &tree_sitter::ParseState| match steps.checked_sub(1) {
        Some(left) => {
            steps = left;
            ControlFlow::Continue(())
        }
        None => ControlFlow::Break(()),
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    let mut read = |at: usize, _| text.get(at..).unwrap_or_default();
    parser.parse_with_options(&mut read, None, Some(options))
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
