//! What Node's functions do with files.

use crate::effect::{EffectKind, Qualities, UNKNOWN};
use crate::source_range::SourceRange;

use super::evaluate::Evaluator;
use super::library::{self, Call};
use super::value::{Kind, Origin, Value};
use super::{constant, python_files};

/// A call of a function by its qualified name.
pub(super) fn call(
    evaluator: &mut Evaluator<'_>,
    name: &str,
    call: &Call,
    _origin: Origin,
) -> Option<Value> {
    let function =
        ["fs.promises.", "fs-extra.", "fs.", "graceful-fs.", "Deno.", "shelljs.", "Bun."]
            .iter()
            .find_map(|module| name.strip_prefix(module))
            .or_else(|| other_modules(name))?;
    let range = call.range;
    let first = call.first();
    let mut done = |kind: EffectKind, path: &Value, qualities: Qualities| {
        evaluator.gather.path(kind, path, qualities, range);
        Some(Value::default())
    };
    match function.strip_suffix("Sync").unwrap_or(function) {
        "rm" | "rmdir" | "remove" | "emptyDir" | "rimraf" => {
            let always = matches!(name, "rimraf" | "rimraf.sync" | "rimraf.rimraf")
                || function.starts_with("remove")
                || function.starts_with("emptyDir");
            let (path, flags) = match first.as_text() {
                // shelljs.rm("-rf", path)
                Some(text) if text.starts_with(b"-") => (call.second(), text.to_vec()),
                _ => (first, Vec::new()),
            };
            let recursive = always || flags.contains(&b'r') || is_recursive(call);
            let qualities = Qualities::NONE.with_if(recursive, Qualities::RECURSIVE);
            for one in constant_paths(&path) {
                evaluator.gather.path(EffectKind::Delete, &one, qualities, range);
            }
            Some(Value::default())
        }
        "unlink" => done(EffectKind::Delete, &first, Qualities::NONE),
        "rename" | "move" => {
            done(EffectKind::Delete, &first, Qualities::UNUSUAL);
            done(EffectKind::Overwrite, &call.second(), Qualities::NONE)
        }
        "copyFile" | "cp" | "copy" => {
            done(EffectKind::Read, &first, Qualities::NONE);
            done(EffectKind::Overwrite, &call.second(), Qualities::NONE)
        }
        "writeFile" | "outputFile" | "writeJson" | "writeTextFile" | "write"
            if !first.is_blank() =>
        {
            let appends = call.given.get(2).is_some_and(|options| match &options.kind {
                Kind::Map(entries) => {
                    constant::entry(entries, b"flag").is_some_and(|flag| flag.to_text() == b"a")
                }
                _ => false,
            });
            let kind = if appends { EffectKind::Write } else { EffectKind::Overwrite };
            evaluator.gather.path(kind, &first, Qualities::NONE, range);
            evaluator.gather.write(&first.to_text(), &call.second(), appends, range);
            library::output(evaluator, "disk", range);
            if call.second().origin.has(Origin::NETWORK) {
                evaluator.gather.downloaded(first.to_text());
            }
            Some(Value::default())
        }
        "appendFile" => {
            library::output(evaluator, "disk", range);
            evaluator.gather.path(EffectKind::Write, &first, Qualities::NONE, range);
            evaluator.gather.write(&first.to_text(), &call.second(), true, range);
            Some(Value::default())
        }
        "createWriteStream" => {
            done(EffectKind::Overwrite, &first, Qualities::NONE);
            Some(Value { kind: Kind::File(first.to_text()), origin: Origin::NONE })
        }
        "open" => {
            let mode = call.second().to_text();
            let kind = if mode.contains(&b'w') {
                EffectKind::Overwrite
            } else if mode.iter().any(|byte| b"a+".contains(byte)) {
                EffectKind::Write
            } else {
                EffectKind::Read
            };
            done(kind, &first, Qualities::NONE);
            Some(library::content(&first.to_text(), first.origin))
        }
        "readFile" | "createReadStream" | "readJson" | "readTextFile" => {
            done(EffectKind::Read, &first, Qualities::NONE);
            Some(library::content(&first.to_text(), first.origin))
        }
        "readdir" => {
            evaluator.gather.walked(first.to_text());
            let found = python_files::found_in(evaluator, &first.to_text());
            let name = Value::text_from([UNKNOWN], found);
            Some(Value::list(vec![name]))
        }
        "truncate" => done(EffectKind::Overwrite, &first, Qualities::NONE),
        "symlink" | "link" => done(EffectKind::Write, &call.second(), Qualities::NONE),
        "chmod" => {
            python_files::mode(evaluator, &first, &call.second(), range);
            Some(Value::default())
        }
        "chown" | "lchown" => done(EffectKind::Owner, &first, Qualities::NONE),
        "exists" | "stat" | "mkdir" | "access" | "ensureDir" => Some(Value::default()),
        "createCipheriv" | "createCipher" => {
            evaluator.gather.encrypted();
            Some(Value::named_from("cipher", Origin::ENCRYPTED))
        }
        "glob" => Some(found(evaluator, &first, range)),
        _ => None,
    }
}

/// Functions of other modules that do the same.
fn other_modules(name: &str) -> Option<&'static str> {
    Some(match name {
        "rimraf" | "rimraf.sync" | "rimraf.rimraf" | "del" | "del.sync" | "rimraf.rimrafSync" => {
            "remove"
        }
        "crypto.createCipheriv" | "crypto.createCipher" => "createCipheriv",
        "glob.sync" | "glob.globSync" | "fast-glob.sync" | "glob" => "glob",
        _ => return None,
    })
}

fn constant_paths(path: &Value) -> Vec<Value> {
    match &path.kind {
        Kind::List(items) => items.clone(),
        _ => vec![path.clone()],
    }
}

fn is_recursive(call: &Call) -> bool {
    call.given.iter().any(|one| match &one.kind {
        Kind::Map(entries) => constant::entry(entries, b"recursive").is_some(),
        _ => false,
    })
}

fn found(evaluator: &mut Evaluator<'_>, pattern: &Value, _range: SourceRange) -> Value {
    let text: Vec<u8> =
        pattern.to_text().iter().map(|byte| if *byte == b'*' { UNKNOWN } else { *byte }).collect();
    let known = text.iter().position(|byte| *byte == UNKNOWN).unwrap_or(text.len());
    evaluator.gather.walked(text.get(..known).unwrap_or_default().to_vec());
    Value::list(vec![Value::text_from(text, pattern.origin.with(Origin::WALK))])
}
