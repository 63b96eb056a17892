//! From text to a tree of words, lists and mappings with positions.
//!
//! granit-parser, the parser under serde-saphyr: events with positions, no unsafe code, two small
//! dependencies, limits on nesting, fuzzed upstream, MIT or Apache-2.0.

use granit_parser::{Event, Parser, ScalarStyle, Span};

/// Nesting beyond anything a configuration or a pack has.
const DEEPEST: usize = 16;
/// What a document may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What it is, for errors: `configuration`, `pack`.
    pub noun: &'static str,
    /// How many values it may have. It bounds memory to a small multiple of the text.
    pub most_nodes: usize,
}

/// A place in the text: line and column from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Mark {
    fn of(marker: granit_parser::Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// A node of the document.
#[derive(Debug)]
pub struct Node {
    /// Where it begins.
    pub at: Mark,
    /// What it holds.
    pub content: Content,
}

/// What a node holds.
#[derive(Debug)]
pub enum Content {
    /// Nothing: an empty value, `~` or `null`.
    Nothing,
    /// A word, number or text.
    Scalar {
        /// What it says, quotes and escapes undone.
        text: String,
        /// Whether it stands without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file. A key may stand twice.
    Mapping(Vec<(Name, Node)>),
}

/// A key of a mapping.
#[derive(Debug)]
pub struct Name {
    /// Where it stands.
    pub at: Mark,
    /// The key.
    pub text: String,
}

/// Why a text is no document.
#[derive(Debug)]
pub struct SyntaxError {
    /// Where.
    pub at: Mark,
    /// What is wrong there.
    pub reason: String,
}

/// Reads the one document of `text`; an empty text is [`Content::Nothing`].
///
/// # Errors
///
/// The first thing that is no YAML, or more of it than is read here.
pub fn parse(text: &str, limits: Limits) -> Result<Node, SyntaxError> {
    let options = granit_parser::options! {
        disallow_directives: true,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let events = Parser::new_from_str_with_options(text, options);
    let mut tree = Tree { events, limits, nodes: 0, depth: 0 };
    let start = Mark { line: 1, column: 1 };
    let mut root = None;
    loop {
        let (event, span) = tree.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentEnd => {}
            Event::DocumentStart(..) if root.is_none() => {
                let (event, span) = tree.next()?;
                root = Some(tree.node(event, span)?);
            }
            _ => return Err(refuse(span, &format!("a second document; a {} is one", limits.noun))),
        }
    }
    Ok(root.unwrap_or(Node { at: start, content: Content::Nothing }))
}

fn refuse(span: Span, reason: &str) -> SyntaxError {
    SyntaxError { at: Mark::of(span.start), reason: reason.to_owned() }
}

struct Tree<'t> {
    events: Parser<'t, granit_parser::StrInput<'t>>,
    limits: Limits,
    nodes: usize,
    depth: usize,
}

impl<'t> Tree<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), SyntaxError> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                Err(SyntaxError { at: Mark::of(*error.marker()), reason: error.info() })
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The node that begins with `event`. It recurses no deeper than the parser's two nesting
    /// limits together.
    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Node, SyntaxError> {
        self.nodes += 1;
        if self.nodes > self.limits.most_nodes {
            let reason = format!("more values than a {} can have", self.limits.noun);
            return Err(refuse(span, &reason));
        }
        let at = Mark::of(span.start);
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(_, anchor, tag)
            | Event::MappingStart(_, anchor, tag) => (*anchor, tag),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                return Err(refuse(span, "an alias; write the value out"));
            }
            _ => return Err(refuse(span, "expected a value")),
        };
        if anchor != 0 {
            return Err(refuse(span, "an anchor; there are no aliases to use it"));
        }
        if tag.is_some() {
            return Err(refuse(span, "a tag; the key tells the type of its value"));
        }
        self.depth += 1;
        let content = match event {
            Event::Scalar(text, style, ..) => scalar(text.into_owned(), style),
            Event::SequenceStart(..) => self.list()?,
            _ => self.mapping()?,
        };
        self.depth -= 1;
        Ok(Node { at, content })
    }

    fn list(&mut self) -> Result<Content, SyntaxError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Content::List(items));
            }
            items.push(self.node(event, span)?);
        }
    }

    fn mapping(&mut self) -> Result<Content, SyntaxError> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Content::Mapping(entries));
            }
            let name = self.node(event, span)?;
            let Content::Scalar { text, .. } = name.content else {
                return Err(SyntaxError { at: name.at, reason: "a key must be a word".to_owned() });
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            entries.push((Name { at: name.at, text }, value));
        }
    }
}

fn scalar(text: String, style: ScalarStyle) -> Content {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") {
        return Content::Nothing;
    }
    Content::Scalar { text, plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { noun: "configuration", most_nodes: 20_000 };

    fn error(text: &str) -> String {
        let error = parse(text, LIMITS).expect_err(text);
        format!("{}:{}: {}", error.at.line, error.at.column, error.reason)
    }

    #[test]
    fn keeps_positions() {
        let root = parse("# note\nrun:\n  memory: 1G\n", LIMITS).unwrap();
        let Content::Mapping(top) = root.content else { panic!("no mapping") };
        assert_eq!(top[0].0.at, Mark { line: 2, column: 1 });
        let Content::Mapping(run) = &top[0].1.content else { panic!("no mapping") };
        assert_eq!(run[0].1.at, Mark { line: 3, column: 11 });
    }

    #[test]
    fn an_empty_document_is_nothing() {
        for text in ["", "\n", "# only a comment\n", "---\n", "\u{feff}", "null"] {
            let node = parse(text, LIMITS).expect(text);
            assert!(matches!(node.content, Content::Nothing), "{text:?}: {node:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_key() {
        let root = parse("\u{feff}run:\n", LIMITS).unwrap();
        let Content::Mapping(top) = root.content else { panic!("no mapping") };
        assert_eq!(top[0].0.text, "run");
    }

    #[test]
    fn refuses_what_a_configuration_does_not_need() {
        assert_eq!(error("a: &x 1\n"), "1:7: an anchor; there are no aliases to use it");
        assert_eq!(error("a: !!str 1\n"), "1:10: a tag; the key tells the type of its value");
        assert_eq!(error("a: 1\n---\nb: 1\n"), "2:1: a second document; a configuration is one");
        assert_eq!(error("? [a]\n: 1\n"), "1:3: a key must be a word");
        assert!(error("%YAML 1.2\n---\na: 1\n").starts_with("1:1: "));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused_at_its_first_anchor() {
        let mut bomb = String::from("a0: &a0 [x, x]\n");
        for level in 1..40 {
            bomb += &format!("a{level}: &a{level} [*a{}, *a{}]\n", level - 1, level - 1);
        }
        assert_eq!(error(&bomb), "1:9: an anchor; there are no aliases to use it");
    }

    #[test]
    fn bounds_depth_and_count() {
        assert!(error(&"[".repeat(1 << 20)).contains("recursion limit exceeded"));
        assert!(error(&"- ".repeat(1 << 19)).contains("recursion limit exceeded"));
        let many = format!("[{}]", "1,".repeat(1 << 19));
        assert!(error(&many).ends_with("more values than a configuration can have"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[-a: \\n\\t\\[\\]{}&*!|>'\"%#?,~\u{feff}]{0,80}") {
            let _ = parse(&text, LIMITS);
        }
    }
}
