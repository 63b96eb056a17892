//! Calls of functions: those of the program are followed with what they are given, and so is what
//! is handed over to others to be called.

use tree_sitter::Node;

use super::evaluate::{Evaluator, Function, LONGEST_PLACE};
use super::form::{Argument, Form, FunctionId, Pattern};
use super::library::{self, Call};
use super::parse::text_of;
use super::value::{Kind, Origin, Value};
use super::{Language, constant};

/// How deep functions are followed into functions.
const DEEPEST_CALL: usize = 6;
/// The most items that a function is called for, one after the other.
const MOST_ITEMS: usize = 64;
/// How many of the arguments are looked at for functions, and how far what they are given is:
/// functions that are given functions would be followed without end.
const MOST_HANDED: usize = 2;
const DEEPEST_HANDED: usize = 2;
/// How many arguments of a call go on to what is handed over.
const MOST_GIVEN: usize = 16;
/// The most items of a list that grows while the program is followed.
const LONGEST_LIST: usize = 256;

impl<'t> Evaluator<'t> {
    pub(super) fn call(
        &mut self,
        node: Node<'t>,
        function: Node<'t>,
        arguments: &[Argument<'t>],
        depth: usize,
    ) -> Value {
        let callee = self.value(function, depth);
        let mut call = Call {
            given: Vec::with_capacity(arguments.len().min(64)),
            named: Vec::new(),
            range: Self::range(node),
        };
        for argument in arguments {
            if let Some(name) = argument.name {
                let value = self.value(argument.node, depth);
                call.named.push((name.to_vec(), value));
                continue;
            }
            if argument.spread && self.is_named_spread(argument.node) {
                if let Kind::Map(entries) = self.value(argument.node, depth).kind {
                    call.named.extend(entries);
                }
                continue;
            }
            let given = self.spread(std::slice::from_ref(argument), depth);
            call.given.extend(given);
        }
        self.change_receiver(function, &call);
        self.dispatch(&callee, &call, depth)
    }

    /// `**options`
    fn is_named_spread(&self, node: Node<'t>) -> bool {
        let start = node.start_byte();
        let before = start.checked_sub(2).and_then(|from| self.source.get(from..start));
        self.language == Language::Python && before == Some(b"**")
    }

    /// A list or a map that a method adds to, and an object that takes something secret.
    fn change_receiver(&mut self, function: Node<'t>, call: &Call) {
        let Form::Member { object, name } = self.form(function) else { return };
        let place = text_of(object, self.source);
        if place.len() > LONGEST_PLACE || matches!(place, b"self" | b"this" | b"cls") {
            return;
        }
        // What is changed again and again is paid for by its size.
        let weight = self.scope.get(place).map_or(0, |value| match value.kind {
            Kind::List(_) | Kind::Map(_) => value.weight(),
            _ => 0,
        });
        if !self.spend(weight / 4) {
            return;
        }
        let Some(value) = self.scope.get_mut(place) else { return };
        value.origin = value.origin.with(call.origin().secrets());
        let origin = value.origin;
        match &mut value.kind {
            Kind::List(items) if items.len() < LONGEST_LIST => {
                match name {
                    b"append" | b"push" | b"add" => items.extend(call.given.iter().cloned()),
                    b"extend" => match constant::items(&call.first()) {
                        Some(more) => items.extend(more.into_iter().take(LONGEST_LIST)),
                        None => return,
                    },
                    b"unshift" => {
                        items.splice(..0, call.given.iter().cloned());
                    }
                    b"insert" => {
                        let at = call.first().as_number().and_then(|at| usize::try_from(at).ok());
                        items.insert(at.unwrap_or(items.len()).min(items.len()), call.second());
                    }
                    _ => return,
                }
                *value = Value::list(std::mem::take(items)).from(origin);
            }
            Kind::Map(entries) if entries.len() < LONGEST_LIST && name == b"update" => {
                if let Kind::Map(more) = call.first().kind {
                    entries.extend(more);
                }
                entries.extend(call.named.iter().cloned());
                *value = Value::map(std::mem::take(entries)).from(origin);
            }
            _ => {}
        }
    }

    /// What holds a place that something secret is put into holds it, too.
    pub(super) fn put_into(&mut self, place: Node<'t>, value: &Value) {
        let (Form::Member { object, .. } | Form::Index { object, .. }) = self.form(place) else {
            return;
        };
        let object = text_of(object, self.source);
        if object.len() > LONGEST_PLACE || matches!(object, b"self" | b"this" | b"cls") {
            return;
        }
        if let Some(holder) = self.scope.get_mut(object) {
            holder.origin = holder.origin.with(value.origin.secrets());
        }
    }

    /// Calls a value.
    pub(super) fn dispatch(&mut self, callee: &Value, call: &Call, depth: usize) -> Value {
        let value = match &callee.kind {
            Kind::Function(id) => {
                return self.invoke_named(*id, &call.given, &call.named, Origin::NONE, depth);
            }
            Kind::Bound(inner, given, named) => {
                let call = Call {
                    given: given.iter().chain(&call.given).cloned().collect(),
                    named: named.iter().chain(&call.named).cloned().collect(),
                    range: call.range,
                };
                return self.dispatch(inner, &call, depth);
            }
            Kind::Named(name) if name.starts_with("class:") => {
                return self.new_object(name, call, depth);
            }
            _ => library::call(self, callee, call, depth),
        };
        self.handed_over(callee, call, value.origin, depth);
        value
    }

    /// A function that is handed over is called with what stands behind it, and with what its
    /// caller has.
    fn handed_over(&mut self, callee: &Value, call: &Call, result: Origin, depth: usize) {
        let name = match &callee.kind {
            Kind::Named(name) => name.rsplit('.').next().unwrap_or_default(),
            Kind::Method(_, name) => name.as_str(),
            _ => "",
        };
        let served = callee.name().is_some_and(serves_requests);
        let origin = callee.origin.with(result);
        let origin = if served { origin.with(Origin::NETWORK) } else { origin };
        for (_, argument) in &call.named {
            if let Kind::Function(id) = argument.kind {
                self.invoke(id, &[], origin, depth);
            }
        }
        for (at, argument) in call.given.iter().enumerate() {
            let behind = call.given.get(at + 1..).unwrap_or_default();
            match &argument.kind {
                Kind::Function(id) if self.language != Language::Python || behind.is_empty() => {
                    self.invoke(*id, &[], origin, depth);
                }
                Kind::Bound(..) if behind.is_empty() => {
                    let inner = Call { range: call.range, ..Call::default() };
                    self.dispatch(argument, &inner, depth);
                }
                Kind::Function(_) | Kind::Bound(..) | Kind::Named(_)
                    if self.language == Language::Python
                        && at < MOST_HANDED
                        && self.handing < DEEPEST_HANDED
                        && !behind.is_empty()
                        && is_action(argument)
                        && calls_what_it_gets(name) =>
                {
                    self.handing += 1;
                    for given in groups(name, behind) {
                        let inner = Call { given, named: Vec::new(), range: call.range };
                        self.dispatch(argument, &inner, depth);
                    }
                    self.handing -= 1;
                }
                _ => {}
            }
        }
    }

    /// The function at a node.
    pub(super) fn function(&mut self, node: Node<'t>) -> Value {
        let next = self.functions.len();
        let id = *self.identities.entry(node.id()).or_insert(next);
        if id == next
            && let Form::Function { parameters, body, .. } = self.form(node)
        {
            let separates = |one: &Node<'_>| {
                matches!(one.kind(), "keyword_separator" | "positional_separator" | "comment")
            };
            let parameters = parameters.into_iter().filter(|one| !separates(one)).collect();
            let served = self.is_served(node);
            self.functions.push(Function { parameters, body, seen: false, served });
        }
        Value { kind: Kind::Function(id), origin: Origin::NONE }
    }

