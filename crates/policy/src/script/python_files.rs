//! What Python's functions do with files.

use crate::effect::{EffectKind, Qualities, UNKNOWN};
use crate::source_range::SourceRange;

use super::evaluate::Evaluator;
use super::library::{self, Call};
use super::value::{Kind, Origin, Value};
use super::{constant, secret_names};

/// A call of a function by its qualified name.
pub(super) fn call(
    evaluator: &mut Evaluator<'_>,
    name: &str,
    call: &Call,
    _origin: Origin,
) -> Option<Value> {
    let range = call.range;
    let first = call.first();
    let mut done = |kind: EffectKind, path: &Value, qualities: Qualities| {
        evaluator.gather.path(kind, path, qualities, range);
        Some(Value::default())
    };
    match name {
        "open" | "io.open" | "codecs.open" | "gzip.open" | "bz2.open" | "file"
        | "aiofiles.open" => {
            Some(open(evaluator, &call.argument(0, "file"), &call.argument(1, "mode"), range))
        }
        "os.open" => {
            let flags = call.second();
            let names = flags.name().unwrap_or_default();
            let reads = call.given.len() < 2 || names.contains("RDONLY") || names.is_empty();
            let mode = if reads { Value::text("r") } else { Value::text("r+") };
            Some(open(evaluator, &first, &mode, range))
        }
        "os.write" => {
            if let Kind::File(path) = &first.kind {
                if call.second().origin.has(Origin::NETWORK) {
                    evaluator.gather.downloaded(path.clone());
                }
                evaluator.gather.write(path, &call.second(), true, range);
            }
            Some(Value::default())
        }
        "os.remove" | "os.unlink" | "os.rmdir" => done(EffectKind::Delete, &first, Qualities::NONE),
        "os.removedirs" => done(EffectKind::Delete, &first, Qualities::NONE),
        "shutil.rmtree" | "distutils.dir_util.remove_tree" => {
            done(EffectKind::Delete, &call.argument(0, "path"), Qualities::RECURSIVE)
        }
        "send2trash.send2trash" => Some(Value::default()),
        "os.rename" | "os.replace" | "shutil.move" => {
            done(EffectKind::Delete, &first, Qualities::UNUSUAL.with(Qualities::RECURSIVE));
            done(EffectKind::Overwrite, &call.second(), Qualities::NONE)
        }
        "shutil.copy" | "shutil.copyfile" | "shutil.copy2" => {
            done(EffectKind::Read, &first, Qualities::NONE);
            done(EffectKind::Overwrite, &call.second(), Qualities::NONE)
        }
        "shutil.copytree" => {
            done(EffectKind::Read, &first, Qualities::RECURSIVE);
            done(EffectKind::Write, &call.second(), Qualities::RECURSIVE)
        }
        "shutil.make_archive" => {
            done(EffectKind::Read, &call.argument(2, "root_dir"), Qualities::RECURSIVE);
            let folder = call.argument(2, "root_dir");
            Some(library::content(&folder.to_text(), folder.origin))
        }
        "tarfile.open().add" | "zipfile.ZipFile().write" => {
            done(EffectKind::Read, &first, Qualities::RECURSIVE)
        }
        "os.symlink" | "os.link" => done(EffectKind::Write, &call.second(), Qualities::NONE),
        "os.truncate" => done(EffectKind::Overwrite, &first, Qualities::NONE),
        "os.mkfifo" | "os.mknod" => done(EffectKind::Write, &first, Qualities::NONE),
        "os.chmod" | "os.lchmod" => {
            mode(evaluator, &first, &call.second(), range);
            Some(Value::default())
        }
        "os.chown" | "os.lchown" | "shutil.chown" => {
            done(EffectKind::Owner, &first, Qualities::NONE)
        }
        "os.setxattr" => done(EffectKind::Permission, &first, Qualities::NONE),
        "os.chdir" => {
            evaluator.gather.directory(&first, range);
            Some(Value::default())
        }
        "os.makedirs" | "os.mkdir" => Some(Value::default()),
        "os.walk" | "os.fwalk" => Some(walk(evaluator, &first)),
        "os.listdir" => {
            evaluator.gather.walked(first.to_text());
            let here = call.given.is_empty() || first.to_text() == b".";
            let name = if here { b"./\0".to_vec() } else { vec![UNKNOWN] };
            let found = found_in(evaluator, &first.to_text());
            Some(Value::list(vec![Value::text_from(name, found)]))
        }
        "os.scandir" => Some(below(evaluator, &first)),
        "glob.glob" | "glob.iglob" => {
            let pattern = first.to_text();
            let text: Vec<u8> =
                pattern.iter().map(|byte| if *byte == b'*' { UNKNOWN } else { *byte }).collect();
            let known = text.iter().position(|byte| *byte == UNKNOWN).unwrap_or(text.len());
            evaluator.gather.walked(text.get(..known).unwrap_or_default().to_vec());
            Some(Value::list(vec![Value::text_from(text, first.origin.with(Origin::WALK))]))
        }
        "Crypto.Cipher.AES.new"
        | "cryptography.fernet.Fernet"
        | "Fernet"
        | "AES.new"
        | "Cryptodome.Cipher.AES.new"
        | "Crypto.Cipher.ChaCha20.new"
        | "pyAesCrypt.encryptFile" => Some(Value::named_from("cipher", Origin::NONE)),
        "cipher.encrypt" | "cipher.encrypt_and_digest" => {
            evaluator.gather.encrypted();
            Some(Value::unknown(Origin::ENCRYPTED))
        }
        "winreg.SetValueEx" => {
            evaluator.gather.named(EffectKind::Persist, "registry", range);
            Some(Value::default())
        }
        "crontab.CronTab().new" | "crontab.CronTab().write" => {
            evaluator.gather.named(EffectKind::Persist, "crontab", range);
            Some(Value::default())
        }
        "sqlite3.connect" | "browser_cookie3.chrome" | "browser_cookie3.load" => {
            let path = if name == "sqlite3.connect" {
                first
            } else {
                evaluator.gather.named(EffectKind::Secret, "cookies", range);
                Value::text("~/.config/google-chrome/Default/Cookies")
            };
            let secret = secret_names::is_secret(&path.to_text());
            if secret {
                evaluator.gather.path(EffectKind::Read, &path, Qualities::NONE, range);
            }
            let origin = if secret { Origin::SECRET } else { Origin::NONE };
            Some(Value::named_from("database", origin))
        }
        "np.fromfile" | "numpy.fromfile" | "pandas.read_csv" | "json.load" => {
            if let Kind::Text(_) = first.kind {
                evaluator.gather.path(EffectKind::Read, &first, Qualities::NONE, range);
                return Some(library::content(&first.to_text(), first.origin));
            }
            Some(Value::unknown(first.origin))
        }
        "pickle.dump" | "json.dump" | "yaml.dump" => Some(Value::default()),
        "shutil.copyfileobj" => {
            if let Kind::File(path) = &call.second().kind
                && first.origin.has(Origin::NETWORK)
            {
                evaluator.gather.downloaded(path.clone());
            }
            Some(Value::default())
        }
        "numpy.zeros" | "numpy.ones" | "np.zeros" | "np.ones" | "numpy.empty" => {
            let sizes = constant::items(&first).unwrap_or_else(|| vec![first.clone()]);
            let product =
                sizes.iter().try_fold(8_i64, |all, size| all.checked_mul(size.as_number()?));
            library::allocated(evaluator, product, range);
            Some(Value::default())
        }
        _ => None,
    }
}

