//! The syntax tree of a shell program, with the place of everything in the text.

use std::rc::Rc;

use crate::source_range::SourceRange;

/// Commands in sequence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct List {
    pub(crate) items: Vec<Item>,
}

/// One chain of pipelines, and whether the shell waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) first: Pipeline,
    /// What follows by `&&` or `||`.
    pub(crate) rest: Vec<(Chain, Pipeline)>,
    /// It ends with `&`.
    pub(crate) background: bool,
}

/// How a pipeline follows the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chain {
    /// `&&`
    And,
    /// `||`
    Or,
}

/// Commands of which each reads what the one before writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pipeline {
    pub(crate) negated: bool,
    pub(crate) commands: Vec<Command>,
}

/// A command with its redirections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) kind: CommandKind,
    pub(crate) redirects: Vec<Redirect>,
    pub(crate) range: SourceRange,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommandKind {
    /// Assignments and words: `A=1 cmd arg`.
    Simple { assignments: Vec<Assignment>, words: Vec<Word> },
    /// `( … )`
    Subshell(List),
    /// `{ …; }`
    Group(List),
    /// `if`: the conditions with their branches, and the last branch.
    If { branches: Vec<(List, List)>, otherwise: Option<List> },
    /// `while` and `until`.
    Loop { until: bool, condition: List, body: List },
    /// `for NAME in WORDS` and `select`; without `in`, `words` is none: the positional parameters.
    For { name: Vec<u8>, words: Option<Vec<Word>>, body: List, select: bool },
    /// `for ((a; b; c))`, the three expressions as they stand.
    ArithmeticFor { header: Word, body: List },
    /// `case WORD in …`
    Case { word: Word, arms: Vec<(Vec<Word>, List)> },
    /// `name() …` and `function name …`; the body with its redirections.
    Function { name: Vec<u8>, body: Rc<Command> },
    /// `[[ … ]]`: its words and operators, in order.
    Condition(Vec<Word>),
    /// `(( … ))`: the expression, as parts like those of a double-quoted text.
    Arithmetic(Word),
    /// `coproc [NAME] …`
    Coprocess { name: Option<Vec<u8>>, command: Box<Command> },
    /// What no rule of the grammar fits, as it stands. The text goes on after it.
    Broken(Vec<u8>),
}

/// `NAME=VALUE`, `NAME+=VALUE`, `NAME[INDEX]=VALUE`, `NAME=(…)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) name: Vec<u8>,
    pub(crate) index: Option<Word>,
    pub(crate) append: bool,
    pub(crate) value: AssignedValue,
    pub(crate) range: SourceRange,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AssignedValue {
    Scalar(Word),
    /// The elements with their `[index]=`, if given.
    Array(Vec<(Option<Word>, Word)>),
}

/// One word, made of parts. A word without parts is the empty word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Word {
    pub(crate) parts: Vec<Part>,
    pub(crate) range: SourceRange,
    /// Characters of it are written as codes: `$'\x72\155'`.
    pub(crate) coded: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Bytes outside quotes, subject to tilde, brace and pathname expansion. Backslash escapes are
    /// not part of it: they are `Quoted`.
    Literal(Vec<u8>),
    /// Bytes that mean themselves: `'…'`, `\x`, and `$'…'` after its escapes were read.
    Quoted(Vec<u8>),
    /// `"…"` and `$"…"`: its parts (of which Literal then means Quoted).
    DoubleQuoted(Vec<Part>),
    /// `$name`, `${…}`
    Parameter(Box<Parameter>),
    /// `$(…)` and backquotes.
    CommandSubstitution(List),
    /// `<(…)` (reads from the command) or `>(…)` (writes to it).
    ProcessSubstitution { output: bool, list: List },
    /// `$((…))` and `$[…]`: the expression, as parts like those of a double-quoted text.
    Arithmetic(Vec<Part>),
    /// What is nested too deeply to be read.
    TooDeep,
}

/// `${…}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// `x`, `1`, `@`, `*`, `#`, `?`, `-`, `$`, `!`
    pub(crate) name: Vec<u8>,
    /// `${x[…]}`: the text between the brackets; `@` and `*` stand for all.
    pub(crate) index: Option<Word>,
    /// `${!x}`
    pub(crate) indirect: bool,
    /// `${#x}`
    pub(crate) length: bool,
    pub(crate) operator: ParameterOperator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ParameterOperator {
    None,
    /// `${x-w}`, `${x:-w}` and the like with `=`, `?`, `+`; `colon`: an empty value counts as unset.
    Default {
        operator: u8,
        colon: bool,
        word: Word,
    },
    /// `${x:offset}`, `${x:offset:length}`: arithmetic texts.
    Substring {
        offset: Word,
        length: Option<Word>,
    },
    /// `${x#p}`, `${x##p}`: removes a matching start.
    RemovePrefix {
        longest: bool,
        pattern: Word,
    },
    /// `${x%p}`, `${x%%p}`: removes a matching end.
    RemoveSuffix {
        longest: bool,
        pattern: Word,
    },
    /// `${x/p/r}` with `/`, `#`, `%` for all, at the start, at the end.
    Replace {
        mode: ReplaceMode,
        pattern: Word,
        replacement: Word,
    },
    /// `${x^p}`, `${x^^p}`, `${x,p}`, `${x,,p}`, `${x~p}`, `${x~~p}`
    Case {
        operator: u8,
        all: bool,
        pattern: Word,
    },
    /// `${x@Q}`: the letter.
    Transform(u8),
    /// `${!x*}`, `${!x@}`: names that begin with x.
    Names,
    /// An operator that no shell knows.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplaceMode {
    First,
    All,
    Start,
    End,
}

/// One redirection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redirect {
    /// The descriptor's number, if one is written.
    pub(crate) descriptor: Option<u32>,
    pub(crate) kind: RedirectKind,
    pub(crate) range: SourceRange,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RedirectKind {
    /// `<`
    Input(Word),
    /// `>`, `>|`
    Output(Word),
    /// `>>`
    Append(Word),
    /// `<>`
    ReadWrite(Word),
    /// `&>`, `>&` with a file
    Both(Word),
    /// `&>>`
    BothAppend(Word),
    /// `<&`, `>&` with a descriptor or `-`
    Duplicate { output: bool, word: Word },
    /// `<<`, `<<-`: the text. `expands` unless the delimiter is quoted; then its parts are
    /// Literal (to be read as Quoted), Parameter and so on.
    HereDocument { body: Word, expands: bool },
    /// `<<<`
    HereString(Word),
}

impl Word {
    /// A word that means `text`.
    pub(crate) fn literal(text: Vec<u8>) -> Self {
        Self { parts: vec![Part::Quoted(text)], ..Self::default() }
    }

    /// Whether it is written as `text`, without quotes.
    pub(crate) fn is_literal(&self, text: &[u8]) -> bool {
        matches!(self.parts.as_slice(), [Part::Literal(literal)] if literal == text)
    }
}
