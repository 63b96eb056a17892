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
/// What a hundred steps cost in a text of Python with many brackets that nothing closes: whether
/// the next line goes on is open each time, and the parser follows all ways.
const COST_LEFT_OPEN: usize = 6;
/// So many brackets may stay open; texts that are quoted oddly look as if they had some.
const MOST_OPEN: usize = 12;
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
    let open = language == Language::Python && left_open(text) > MOST_OPEN;
    let factor = if open { COST_LEFT_OPEN } else { 1 };
    // Steps are counted, not time: the same text always ends the same way.
    let (mut left, mut reached, mut erred) = (budget, 0, false);
    let mut progress = |state: &tree_sitter::ParseState| {
        reached = state.current_byte_offset();
        erred |= state.has_error();
        let cost = if erred { COST_AFTER_ERROR } else { 1 };
        match left.checked_sub(cost) {
            Some(rest) if work.spend(cost.max(factor) * WORK) => {
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

/// How many brackets of a text of Python stay open, outside of its texts and comments.
fn left_open(text: &[u8]) -> usize {
    let mut open = 0_usize;
    let mut quote = None;
    let mut comment = false;
    for byte in text {
        match (byte, quote) {
            (b'\n', _) => (quote, comment) = (None, false),
            _ if comment => {}
            (_, Some(mark)) => quote = Some(mark).filter(|mark| mark != byte),
            (b'\'' | b'"', None) => quote = Some(*byte),
            (b'#', None) => comment = true,
            (b'(' | b'[' | b'{', None) => open += 1,
            (b')' | b']' | b'}', None) => open = open.saturating_sub(1),
            _ => {}
        }
    }
    open
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

#[cfg(test)]
mod tests {
    use super::{left_open, parse};
    use crate::script::Language;
    use crate::work::Work;

    #[test]
    fn brackets_in_texts_and_comments_are_none() {
        assert_eq!(left_open(b"f(x, '(((')  # [[\ng[1]"), 0);
        assert_eq!(left_open(b"f((\n[)"), 2);
        assert_eq!(left_open(b"))f("), 1);
    }

    #[test]
    fn what_is_left_open_costs_what_it_takes() {
        let cost = |line: &str| {
            let mut work = Work::new(usize::MAX);
            parse(Language::Python, line.repeat(90).as_bytes(), &mut work);
            usize::MAX - work.left()
        };
        let (closed, open) = (cost("print(\"%s\" % x)\n"), cost("print(\"%s\" % (x\n"));
        assert!(open > 3 * closed, "{open} {closed}");
    }
}
