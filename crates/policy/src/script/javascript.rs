//! JavaScript's syntax as forms.

use tree_sitter::Node;

use super::form::{Argument, Ending, Form, Key, Pattern, Piece};
use super::parse::{children, field, text_of};

/// One node, seen as what it is.
pub(super) fn form<'t>(node: Node<'t>, source: &'t [u8]) -> Form<'t> {
    let text = |node: Node<'t>| text_of(node, source);
    match node.kind() {
        "string" | "template_string" => Form::Text(string(node, source)),
        "number" => Form::Number(super::python::number(text(node))),
        "true" | "false" | "null" | "undefined" => Form::Constant,
        "regex" => Form::Pattern(text(node)),
        "identifier" | "shorthand_property_identifier" | "import" | "this" => {
            Form::Name(text(node))
        }
        "member_expression" => match (field(node, "object"), field(node, "property")) {
            (Some(object), Some(name)) => Form::Member { object, name: text(name) },
            _ => Form::Inside,
        },
        "subscript_expression" => match (field(node, "object"), field(node, "index")) {
            (Some(object), Some(index)) => Form::Index { object, index },
            _ => Form::Inside,
        },
        "call_expression" => match (field(node, "function"), field(node, "arguments")) {
            (Some(function), Some(list)) => Form::Call { function, arguments: arguments(list) },
            _ => Form::Inside,
        },
        "new_expression" => match field(node, "constructor") {
            Some(function) => Form::Call {
                function,
                arguments: field(node, "arguments").map(arguments).unwrap_or_default(),
            },
            None => Form::Inside,
        },
        "binary_expression" => {
            match (field(node, "left"), field(node, "operator"), field(node, "right")) {
                (Some(left), Some(operator), Some(right)) => match text(operator) {
                    b"||" | b"&&" | b"??" => Form::Choice(vec![left, right]),
                    operator => Form::Binary { operator, left, right },
                },
                _ => Form::Inside,
            }
        }
        "unary_expression" => match (field(node, "operator"), field(node, "argument")) {
            (Some(operator), Some(operand)) => Form::Unary { operator: text(operator), operand },
            _ => Form::Inside,
        },
        "ternary_expression" => Form::Choice(children(node)),
        "parenthesized_expression"
        | "await_expression"
        | "expression_statement"
        | "sequence_expression"
        | "spread_element"
        | "template_substitution" => Form::Sequence(children(node)),
        "array" => Form::List(arguments(node)),
        "object" => Form::Map(object(node, source)),
        "arrow_function"
        | "function_expression"
        | "function_declaration"
        | "function"
        | "generator_function"
        | "generator_function_declaration"
        | "method_definition" => match field(node, "body") {
            Some(body) => Form::Function {
                name: field(node, "name").map(text),
                parameters: field(node, "parameters")
                    .map(children)
                    .unwrap_or_else(|| field(node, "parameter").into_iter().collect()),
                body,
            },
            None => Form::Inside,
        },
        "class_declaration" | "class" => match field(node, "body") {
            Some(body) => Form::Class {
                name: field(node, "name").map(text),
                bases: children(node)
                    .into_iter()
                    .find(|one| one.kind() == "class_heritage")
                    .map(text)
                    .unwrap_or_default(),
                body,
            },
            None => Form::Inside,
        },
        "variable_declarator" => match (field(node, "name"), field(node, "value")) {
            (Some(left), Some(right)) => Form::Assign { left, right },
            _ => Form::Nothing,
        },
        "assignment_expression" => match (field(node, "left"), field(node, "right")) {
            (Some(left), Some(right)) => Form::Assign { left, right },
            _ => Form::Inside,
        },
        "augmented_assignment_expression" => {
            match (field(node, "left"), field(node, "operator"), field(node, "right")) {
                (Some(left), Some(operator), Some(right)) => {
                    Form::AssignWith { left, operator: text(operator), right }
                }
                _ => Form::Inside,
            }
        }
        "for_in_statement" => {
            match (field(node, "left"), field(node, "right"), field(node, "body")) {
                (Some(left), Some(right), Some(body)) => Form::For { left, right, body },
                _ => Form::Inside,
            }
        }
        "for_statement" => for_statement(node, source),
        "while_statement" | "do_statement" => {
            let condition = field(node, "condition");
            let always = condition.map(text).is_some_and(always);
            Form::While {
                ending: if always { Ending::Never } else { Ending::Condition },
                parts: condition.into_iter().collect(),
                body: field(node, "body"),
            }
        }
        "yield_expression" => Form::Yield(children(node).last().copied()),
        "return_statement" => Form::Return(children(node).first().copied()),
        "import_statement" => match field(node, "source") {
            Some(module) => Form::ImportText {
                clause: children(node).into_iter().find(|one| one.kind() == "import_clause"),
                source: module,
            },
            None => Form::Nothing,
        },
        "comment" | "hash_bang_line" | "debugger_statement" | "empty_statement" => Form::Nothing,
        _ => Form::Inside,
    }
}

