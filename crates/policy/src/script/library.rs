//! What names, members and calls mean: the parts that Python and JavaScript share.

use tree_sitter::Node;

use crate::effect::{EffectKind, Qualities, Target, UNKNOWN};
use crate::source_range::SourceRange;

use super::evaluate::Evaluator;
use super::value::{Kind, Origin, Value};
use super::{Language, constant, node_library, python_library, secret_names};

/// A call with its values.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) given: Vec<Value>,
    pub(super) named: Vec<(Vec<u8>, Value)>,
    pub(super) range: SourceRange,
}

impl Call {
    /// An argument by its place or its name.
    pub(super) fn argument(&self, at: usize, name: &str) -> Value {
        self.given.get(at).cloned().or_else(|| self.keyword(name)).unwrap_or_default()
    }

    pub(super) fn keyword(&self, name: &str) -> Option<Value> {
        self.named.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value.clone())
    }

    pub(super) fn first(&self) -> Value {
        self.given.first().cloned().unwrap_or_default()
    }

    pub(super) fn second(&self) -> Value {
        self.given.get(1).cloned().unwrap_or_default()
    }

    /// Where everything that is given comes from.
    pub(super) fn origin(&self) -> Origin {
        let named = self.named.iter().map(|(_, value)| value);
        self.given.iter().chain(named).fold(Origin::NONE, |all, one| all.with(one.origin))
    }
}

/// Allocations from this size on are no work.
const HUGE: i64 = 4 << 30;

/// Functions that are looked for among the names of somebody else's module.
const OF_OS: [&str; 8] =
    ["system", "popen", "execv", "execve", "execvp", "spawnl", "remove", "unlink"];

/// A name that the program has not set.
pub(super) fn constant(language: Language, name: &str) -> Option<Value> {
    match (language, name) {
        // Where the program stands is not known; its folder is taken to have parents.
        (Language::Python, "__file__") => Some(Value::text("./\0/\0/\0/\0")),
        (Language::JavaScript, "__dirname") => Some(Value::text("./\0/\0/\0")),
        (Language::JavaScript, "__filename") => Some(Value::text("./\0/\0/\0/\0")),
        _ => None,
    }
}

/// Names that mean the same, in one spelling.
fn plain(language: Language, name: &str) -> String {
    let prefixes: &[&str] = match language {
        Language::Python => &["builtins.", "__builtins__.", "__builtin__.", "six.moves."],
        _ => &["globalThis.", "global.", "window.", "self.", "node:"],
    };
    let mut name = name;
    while let Some(rest) = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    let same: &[(&str, &str)] = match language {
        Language::Python => &[
            ("posixpath.", "os.path."),
            ("posix.", "os."),
            ("nt.", "os."),
            ("pathlib.PosixPath", "pathlib.Path"),
            ("urllib2.", "urllib.request."),
            ("commands.", "subprocess."),
            ("os.popen2", "os.popen"),
        ],
        _ => &[
            ("process.mainModule.require", "require"),
            ("module.require", "require"),
            ("module.constructor._load", "require"),
            ("process.getBuiltinModule", "require"),
            ("fs/promises.", "fs.promises."),
            ("require().", ""),
        ],
    };
    for (from, to) in same {
        if let Some(rest) = name.strip_prefix(from) {
            return format!("{to}{rest}");
        }
    }
    name.to_owned()
}

/// `object.name`
pub(super) fn member(language: Language, object: Value, name: &str) -> Value {
    let origin = object.origin;
    if name == "__globals__" {
        return Value::named_from("globals()", origin);
    }
    match &object.kind {
        Kind::Named(before) => {
            if name == "__dict__" || name == "default" && language == Language::JavaScript {
                return object;
            }
            if before == "globalThis" || before == "builtins" || before == "__builtins__" {
                return Value::named_from(name, origin);
            }
            let name = plain(language, &format!("{before}.{name}"));
            let known = match language {
                Language::Python => python_library::value(&name),
                _ => node_library::value(&name),
            };
            known.unwrap_or_else(|| Value::named(name)).from(origin)
        }
        Kind::Map(entries) => match constant::entry(entries, name.as_bytes()) {
            Some(value) => value,
            None => method(object, name),
        },
        Kind::Text(text) if name == "length" => {
            Value::number(i64::try_from(text.len()).unwrap_or(i64::MAX))
        }
        Kind::List(items) if name == "length" => {
            Value::number(i64::try_from(items.len()).unwrap_or(i64::MAX))
        }
        Kind::Path(path) => match name {
            "parent" => {
                let kept = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                let parent = path.get(..kept).unwrap_or_default().to_vec();
                Value {
                    kind: Kind::Path(if parent.is_empty() { b".".to_vec() } else { parent }),
                    origin,
                }
            }
            "name" | "stem" | "suffix" | "parts" => Value::text_from([UNKNOWN], origin),
            "path" | "parents" => object,
            _ => method(object, name),
        },
        _ => method(object, name),
    }
}

