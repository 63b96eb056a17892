//! Changing a few places of a JSON text while every other byte stays: people's settings keep their
//! order, their spacing and the spelling of their numbers.

use std::ops::Range;

use serde::Serialize;
use serde_json::Value;

/// A value and where it stands in the text.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) range: Range<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Object(Vec<Member>),
    Array(Vec<Node>),
    Scalar,
}

#[derive(Debug)]
struct Member {
    name: String,
    start: usize,
    value: Node,
}

/// Finds every value of a text.
///
/// # Errors
/// When it is no JSON (RFC 8259), or nested more than 128 levels deep.
pub(super) fn parse(text: &str) -> Result<Node, serde_json::Error> {
    // From here on every bracket closes, and the depth is bounded.
    serde_json::from_str::<Value>(text)?;
    Ok(Scanner { text, at: 0 }.value())
}

impl Node {
    /// The member of an object. Of several with one name, the last counts.
    pub(super) fn member(&self, name: &str) -> Option<(usize, &Self)> {
        let Kind::Object(members) = &self.kind else { return None };
        let at = members.iter().rposition(|member| member.name == name)?;
        members.get(at).map(|member| (at, &member.value))
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self.kind, Kind::Object(_))
    }

    pub(super) fn is_array(&self) -> bool {
        matches!(self.kind, Kind::Array(_))
    }

    /// The members of an object by name, or the elements of an array.
    pub(super) fn children(&self) -> Vec<(&str, &Self)> {
        match &self.kind {
            Kind::Object(members) => {
                members.iter().map(|member| (member.name.as_str(), &member.value)).collect()
            }
            Kind::Array(elements) => elements.iter().map(|element| ("", element)).collect(),
            Kind::Scalar => Vec::new(),
        }
    }

    /// The text of the value.
    pub(super) fn text<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.range.clone()).unwrap_or_default()
    }

    /// Where each child begins, its name included, and ends.
    fn spans(&self) -> Vec<Range<usize>> {
        match &self.kind {
            Kind::Object(members) => {
                members.iter().map(|member| member.start..member.value.range.end).collect()
            }
            Kind::Array(elements) => elements.iter().map(|element| element.range.clone()).collect(),
            Kind::Scalar => Vec::new(),
        }
    }
}

/// `text` with `value` as the last child of `container`, which lies `depth` levels deep; under
/// `name` if the container is an object.
pub(super) fn add(
    text: &str,
    container: &Node,
    depth: usize,
    name: Option<&str>,
    value: &impl Serialize,
) -> Result<String, serde_json::Error> {
    let unit = indentation(text);
    let (outer, inner) = (unit.repeat(depth), unit.repeat(depth + 1));
    let mut child = String::new();
    if let Some(name) = name {
        child = serde_json::to_string(name)? + ": ";
    }
    child.push_str(&pretty(value, unit)?.replace('\n', &format!("\n{inner}")));
    let close = container.range.end.saturating_sub(1);
    let (from, mut inserted) = match container.spans().last() {
        Some(last) => (last.end, format!(",\n{inner}{child}")),
        None => (container.range.start + 1, format!("\n{inner}{child}")),
    };
    let between = text.get(from..close).unwrap_or_default();
    if !between.contains('\n') {
        inserted.push_str(&format!("\n{outer}"));
        return Ok(replaced(text, from..close, &inserted));
    }
    if container.spans().is_empty() {
        inserted.push_str(&format!("\n{outer}"));
        return Ok(replaced(text, from..close, &inserted));
    }
    Ok(replaced(text, from..from, &inserted))
}

/// `text` without the child of `container` at `index`.
pub(super) fn remove(text: &str, container: &Node, index: usize) -> String {
    let spans = container.spans();
    let Some(span) = spans.get(index) else { return text.to_owned() };
    let before = index.checked_sub(1).and_then(|before| spans.get(before));
    let range = match (before, spans.get(index + 1)) {
        (Some(before), _) => before.end..span.end,
        (None, Some(next)) => span.start..next.start,
        (None, None) => container.range.start + 1..container.range.end.saturating_sub(1),
    };
    replaced(text, range, "")
}

fn replaced(text: &str, range: Range<usize>, with: &str) -> String {
    let before = text.get(..range.start).unwrap_or_default();
    let after = text.get(range.end..).unwrap_or_default();
    [before, with, after].concat()
}

