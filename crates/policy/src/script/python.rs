//! Python's syntax as forms.

use tree_sitter::Node;

use super::form::{Argument, Ending, Form, Key, Pattern, Piece};
use super::parse::{children, field, fields, text_of};

/// One node, seen as what it is.
pub(super) fn form<'t>(node: Node<'t>, source: &'t [u8]) -> Form<'t> {
    let text = |node: Node<'t>| text_of(node, source);
    match node.kind() {
        "string" => Form::Text(string(node, source)),
        "concatenated_string" => Form::Text(children(node).into_iter().map(Piece::Part).collect()),
        "integer" | "float" => Form::Number(number(text(node))),
        "true" | "false" | "none" | "ellipsis" => Form::Constant,
        "identifier" => Form::Name(text(node)),
        "attribute" => match (field(node, "object"), field(node, "attribute")) {
            (Some(object), Some(name)) => Form::Member { object, name: text(name) },
            _ => Form::Inside,
        },
        "subscript" => subscript(node),
        "call" => match (field(node, "function"), field(node, "arguments")) {
            (Some(function), Some(list)) => {
                Form::Call { function, arguments: arguments(list, source) }
            }
            _ => Form::Inside,
        },
        "binary_operator" | "boolean_operator" => binary(node, source),
        "unary_operator" => match (field(node, "operator"), field(node, "argument")) {
            (Some(operator), Some(operand)) => Form::Unary { operator: text(operator), operand },
            _ => Form::Inside,
        },
        "conditional_expression" => Form::Choice(children(node)),
        "parenthesized_expression" | "await" | "expression_statement" | "type" => {
            Form::Sequence(children(node))
        }
        "list" | "tuple" | "set" | "expression_list" => Form::List(items(node)),
        "dictionary" => Form::Map(dictionary(node, source)),
        "lambda" => match field(node, "body") {
            Some(body) => Form::Function {
                name: None,
                parameters: field(node, "parameters").map(children).unwrap_or_default(),
                body,
            },
            None => Form::Inside,
        },
        "function_definition" => match field(node, "body") {
            Some(body) => Form::Function {
                name: field(node, "name").map(text),
                parameters: field(node, "parameters").map(children).unwrap_or_default(),
                body,
            },
            None => Form::Inside,
        },
        "class_definition" => match field(node, "body") {
            Some(body) => Form::Class {
                name: field(node, "name").map(text),
                bases: field(node, "superclasses").map(text).unwrap_or_default(),
                body,
            },
            None => Form::Inside,
        },
        "list_comprehension"
        | "generator_expression"
        | "set_comprehension"
        | "dictionary_comprehension" => comprehension(node),
        "assignment" => match (field(node, "left"), field(node, "right")) {
            (Some(left), Some(right)) => Form::Assign { left, right },
            _ => Form::Nothing,
        },
        "named_expression" => match (field(node, "name"), field(node, "value")) {
            (Some(left), Some(right)) => Form::Assign { left, right },
            _ => Form::Inside,
        },
        "augmented_assignment" => {
            match (field(node, "left"), field(node, "operator"), field(node, "right")) {
                (Some(left), Some(operator), Some(right)) => {
                    Form::AssignWith { left, operator: text(operator), right }
                }
                _ => Form::Inside,
            }
        }
        "as_pattern" => match children(node).as_slice() {
            [value, alias, ..] => Form::Assign { left: *alias, right: *value },
            _ => Form::Inside,
        },
        "for_statement" => match (field(node, "left"), field(node, "right"), field(node, "body")) {
            (Some(left), Some(right), Some(body)) => Form::For { left, right, body },
            _ => Form::Inside,
        },
        "while_statement" => {
            let condition = field(node, "condition");
            let always = condition.map(text).is_some_and(|condition| {
                let bare: Vec<u8> =
                    condition.iter().copied().filter(|byte| !b" ()".contains(byte)).collect();
                matches!(bare.as_slice(), b"True" | b"1" | b"notFalse" | b"1==1" | b"not0")
            });
            Form::While {
                ending: if always { Ending::Never } else { Ending::Condition },
                parts: condition.into_iter().collect(),
                body: field(node, "body"),
            }
        }
        "yield" => Form::Yield(children(node).last().copied()),
        "return_statement" => Form::Return(children(node).first().copied()),
        "delete_statement" => Form::Delete,
        "import_statement" => {
            let mut names = Vec::new();
            for one in fields(node, "name") {
                import(one, "", source, &mut names);
            }
            Form::Import(names)
        }
        "import_from_statement" => from_import(node, source),
        "global_statement"
        | "nonlocal_statement"
        | "comment"
        | "pass_statement"
        | "future_import_statement" => Form::Nothing,
        _ => Form::Inside,
    }
}