/// `open(path, mode)`
fn open(evaluator: &mut Evaluator<'_>, path: &Value, mode: &Value, range: SourceRange) -> Value {
    if path.as_number().is_some() {
        return Value::default();
    }
    let text = path.to_text();
    let mode = mode.as_text().unwrap_or(b"r").to_vec();
    if mode.contains(&b'w') {
        evaluator.gather.path(EffectKind::Overwrite, path, Qualities::NONE, range);
    } else if mode.iter().any(|byte| b"ax+".contains(byte)) {
        evaluator.gather.path(EffectKind::Write, path, Qualities::NONE, range);
    } else {
        evaluator.gather.path(EffectKind::Read, path, Qualities::NONE, range);
    }
    let content = library::content(&text, path.origin);
    // What is written to a file says nothing of what is read from another.
    Value { kind: Kind::File(text), origin: content.origin.without(Origin::NETWORK) }
}

/// A change of permissions.
pub(super) fn mode(evaluator: &mut Evaluator<'_>, path: &Value, mode: &Value, range: SourceRange) {
    let bits = match &mode.kind {
        Kind::Number(bits) => Some(*bits),
        Kind::Text(text) => {
            std::str::from_utf8(text).ok().and_then(|text| i64::from_str_radix(text, 8).ok())
        }
        Kind::Named(name) if name.contains("S_ISUID") => Some(0o4000),
        _ => None,
    };
    let bits = bits.unwrap_or(0);
    let qualities = Qualities::NONE
        .with_if(bits & 0o6000 != 0, Qualities::SETUID)
        .with_if(bits & 0o002 != 0, Qualities::PUBLIC);
    evaluator.gather.path(EffectKind::Permission, path, qualities, range);
}

/// All files of a tree, one for all.
fn walk(evaluator: &mut Evaluator<'_>, top: &Value) -> Value {
    let text = top.to_text();
    evaluator.gather.walked(text.clone());
    let name = Value::text_from([UNKNOWN], Origin::WALK);
    let folder = constant::join_path(&text, &[UNKNOWN]);
    let names = Value::list(vec![name]);
    let folder = Value::text_from(folder, top.origin.with(found_in(evaluator, &text)));
    Value::list(vec![Value::list(vec![folder, names.clone(), names])])
}