    /// `@app.get("/x")`: the function answers requests.
    fn is_served(&self, node: Node<'t>) -> bool {
        const MARKS: [&[u8]; 6] =
            [b".get(", b".post(", b".put(", b".delete(", b".route(", b".websocket("];
        // Only Python has decorators, and to go up takes longer the deeper a node lies.
        if self.language != Language::Python {
            return false;
        }
        let Some(outer) = node.parent().filter(|it| it.kind() == "decorated_definition") else {
            return false;
        };
        let marks = self.source.get(outer.start_byte()..node.start_byte()).unwrap_or_default();
        MARKS.iter().any(|mark| marks.windows(mark.len()).any(|window| window == *mark))
    }

    /// Follows a call of a function of the program.
    pub(super) fn invoke(
        &mut self,
        id: FunctionId,
        given: &[Value],
        origin: Origin,
        depth: usize,
    ) -> Value {
        self.invoke_named(id, given, &[], origin, depth)
    }

    fn invoke_named(
        &mut self,
        id: FunctionId,
        given: &[Value],
        named: &[(Vec<u8>, Value)],
        origin: Origin,
        depth: usize,
    ) -> Value {
        if self.calls.contains(&id) {
            self.gather.recursion(id);
            return Value::default();
        }
        if self.calls.len() >= DEEPEST_CALL || self.repeats == 0 {
            return Value::default();
        }
        self.repeating += 1;
        let value = self.enter(id, given, named, origin, depth);
        self.repeating -= 1;
        if self.repeats > 0
            && let Some(function) = self.functions.get_mut(id)
        {
            function.seen = true;
        }
        value
    }