fn method(object: Value, name: &str) -> Value {
    let origin = object.origin;
    Value { kind: Kind::Method(Box::new(object), name.to_owned()), origin }
}

/// `object[index]`
pub(super) fn index(language: Language, object: Value, index: &Value) -> Value {
    match (&object.kind, &index.kind) {
        (Kind::Named(before), Kind::Text(name)) => {
            let name = String::from_utf8_lossy(name).into_owned();
            match before.as_str() {
                "globals()" if OF_OS.contains(&name.as_str()) => {
                    Value::named_from(format!("os.{name}"), object.origin)
                }
                "globals()" | "locals()" | "vars()" | "sys.modules" => {
                    Value::named_from(plain(language, &name), object.origin)
                }
                "os.environ" | "process.env" => environment(&name),
                _ => member(language, object, &name),
            }
        }
        (Kind::Named(_), _) if language == Language::Python => {
            Value::unknown(object.origin.with(Origin::NONE))
        }
        (Kind::Named(before), Kind::Number(_)) => Value::named_from(before.clone(), object.origin),
        (Kind::Path(_), Kind::Number(_)) => object,
        // A text is asked for a member by its name: ""["constructor"].
        (
            Kind::Text(_) | Kind::Function(_) | Kind::List(_) | Kind::Unknown | Kind::Method(..),
            Kind::Text(name),
        ) if language == Language::JavaScript => {
            let name = String::from_utf8_lossy(name).into_owned();
            member(language, object, &name)
        }
        _ => constant::index(&object, index),
    }
}

/// The value of an environment variable.
pub(super) fn environment(name: &str) -> Value {
    match name {
        "HOME" | "USERPROFILE" => Value::text("~"),
        "PWD" => Value::text("."),
        "TMPDIR" | "TEMP" | "TMP" => Value::text("/tmp"),
        "SHELL" => Value::text("/bin/sh"),
        _ => Value::text([UNKNOWN]),
    }
}

/// The module that an `import` of JavaScript names.
pub(super) fn node_module(source: &Value) -> Value {
    match source.as_text() {
        Some(text) if !text.contains(&UNKNOWN) => {
            let name = String::from_utf8_lossy(text).into_owned();
            let name = name.strip_prefix("node:").unwrap_or(&name);
            Value::named(if name == "fs/promises" { "fs.promises" } else { name })
        }
        _ => Value::unknown(source.origin),
    }
}

/// What a name of a module means that was imported.
pub(super) fn imported(language: Language, qualified: &str) -> Value {
    let known = match language {
        Language::Python => python_library::value(qualified),
        _ => node_library::value(qualified),
    };
    known.unwrap_or_else(|| Value::named(qualified))
}

/// `from module import *`
pub(super) fn import_all(evaluator: &mut Evaluator<'_>, module: &str) {
    for name in python_library::exports(module) {
        evaluator.set(name.as_bytes(), Value::named(format!("{module}.{name}")));
    }
}

/// Calls something that is no function of the program.
pub(super) fn call(
    evaluator: &mut Evaluator<'_>,
    callee: &Value,
    call: &Call,
    depth: usize,
) -> Value {
    let language = evaluator.language;
    match &callee.kind {
        Kind::Named(name) => {
            let name = plain(language, name);
            if language == Language::JavaScript
                && let Some(function) = name.strip_suffix(".bind")
            {
                let given = call.given.get(1..).unwrap_or_default().to_vec();
                return Value::bound(Value::named_from(function, callee.origin), given, Vec::new());
            }
            let known = match language {
                Language::Python => {
                    python_library::call(evaluator, &name, call, callee.origin, depth)
                }
                _ => node_library::call(evaluator, &name, call, callee.origin, depth),
            };
            if known.is_none()
                && let Some((_, method)) = name.rsplit_once('.')
            {
                secret_sent(evaluator, method, call);
            }
            known.unwrap_or_else(|| {
                Value::named_from(format!("{name}()"), callee.origin.with(call.origin()))
            })
        }
        Kind::Method(receiver, name) => method_call(evaluator, receiver, name, call, depth),
        _ => Value::unknown(callee.origin.with(call.origin())),
    }
}