/// What takes a value.
pub(super) fn pattern<'t>(node: Node<'t>, source: &'t [u8]) -> Pattern<'t> {
    match node.kind() {
        "identifier"
        | "shorthand_property_identifier_pattern"
        | "shorthand_property_identifier" => Pattern::Name(text_of(node, source)),
        "member_expression" | "subscript_expression" => Pattern::Place(node),
        "array_pattern" | "array" => Pattern::Items(children(node)),
        "object_pattern" | "named_imports" => Pattern::Entries(
            children(node).into_iter().filter_map(|entry| entry_pattern(entry, source)).collect(),
        ),
        "assignment_pattern" | "object_assignment_pattern" => {
            match (field(node, "left"), field(node, "right")) {
                (Some(left), Some(right)) => Pattern::Default(left, right),
                _ => Pattern::Other,
            }
        }
        "rest_pattern" | "spread_element" => match children(node).first() {
            Some(inner) => Pattern::Rest(text_of(*inner, source)),
            None => Pattern::Other,
        },
        "namespace_import" => match children(node).first() {
            Some(inner) => Pattern::Name(text_of(*inner, source)),
            None => Pattern::Other,
        },
        // `for (const x of …)` names the pattern itself; a declaration holds it.
        "lexical_declaration" | "variable_declaration" => match children(node).first() {
            Some(one) if one.kind() == "variable_declarator" => match field(*one, "name") {
                Some(name) if name.kind() == "identifier" => Pattern::Name(text_of(name, source)),
                _ => Pattern::Other,
            },
            _ => Pattern::Other,
        },
        _ => Pattern::Other,
    }
}

fn entry_pattern<'t>(entry: Node<'t>, source: &'t [u8]) -> Option<(&'t [u8], Node<'t>)> {
    match entry.kind() {
        "shorthand_property_identifier_pattern" => Some((text_of(entry, source), entry)),
        "pair_pattern" => Some((key_text(field(entry, "key")?, source), field(entry, "value")?)),
        "object_assignment_pattern" => {
            let name = field(entry, "left")?;
            Some((text_of(name, source), name))
        }
        "import_specifier" => {
            let name = field(entry, "name")?;
            Some((text_of(name, source), field(entry, "alias").unwrap_or(name)))
        }
        _ => None,
    }
}

/// A key as it is written, without quotes.
fn key_text<'t>(key: Node<'t>, source: &'t [u8]) -> &'t [u8] {
    let text = text_of(key, source);
    match key.kind() {
        "string" => text.get(1..text.len().saturating_sub(1)).unwrap_or_default(),
        _ => text,
    }
}

fn always(condition: &[u8]) -> bool {
    let bare: Vec<u8> = condition.iter().copied().filter(|byte| !b" ()".contains(byte)).collect();
    matches!(bare.as_slice(), b"true" | b"1" | b"!0" | b"!false" | b"1==1" | b"1===1")
}