/// What takes a value.
pub(super) fn pattern<'t>(node: Node<'t>, source: &'t [u8]) -> Pattern<'t> {
    match node.kind() {
        "identifier" => Pattern::Name(text_of(node, source)),
        "attribute" | "subscript" => Pattern::Place(node),
        "pattern_list" | "tuple_pattern" | "list_pattern" | "tuple" | "list"
        | "expression_list" => Pattern::Items(children(node)),
        "list_splat_pattern" | "list_splat" => match children(node).first() {
            Some(inner) => Pattern::Rest(text_of(*inner, source)),
            None => Pattern::Other,
        },
        "dictionary_splat_pattern" => match children(node).first() {
            Some(inner) => Pattern::RestNamed(text_of(*inner, source)),
            None => Pattern::Other,
        },
        "as_pattern_target" | "parenthesized_expression" | "typed_parameter" => {
            match children(node).first() {
                Some(inner) if inner.kind() == "identifier" => {
                    Pattern::Name(text_of(*inner, source))
                }
                Some(inner) if inner.kind() == "tuple" => Pattern::Items(children(*inner)),
                Some(inner) if inner.kind().ends_with("splat_pattern") => pattern(*inner, source),
                _ => Pattern::Other,
            }
        }
        "default_parameter" | "typed_default_parameter" => {
            match (field(node, "name"), field(node, "value")) {
                (Some(name), Some(value)) => Pattern::Default(name, value),
                _ => Pattern::Other,
            }
        }
        _ => Pattern::Other,
    }
}

fn binary<'t>(node: Node<'t>, source: &'t [u8]) -> Form<'t> {
    let (Some(left), Some(right)) = (field(node, "left"), field(node, "right")) else {
        return Form::Inside;
    };
    if node.kind() == "boolean_operator" {
        return Form::Choice(vec![left, right]);
    }
    match field(node, "operator") {
        Some(operator) => Form::Binary { operator: text_of(operator, source), left, right },
        None => Form::Inside,
    }
}