fn method_call(
    evaluator: &mut Evaluator<'_>,
    receiver: &Value,
    name: &str,
    call: &Call,
    depth: usize,
) -> Value {
    if let Kind::Function(id) = receiver.kind {
        return match name {
            "call" => {
                let given = call.given.get(1..).unwrap_or_default();
                evaluator.invoke(id, given, Origin::NONE, depth)
            }
            "bind" => {
                let given = call.given.get(1..).unwrap_or_default().to_vec();
                Value::bound(receiver.clone(), given, Vec::new())
            }
            _ => evaluator.invoke(id, &[], receiver.origin, depth),
        };
    }
    if matches!(name, "append" | "push" | "extend" | "add" | "unshift") {
        growth(evaluator, call.range);
    }
    let function = call.given.first().filter(|one| {
        matches!(&one.kind, Kind::Function(_) | Kind::Bound(..))
            || one.name().is_some_and(|name| name.contains('.'))
    });
    if let (Some(function), Some(items)) = (function, constant::items(receiver))
        && matches!(name, "map" | "forEach" | "flatMap" | "reduce")
    {
        let mut out = Vec::new();
        let mut sum = call.given.get(1).cloned();
        for item in items {
            let given = match (name, &sum) {
                ("reduce", Some(sum)) => vec![sum.clone(), item],
                ("reduce", None) => {
                    sum = Some(item);
                    continue;
                }
                _ => vec![item],
            };
            let inner = Call { given, named: Vec::new(), range: call.range };
            let value = evaluator.dispatch(function, &inner, depth).from(receiver.origin);
            if name == "reduce" { sum = Some(value) } else { out.push(value) }
        }
        return if name == "reduce" { sum.unwrap_or_default() } else { Value::list(out) };
    }
    if let ("format", Some(text)) = (name, receiver.as_text())
        && !call.named.is_empty()
    {
        let text = with_names(text, &call.named);
        let filled = Value::text_from(text, receiver.origin.with(call.origin()));
        return constant::method(&filled, name, &call.given).unwrap_or(filled);
    }
    if let Some(value) = constant::method(receiver, name, &call.given) {
        return value;
    }
    let known = match evaluator.language {
        Language::Python => python_library::method(evaluator, receiver, name, call),
        _ => node_library::method(evaluator, receiver, name, call, depth),
    };
    if known.is_none() {
        secret_sent(evaluator, name, call);
    }
    known.unwrap_or_else(|| Value::unknown(receiver.origin.with(call.origin())))
}

/// A file with secrets that is handed to a client nobody described: `sftp.put(key, "/tmp/k")`.
fn secret_sent(evaluator: &mut Evaluator<'_>, name: &str, call: &Call) {
    let sends = match name {
        "put" => call.given.len() == 2,
        "upload"
        | "upload_file"
        | "uploadFile"
        | "put_file"
        | "putFile"
        | "fput_object"
        | "fPutObject"
        | "upload_from_filename"
        | "fastPut"
        | "send_file" => true,
        _ => false,
    };
    let files = || call.given.iter().chain(call.named.iter().map(|(_, value)| value));
    if sends && files().any(|file| super::secret_names::is_secret(&file.to_text())) {
        send(evaluator, &Value::default(), Origin::SECRET, call.range);
    }
}