    pub(super) fn enter(
        &mut self,
        id: FunctionId,
        given: &[Value],
        named: &[(Vec<u8>, Value)],
        origin: Origin,
        depth: usize,
    ) -> Value {
        let Some(function) = self.functions.get(id) else { return Value::default() };
        let (parameters, body) = (function.parameters.clone(), function.body);
        let before = self.returned.take();
        let given_before = std::mem::take(&mut self.yielded);
        let kept: Vec<(Vec<u8>, Option<Value>)> = parameters
            .iter()
            .filter_map(|parameter| self.parameter_name(*parameter))
            .map(|name| {
                let value = self.scope.get(name).cloned();
                (name.to_vec(), value)
            })
            .collect();
        self.calls.push(id);
        self.gather.entered(id);
        for (at, parameter) in parameters.iter().enumerate() {
            self.bind(*parameter, given.get(at..).unwrap_or_default(), named, origin, depth);
        }
        let value = self.value(body, depth);
        self.calls.pop();
        self.gather.left();
        for (name, value) in kept {
            match value {
                Some(value) => self.scope.insert(name, value),
                None => self.scope.remove(&name),
            };
        }
        let returned = std::mem::replace(&mut self.returned, before);
        let yielded = std::mem::replace(&mut self.yielded, given_before);
        match yielded.is_empty() {
            true => returned.unwrap_or(value),
            false => Value::list(yielded),
        }
    }

    fn parameter_name(&self, parameter: Node<'t>) -> Option<&'t [u8]> {
        match self.pattern(parameter) {
            Pattern::Name(name) | Pattern::Rest(name) | Pattern::RestNamed(name) => Some(name),
            Pattern::Default(name, _) => Some(text_of(name, self.source)),
            _ => None,
        }
    }

    /// Gives a parameter its value: the first of those that are left, or the one that is named.
    fn bind(
        &mut self,
        parameter: Node<'t>,
        given: &[Value],
        named: &[(Vec<u8>, Value)],
        origin: Origin,
        depth: usize,
    ) {
        let own = self.parameter_name(parameter).unwrap_or_default();
        let by_name = || named.iter().find(|(name, _)| name == own).map(|(_, value)| value);
        let nothing = given.is_empty() && named.is_empty();
        match self.pattern(parameter) {
            Pattern::Rest(name) if !nothing => self.set(name, Value::list(given.to_vec())),
            Pattern::RestNamed(name) if !named.is_empty() => {
                self.set(name, Value::map(named.to_vec()));
            }
            Pattern::Rest(name) | Pattern::RestNamed(name) => {
                self.set(name, Value::unknown(origin));
            }
            Pattern::Default(name, default) => match given.first().or_else(by_name) {
                Some(value) => self.assign(name, value, depth),
                None => {
                    let value = self.value(default, depth);
                    self.assign(name, &value.from(origin), depth);
                }
            },
            _ => match given.first().or_else(by_name) {
                Some(value) => self.assign(parameter, value, depth),
                None => self.assign(parameter, &Value::unknown(origin), depth),
            },
        }
    }
}

/// Whether a value is something that does something when it is called.
fn is_action(value: &Value) -> bool {
    match &value.kind {
        Kind::Function(_) | Kind::Bound(..) => true,
        Kind::Named(name) => name.contains('.') && !name.ends_with(')') && !name.contains(':'),
        _ => false,
    }
}

/// Whether a function of that name calls what it is given. Tests name functions that must not run.
fn calls_what_it_gets(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !["assert", "raises", "patch", "mock", "isinstance", "issubclass", "attr", "warns", "partial"]
        .iter()
        .any(|part| name.contains(part))
}

/// What a function is called with, each time.
fn groups(name: &str, behind: &[Value]) -> Vec<Vec<Value>> {
    let items = || behind.first().and_then(constant::items).unwrap_or_default();
    let name = name.trim_end_matches("_async").trim_end_matches("_unordered");
    match name {
        "map" | "imap" | "process_map" | "thread_map" => {
            items().into_iter().take(MOST_ITEMS).map(|item| vec![item]).collect()
        }
        "starmap" => items()
            .iter()
            .take(MOST_ITEMS)
            .map(|item| constant::items(item).unwrap_or_default())
            .collect(),
        "apply" | "Timer" | "start_new_thread" => vec![items()],
        _ => vec![behind.iter().take(MOST_GIVEN).cloned().collect()],
    }
}

/// Whether functions that are handed over get requests of clients.
fn serves_requests(name: &str) -> bool {
    const CREATE: [&str; 4] =
        ["http.createServer", "https.createServer", "http.Server", "http2.createServer"];
    const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "all", "use"];
    const SERVERS: [&str; 4] = ["server", "express.Router()", "fastify()", "Router()"];
    CREATE.contains(&name)
        || name
            .rsplit_once('.')
            .is_some_and(|(object, method)| SERVERS.contains(&object) && METHODS.contains(&method))
}
