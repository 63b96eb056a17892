//! What Python's names and functions mean: values, constants, and who does what else.

use crate::effect::UNKNOWN;

use super::evaluate::Evaluator;
use super::library::{self, Call};
use super::value::{Kind, Origin, Value};
use super::{constant, decode, python_files, python_network, python_processes};

/// The names that `from module import *` brings, as far as they do something.
pub(super) fn exports(module: &str) -> &'static [&'static str] {
    match module {
        "os" => &[
            "system",
            "popen",
            "remove",
            "unlink",
            "rmdir",
            "removedirs",
            "fork",
            "kill",
            "killpg",
            "chmod",
            "chown",
            "execl",
            "execv",
            "execve",
            "execvp",
            "execlp",
            "spawnl",
            "spawnv",
            "dup2",
            "environ",
            "getenv",
            "path",
            "walk",
            "listdir",
            "rename",
            "setuid",
            "setgid",
        ],
        "subprocess" => {
            &["run", "call", "Popen", "check_call", "check_output", "getoutput", "PIPE"]
        }
        "shutil" => &["rmtree", "move", "copy", "copyfile", "copytree"],
        "socket" => &["socket", "AF_INET", "SOCK_STREAM", "create_connection"],
        "pathlib" => &["Path", "PosixPath"],
        "ctypes" => &["CDLL", "cdll", "memmove", "CFUNCTYPE"],
        "base64" => &["b64decode", "b32decode", "b16decode", "urlsafe_b64decode"],
        "urllib.request" => &["urlopen", "urlretrieve", "Request"],
        "pickle" => &["loads", "load"],
        "pty" => &["spawn"],
        "glob" => &["glob", "iglob"],
        _ => &[],
    }
}

/// The value of a name of a module.
pub(super) fn value(name: &str) -> Option<Value> {
    Some(match name {
        "sys.executable" => Value::text("python3"),
        "sys.argv" => Value::unknown(Origin::INPUT),
        "os.sep" | "os.path.sep" => Value::text("/"),
        "os.linesep" => Value::text("\n"),
        "os.pathsep" => Value::text(":"),
        "os.devnull" => Value::text("/dev/null"),
        "string.ascii_lowercase" => Value::text("abcdefghijklmnopqrstuvwxyz"),
        "string.ascii_uppercase" => Value::text("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        "string.ascii_letters" => {
            Value::text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        }
        "string.digits" => Value::text("0123456789"),
        "flask.request" | "bottle.request" | "quart.request" => {
            Value::named_from(name, Origin::NETWORK)
        }
        "os.environ" => Value::named_from("os.environ", Origin::ENVIRONMENT),
        _ => return None,
    })
}

/// A call of a function by its qualified name.
pub(super) fn call(
    evaluator: &mut Evaluator<'_>,
    name: &str,
    call: &Call,
    origin: Origin,
    depth: usize,
) -> Option<Value> {
    pure(evaluator, name, call, depth)
        .or_else(|| python_processes::call(evaluator, name, call, origin))
        .or_else(|| python_files::call(evaluator, name, call, origin))
        .or_else(|| python_network::call(evaluator, name, call, origin))
}

/// A call of a method of a value.
pub(super) fn method(
    evaluator: &mut Evaluator<'_>,
    receiver: &Value,
    name: &str,
    call: &Call,
) -> Option<Value> {
    python_files::method(evaluator, receiver, name, call)
}

