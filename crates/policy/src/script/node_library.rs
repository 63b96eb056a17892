//! What JavaScript's names and functions mean: values, constants, and who does what else.

use crate::effect::{EffectKind, Target, UNKNOWN};

use super::evaluate::Evaluator;
use super::library::{self, Call};
use super::value::{Kind, Origin, Value};
use super::{constant, decode, node_files, node_network, node_processes};

/// The value of a name of a module.
pub(super) fn value(name: &str) -> Option<Value> {
    Some(match name {
        "process.execPath" | "process.argv0" => Value::text("node"),
        "process.argv" => Value::unknown(Origin::INPUT),
        "process.env" => Value::named_from("process.env", Origin::ENVIRONMENT),
        "path.sep" => Value::text("/"),
        "os.EOL" => Value::text("\n"),
        "require.main" | "process.mainModule" => return None,
        _ => {
            let variable = name.strip_prefix("process.env.")?;
            if variable.contains('.') {
                return None;
            }
            // One variable says little of where it comes from.
            library::environment(variable)
        }
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
    pure(evaluator, name, call, origin, depth)
        .or_else(|| node_processes::call(evaluator, name, call, origin))
        .or_else(|| node_files::call(evaluator, name, call, origin))
        .or_else(|| node_network::call(evaluator, name, call, origin, depth))
}

/// A call of a method of a value.
pub(super) fn method(
    evaluator: &mut Evaluator<'_>,
    receiver: &Value,
    name: &str,
    call: &Call,
    _depth: usize,
) -> Option<Value> {
    let hidden = Origin::HIDDEN;
    Some(match (&receiver.kind, name) {
        // [].filter.constructor("…")() builds a function of a text.
        (Kind::Method(..), "constructor") | (_, "constructor") => {
            evaluator.gather.code(&call.given.last().cloned().unwrap_or_default(), call.range);
            Value::default()
        }
        (Kind::Method(inner, function), "call" | "apply" | "bind") => {
            let _ = (inner, function);
            Value::unknown(receiver.origin)
        }
        (Kind::List(_), "filter" | "sort" | "entries") => receiver.clone().from(hidden),
        (Kind::File(path), "write" | "end") => {
            if call.first().origin.has(Origin::NETWORK) {
                evaluator.gather.downloaded(path.clone());
            }
            library::output(evaluator, "disk", call.range);
            Value::default()
        }
        // However somebody came by the module, only its functions have these names.
        (Kind::Unknown, "execSync" | "spawnSync" | "execFileSync" | "execFile") => {
            let name = format!("child_process.{name}");
            return node_processes::call(evaluator, &name, call, receiver.origin);
        }
        (Kind::Unknown, "query" | "execute" | "$executeRawUnsafe" | "raw") => {
            super::python_network::sql(evaluator, &call.first(), call.range);
            Value::unknown(receiver.origin)
        }
        (Kind::Unknown, "pipe") if receiver.origin.has(Origin::NETWORK) => {
            if let Kind::File(path) = &call.first().kind {
                evaluator.gather.downloaded(path.clone());
            }
            Value::unknown(receiver.origin)
        }
        _ => return None,
    })
}

/// Functions that only compute.
fn pure(
    evaluator: &mut Evaluator<'_>,
    name: &str,
    call: &Call,
    callee: Origin,
    depth: usize,
) -> Option<Value> {
    let first = call.first();
    let origin = call.origin();
    let decoded = |bytes: Option<Vec<u8>>| match bytes {
        Some(bytes) => Value::text_from(bytes, origin.with(Origin::HIDDEN).with(Origin::DECODED)),
        None => Value::unknown(origin.with(Origin::DECODED)),
    };
    let text = || first.as_text().filter(|text| !text.contains(&UNKNOWN));
    Some(match name {
        "require" | "import" | "createRequire()" => library::node_module(&first),
        "Reflect.get" => {
            let name = call.second().to_text();
            library::member(evaluator.language, first, &String::from_utf8_lossy(&name))
        }
        "Reflect.apply" => {
            let given = constant::items(&call.argument(2, "")).unwrap_or_default();
            let inner = Call { given, named: Vec::new(), range: call.range };
            return Some(evaluator.dispatch(&first, &inner, depth));
        }
        "String.fromCharCode" | "String.fromCodePoint" => {
            let mut out = Vec::new();
            let codes = match &first.kind {
                Kind::List(items) => items,
                _ => &call.given,
            };
            for code in codes {
                out.extend(constant::character(code).unwrap_or_else(|| vec![UNKNOWN]));
            }
            Value::text_from(out, origin.with(Origin::HIDDEN))
        }
        "String" | "String.raw" => match &first.kind {
            Kind::Named(_) | Kind::Unknown => Value::unknown(origin),
            _ => Value::text_from(first.to_text(), origin),
        },
        "parseInt" | "Number" | "Number.parseInt" => {
            let radix = call.second().as_number().unwrap_or(10);
            let number =
                first.as_text().and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| {
                    let radix = u32::try_from(radix).ok().filter(|it| (2..=36).contains(it))?;
                    i64::from_str_radix(text.trim(), radix).ok()
                });
            number.or(first.as_number()).map_or_else(Value::default, Value::number)
        }
        "atob" => decoded(text().and_then(decode::base64)),
        "btoa" => Value::unknown(origin),
        "unescape" | "decodeURIComponent" | "decodeURI" => match text() {
            Some(text) if text.contains(&b'%') => decoded(Some(decode::percent(text))),
            _ => first,
        },
        "encodeURIComponent" | "encodeURI" | "escape" => first,
        "Buffer.from" | "Buffer" | "Uint8Array.from" | "Uint8Array" => match &first.kind {
            Kind::List(items) => {
                let bytes: Option<Vec<u8>> = items
                    .iter()
                    .map(|one| one.as_number().and_then(|one| u8::try_from(one).ok()))
                    .collect();
                decoded(bytes)
            }
            Kind::Number(size) => {
                library::allocated(evaluator, Some(*size), call.range);
                Value::default()
            }
            Kind::Text(known) => match call.second().as_text() {
                Some(b"base64" | b"base64url") => decoded(decode::base64(known)),
                Some(b"hex") => decoded(decode::hexadecimal(known)),
                _ => first,
            },
            _ => Value::unknown(origin.with_if_decoding(&call.second())),
        },
        "Buffer.alloc" | "Buffer.allocUnsafe" | "ArrayBuffer" | "SharedArrayBuffer" => {
            library::allocated(evaluator, first.as_number(), call.range);
            Value::default()
        }
        "Array" if first.as_number().is_some() => {
            library::allocated(evaluator, first.as_number(), call.range);
            Value::named_from("Array()", Origin::NONE)
        }
        "Array.from" | "Array.of" | "Object.values" | "Object.freeze" | "Promise.resolve"
        | "structuredClone" | "Promise.all" => {
            let function = call.given.get(1).filter(|one| matches!(one.kind, Kind::Function(_)));
            match (constant::items(&first), function) {
                (Some(items), Some(function)) => {
                    let mut out = Vec::new();
                    for item in items {
                        let inner =
                            Call { given: vec![item], named: Vec::new(), range: call.range };
                        out.push(evaluator.dispatch(function, &inner, depth));
                    }
                    Value::list(out)
                }
                (Some(items), None) if name == "Array.from" => Value::list(items),
                _ => first,
            }
        }
        "Object.assign" => call.given.last().cloned().unwrap_or_default().from(origin),
        "Buffer.concat" => match &first.kind {
            Kind::List(items) => {
                let all: Vec<Vec<u8>> = items.iter().map(Value::to_text).collect();
                Value::text_from(all.concat(), origin)
            }
            _ => Value::unknown(origin),
        },
        "zlib.inflateSync"
        | "zlib.gunzipSync"
        | "zlib.unzipSync"
        | "zlib.brotliDecompressSync"
        | "zlib.inflateRawSync" => {
            Value::unknown(origin.with(Origin::DECODED).with(Origin::HIDDEN))
        }
        "path.join" | "path.resolve" => {
            let mut path = first.to_text();
            for more in call.given.iter().skip(1) {
                let more = more.to_text();
                let more = if name == "path.join" {
                    more.strip_prefix(b"/").unwrap_or(&more)
                } else {
                    &more
                };
                path = constant::join_path(&path, more);
            }
            Value::text_from(path, origin)
        }
        "path.dirname" => {
            let path = Value { kind: Kind::Path(first.to_text()), origin };
            let parent = library::member(evaluator.language, path, "parent");
            Value::text_from(parent.to_text(), origin)
        }
        "path.basename" => {
            let text = first.to_text();
            Value::text_from(text.rsplit(|byte| *byte == b'/').next().unwrap_or_default(), origin)
        }
        "path.normalize" | "fileURLToPath" | "url.fileURLToPath" | "fs.realpathSync" => first,
        "os.homedir" => Value::text("~"),
        "os.tmpdir" => Value::text("/tmp"),
        "process.cwd" => Value::text("."),
        "fs.mkdtempSync" => Value::text("/tmp/\0"),
        "util.promisify" | "promisify" => first,
        "console.log" | "console.error" | "process.stdout.write" => {
            library::output(evaluator, "output", call.range);
            Value::default()
        }
        // What this returns is the global object.
        "Function" if first.as_text() == Some(b"return this") => {
            evaluator.gather.code(&first, call.range);
            Value::named_from("Function.this", origin)
        }
        "Function.this" => Value::named_from("globalThis", origin),
        "eval"
        | "Function"
        | "vm.runInThisContext"
        | "vm.runInNewContext"
        | "vm.runInContext"
        | "vm.Script"
        | "vm.compileFunction"
        | "AsyncFunction"
        | "GeneratorFunction"
        | "module._compile" => {
            if let Some(text) = call.given.last().filter(|_| name.contains("Function")) {
                evaluator.gather.code(text, call.range);
            } else {
                evaluator.gather.code(&first, call.range);
            }
            Value::unknown(first.origin)
        }
        "setTimeout" | "setInterval" | "setImmediate" | "process.nextTick" => {
            if let Kind::Text(_) = first.kind {
                evaluator.gather.code(&first, call.range);
            }
            if let Kind::Bound(..) = first.kind {
                let inner = Call { range: call.range, ..Call::default() };
                evaluator.dispatch(&first, &inner, depth);
            }
            if let Kind::Function(id) = first.kind {
                // What a timer starts again and again starts without end.
                let again = name == "setInterval";
                let endless = super::loops::Loop { long: again, ..Default::default() };
                evaluator.loops.push(endless);
                evaluator.invoke(id, &[], callee, depth);
                evaluator.loops.pop();
            }
            Value::text("0")
        }
        "isNaN" | "Boolean" | "RegExp" | "Symbol" | "Date" | "Date.now" => Value::default(),
        "Math.floor" | "Math.round" => first,
        "JSON.parse" => {
            let cost = text().map_or(0, |text| text.len() / 8);
            let known = text().filter(|_| evaluator.spend(cost)).and_then(super::json::value);
            known.map_or_else(|| Value::unknown(origin), |value| value.from(origin))
        }
        "Object.entries" => match &first.kind {
            Kind::Map(entries) => Value::list(
                entries
                    .iter()
                    .map(|(key, one)| Value::list(vec![Value::text(key.clone()), one.clone()]))
                    .collect(),
            ),
            _ => first,
        },
        "process.chdir" => {
            evaluator.gather.directory(&first, call.range);
            Value::default()
        }
        "JSON.stringify" | "querystring.stringify" | "URLSearchParams" => Value::unknown(origin),
        "screenshot" | "clipboardy.readSync" | "clipboardy.read" => Value::unknown(Origin::WATCHED),
        "iohook.on" | "GlobalKeyboardListener().addListener" => {
            evaluator.gather.named(EffectKind::Secret, "keys", call.range);
            Value::default()
        }
        "document.cookie" | "localStorage.getItem" => Value::default(),
        "mongoose.connection.dropDatabase" | "mongoose.connection.db.dropDatabase" => {
            let target = Target::Name("database".to_owned());
            let all = crate::effect::Qualities::ALL_OF_THEM;
            evaluator.gather.effect(EffectKind::Remote, target, all, call.range);
            Value::default()
        }
        _ => return None,
    })
}

impl Origin {
    /// It is decoded, if an encoding is named.
    fn with_if_decoding(self, encoding: &Value) -> Self {
        match encoding.as_text() {
            Some(b"base64" | b"hex" | b"base64url") => self.with(Self::DECODED),
            _ => self,
        }
    }
}
