//! Follows what a program computes, as far as its text tells, up to the calls that do something.
//!
//! Statements are taken in the order of the text, both sides of a branch count, and a later
//! assignment wins. Every part of the program is looked at once; what is looked at again (a body
//! of a loop for the next item, a function for its next call) is paid from a fixed budget.

use std::collections::HashMap;

use tree_sitter::Node;

use crate::effect::{EffectKind, Qualities, Target, UNKNOWN};
use crate::source_range::SourceRange;
use crate::work::Work;

use super::form::{Argument, Form, FunctionId, Key, Pattern, Piece};
use super::gather::Gather;
use super::library;
use super::loops::Loop;
use super::parse::{parse, text_of};
use super::value::{Kind, Origin, Value};
use super::{Act, Language, constant, javascript, python};

/// How deep expressions and statements are followed at once; what lies deeper is put off.
const DEEPEST: usize = 60;
/// What may be looked at again.
const REPEATS: usize = 60_000;
/// How much work that is.
const A_REPEAT: usize = 48;
/// The longest place (`self.socket`) whose value is kept.
pub(super) const LONGEST_PLACE: usize = 80;

#[derive(Debug)]
pub(super) struct Function<'t> {
    pub(super) parameters: Vec<Node<'t>>,
    pub(super) body: Node<'t>,
    pub(super) seen: bool,
    /// A framework calls it with what a client sent.
    pub(super) served: bool,
}

pub(super) struct Evaluator<'t> {
    pub(super) language: Language,
    pub(super) source: &'t [u8],
    pub(super) scope: HashMap<Vec<u8>, Value>,
    pub(super) functions: Vec<Function<'t>>,
    pub(super) identities: HashMap<usize, FunctionId>,
    put_off: Vec<Node<'t>>,
    pub(super) gather: Gather,
    pub(super) repeats: usize,
    pub(super) repeating: usize,
    pub(super) loops: Vec<Loop>,
    pub(super) calls: Vec<FunctionId>,
    /// How many functions that were handed over are being called.
    pub(super) handing: usize,
    /// How many classes took over what another class has.
    pub(super) heirs: usize,
    pub(super) returned: Option<Value>,
    /// What the generator that is followed has given so far.
    pub(super) yielded: Vec<Value>,
    /// Whether it names secrets that it may look for.
    pub(super) looks_for_secrets: bool,
}

/// What the program would do.
pub(super) fn acts(language: Language, text: &[u8], work: &mut Work) -> Vec<Act> {
    let everything = SourceRange::new(0, text.len());
    let Some((tree, length)) = parse(language, text, work) else {
        let mut gather = Gather::new(language);
        let unread = Target::Name("text that no parser reads".to_owned());
        gather.effect(EffectKind::ComputedCode, unread, Qualities::HIDDEN, everything);
        return gather.finish();
    };
    // At most half of what is left, so that one program with long loops is judged to its end.
    let repeats = REPEATS.min(work.left() / (2 * A_REPEAT));
    let mut evaluator = Evaluator {
        language,
        source: text,
        scope: HashMap::new(),
        functions: Vec::new(),
        identities: HashMap::new(),
        put_off: vec![tree.root_node()],
        gather: Gather::new(language),
        repeats,
        repeating: 0,
        loops: Vec::new(),
        calls: Vec::new(),
        handing: 0,
        heirs: 0,
        returned: None,
        yielded: Vec::new(),
        looks_for_secrets: super::secret_names::looks_for_secrets(text),
    };
    evaluator.run();
    work.spend((repeats - evaluator.repeats) * A_REPEAT);
    if length < text.len() {
        let rest = SourceRange::new(length, text.len());
        let unread = Target::Name("text that was not read".to_owned());
        evaluator.gather.effect(EffectKind::ComputedCode, unread, Qualities::NONE, rest);
    }
    evaluator.gather.finish()
}

impl<'t> Evaluator<'t> {
    /// The whole program, what was put off, and then the functions that nobody called.
    fn run(&mut self) {
        let mut next = 0;
        loop {
            while let Some(node) = self.put_off.pop() {
                self.value(node, 0);
            }
            let Some(function) = self.functions.get_mut(next) else { break };
            if !std::mem::replace(&mut function.seen, true) {
                let origin = if function.served { Origin::NETWORK } else { Origin::PARAMETER };
                self.enter(next, &[], &[], origin, 0);
            }
            next += 1;
        }
    }

