//! Functions that a program declares, with a name or without: their bodies are gone through with
//! what they are called with.

use std::ops::Range;

use super::Language;
use super::phrase::Phrases;
use super::scan::Scan;
use super::tokens::TokenKind;
use super::value::Value;

/// The most functions of a program that are known.
const MOST_FUNCTIONS: usize = 100;
/// The most tokens of a function that are looked at.
const LONGEST_BODY: usize = 400;
/// How deep functions are followed into functions.
const DEEPEST: usize = 4;
/// What it costs to go through a token again.
const A_TOKEN: usize = 40;

/// A function of the program.
#[derive(Debug)]
pub(super) struct OwnFunction {
    /// Its name, or that of the variable that holds it; empty for one that is only handed on.
    name: Vec<u8>,
    /// Where it begins.
    start: usize,
    parameters: Vec<Vec<u8>>,
    /// Its tokens.
    body: Range<usize>,
    calls_itself: bool,
    deletes: bool,
}

/// The functions that a program declares.
pub(super) fn declared(phrases: &Phrases) -> Vec<OwnFunction> {
    (0..phrases.tokens.len())
        .filter_map(|at| match phrases.name_at(at) {
            Some(b"def" | b"sub" | b"function") => {
                function(phrases, at).or_else(|| closure(phrases, at))
            }
            _ => closure(phrases, at),
        })
        .take(MOST_FUNCTIONS)
        .collect()
}

fn function(phrases: &Phrases, at: usize) -> Option<OwnFunction> {
    let name = own_name(phrases.name_at(at + 1)?).to_vec();
    let (mut parameters, behind) = parameters(phrases, at + 2);
    let mut body = match phrases.language {
        Language::Perl | Language::Php => {
            let open = (behind..behind + 20).find(|it| phrases.is_mark(*it, b'{'))?;
            open + 1..closing_brace(phrases, open)
        }
        _ => behind..closing_end(phrases, behind),
    };
    if phrases.language == Language::Perl && parameters.is_empty() {
        (parameters, body.start) = taken(phrases, body.start);
        body.end = body.end.max(body.start);
    }
    let names = |wanted: &dyn Fn(&[u8]) -> bool| {
        body.clone().any(|it| phrases.name_at(it).is_some_and(wanted))
    };
    let calls_itself = names(&|it| own_name(it) == name);
    let deletes = names(&|it| matches!(it, b"unlink" | b"rmdir"));
    Some(OwnFunction { name, start: at, parameters, body, calls_itself, deletes })
}

/// `->(x) { … }`, `lambda do |x| … end`, `define_method(:name) { |x| … }`, `function ($x) { … }`,
/// `fn($x) => …`
fn closure(phrases: &Phrases, at: usize) -> Option<OwnFunction> {
    let word = phrases.name_at(at);
    let mut name = held_by(phrases, at);
    let (parameters, body) = match phrases.language {
        Language::Php => match word? {
            b"function" => {
                let (parameters, behind) = parameters(phrases, at + 1);
                let open = (behind..behind + 20).find(|it| phrases.is_mark(*it, b'{'))?;
                (parameters, open + 1..closing_brace(phrases, open))
            }
            b"fn" => {
                let (parameters, behind) = parameters(phrases, at + 1);
                let arrow = phrases.is_mark(behind, b'=') && phrases.is_mark(behind + 1, b'>');
                let start = if arrow { behind + 2 } else { return None };
                (parameters, start..end_of_expression(phrases, start))
            }
            _ => return None,
        },
        Language::Ruby => {
            let arrow = phrases.is_mark(at, b'-') && phrases.is_mark(at + 1, b'>');
            let mut open = match word {
                Some(b"lambda" | b"proc" | b"Proc.new") => at + 1,
                Some(b"define_method" | b"define_singleton_method") => {
                    let named = (at + 1..at + 5).find_map(|it| match phrases.kind(it) {
                        Some(TokenKind::Text(name, _) | TokenKind::Name(name)) => {
                            Some((it, name.clone()))
                        }
                        _ => None,
                    });
                    let (it, called) = named?;
                    name = called;
                    it + 1 + usize::from(phrases.is_mark(it + 1, b')'))
                }
                _ if arrow => at + 2,
                _ => return None,
            };
            let (mut given, behind) = parameters(phrases, open);
            open = behind;
            let braces = phrases.is_mark(open, b'{');
            if !braces && phrases.name_at(open) != Some(b"do") {
                return None;
            }
            let mut start = open + 1;
            if phrases.is_mark(start, b'|') {
                (given, start) = between_bars(phrases, start);
            }
            let end =
                if braces { closing_brace(phrases, open) } else { closing_end(phrases, start) };
            (given, start..end.max(start))
        }
        _ => return None,
    };
    Some(OwnFunction { name, start: at, parameters, body, calls_itself: false, deletes: false })
}