fn below(evaluator: &mut Evaluator<'_>, folder: &Value) -> Value {
    let text = folder.to_text();
    evaluator.gather.walked(text.clone());
    let path = Kind::Path(constant::join_path(&text, &[UNKNOWN]));
    let item = Value { kind: path, origin: folder.origin.with(found_in(evaluator, &text)) };
    Value::list(vec![item])
}

/// What is found in a folder: secrets, if the program looks for them where people keep theirs.
pub(super) fn found_in(evaluator: &Evaluator<'_>, folder: &[u8]) -> Origin {
    match evaluator.looks_for_secrets && secret_names::is_home(folder) {
        true => Origin::WALK.with(Origin::SECRET),
        false => Origin::WALK,
    }
}

/// A call of a method of a path or a file.
pub(super) fn method(
    evaluator: &mut Evaluator<'_>,
    receiver: &Value,
    name: &str,
    call: &Call,
) -> Option<Value> {
    let range = call.range;
    let origin = receiver.origin;
    match &receiver.kind {
        Kind::Path(path) => path_method(evaluator, receiver, path, name, call),
        Kind::File(path) => {
            if matches!(name, "write" | "writelines") {
                library::output(evaluator, "disk", range);
                evaluator.gather.write(path, &call.first(), true, range);
                if call.first().origin.has(Origin::NETWORK) {
                    evaluator.gather.downloaded(path.clone());
                }
                return Some(Value::default());
            }
            if matches!(name, "close" | "flush" | "seek" | "fileno") {
                return Some(Value::default());
            }
            Some(library::content(path, origin))
        }
        Kind::Unknown | Kind::Text(_) => match name {
            "execute" | "executemany" | "executescript" => {
                super::python_network::sql(evaluator, &call.first(), range);
                Some(Value::default())
            }
            // A cipher is known by what it does.
            "encrypt" if call.given.len() == 1 => {
                evaluator.gather.encrypted();
                Some(Value::unknown(Origin::ENCRYPTED))
            }
            "is_file" | "exists" => Some(Value::default()),
            _ => None,
        },
        _ => None,
    }
}

fn path_method(
    evaluator: &mut Evaluator<'_>,
    receiver: &Value,
    path: &[u8],
    name: &str,
    call: &Call,
) -> Option<Value> {
    let range = call.range;
    let first = call.first();
    let mut done = |kind: EffectKind, path: &Value, qualities: Qualities| {
        evaluator.gather.path(kind, path, qualities, range);
        Value::default()
    };
    Some(match name {
        "unlink" | "rmdir" => done(EffectKind::Delete, receiver, Qualities::NONE),
        "write_text" | "write_bytes" => {
            if first.origin.has(Origin::NETWORK) {
                evaluator.gather.downloaded(path.to_vec());
            }
            evaluator.gather.path(EffectKind::Overwrite, receiver, Qualities::NONE, range);
            evaluator.gather.write(path, &first, false, range);
            Value::default()
        }
        "touch" => done(EffectKind::Write, receiver, Qualities::NONE),
        "symlink_to" | "hardlink_to" => done(EffectKind::Write, receiver, Qualities::NONE),
        "read_text" | "read_bytes" => {
            done(EffectKind::Read, receiver, Qualities::NONE);
            library::content(path, receiver.origin)
        }
        "open" => open(evaluator, receiver, &call.argument(0, "mode"), range),
        "chmod" => {
            mode(evaluator, receiver, &first, range);
            Value::default()
        }
        "rename" | "replace" => {
            done(EffectKind::Delete, receiver, Qualities::UNUSUAL);
            done(EffectKind::Overwrite, &first, Qualities::NONE)
        }
        "iterdir" | "rglob" | "glob" => {
            let all = below(evaluator, receiver);
            let pattern = first.to_text();
            let filtered = name != "iterdir" && pattern != b"*" && pattern != b"**/*";
            match (filtered, all.kind) {
                (true, _) => {
                    let text: Vec<u8> = pattern
                        .iter()
                        .map(|byte| if *byte == b'*' { UNKNOWN } else { *byte })
                        .collect();
                    let path = Kind::Path(constant::join_path(path, &text));
                    Value::list(vec![Value { kind: path, origin: Origin::WALK }])
                }
                (false, kind) => Value { kind, origin: Origin::WALK },
            }
        }
        "expanduser" | "resolve" | "absolute" | "as_posix" | "with_suffix" | "with_name" => {
            receiver.clone()
        }
        "joinpath" => call
            .given
            .iter()
            .fold(receiver.clone(), |path, part| constant::binary(b"/", &path, part)),
        "mkdir" | "exists" | "is_file" | "is_dir" | "stat" | "relative_to" => Value::default(),
        _ => return None,
    })
}
