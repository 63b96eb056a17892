//! The forms of syntax that Python and JavaScript share: one level of a tree at a time, so that
//! nothing here recurs.

use tree_sitter::Node;

/// The number of a function in the program.
pub(super) type FunctionId = usize;

/// A piece of a literal.
#[derive(Debug)]
pub(super) enum Piece<'t> {
    Known(Vec<u8>),
    /// The value of an expression.
    Part(Node<'t>),
}

/// An argument of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Argument<'t> {
    pub(super) name: Option<&'t [u8]>,
    pub(super) node: Node<'t>,
    /// `*list`, `...list`, `**map`
    pub(super) spread: bool,
}

/// A key of a map.
#[derive(Debug)]
pub(super) enum Key<'t> {
    Name(Vec<u8>),
    Computed(Node<'t>),
    Spread,
}

/// How long a loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// `while True`
    Never,
    /// A condition.
    Condition,
}

/// A node, seen as what it is.
#[derive(Debug)]
pub(super) enum Form<'t> {
    Text(Vec<Piece<'t>>),
    Number(Option<i64>),
    Constant,
    /// A regular expression, with its slashes.
    Pattern(&'t [u8]),
    Name(&'t [u8]),
    Member {
        object: Node<'t>,
        name: &'t [u8],
    },
    Index {
        object: Node<'t>,
        index: Node<'t>,
    },
    Slice {
        object: Node<'t>,
        bounds: [Option<Node<'t>>; 3],
    },
    Call {
        function: Node<'t>,
        arguments: Vec<Argument<'t>>,
    },
    Binary {
        operator: &'t [u8],
        left: Node<'t>,
        right: Node<'t>,
    },
    Unary {
        operator: &'t [u8],
        operand: Node<'t>,
    },
    /// One of these, or none.
    Choice(Vec<Node<'t>>),
    /// All of these, and the value is that of the last one.
    Sequence(Vec<Node<'t>>),
    List(Vec<Argument<'t>>),
    Map(Vec<(Key<'t>, Node<'t>)>),
    Function {
        name: Option<&'t [u8]>,
        parameters: Vec<Node<'t>>,
        body: Node<'t>,
    },
    Class {
        name: Option<&'t [u8]>,
        /// What it is derived from, as it is written.
        bases: &'t [u8],
        body: Node<'t>,
    },
    Comprehension {
        body: Node<'t>,
        left: Node<'t>,
        right: Node<'t>,
        rest: Vec<Node<'t>>,
    },
    Assign {
        left: Node<'t>,
        right: Node<'t>,
    },
    AssignWith {
        left: Node<'t>,
        operator: &'t [u8],
        right: Node<'t>,
    },
    For {
        left: Node<'t>,
        right: Node<'t>,
        body: Node<'t>,
    },
    While {
        ending: Ending,
        parts: Vec<Node<'t>>,
        body: Option<Node<'t>>,
    },
    Return(Option<Node<'t>>),
    /// One of the values that a generator gives.
    Yield(Option<Node<'t>>),
    Delete,
    /// Names of this program for names of others. `*` is bound to `*`.
    Import(Vec<(Vec<u8>, String)>),
    /// A module is imported by a text: `import x from "…"`.
    ImportText {
        clause: Option<Node<'t>>,
        source: Node<'t>,
    },
    /// Nothing in itself: whatever stands in it, in order.
    Inside,
    Nothing,
}

/// A name or a pattern that takes values.
#[derive(Debug)]
pub(super) enum Pattern<'t> {
    Name(&'t [u8]),
    /// `a.b`, `a["b"]`
    Place(Node<'t>),
    /// By position.
    Items(Vec<Node<'t>>),
    /// By key: the key, and what takes the value.
    Entries(Vec<(&'t [u8], Node<'t>)>),
    /// All positions from here on.
    Rest(&'t [u8]),
    /// All names that nothing else takes.
    RestNamed(&'t [u8]),
    /// A name with a value for when there is none.
    Default(Node<'t>, Node<'t>),
    Other,
}