fn for_statement<'t>(node: Node<'t>, source: &'t [u8]) -> Form<'t> {
    let condition = field(node, "condition");
    let never = match condition {
        None => true,
        Some(condition) if condition.kind() == "empty_statement" => true,
        Some(condition) => {
            let text = text_of(condition, source);
            always(text.strip_suffix(b";").unwrap_or(text))
        }
    };
    let parts = ["initializer", "condition", "increment"];
    Form::While {
        ending: if never { Ending::Never } else { Ending::Condition },
        parts: parts.into_iter().filter_map(|name| field(node, name)).collect(),
        body: field(node, "body"),
    }
}

fn arguments(list: Node<'_>) -> Vec<Argument<'_>> {
    if list.kind() == "template_string" {
        return vec![Argument { name: None, node: list, spread: false }];
    }
    children(list)
        .into_iter()
        .filter(|node| node.kind() != "comment")
        .map(|node| {
            let spread = node.kind() == "spread_element";
            let inner = if spread { children(node).first().copied() } else { None };
            Argument { name: None, node: inner.unwrap_or(node), spread }
        })
        .collect()
}

fn object<'t>(node: Node<'t>, source: &'t [u8]) -> Vec<(Key<'t>, Node<'t>)> {
    children(node)
        .into_iter()
        .filter_map(|entry| match entry.kind() {
            "pair" => {
                let (key, value) = (field(entry, "key")?, field(entry, "value")?);
                match key.kind() {
                    "computed_property_name" => {
                        Some((Key::Computed(children(key).first().copied()?), value))
                    }
                    "string" => Some((Key::Computed(key), value)),
                    _ => Some((Key::Name(text_of(key, source).to_vec()), value)),
                }
            }
            "shorthand_property_identifier" => {
                Some((Key::Name(text_of(entry, source).to_vec()), entry))
            }
            "method_definition" => {
                let name = field(entry, "name")?;
                Some((Key::Name(text_of(name, source).to_vec()), entry))
            }
            "spread_element" => Some((Key::Spread, children(entry).first().copied()?)),
            _ => None,
        })
        .collect()
}

fn string<'t>(node: Node<'t>, source: &'t [u8]) -> Vec<Piece<'t>> {
    let mut pieces = Vec::new();
    let mut from = node.start_byte() + 1;
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        if child.kind() == "template_substitution" {
            pieces.push(Piece::Known(unescape(
                source.get(from..child.start_byte()).unwrap_or_default(),
            )));
            from = child.end_byte();
            pieces.push(Piece::Part(child));
        }
    }
    let end = node.end_byte().saturating_sub(1).max(from);
    pieces.push(Piece::Known(unescape(source.get(from..end).unwrap_or_default())));
    pieces
}

/// The text that JavaScript's escapes stand for (ECMA-262, 12.9.4).
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let Some((escape, after)) = rest.split_first() else { break };
        rest = after;
        match escape {
            b'\n' => {}
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|byte| (b'0'..=b'7').contains(byte));
                let (digits, after) = rest.split_at_checked(more.count()).unwrap_or((&[], rest));
                let code = std::iter::once(escape)
                    .chain(digits)
                    .fold(0_u32, |code, digit| code * 8 + u32::from(digit - b'0'));
                rest = after;
                push(code, &mut out);
            }
            b'x' => rest = code(rest, 2, &mut out),
            b'u' => match rest.strip_prefix(b"{") {
                Some(inner) => {
                    let length = inner.iter().take(8).take_while(|byte| **byte != b'}').count();
                    let after = code(inner, length, &mut out);
                    rest = after.strip_prefix(b"}").unwrap_or(after);
                }
                None => rest = code(rest, 4, &mut out),
            },
            _ => out.push(*escape),
        }
    }
    out
}

fn code<'a>(rest: &'a [u8], length: usize, out: &mut Vec<u8>) -> &'a [u8] {
    let (digits, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    let code = std::str::from_utf8(digits).ok().and_then(|it| u32::from_str_radix(it, 16).ok());
    match code {
        Some(code) => {
            push(code, out);
            after
        }
        None => rest,
    }
}

fn push(code: u32, out: &mut Vec<u8>) {
    if let Some(character) = char::from_u32(code) {
        out.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}