/// `"{tool} {place}"`, with those that are named.
fn with_names(text: &[u8], named: &[(Vec<u8>, Value)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let found = named.iter().find_map(|(name, value)| {
            let behind = after.strip_prefix(name.as_slice())?;
            let end = behind.strip_prefix(b"}")?;
            (*byte == b'{').then(|| (value.to_text(), end))
        });
        match found {
            Some((value, end)) if out.len() <= super::value::LONGEST_TEXT => {
                out.extend(value);
                rest = end;
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    out
}

/// The content of a file.
pub(super) fn content(path: &[u8], origin: Origin) -> Value {
    let secret = secret_names::is_secret(path) || origin.has(Origin::SECRET);
    let from = if secret { Origin::FILE.with(Origin::SECRET) } else { Origin::FILE };
    Value::unknown(from.with(origin.without(Origin::PARAMETER)))
}

/// Data is sent to an address.
pub(super) fn send(
    evaluator: &mut Evaluator<'_>,
    address: &Value,
    data: Origin,
    range: SourceRange,
) {
    let secrets = Origin::SECRET.with(Origin::ENVIRONMENT).with(Origin::WATCHED);
    let qualities = Qualities::NONE.with_if(data.has_any(secrets), Qualities::WITH_SECRETS);
    evaluator.gather.effect(EffectKind::Send, host(address), qualities, range);
}

pub(super) fn fetch(evaluator: &mut Evaluator<'_>, address: &Value, range: SourceRange) -> Value {
    let secrets = Origin::SECRET.with(Origin::ENVIRONMENT).with(Origin::WATCHED);
    if address.origin.has_any(secrets) {
        send(evaluator, address, address.origin, range);
    } else {
        evaluator.gather.effect(EffectKind::Fetch, host(address), Qualities::NONE, range);
    }
    Value::unknown(Origin::NETWORK)
}

/// The other side of a connection.
pub(super) fn host(address: &Value) -> Target {
    let text = match &address.kind {
        Kind::List(items) => {
            let parts: Vec<Vec<u8>> = items.iter().map(Value::to_text).collect();
            parts.join(&b':')
        }
        Kind::Text(text) => text.clone(),
        Kind::Map(entries) => ["hostname", "host", "url"]
            .iter()
            .find_map(|key| constant::entry(entries, key.as_bytes()))
            .map_or_else(|| vec![UNKNOWN], |value| value.to_text()),
        _ => vec![UNKNOWN],
    };
    Target::Host(String::from_utf8_lossy(&text).into_owned())
}

/// A process is started: without end, it is a bomb.
pub(super) fn process_started(evaluator: &mut Evaluator<'_>, range: SourceRange) {
    let bomb = evaluator.loops.iter().any(|one| one.endless && !one.paced || one.long);
    if bomb {
        evaluator.gather.bomb(range);
    }
    let inside = evaluator.calls.last().copied();
    evaluator.gather.forked(inside, range);
}

/// Something grows: without end, it takes all memory.
pub(super) fn growth(evaluator: &mut Evaluator<'_>, range: SourceRange) {
    // A loop in a loop that begins anew each time grows nothing without end.
    if evaluator.loops.last().is_some_and(|one| one.endless && !one.paced) {
        let name = Target::Name("memory".to_owned());
        evaluator.gather.effect(EffectKind::Exhaust, name, Qualities::ENDLESS, range);
    }
}

/// Output or files without end.
pub(super) fn output(evaluator: &mut Evaluator<'_>, what: &str, range: SourceRange) {
    if evaluator.loops.iter().any(|one| one.endless && !one.paced) {
        let name = Target::Name(what.to_owned());
        evaluator.gather.effect(EffectKind::Exhaust, name, Qualities::ENDLESS, range);
    }
}

/// So many bytes are asked for.
pub(super) fn allocation(evaluator: &mut Evaluator<'_>, size: Option<i64>, node: Node<'_>) {
    allocated(evaluator, size, SourceRange::new(node.start_byte(), node.end_byte()));
}

pub(super) fn allocated(evaluator: &mut Evaluator<'_>, size: Option<i64>, range: SourceRange) {
    if size.is_some_and(|size| size >= HUGE) {
        evaluator.gather.named(EffectKind::Exhaust, "memory", range);
    }
}

/// `place = value`
pub(super) fn assigned(
    evaluator: &mut Evaluator<'_>,
    place: &[u8],
    value: &Value,
    range: SourceRange,
) {
    let insecure = place.windows(28).any(|window| window == b"NODE_TLS_REJECT_UNAUTHORIZED");
    if insecure && value.to_text() == b"0" {
        evaluator.gather.named(EffectKind::Weaken, "checks of certificates", range);
    }
}

/// Only so much of a body is searched: loops stand in loops.
const SEARCHED: usize = 4096;

fn mentions(text: &[u8], words: &[&[u8]]) -> bool {
    let text = text.get(..SEARCHED).unwrap_or(text);
    words.iter().any(|word| text.windows(word.len()).any(|window| window == *word))
}

/// Whether the body of a loop asks something before it acts.
pub(super) fn chooses(body: &[u8]) -> bool {
    mentions(body, &[b"if ", b"if("])
}

/// Whether the body of a loop says how it ends.
pub(super) fn ends(body: &[u8]) -> bool {
    mentions(body, &[b"break", b"return", b"exit(", b"raise", b"throw ", b"yield"])
}

/// Whether the body of a loop waits for something.
pub(super) fn paced(body: &[u8]) -> bool {
    let words: &[&[u8]] = &[
        b"sleep",
        b"recv",
        b"accept",
        b"input(",
        b"await ",
        b"readline",
        b".get(",
        b"wait(",
        b"poll(",
        b"select(",
        b".join()",
        b".read(",
        b"waitpid",
        b"next(",
    ];
    mentions(body, words)
}

/// Whether the body of a loop does nothing.
pub(super) fn is_idle(body: &[u8]) -> bool {
    let bare: Vec<u8> = body
        .iter()
        .take(200)
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace() && !b"{};".contains(byte))
        .collect();
    matches!(bare.as_slice(), b"" | b"pass" | b"continue")
}