/// Functions that only compute.
fn pure(evaluator: &mut Evaluator<'_>, name: &str, call: &Call, depth: usize) -> Option<Value> {
    let first = call.first();
    let origin = call.origin();
    let hidden = Origin::HIDDEN.with(Origin::DECODED);
    let decoded = |bytes: Option<Vec<u8>>| match bytes {
        Some(bytes) => Value::text_from(bytes, origin.with(hidden)),
        None => Value::unknown(origin.with(Origin::DECODED)),
    };
    let text = || first.as_text().filter(|text| !text.contains(&UNKNOWN));
    Some(match name {
        "__import__" | "importlib.import_module" | "importlib.__import__" => match text() {
            // `__import__("a.b")` is `a`, other than `import_module`.
            Some(text) if name == "__import__" => {
                let text = String::from_utf8_lossy(text);
                Value::named(text.split('.').next().unwrap_or_default())
            }
            Some(text) => Value::named(String::from_utf8_lossy(text)),
            None => Value::unknown(origin),
        },
        "getattr" => {
            let name = call.second();
            match name.as_text() {
                Some(name) => library::member(
                    evaluator.language,
                    first.clone(),
                    &String::from_utf8_lossy(name),
                ),
                None => Value::unknown(origin),
            }
        }
        "vars" if !call.given.is_empty() => first,
        "chr" | "unichr" => match constant::character(&first) {
            Some(text) => Value::text_from(text, origin.with(Origin::HIDDEN)),
            None => Value::text_from([UNKNOWN], origin),
        },
        "ord" => {
            let code = first.as_text().and_then(|text| std::str::from_utf8(text).ok());
            match code.and_then(|text| text.chars().next()) {
                Some(one) => Value::number(i64::from(u32::from(one))),
                None => first.as_number().map_or_else(Value::default, Value::number),
            }
        }
        "int" => {
            let base = call.argument(1, "base").as_number().unwrap_or(10);
            let number =
                first.as_text().and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| {
                    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base))?;
                    i64::from_str_radix(text.trim().trim_start_matches("0x"), base).ok()
                });
            number.or(first.as_number()).map_or_else(|| Value::unknown(origin), Value::number)
        }
        "str" | "repr" | "os.fspath" | "os.fsencode" | "os.fsdecode" => {
            if let Kind::Named(_) | Kind::Unknown = first.kind {
                Value::unknown(origin)
            } else {
                Value::text_from(first.to_text(), origin)
            }
        }
        "len" => match &first.kind {
            Kind::Text(text) => Value::number(i64::try_from(text.len()).unwrap_or(i64::MAX)),
            Kind::List(items) => Value::number(i64::try_from(items.len()).unwrap_or(i64::MAX)),
            _ => Value::default(),
        },
        "bytes" | "bytearray" => match &first.kind {
            Kind::List(items) => {
                let bytes: Option<Vec<u8>> = items
                    .iter()
                    .map(|one| one.as_number().and_then(|one| u8::try_from(one).ok()))
                    .collect();
                match bytes {
                    Some(bytes) => Value::text_from(bytes, origin.with(Origin::HIDDEN)),
                    None => Value::unknown(origin),
                }
            }
            Kind::Text(_) => first,
            Kind::Number(size) => {
                library::allocated(evaluator, Some(*size), call.range);
                Value::default()
            }
            _ => Value::unknown(origin),
        },
        // Calls the first until it gives the second, which it may never do.
        "iter" if call.given.len() == 2 => Value::named("itertools.count()"),
        "list" | "tuple" | "set" | "sorted" | "frozenset" | "iter" | "memoryview" | "enumerate"
        | "zip"
            if !call.given.is_empty() =>
        {
            match (name, constant::items(&first)) {
                ("enumerate", Some(items)) => Value::list(
                    items
                        .into_iter()
                        .enumerate()
                        .map(|(at, item)| {
                            let at = Value::number(i64::try_from(at).unwrap_or(i64::MAX));
                            Value::list(vec![at, item])
                        })
                        .collect(),
                ),
                ("zip", Some(items)) => {
                    let others: Vec<Vec<Value>> =
                        call.given.iter().skip(1).filter_map(constant::items).collect();
                    Value::list(
                        items
                            .into_iter()
                            .enumerate()
                            .map(|(at, item)| {
                                let more = others.iter().filter_map(|other| other.get(at)).cloned();
                                Value::list(std::iter::once(item).chain(more).collect())
                            })
                            .collect(),
                    )
                }
                (_, Some(items)) => Value::list(items).from(origin),
                (_, None) => Value::unknown(origin),
            }
        }
        "dict" => match &first.kind {
            Kind::Map(_) => first,
            _ if call.given.is_empty() => Value::map(call.named.clone()),
            _ => Value::unknown(origin),
        },
        "reversed" => match constant::items(&first) {
            Some(items) => {
                Value::list(items.into_iter().rev().collect()).from(origin.with(Origin::HIDDEN))
            }
            None => Value::unknown(origin),
        },
        "map" => match constant::items(&call.second()) {
            Some(items) => {
                let mut out = Vec::with_capacity(items.len());
                for item in items {
                    let call = Call { given: vec![item], named: Vec::new(), range: call.range };
                    out.push(evaluator.dispatch(&first, &call, depth));
                }
                Value::list(out)
            }
            None => Value::unknown(origin),
        },
        "range" | "xrange" => match numbers(call) {
            Some(items) => Value::list(items),
            // How many they are is not known; or they are very many.
            None if call.given.iter().any(|one| one.as_number().is_none()) => {
                Value::unknown(origin)
            }
            None => Value::named_from("range()", origin),
        },
        "bytes.fromhex" | "bytearray.fromhex" | "binascii.unhexlify" | "binascii.a2b_hex"
        | "base64.b16decode" => decoded(text().and_then(decode::hexadecimal)),
        "base64.b64decode"
        | "base64.urlsafe_b64decode"
        | "base64.standard_b64decode"
        | "base64.decodebytes"
        | "base64.decodestring"
        | "binascii.a2b_base64" => decoded(text().and_then(decode::base64)),
        "base64.b32decode" => decoded(text().and_then(decode::base32)),
        "base64.a85decode" => decoded(text().and_then(|text| decode::base85(text, true))),
        "base64.b85decode" => decoded(text().and_then(|text| decode::base85(text, false))),
        "codecs.decode" | "codecs.encode" => {
            constant::method(&first, "decode", call.given.get(1..).unwrap_or_default())
                .unwrap_or_else(|| Value::unknown(origin.with(Origin::DECODED)))
        }
        "zlib.decompress" | "gzip.decompress" if packed(&first).is_some() => {
            decoded(packed(&first).and_then(decode::inflated))
        }
        "zlib.decompress" | "gzip.decompress" | "bz2.decompress" | "lzma.decompress"
        | "marshal.loads"
            if !origin.has(Origin::NETWORK) =>
        {
            Value::unknown(origin.with(hidden))
        }
        "urllib.parse.unquote" | "urllib.unquote" | "html.unescape" => {
            decoded(text().map(decode::percent))
        }
        "str.join" | "bytes.join" | "str.replace" | "str.lower" | "str.upper" => {
            let method = name.rsplit('.').next().unwrap_or_default();
            constant::method(&first, method, call.given.get(1..).unwrap_or_default())?
        }
        "str.maketrans" | "bytes.maketrans" => maketrans(call),
        "textwrap.dedent" | "inspect.cleandoc" | "str.strip" | "shlex.quote" | "copy.copy"
        | "copy.deepcopy" | "sys.intern" => first,
        "shlex.split" => constant::method(&first, "split", &[])?,
        "functools.partial" | "functools.partialmethod" | "partial" => Value::bound(
            first,
            call.given.get(1..).unwrap_or_default().to_vec(),
            call.named.clone(),
        ),
        "dataclasses.field" | "attr.ib" | "attrs.field" => {
            match (call.keyword("default"), call.keyword("default_factory")) {
                (Some(default), _) => default,
                (None, Some(factory)) => {
                    let inner = Call { range: call.range, ..Call::default() };
                    evaluator.dispatch(&factory, &inner, depth)
                }
                (None, None) => Value::default(),
            }
        }
        "json.loads" => {
            let cost = text().map_or(0, |text| text.len() / 8);
            let known = text().filter(|_| evaluator.spend(cost)).and_then(super::json::value);
            known.map_or_else(|| Value::unknown(origin), |value| value.from(origin))
        }
        "sqlalchemy.text" | "sqlalchemy.sql.text" => first,
        "operator.add" => constant::binary(b"+", &first, &call.second()),
        "os.path.join" => {
            let mut path = first.to_text();
            for more in call.given.iter().skip(1) {
                path = constant::join_path(&path, &more.to_text());
            }
            Value::text_from(path, origin)
        }
        "os.path.expanduser" | "os.path.abspath" | "os.path.realpath" | "os.path.normpath"
        | "os.path.expandvars" => Value::text_from(first.to_text(), origin),
        "os.path.dirname" => {
            library::member(evaluator.language, path(&first), "parent").from(origin)
        }
        "os.path.basename" => {
            let text = first.to_text();
            let last = text.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            Value::text_from(last, origin)
        }
        "pathlib.Path" | "pathlib.PurePath" => {
            let mut whole = if call.given.is_empty() { b".".to_vec() } else { first.to_text() };
            for more in call.given.iter().skip(1) {
                whole = constant::join_path(&whole, &more.to_text());
            }
            Value { kind: Kind::Path(whole), origin }
        }
        "pathlib.Path.home" => path(&Value::text("~")),
        "pathlib.Path.cwd" => path(&Value::text(".")),
        "os.getcwd" | "os.getcwdb" => Value::text("."),
        "os.getenv" | "os.environ.get" => {
            let known = library::environment(&String::from_utf8_lossy(&first.to_text()));
            match call.given.get(1) {
                Some(fallback) if known.is_blank() => fallback.clone().from(Origin::INPUT),
                _ => known,
            }
        }
        "os.environ.copy" | "os.environ.items" => Value::unknown(Origin::ENVIRONMENT),
        "tempfile.gettempdir" => Value::text("/tmp"),
        "tempfile.mkdtemp" | "tempfile.TemporaryDirectory" | "tempfile.mktemp" => {
            Value::text("/tmp/\0")
        }
        "tempfile.mkstemp" => {
            // One name, so that what is written there is known again.
            let file = Value { kind: Kind::File(b"/tmp/mkstemp".to_vec()), origin: Origin::NONE };
            Value::list(vec![file, Value::text("/tmp/mkstemp")])
        }
        "tempfile.NamedTemporaryFile" | "tempfile.TemporaryFile" => {
            Value { kind: Kind::File(b"/tmp/\0".to_vec()), origin: Origin::NONE }
        }
        "input" | "raw_input" | "sys.stdin.read" | "sys.stdin.readline" | "getpass.getpass" => {
            Value::unknown(Origin::INPUT)
        }
        "print" | "sys.stdout.write" => {
            library::output(evaluator, "output", call.range);
            // What was decoded is shown to whoever runs it.
            if first.origin.has(Origin::DECODED) {
                evaluator.gather.write(b"/dev/stdout", &first, true, call.range);
            }
            Value::default()
        }
        "isinstance" | "hasattr" | "bool" | "id" | "type" | "super" | "range()" => Value::default(),
        _ => return None,
    })
}