/// The variable that what begins at `at` is assigned to; empty when there is none.
fn held_by(phrases: &Phrases, at: usize) -> Vec<u8> {
    let before = |steps: usize| at.checked_sub(steps).and_then(|it| phrases.kind(it));
    match (before(1), before(2)) {
        (Some(TokenKind::Mark(b'=')), Some(TokenKind::Variable(name) | TokenKind::Name(name))) => {
            name.clone()
        }
        _ => Vec::new(),
    }
}

/// `|a, b|`, and where that ends.
fn between_bars(phrases: &Phrases, at: usize) -> (Vec<Vec<u8>>, usize) {
    let end = (at + 1..at + 40).find(|it| phrases.is_mark(*it, b'|')).unwrap_or(at);
    let names = (at + 1..end).filter_map(|it| phrases.name_at(it)).map(<[u8]>::to_vec).collect();
    (names, end + 1)
}

/// The end of an expression: a comma or a bracket that it did not open.
fn end_of_expression(phrases: &Phrases, start: usize) -> usize {
    let mut depth = 0_usize;
    for at in start..start + LONGEST_BODY {
        match phrases.kind(at) {
            Some(TokenKind::Mark(b'(' | b'[' | b'{')) => depth += 1,
            Some(TokenKind::Mark(b')' | b']' | b'}')) if depth > 0 => depth -= 1,
            None | Some(TokenKind::Mark(b')' | b']' | b'}' | b';')) => return at,
            Some(TokenKind::Mark(b',')) if depth == 0 => return at,
            _ => {}
        }
    }
    start + LONGEST_BODY
}

/// The last part of a name: `self.wipe`, `Cleaner::wipe`.
fn own_name(name: &[u8]) -> &[u8] {
    name.rsplit(|byte| matches!(byte, b'.' | b':')).next().unwrap_or_default()
}

/// The names between the brackets at `at`, and where these end.
fn parameters(phrases: &Phrases, at: usize) -> (Vec<Vec<u8>>, usize) {
    let mut names = Vec::new();
    if !phrases.is_mark(at, b'(') {
        return (names, at);
    }
    let end = (at..at + 60).find(|it| phrases.is_mark(*it, b')')).unwrap_or(at);
    for it in at + 1..end {
        let begins =
            matches!(phrases.kind(it - 1), Some(TokenKind::Mark(b'(' | b',' | b'*' | b'&')));
        match phrases.kind(it) {
            Some(TokenKind::Variable(name)) => names.push(name.clone()),
            Some(TokenKind::Name(name)) if begins && phrases.language != Language::Php => {
                names.push(name.clone());
            }
            _ => {}
        }
    }
    (names, end + 1)
}

/// `my ($a, $b) = @_;`, `my $a = shift;` at the beginning of a function of Perl, and what follows.
fn taken(phrases: &Phrases, start: usize) -> (Vec<Vec<u8>>, usize) {
    let mut names = Vec::new();
    let mut at = start;
    while let Some(end) = (at..at + 40).find(|it| phrases.is_mark(*it, b';')) {
        let all = phrases.name_at(end - 1) == Some(b"shift")
            || phrases.kind(end - 1) == Some(&TokenKind::Variable(b"_".to_vec()));
        let declared = (at..end).find(|it| phrases.name_at(*it) == Some(b"my"));
        let (Some(from), true) = (declared, all) else { break };
        let variables = (from + 1..end).map(|it| phrases.kind(it)).take_while(|it| {
            matches!(it, Some(TokenKind::Variable(_) | TokenKind::Mark(b'(' | b',' | b')')))
        });
        names.extend(variables.filter_map(|it| match it {
            Some(TokenKind::Variable(name)) => Some(name.clone()),
            _ => None,
        }));
        at = end + 1;
    }
    (names, at)
}

fn closing_brace(phrases: &Phrases, open: usize) -> usize {
    let mut depth = 0_usize;
    let closes = |it: &usize| {
        depth += usize::from(phrases.is_mark(*it, b'{'));
        depth = depth.saturating_sub(usize::from(phrases.is_mark(*it, b'}')));
        depth == 0
    };
    (open..open + LONGEST_BODY).find(closes).unwrap_or(open + LONGEST_BODY)
}