    pub(super) fn form(&self, node: Node<'t>) -> Form<'t> {
        match self.language {
            Language::Python => python::form(node, self.source),
            _ => javascript::form(node, self.source),
        }
    }

    pub(super) fn pattern(&self, node: Node<'t>) -> Pattern<'t> {
        match self.language {
            Language::Python => python::pattern(node, self.source),
            _ => javascript::pattern(node, self.source),
        }
    }

    pub(super) fn range(node: Node<'_>) -> SourceRange {
        SourceRange::new(node.start_byte(), node.end_byte())
    }

    /// Whether the budget for looking again allows this.
    pub(super) fn spend(&mut self, cost: usize) -> bool {
        if self.repeating == 0 {
            return true;
        }
        self.repeats = self.repeats.saturating_sub(cost);
        self.repeats > 0
    }

    /// The value of an expression, or of the last statement of several.
    pub(super) fn value(&mut self, node: Node<'t>, depth: usize) -> Value {
        if depth > DEEPEST {
            if self.repeating == 0 {
                self.put_off.push(node);
            }
            return Value::default();
        }
        if !self.spend(1) {
            return Value::default();
        }
        let depth = depth + 1;
        match self.form(node) {
            Form::Text(pieces) => self.literal(pieces, depth),
            Form::Number(number) => number.map_or_else(Value::default, Value::number),
            Form::Constant | Form::Nothing => Value::default(),
            Form::Pattern(text) => Value::named(format!("regex:{}", String::from_utf8_lossy(text))),
            Form::Name(name) => self.name(name),
            Form::Member { object, name } => self.member(node, object, name, depth),
            Form::Index { object, index } => self.index(node, object, index, depth),
            Form::Slice { object, bounds } => {
                let object = self.value(object, depth);
                let bounds = bounds.map(|bound| bound.map(|bound| self.value(bound, depth)));
                constant::slice(&object, bounds)
            }
            Form::Call { function, arguments } => self.call(node, function, &arguments, depth),
            Form::Binary { .. } => self.binary(node, depth),
            Form::Unary { operator, operand } => self.unary(operator, operand, depth),
            Form::Choice(nodes) => self.choice(&nodes, depth),
            Form::Sequence(nodes) => {
                nodes.into_iter().fold(Value::default(), |_, node| self.value(node, depth))
            }
            Form::List(items) => {
                let items = self.spread(&items, depth);
                Value::list(items)
            }
            Form::Map(entries) => self.map(entries, depth),
            Form::Function { name, .. } => {
                let function = self.function(node);
                if let Some(name) = name {
                    self.set(name, function.clone());
                }
                function
            }
            Form::Class { name, bases, body } => self.class(name, bases, body, depth),
            Form::Comprehension { body, left, right, rest } => {
                self.comprehension(body, left, right, &rest, depth)
            }
            Form::Assign { left, right } => {
                let value = self.value(right, depth);
                self.assign(left, &value, depth);
                value
            }
            Form::AssignWith { left, operator, right } => {
                self.assign_with(node, left, operator, right, depth)
            }
            Form::For { left, right, body } => {
                self.for_each(left, right, body, depth);
                Value::default()
            }
            Form::While { ending, parts, body } => {
                self.while_loop(ending, &parts, body, depth);
                Value::default()
            }
            Form::Return(value) => {
                let value = value.map_or_else(Value::default, |value| self.value(value, depth));
                // Of several, the one that is known tells the most.
                if self.returned.as_ref().is_none_or(Value::is_blank) {
                    self.returned = Some(value);
                }
                Value::default()
            }
            Form::Yield(value) => {
                let value = value.map_or_else(Value::default, |value| self.value(value, depth));
                self.yielded.push(value);
                Value::default()
            }
            Form::Delete => Value::default(),
            Form::Import(names) => {
                for (local, qualified) in names {
                    if local == b"*" {
                        library::import_all(self, &qualified);
                    } else {
                        let value = library::imported(self.language, &qualified);
                        self.set(&local, value);
                    }
                }
                Value::default()
            }
            Form::ImportText { clause, source } => {
                let module = self.value(source, depth);
                let module = library::node_module(&module);
                if let Some(clause) = clause {
                    for one in super::parse::children(clause) {
                        self.assign(one, &module, depth);
                    }
                }
                Value::default()
            }
            Form::Inside => self.statements(node, depth),
        }
    }

    /// All that stands in a node. Functions are known from its beginning.
    pub(super) fn statements(&mut self, node: Node<'t>, depth: usize) -> Value {
        let nodes = super::parse::children(node);
        for one in &nodes {
            if matches!(one.kind(), "function_declaration" | "function_definition")
                && let Form::Function { name: Some(name), .. } = self.form(*one)
            {
                let function = self.function(*one);
                self.set(name, function);
            }
        }
        nodes.into_iter().fold(Value::default(), |_, node| self.value(node, depth))
    }

    pub(super) fn set(&mut self, name: &[u8], value: Value) {
        self.scope.insert(name.to_vec(), value);
    }

    pub(super) fn look_up(&mut self, name: &[u8]) -> Option<Value> {
        let value = self.scope.get(name)?;
        let weight = value.weight();
        // Copying what is large costs, even where each place is looked at once.
        if weight > 64 {
            let left = self.repeats.checked_sub(weight / 16)?;
            self.repeats = left;
        }
        self.scope.get(name).cloned()
    }

    fn name(&mut self, name: &[u8]) -> Value {
        if let Some(value) = self.look_up(name) {
            return value;
        }
        let name = String::from_utf8_lossy(name);
        library::constant(self.language, &name).unwrap_or_else(|| Value::named(name))
    }

    fn literal(&mut self, pieces: Vec<Piece<'t>>, depth: usize) -> Value {
        let mut text = Vec::new();
        let mut origin = Origin::NONE;
        for piece in pieces {
            match piece {
                Piece::Known(known) => text.extend(known),
                Piece::Part(node) => {
                    let value = self.value(node, depth);
                    origin = origin.with(value.origin);
                    if text.len() <= super::value::LONGEST_TEXT {
                        text.extend(value.to_text());
                    }
                }
            }
        }
        Value::text_from(text, origin)
    }

    /// A chain of operators is followed without recursion: pieces by the hundred are common
    /// where a text is to be hidden.
    fn binary(&mut self, node: Node<'t>, depth: usize) -> Value {
        let mut chain = Vec::new();
        let mut first = node;
        while let Form::Binary { operator, left, right } = self.form(first) {
            chain.push((operator, right, first));
            first = left;
        }
        let mut value = self.value(first, depth);
        for (operator, right, whole) in chain.into_iter().rev() {
            let right = self.value(right, depth);
            if operator == b"*" {
                library::allocation(self, constant::size_of_repeat(&value, &right), whole);
            }
            match (&mut value.kind, &right.kind) {
                (Kind::Text(text), Kind::Text(more))
                    if operator == b"+"
                        && text.len() + more.len() <= super::value::LONGEST_TEXT =>
                {
                    text.extend(more);
                    value.origin = value.origin.with(right.origin);
                }
                _ => value = constant::binary(operator, &value, &right),
            }
        }
        value
    }

    fn unary(&mut self, operator: &[u8], operand: Node<'t>, depth: usize) -> Value {
        let value = self.value(operand, depth);
        match (operator, value.as_number()) {
            (b"-", Some(number)) => number.checked_neg().map_or_else(Value::default, Value::number),
            (b"+", Some(_)) => value,
            (b"~", Some(number)) => Value::number(!number),
            _ => Value::unknown(value.origin),
        }
    }

    /// One of several: the first that is known.
    fn choice(&mut self, nodes: &[Node<'t>], depth: usize) -> Value {
        let mut chosen: Option<Value> = None;
        for node in nodes {
            let value = self.value(*node, depth);
            chosen = Some(match chosen {
                None => value,
                Some(before) if before.is_blank() && before.name().is_none() => {
                    value.from(before.origin)
                }
                Some(before) => before.from(value.origin),
            });
        }
        chosen.unwrap_or_default()
    }

    pub(super) fn spread(&mut self, items: &[Argument<'t>], depth: usize) -> Vec<Value> {
        let mut out = Vec::with_capacity(items.len().min(64));
        for item in items {
            let value = self.value(item.node, depth);
            match (&value.kind, item.spread) {
                (Kind::List(more), true) => out.extend(more.iter().cloned()),
                (_, true) => out.push(Value::text_from([UNKNOWN], value.origin)),
                (_, false) => out.push(value),
            }
        }
        out
    }

    fn map(&mut self, entries: Vec<(Key<'t>, Node<'t>)>, depth: usize) -> Value {
        let mut out = Vec::with_capacity(entries.len().min(64));
        for (key, node) in entries {
            let value = self.value(node, depth);
            match key {
                Key::Name(name) => out.push((name, value)),
                Key::Computed(key) => out.push((self.value(key, depth).to_text(), value)),
                Key::Spread => match value.kind {
                    Kind::Map(more) => out.extend(more),
                    _ => out.push((vec![UNKNOWN], value)),
                },
            }
        }
        Value::map(out)
    }

    fn member(&mut self, node: Node<'t>, object: Node<'t>, name: &[u8], depth: usize) -> Value {
        if let Some(value) = self.kept(node) {
            return value;
        }
        let object = self.value(object, depth);
        if let Some(value) = self.of_object(&object, name) {
            return value;
        }
        library::member(self.language, object, &String::from_utf8_lossy(name))
    }

    fn index(&mut self, node: Node<'t>, object: Node<'t>, index: Node<'t>, depth: usize) -> Value {
        if let Some(value) = self.kept(node) {
            return value;
        }
        let object = self.value(object, depth);
        let index = self.value(index, depth);
        library::index(self.language, object, &index)
    }

    /// The value that was put into a place such as `self.socket`.
    fn kept(&mut self, node: Node<'t>) -> Option<Value> {
        let place = text_of(node, self.source);
        if place.len() > LONGEST_PLACE { None } else { self.look_up(place) }
    }

    pub(super) fn assign(&mut self, target: Node<'t>, value: &Value, depth: usize) {
        if depth > DEEPEST || !self.spend(value.weight() / 16) {
            return;
        }
        match self.pattern(target) {
            Pattern::Name(name) | Pattern::Rest(name) | Pattern::RestNamed(name) => {
                self.set(name, value.clone());
            }
            Pattern::Place(place) => {
                let text = text_of(place, self.source);
                library::assigned(self, text, value, Self::range(target));
                self.put_into(place, value);
                if text.len() <= LONGEST_PLACE {
                    self.set(text, value.clone());
                }
            }
            Pattern::Items(items) => {
                for (at, item) in items.into_iter().enumerate() {
                    if let Pattern::Rest(name) = self.pattern(item) {
                        let rest = match &value.kind {
                            Kind::List(all) => Value::list(all.iter().skip(at).cloned().collect()),
                            _ => Value::unknown(value.origin),
                        };
                        self.set(name, rest);
                        continue;
                    }
                    let at = Value::number(i64::try_from(at).unwrap_or(i64::MAX));
                    let part = match &value.kind {
                        Kind::List(_) => constant::index(value, &at),
                        _ => Value::unknown(value.origin),
                    };
                    self.assign(item, &part, depth + 1);
                }
            }
            Pattern::Entries(entries) => {
                for (key, target) in entries {
                    let key = String::from_utf8_lossy(key);
                    let part = library::member(self.language, value.clone(), &key);
                    self.assign(target, &part, depth + 1);
                }
            }
            Pattern::Default(target, _) => self.assign(target, value, depth + 1),
            Pattern::Other => {}
        }
    }

    fn assign_with(
        &mut self,
        node: Node<'t>,
        left: Node<'t>,
        operator: &[u8],
        right: Node<'t>,
        depth: usize,
    ) -> Value {
        let before = self.value(left, depth);
        let right = self.value(right, depth);
        let grows = matches!(right.kind, Kind::Text(_) | Kind::List(_));
        if operator == b"+=" && grows || operator == b"*=" {
            library::growth(self, Self::range(node));
        }
        let value = constant::binary(operator, &before, &right);
        self.assign(left, &value, depth);
        value
    }
}