/// What the text indents one level with: the white space before its first member.
fn indentation(text: &str) -> &str {
    let first = text.split_once('\n').map_or("", |(_, rest)| rest);
    let blank = first.len() - first.trim_start_matches([' ', '\t']).len();
    match first.get(..blank) {
        Some(unit) if !unit.is_empty() => unit,
        _ => "  ",
    }
}

fn pretty(value: &impl Serialize, unit: &str) -> Result<String, serde_json::Error> {
    let format = serde_json::ser::PrettyFormatter::with_indent(unit.as_bytes());
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, format))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a text that is known to be JSON.
struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn skip_blank(&mut self) {
        while self.peek().is_ascii_whitespace() {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Node {
        self.skip_blank();
        let start = self.at;
        let kind = match self.peek() {
            b'{' => Kind::Object(self.members()),
            b'[' => Kind::Array(self.elements()),
            b'"' => {
                self.string();
                Kind::Scalar
            }
            _ => {
                while !matches!(self.peek(), b',' | b']' | b'}' | 0)
                    && !self.peek().is_ascii_whitespace()
                {
                    self.at += 1;
                }
                Kind::Scalar
            }
        };
        Node { range: start..self.at, kind }
    }

    fn members(&mut self) -> Vec<Member> {
        let mut members = Vec::new();
        self.at += 1;
        while !self.closes(b'}') {
            let start = self.at;
            let name = self.string();
            self.skip_blank();
            self.at += 1;
            members.push(Member { name, start, value: self.value() });
        }
        members
    }

    fn elements(&mut self) -> Vec<Node> {
        let mut elements = Vec::new();
        self.at += 1;
        while !self.closes(b']') {
            elements.push(self.value());
        }
        elements
    }

    /// Goes on to the next child, or behind the closing bracket.
    fn closes(&mut self, bracket: u8) -> bool {
        self.skip_blank();
        if self.peek() == b',' {
            self.at += 1;
            self.skip_blank();
        }
        let closes = self.peek() == bracket || self.peek() == 0;
        if closes {
            self.at += 1;
        }
        closes
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.at += 1;
        while !matches!(self.peek(), b'"' | 0) {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        let text = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_added_and_removed_leaves_all_else_as_it_was() {
        let text = "{\n    \"z\": 1.0e2,\n    \"a\": [ \"}\\\"\", {\"b\":[]} ]\n}\n";
        let node = parse(text).expect("JSON");
        let (_, list) = node.member("a").expect("a");
        let added = add(text, list, 1, None, &json!({"x": [1]})).expect("added");
        assert_eq!(
            added,
            "{\n    \"z\": 1.0e2,\n    \"a\": [ \"}\\\"\", {\"b\":[]},\n        {\n            \"x\": [\n                1\n            ]\n        }\n    ]\n}\n"
        );
        let node = parse(&added).expect("JSON");
        let (_, list) = node.member("a").expect("a");
        assert_eq!(list.children().len(), 3);
        let removed = remove(&added, list, 2);
        let (left, right): (Value, Value) = (
            serde_json::from_str(&removed).expect("JSON"),
            serde_json::from_str(text).expect("JSON"),
        );
        assert_eq!(left, right);
        let added =
            add(text, &parse(text).expect("JSON"), 0, Some("n"), &json!(true)).expect("added");
        assert_eq!(added, text.replace("]\n}", "],\n    \"n\": true\n}"));
        let node = parse(&added).expect("JSON");
        assert_eq!(remove(&added, &node, 2), text);
        assert_eq!(remove("[1, 2]", &parse("[1, 2]").expect("JSON"), 0), "[2]");
        assert_eq!(remove("[ 1 ]", &parse("[ 1 ]").expect("JSON"), 0), "[]");
        assert_eq!(
            add("{}\n", &parse("{}\n").expect("JSON"), 0, Some("a"), &json!(1)).expect("added"),
            "{\n  \"a\": 1\n}\n"
        );
    }

    #[test]
    fn of_two_members_with_one_name_the_last_counts() {
        let text = r#"{"a": 1, "\u0061": 2}"#;
        let node = parse(text).expect("JSON");
        assert_eq!(node.member("a").expect("a").1.text(text), "2");
    }
}
