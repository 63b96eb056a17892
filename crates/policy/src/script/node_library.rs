//! What the functions of JavaScript and Node mean.

use super::evaluate::Evaluator;
use super::library::Call;
use super::value::{Origin, Value};

/// The value of a name of a module.
pub(super) fn value(_name: &str) -> Option<Value> {
    None
}

/// A call of a function by its qualified name.
pub(super) fn call(
    _evaluator: &mut Evaluator<'_>,
    _name: &str,
    _call: &Call,
    _origin: Origin,
    _depth: usize,
) -> Option<Value> {
    None
}

/// A call of a method of a value.
pub(super) fn method(
    _evaluator: &mut Evaluator<'_>,
    _receiver: &Value,
    _name: &str,
    _call: &Call,
    _depth: usize,
) -> Option<Value> {
    None
}