fn path(value: &Value) -> Value {
    Value { kind: Kind::Path(value.to_text()), origin: value.origin }
}

/// The numbers of a range that is small enough.
fn numbers(call: &Call) -> Option<Vec<Value>> {
    let all: Option<Vec<i64>> = call.given.iter().map(Value::as_number).collect();
    let (start, stop, step) = match all?.as_slice() {
        [stop] => (0, *stop, 1),
        [start, stop] => (*start, *stop, 1),
        [start, stop, step] => (*start, *stop, *step),
        _ => return None,
    };
    let count = stop.checked_sub(start)?.checked_div(step)?;
    if !(0..=4096).contains(&count) {
        return None;
    }
    let mut out = Vec::new();
    let mut at = start;
    while step > 0 && at < stop || step < 0 && at > stop {
        out.push(Value::number(at));
        at = at.checked_add(step)?;
    }
    Some(out)
}

fn maketrans(call: &Call) -> Value {
    let (from, to) = (call.first().to_text(), call.second().to_text());
    Value::map(
        from.iter()
            .zip(&to)
            .take(256)
            .map(|(from, to)| (from.to_string().into_bytes(), Value::text([*to])))
            .collect(),
    )
}

/// Bytes that were decoded before, whatever they are.
pub(super) fn packed(value: &Value) -> Option<&[u8]> {
    match &value.kind {
        Kind::Text(bytes) if value.origin.has(Origin::DECODED) => Some(bytes),
        _ => None,
    }
}