/// The `end` that belongs to what began before `start` (Ruby, Lua).
fn closing_end(phrases: &Phrases, start: usize) -> usize {
    let mut depth = 1_usize;
    let mut looping = false;
    for at in start..start + LONGEST_BODY {
        let first = matches!(
            phrases.kind(at.saturating_sub(1)),
            Some(TokenKind::LineEnd | TokenKind::Mark(b';' | b'='))
        );
        match (phrases.kind(at), phrases.language) {
            (None, _) => return at,
            (Some(TokenKind::LineEnd), _) => looping = false,
            (Some(TokenKind::Name(name)), language) => match (name.as_slice(), language) {
                (b"end", _) => depth -= 1,
                // The `do` of a loop belongs to it.
                (b"do", _) => depth += usize::from(!looping),
                (b"if" | b"function", Language::Lua) => depth += 1,
                (b"while" | b"until" | b"for", Language::Ruby) if first => {
                    depth += 1;
                    looping = true;
                }
                (b"if" | b"unless" | b"case" | b"begin" | b"def" | b"class", Language::Ruby)
                    if first =>
                {
                    depth += 1;
                }
                _ => {}
            },
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    start + LONGEST_BODY
}

impl Scan {
    /// Whether a function of the program deletes files.
    pub(super) fn own_deletes(&self, name: &[u8]) -> bool {
        self.functions.iter().any(|it| it.name == name && it.deletes)
    }

    /// Goes through a function of the program with what it is called with.
    pub(super) fn own_call(&mut self, at: usize, name: &str, member: bool) {
        // `f.call(x)`, `f.(x)` and `f[x]` call what the variable holds.
        let name = ["call", "yield", "()"].iter().fold(name, |name, way| {
            name.strip_suffix(way).and_then(|name| name.strip_suffix('.')).unwrap_or(name)
        });
        let own = own_name(name.as_bytes());
        let Some(id) = self.functions.iter().position(|it| it.name == own && !own.is_empty())
        else {
            return;
        };
        let language = self.phrases.language;
        if language == Language::Perl {
            self.modified(at);
        }
        let bracket = language == Language::Ruby && self.phrases.is_mark(at + 1, b'[');
        let point = language == Language::Ruby && self.phrases.is_mark(at + 1, b'.');
        let mut values = self.phrases.arguments(at + 1 + usize::from(bracket || point), 0).values;
        // `$self->wipe($folder)`
        if member && language == Language::Perl {
            values.insert(0, Value::default());
        }
        self.run_own(id, values);
    }

    /// The function that begins at a token, and where its body ends.
    pub(super) fn closure_at(&self, at: usize) -> Option<(usize, usize)> {
        // They stand in their order.
        let id = self.functions.binary_search_by_key(&at, |it| it.start).ok()?;
        let end = self.functions.get(id)?.body.end;
        // The brace of a body closes behind it.
        Some((id, end + usize::from(self.phrases.is_mark(end, b'}'))))
    }

    /// What the function of that name hands to its block.
    pub(super) fn yielded(&mut self, name: &[u8]) -> Option<Value> {
        let body = self.functions.iter().find(|it| it.name == name)?.body.clone();
        let at = body.clone().find(|it| self.phrases.name_at(*it) == Some(b"yield"))?;
        Some(self.phrases.arguments(at + 1, 0).value(0))
    }

    /// Goes through a function of the program with values.
    pub(super) fn run_own(&mut self, id: usize, values: Vec<Value>) {
        let functions = self.functions.clone();
        let Some(function) = functions.get(id) else { return };
        let length = function.body.len();
        if self.active.contains(&id)
            || self.active.len() >= DEEPEST
            || !self.phrases.spend(length * A_TOKEN)
        {
            return;
        }
        let mut given: Vec<(Vec<u8>, Value)> = vec![(b"_".to_vec(), Value::list(values.clone()))];
        given.extend(function.parameters.iter().cloned().zip(values));
        let kept: Vec<(Vec<u8>, Option<Value>)> = given
            .iter()
            .map(|(name, _)| (name.clone(), self.phrases.variables.get(name).cloned()))
            .collect();
        self.phrases.variables.extend(given);
        self.active.push(id);
        self.gather.entered(id);
        if function.calls_itself {
            self.gather.recursion(id);
        }
        for token in function.body.clone() {
            self.token(token);
        }
        self.gather.left();
        self.active.pop();
        for (name, value) in kept {
            match value {
                Some(value) => self.phrases.variables.insert(name, value),
                None => self.phrases.variables.remove(&name),
            };
        }
    }
}
