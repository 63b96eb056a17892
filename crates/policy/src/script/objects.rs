//! Classes of the program: what their methods and attributes are, by the names that the methods
//! themselves, and whoever makes an object, reach them by.

use tree_sitter::Node;

use super::Language;
use super::evaluate::Evaluator;
use super::form::Form;
use super::library::Call;
use super::parse::{children, field, text_of};
use super::value::{Kind, Origin, Value};

/// The most classes that take over what another class has.
const MOST_HEIRS: usize = 32;

impl<'t> Evaluator<'t> {
    /// A class. Its methods are functions; what else stands in it runs at once.
    pub(super) fn class(
        &mut self,
        name: Option<&'t [u8]>,
        bases: &[u8],
        body: Node<'t>,
        depth: usize,
    ) -> Value {
        let members: Vec<(&'t [u8], Node<'t>)> =
            children(body).into_iter().filter_map(|one| class_member(one, self.source)).collect();
        // A method named `open` does not stand for the function of that name elsewhere.
        let before: Vec<(&[u8], Option<Value>)> =
            members.iter().map(|(name, _)| (*name, self.scope.get(*name).cloned())).collect();
        self.statements(body, depth);
        let class = String::from_utf8_lossy(name.unwrap_or(b"?")).into_owned();
        self.requests(bases);
        self.inherited(bases, &class);
        for (member, node) in &members {
            let value = match self.form(*node) {
                Form::Function { .. } => self.function(*node),
                _ if self.language == Language::Python => {
                    self.scope.get(*member).cloned().unwrap_or_default()
                }
                _ => self.value(*node, depth),
            };
            self.member_of(&class, member, value);
        }
        for (name, value) in before {
            match value {
                Some(value) => self.set(name, value),
                None => {
                    self.scope.remove(name);
                }
            }
        }
        let value = Value::named(format!("class:{class}"));
        if let Some(name) = name {
            self.set(name, value.clone());
        }
        value
    }

    /// Makes a member known where its class, its objects and its own methods look for it.
    fn member_of(&mut self, class: &str, member: &[u8], value: Value) {
        if value.is_blank() && !matches!(value.kind, Kind::Function(_) | Kind::Named(_)) {
            return;
        }
        let own = match value.kind {
            Kind::Function(id) if self.takes_itself(id) => {
                let itself = Value::named(format!("object:{class}"));
                Value::bound(value.clone(), vec![itself], Vec::new())
            }
            _ => value.clone(),
        };
        let owners: &[&str] = match self.language {
            Language::Python => &["self", "cls"],
            _ => &["this"],
        };
        let object = format!("object:{class}");
        for owner in owners.iter().copied().chain([object.as_str()]) {
            let place = [owner.as_bytes(), b".", member].concat();
            self.set(&place, own.clone());
        }
        let place = [class.as_bytes(), b".", member].concat();
        self.set(&place, value);
    }

    /// Whether the first parameter of a method is the object.
    fn takes_itself(&self, id: usize) -> bool {
        let first = self.functions.get(id).and_then(|function| function.parameters.first());
        first.is_some_and(|first| matches!(text_of(*first, self.source), b"self" | b"cls"))
    }

    /// Members of the classes that a class is derived from.
    fn inherited(&mut self, bases: &[u8], class: &str) {
        let Some(base) = bases
            .split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
            .find(|word| !word.is_empty() && *word != b"extends")
        else {
            return;
        };
        // Each looks through all names that are known.
        if self.heirs >= MOST_HEIRS {
            return;
        }
        self.heirs += 1;
        let start = [b"object:".as_slice(), base, b"."].concat();
        let members: Vec<(Vec<u8>, Value)> = self
            .scope
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(start.as_slice())?, value)))
            .map(|(name, value)| (name.to_vec(), value.clone()))
            .take(64)
            .collect();
        for (member, value) in members {
            let place = [b"object:".as_slice(), class.as_bytes(), b".", &member].concat();
            self.set(&place, value);
        }
    }

    /// Handlers of requests have what a client sent.
    fn requests(&mut self, bases: &[u8]) {
        let derived = |name: &[u8]| bases.windows(name.len()).any(|window| window == name);
        let places: &[&[u8]] = if derived(b"HTTPRequestHandler") {
            &[b"self.path", b"self.rfile", b"self.headers", b"self.requestline"]
        } else if derived(b"RequestHandler") {
            &[b"self.request", b"self.rfile"]
        } else {
            return;
        };
        for place in places {
            self.set(place, Value::unknown(Origin::NETWORK));
        }
    }

    /// A member of an object of the program.
    pub(super) fn of_object(&mut self, object: &Value, name: &[u8]) -> Option<Value> {
        let label = object.name()?;
        if !label.starts_with("object:") {
            return None;
        }
        let place = [label.as_bytes(), b".", name].concat();
        let own: &[u8] = if self.language == Language::Python { b"self." } else { b"this." };
        self.look_up(&place).or_else(|| self.look_up(&[own, name].concat()))
    }

    /// An object is made: what makes it gets what is given.
    pub(super) fn new_object(&mut self, class: &str, call: &Call, depth: usize) -> Value {
        let object = Value::named(class.replacen("class:", "object:", 1));
        let maker: &[u8] =
            if self.language == Language::Python { b"__init__" } else { b"constructor" };
        if let Some(maker) = self.of_object(&object, maker) {
            self.dispatch(&maker, call, depth);
        }
        object
    }
}

/// The name of a member of a class, and its value or its function.
fn class_member<'t>(node: Node<'t>, source: &'t [u8]) -> Option<(&'t [u8], Node<'t>)> {
    let named = |node: Node<'t>, key: &str| field(node, key).map(|name| text_of(name, source));
    match node.kind() {
        "function_definition" | "method_definition" => Some((named(node, "name")?, node)),
        "decorated_definition" => {
            let inner = field(node, "definition")?;
            (inner.kind() == "function_definition").then_some(())?;
            Some((named(inner, "name")?, inner))
        }
        "expression_statement" => {
            let inner = children(node).first().copied().filter(|one| one.kind() == "assignment")?;
            let left = field(inner, "left").filter(|left| left.kind() == "identifier")?;
            Some((text_of(left, source), field(inner, "right")?))
        }
        "field_definition" => Some((named(node, "property")?, field(node, "value")?)),
        _ => None,
    }
}
