//! Loops and comprehensions: their bodies are followed for each item, as far as the budget goes.

use tree_sitter::Node;

use crate::effect::{EffectKind, Qualities, Target};

use super::evaluate::Evaluator;
use super::form::Ending;
use super::parse::text_of;
use super::value::Value;
use super::{constant, library};

/// A loop that the evaluation is in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Loop {
    /// Nothing in its text ends it.
    pub(super) endless: bool,
    /// It waits for something in every round.
    pub(super) paced: bool,
    /// It has very many rounds.
    pub(super) long: bool,
    /// It does not do the same in every round.
    pub(super) chooses: bool,
}

impl<'t> Evaluator<'t> {
    pub(super) fn for_each(
        &mut self,
        left: Node<'t>,
        right: Node<'t>,
        body: Node<'t>,
        depth: usize,
    ) {
        let over = self.value(right, depth);
        let items = constant::items(&over);
        let long = items.as_ref().map_or(over.name() == Some("range()"), |it| it.len() > 500);
        let endless = is_endless(&over);
        let text = text_of(body, self.source);
        let endless = endless && !library::ends(text);
        let chooses = library::chooses(text);
        self.loops.push(Loop { endless, paced: library::paced(text), long, chooses });
        match items {
            None => {
                self.assign(left, &Value::unknown(over.origin), depth);
                self.value(body, depth);
            }
            Some(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.repeating += usize::from(at > 0);
                    // Looking at the body's text again costs, too.
                    let go_on = self.spend(1 + text.len() / 64);
                    self.assign(left, item, depth);
                    if go_on || at == 0 {
                        self.value(body, depth);
                    }
                    self.repeating -= usize::from(at > 0);
                    if !go_on {
                        break;
                    }
                }
                if items.is_empty() {
                    self.value(body, depth);
                }
            }
        }
        self.loops.pop();
    }

    pub(super) fn comprehension(
        &mut self,
        body: Node<'t>,
        left: Node<'t>,
        right: Node<'t>,
        rest: &[Node<'t>],
        depth: usize,
    ) -> Value {
        let over = self.value(right, depth);
        let items = constant::items(&over).filter(|items| !items.is_empty());
        let long = over.name() == Some("range()");
        self.loops.push(Loop { long, endless: is_endless(&over), ..Loop::default() });
        let mut out = Vec::new();
        let items = items.unwrap_or_else(|| vec![Value::unknown(over.origin)]);
        for (at, item) in items.iter().enumerate() {
            self.repeating += usize::from(at > 0);
            self.assign(left, item, depth);
            let go_on = self.spend(1);
            for clause in rest {
                self.clause(*clause, depth);
            }
            if go_on || at == 0 {
                out.push(self.value(body, depth));
            }
            self.repeating -= usize::from(at > 0);
            if !go_on {
                break;
            }
        }
        self.loops.pop();
        Value::list(out).from(over.origin)
    }

    /// A further `for` of a comprehension: its first item stands for all.
    fn clause(&mut self, clause: Node<'t>, depth: usize) {
        let parts = (super::parse::field(clause, "left"), super::parse::field(clause, "right"));
        if let (Some(left), Some(right)) = parts {
            let over = self.value(right, depth);
            let first = constant::items(&over).and_then(|items| items.first().cloned());
            self.assign(left, &first.unwrap_or(Value::unknown(over.origin)), depth);
        } else {
            self.value(clause, depth);
        }
    }

    pub(super) fn while_loop(
        &mut self,
        ending: Ending,
        parts: &[Node<'t>],
        body: Option<Node<'t>>,
        depth: usize,
    ) {
        for part in parts {
            self.value(*part, depth);
        }
        let Some(body) = body else { return };
        let text = text_of(body, self.source);
        let endless = ending == Ending::Never && !library::ends(text);
        self.loops.push(Loop { endless, paced: library::paced(text), ..Loop::default() });
        if endless && library::is_idle(text) {
            let target = Target::Name("processor".to_owned());
            self.gather.effect(EffectKind::Exhaust, target, Qualities::NONE, Self::range(body));
        }
        self.value(body, depth);
        self.loops.pop();
    }
}

/// Whether a value gives one item after the other without end.
fn is_endless(over: &Value) -> bool {
    matches!(over.name(), Some("itertools.count()" | "itertools.cycle()" | "itertools.repeat()"))
}