fn subscript(node: Node<'_>) -> Form<'_> {
    let (Some(object), Some(index)) = (field(node, "value"), field(node, "subscript")) else {
        return Form::Inside;
    };
    if index.kind() != "slice" {
        return Form::Index { object, index };
    }
    let mut bounds = [None; 3];
    let mut place = 0;
    let mut cursor = index.walk();
    for child in index.children(&mut cursor) {
        if child.kind() == ":" {
            place += 1;
        } else if let Some(bound) = bounds.get_mut(place) {
            *bound = Some(child);
        }
    }
    Form::Slice { object, bounds }
}

fn arguments<'t>(list: Node<'t>, source: &'t [u8]) -> Vec<Argument<'t>> {
    if list.kind() == "generator_expression" {
        return vec![Argument { name: None, node: list, spread: false }];
    }
    children(list)
        .into_iter()
        .filter_map(|node| match node.kind() {
            "keyword_argument" => Some(Argument {
                name: field(node, "name").map(|name| text_of(name, source)),
                node: field(node, "value")?,
                spread: false,
            }),
            "comment" => None,
            _ => Some(item(node)),
        })
        .collect()
}

fn items(node: Node<'_>) -> Vec<Argument<'_>> {
    children(node).into_iter().filter(|one| one.kind() != "comment").map(item).collect()
}

fn item(node: Node<'_>) -> Argument<'_> {
    let spread = matches!(node.kind(), "list_splat" | "dictionary_splat");
    let inner = if spread { children(node).first().copied() } else { None };
    Argument { name: None, node: inner.unwrap_or(node), spread }
}

fn dictionary<'t>(node: Node<'t>, _source: &'t [u8]) -> Vec<(Key<'t>, Node<'t>)> {
    children(node)
        .into_iter()
        .filter_map(|entry| match entry.kind() {
            "pair" => Some((Key::Computed(field(entry, "key")?), field(entry, "value")?)),
            "dictionary_splat" => Some((Key::Spread, children(entry).first().copied()?)),
            _ => None,
        })
        .collect()
}

fn comprehension(node: Node<'_>) -> Form<'_> {
    let Some(body) = field(node, "body") else { return Form::Inside };
    let mut clause = None;
    let mut rest = Vec::new();
    for child in children(node).into_iter().skip(1) {
        match child.kind() {
            "for_in_clause" if clause.is_none() => clause = Some(child),
            _ => rest.push(child),
        }
    }
    match clause.and_then(|clause| Some((field(clause, "left")?, field(clause, "right")?))) {
        Some((left, right)) => Form::Comprehension { body, left, right, rest },
        None => Form::Inside,
    }
}

fn import(node: Node<'_>, module: &str, source: &[u8], names: &mut Vec<(Vec<u8>, String)>) {
    let text = |node: Node<'_>| String::from_utf8_lossy(text_of(node, source)).into_owned();
    let qualified = |name: String| {
        if module.is_empty() { name } else { format!("{module}.{name}") }
    };
    if node.kind() == "aliased_import" {
        if let (Some(name), Some(alias)) = (field(node, "name"), field(node, "alias")) {
            names.push((text_of(alias, source).to_vec(), qualified(text(name))));
        }
    } else if module.is_empty() {
        // `import os.path` binds `os`.
        let name = text(node);
        let first = name.split('.').next().unwrap_or_default().to_owned();
        names.push((first.clone().into_bytes(), first));
        names.push((name.clone().into_bytes(), name));
    } else {
        let name = text(node);
        names.push((name.clone().into_bytes(), qualified(name)));
    }
}

fn from_import<'t>(node: Node<'t>, source: &'t [u8]) -> Form<'t> {
    let Some(module) = field(node, "module_name") else { return Form::Nothing };
    let module = String::from_utf8_lossy(text_of(module, source)).into_owned();
    let mut names = Vec::new();
    for one in fields(node, "name") {
        import(one, &module, source, &mut names);
    }
    if children(node).iter().any(|one| one.kind() == "wildcard_import") {
        names.push((b"*".to_vec(), module));
    }
    Form::Import(names)
}

fn string<'t>(node: Node<'t>, source: &'t [u8]) -> Vec<Piece<'t>> {
    let mut pieces = Vec::new();
    let (mut raw, mut bytes) = (false, false);
    let (mut from, mut end) = (node.start_byte(), node.end_byte());
    let mut cursor = node.walk();
    let known = |from: usize, to: usize, raw: bool, bytes: bool| {
        let text = source.get(from..to).unwrap_or_default();
        if raw { text.to_vec() } else { unescape(text, bytes) }
    };
    for child in node.children(&mut cursor) {
        match child.kind() {
            "string_start" => {
                let prefix = text_of(child, source).to_ascii_lowercase();
                raw = prefix.contains(&b'r');
                bytes = prefix.contains(&b'b');
                from = child.end_byte();
            }
            "string_end" => end = child.start_byte(),
            "interpolation" => {
                pieces.push(Piece::Known(known(from, child.start_byte(), raw, bytes)));
                from = child.end_byte();
                if let Some(inner) = field(child, "expression").or_else(|| first(child)) {
                    pieces.push(Piece::Part(inner));
                }
            }
            _ => {}
        }
    }
    pieces.push(Piece::Known(known(from, end.max(from), raw, bytes)));
    pieces
}

fn first(node: Node<'_>) -> Option<Node<'_>> {
    children(node).first().copied()
}

/// The text that Python's escapes stand for (The Python Language Reference, 2.4.1).
fn unescape(text: &[u8], bytes: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let Some((escape, after)) = rest.split_first() else {
            out.push(b'\\');
            break;
        };
        rest = after;
        match escape {
            b'\n' => {}
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'\\' | b'\'' | b'"' => out.push(*escape),
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|byte| (b'0'..=b'7').contains(byte));
                let length = more.count();
                let (digits, after) = rest.split_at_checked(length).unwrap_or((&[], rest));
                let code = std::iter::once(escape)
                    .chain(digits)
                    .fold(0_u32, |code, digit| code * 8 + u32::from(digit - b'0'));
                rest = after;
                push_code(code, bytes, &mut out);
            }
            b'x' => rest = hexadecimal(rest, 2, bytes, &mut out),
            b'u' if !bytes => rest = hexadecimal(rest, 4, bytes, &mut out),
            b'U' if !bytes => rest = hexadecimal(rest, 8, bytes, &mut out),
            _ => out.extend([b'\\', *escape]),
        }
    }
    out
}

/// Reads a code of `length` digits and gives what stands after it.
fn hexadecimal<'a>(rest: &'a [u8], length: usize, bytes: bool, out: &mut Vec<u8>) -> &'a [u8] {
    let (digits, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    let code = std::str::from_utf8(digits).ok().and_then(|it| u32::from_str_radix(it, 16).ok());
    match code {
        Some(code) => {
            push_code(code, bytes, out);
            after
        }
        None => rest,
    }
}

fn push_code(code: u32, bytes: bool, out: &mut Vec<u8>) {
    if bytes {
        out.push(code.to_le_bytes()[0]);
    } else if let Some(character) = char::from_u32(code) {
        out.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// The value of a number; a float only if it is whole.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    let text: String =
        text.iter().filter(|byte| **byte != b'_').map(|byte| char::from(*byte)).collect();
    let lower = text.to_ascii_lowercase();
    let lower = lower.trim_end_matches(['l', 'n']);
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return i64::from_str_radix(digits, radix).ok();
        }
    }
    lower.parse::<i64>().ok().or_else(|| {
        let number: f64 = lower.parse().ok()?;
        // Larger than any size of a memory, or not whole: not a size, not a code.
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
        (number.is_finite() && number.fract() == 0.0 && number.abs() < 9e18)
            .then_some(number as i64)
    })
}
