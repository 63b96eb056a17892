//! From text to a tree of words, lists and mappings with positions.
//!
//! granit-parser, the parser under serde-saphyr, gives events with positions, so that every error
//! can name its line. `ctrlz-config` reads its files in the same way; this crate may not ask it.

use granit_parser::{Event, Parser, ScalarStyle, Span};

/// Nesting beyond anything a pack has.
const DEEPEST: usize = 16;
/// More values than any pack has. It bounds memory to a small multiple of the file.
const MOST_NODES: usize = 200_000;

/// A place in the text: line and column from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Mark {
    fn of(marker: granit_parser::Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// A node of the document.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Mark,
    pub(crate) content: Content,
}

/// What a node holds.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing: an empty value, `~` or `null`.
    Nothing,
    /// A word, number or text.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file. A key may stand twice.
    Mapping(Vec<(Name, Node)>),
}

/// A key of a mapping.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) at: Mark,
    pub(crate) text: String,
}

/// Why a text is no document.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) at: Mark,
    pub(crate) reason: String,
}

/// Reads the one document of `text`; an empty text is [`Content::Nothing`].
pub(crate) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let options = granit_parser::options! {
        disallow_directives: true,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let mut tree =
        Tree { events: Parser::new_from_str_with_options(text, options), nodes: 0, depth: 0 };
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
            _ => return Err(refuse(span, "a second document; a pack is one")),
        }
    }
    Ok(root.unwrap_or(Node { at: start, content: Content::Nothing }))
}

fn refuse(span: Span, reason: &str) -> SyntaxError {
    SyntaxError { at: Mark::of(span.start), reason: reason.to_owned() }
}

struct Tree<'t> {
    events: Parser<'t, granit_parser::StrInput<'t>>,
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
        if self.nodes > MOST_NODES {
            return Err(refuse(span, "more values than a pack can have"));
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
            let Content::Scalar(text) = name.content else {
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
    Content::Scalar(text)
}
