//! What Python's functions do with processes and code.

use crate::effect::{EffectKind, Qualities, Target};
use crate::source_range::SourceRange;

use super::evaluate::Evaluator;
use super::gather::is_shell;
use super::library::{self, Call};
use super::value::{Kind, Origin, Value};

/// A call of a function by its qualified name.
pub(super) fn call(
    evaluator: &mut Evaluator<'_>,
    name: &str,
    call: &Call,
    origin: Origin,
) -> Option<Value> {
    let range = call.range;
    let first = call.first();
    Some(match name {
        "os.system"
        | "os.popen"
        | "subprocess.getoutput"
        | "subprocess.getstatusoutput"
        | "asyncio.create_subprocess_shell"
        | "platform.popen" => {
            let command = call.argument(0, "cmd");
            if command.as_text().is_some_and(|text| text.trim_ascii_end().ends_with(b"&")) {
                library::process_started(evaluator, range);
            }
            evaluator.gather.shell(&command, range);
            Value::named_from(format!("{name}()"), Origin::FILE)
        }
        "subprocess.run"
        | "subprocess.call"
        | "subprocess.Popen"
        | "subprocess.check_call"
        | "subprocess.check_output" => {
            // The others wait until it has ended.
            if name == "subprocess.Popen" {
                library::process_started(evaluator, range);
            }
            subprocess(evaluator, call);
            // What a program prints is not what was given to it.
            Value::named("subprocess.Popen()")
        }
        "pexpect.spawn" | "pexpect.run" | "sh.bash" | "sh.sh" => {
            evaluator.gather.shell(&first, range);
            Value::named("subprocess.Popen()")
        }
        // The module `sh` has a function for every program.
        _ if name.strip_prefix("sh.").is_some_and(is_program_name) => {
            let program = Value::text(name.trim_start_matches("sh."));
            let mut arguments = vec![program];
            arguments.extend(call.given.iter().cloned());
            evaluator.gather.program(&Value::list(arguments), range);
            Value::default()
        }
        "asyncio.create_subprocess_exec" => {
            evaluator.gather.program(&Value::list(call.given.clone()), range);
            Value::named("subprocess.Popen()")
        }
        "pty.spawn" => {
            let arguments = match first.kind {
                Kind::List(_) => first,
                _ => Value::list(vec![first]),
            };
            evaluator.gather.program(&arguments, range);
            Value::default()
        }
        "os.execv" | "os.execve" | "os.execvp" | "os.execvpe" | "os.posix_spawn"
        | "os.posix_spawnp" => {
            execute(evaluator, &first, &call.second(), range);
            Value::default()
        }
        "os.execl" | "os.execlp" | "os.execle" | "os.execlpe" => {
            let arguments = Value::list(call.given.get(1..).unwrap_or_default().to_vec());
            execute(evaluator, &first, &arguments, range);
            Value::default()
        }
        "os.spawnv" | "os.spawnve" | "os.spawnvp" | "os.spawnvpe" => {
            library::process_started(evaluator, range);
            execute(evaluator, &call.second(), &call.argument(2, "args"), range);
            Value::default()
        }
        "os.spawnl" | "os.spawnle" | "os.spawnlp" | "os.spawnlpe" => {
            library::process_started(evaluator, range);
            let arguments = Value::list(call.given.get(2..).unwrap_or_default().to_vec());
            execute(evaluator, &call.second(), &arguments, range);
            Value::default()
        }
        "os.startfile" | "webbrowser.open" => Value::default(),
        "os.fork"
        | "os.forkpty"
        | "multiprocessing.Process().start"
        | "threading.Thread().start" => {
            library::process_started(evaluator, range);
            Value::default()
        }
        "multiprocessing.Process" | "threading.Thread" => {
            if let Some(target) = call.keyword("target") {
                let given = match call.keyword("args").map(|value| value.kind) {
                    Some(Kind::List(items)) => items,
                    _ => Vec::new(),
                };
                let inner = Call { given, named: Vec::new(), range };
                evaluator.dispatch(&target, &inner, 1);
            }
            library::process_started(evaluator, range);
            Value::named(format!("{name}()"))
        }
        "os.kill" | "os.killpg" | "signal.pthread_kill" => {
            kill(evaluator, &first, range);
            Value::default()
        }
        "psutil.process_iter" => {
            Value::list(vec![Value::named_from("psutil.Process()", Origin::WALK)])
        }
        "psutil.Process().kill" | "psutil.Process().terminate" => {
            let chosen = evaluator.loops.iter().any(|one| one.chooses);
            let all = origin.has(Origin::WALK) && !chosen;
            let qualities = Qualities::NONE.with_if(all, Qualities::ALL_OF_THEM);
            let target = Target::Name("\0".to_owned());
            evaluator.gather.effect(EffectKind::Kill, target, qualities, range);
            Value::default()
        }
        "exec" | "eval" => {
            evaluator.gather.code(&first, range);
            Value::unknown(first.origin)
        }
        // Compiled code goes on as the text that it is.
        "compile" | "builtins.compile" => first,
        "types.FunctionType" | "types.CodeType" => first,
        "execfile" | "runpy.run_path" => {
            let network = first.origin.has(Origin::NETWORK);
            let program = Value::list(vec![Value::text("python3"), first]);
            evaluator.gather.program(&program, range);
            if network {
                evaluator.gather.network_code(range);
            }
            Value::default()
        }
        "importlib.util.spec_from_file_location" => {
            evaluator.gather.started(&call.second().to_text(), range);
            Value::default()
        }
        "code.interact" | "pdb.set_trace" => Value::default(),
        "pickle.loads" | "pickle.load" | "cPickle.loads" | "marshal.loads" | "dill.loads"
        | "cloudpickle.loads" | "yaml.load" | "yaml.unsafe_load" | "jsonpickle.decode"
        | "pickle.Unpickler" | "shelve.open" | "joblib.load" => {
            if call.origin().has(Origin::NETWORK) && !safe_loader(call) {
                evaluator.gather.network_code(range);
            }
            Value::unknown(call.origin().with(Origin::DECODED))
        }
        "os.setuid" | "os.setgid" | "os.seteuid" | "os.setreuid" | "os.setresuid"
        | "os.setregid" => {
            if first.as_number() == Some(0) {
                evaluator.gather.named(EffectKind::Privilege, "root", range);
            }
            Value::default()
        }
        "os.dup2" => {
            if first.origin.has(Origin::NETWORK) || first.as_number().is_none() {
                evaluator.gather.duplicated();
            }
            Value::default()
        }
        "os.setns" | "os.unshare" => {
            evaluator.gather.named(EffectKind::Breakout, "namespace", range);
            Value::default()
        }
        "os.reboot" => {
            evaluator.gather.named(EffectKind::Halt, "machine", range);
            Value::default()
        }
        "ctypes.CDLL" | "ctypes.cdll.LoadLibrary" | "ctypes.PyDLL" | "ctypes.util.find_library" => {
            Value::named("ctypes.CDLL()")
        }
        "ctypes.CFUNCTYPE()" | "ctypes.cast()" => {
            evaluator.gather.shellcode(range);
            Value::default()
        }
        // A program in a file that only exists in memory.
        "os.memfd_create" => {
            evaluator.gather.shellcode(range);
            in_memory()
        }
        "mmap.mmap" => {
            evaluator.gather.shellcode(range);
            Value::named("mmap.mmap()")
        }
        _ => {
            return library_call(evaluator, name, call)
                .or_else(|| watching(evaluator, name, call, origin));
        }
    })
}

fn subprocess(evaluator: &mut Evaluator<'_>, call: &Call) {
    let range = call.range;
    let command = call.argument(0, "args");
    let shell = call.keyword("shell").is_some();
    match &command.kind {
        Kind::List(items) if shell => {
            let text = items.first().cloned().unwrap_or_default();
            evaluator.gather.shell(&text, range);
        }
        Kind::List(_) => evaluator.gather.program(&command, range),
        Kind::Text(_) | Kind::Path(_) if !shell => {
            // Without a shell, the whole text names the program.
            let words = super::constant::method(&command, "split", &[]).unwrap_or_default();
            evaluator.gather.program(&words.from(command.origin), range);
        }
        _ => evaluator.gather.shell(&command, range),
    }
    let standard_input = call.keyword("input").or_else(|| call.keyword("stdin"));
    if let Some(input) = standard_input {
        let program = match &command.kind {
            Kind::List(items) => items.first().map(Value::to_text).unwrap_or_default(),
            _ => command.to_text(),
        };
        let word = program.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        if is_shell(word) && (input.as_text().is_some() || input.origin.has(Origin::NETWORK)) {
            evaluator.gather.shell(&input, range);
        }
    }
}

fn execute(evaluator: &mut Evaluator<'_>, program: &Value, arguments: &Value, range: SourceRange) {
    let path = program.to_text();
    if matches!(program.kind, Kind::File(_)) || is_descriptor(&path) {
        evaluator.gather.shellcode(range);
    }
    let mut list = vec![program.clone()];
    if let Kind::List(items) = &arguments.kind {
        // The first argument is the name that the program gets; the file is what is run.
        list.extend(items.iter().skip(1).filter(|one| !matches!(one.kind, Kind::Map(_))).cloned());
    }
    evaluator.gather.program(&Value::list(list), range);
}

/// `/proc/self/fd/4`: whatever is open there.
fn is_descriptor(path: &[u8]) -> bool {
    path.starts_with(b"/proc/") && path.windows(4).any(|window| window == b"/fd/")
        || path.starts_with(b"/dev/fd/")
}

fn kill(evaluator: &mut Evaluator<'_>, process: &Value, range: SourceRange) {
    let each = evaluator.loops.iter().any(|one| one.long) || process.origin.has(Origin::WALK);
    let everything = matches!(process.as_number(), Some(-1 | 1)) || each;
    if process.is_blank() && !each {
        return;
    }
    let name = String::from_utf8_lossy(&process.to_text()).into_owned();
    let qualities = Qualities::NONE.with_if(everything, Qualities::ALL_OF_THEM);
    evaluator.gather.effect(EffectKind::Kill, Target::Name(name), qualities, range);
}

fn safe_loader(call: &Call) -> bool {
    let loader = call.argument(1, "Loader");
    loader.name().is_some_and(|name| name.contains("Safe"))
}

/// Functions of the C library.
fn library_call(evaluator: &mut Evaluator<'_>, name: &str, call: &Call) -> Option<Value> {
    let (library, function) = name.rsplit_once('.')?;
    let foreign = library.starts_with("ctypes.CDLL()")
        || library.starts_with("ctypes.cdll")
        || library.starts_with("ctypes.windll");
    if !foreign {
        return match name {
            "ctypes.memmove"
            | "ctypes.CFUNCTYPE"
            | "ctypes.create_string_buffer"
            | "ctypes.cast" => {
                if name != "ctypes.create_string_buffer" {
                    evaluator.gather.shellcode(call.range);
                }
                Some(Value::named(format!("{name}()")))
            }
            _ => None,
        };
    }
    let range = call.range;
    // `syscall(169, …)`: the number names the function.
    if function == "syscall" {
        let called = call.first().as_number().and_then(system_call)?;
        let given = call.given.get(1..).unwrap_or_default().to_vec();
        let inner = Call { given, named: Vec::new(), range };
        return library_call(evaluator, &format!("{library}.{called}"), &inner);
    }
    match function {
        "system" | "popen" => evaluator.gather.shell(&call.first(), range),
        "execve" | "execv" | "execvp" | "execl" => {
            execute(evaluator, &call.first(), &call.second(), range);
        }
        "mprotect" | "VirtualAlloc" | "VirtualProtect" | "mmap" => {
            evaluator.gather.shellcode(range);
            evaluator.gather.shellcode(range);
        }
        "RtlMoveMemory" | "CreateThread" => evaluator.gather.shellcode(range),
        "fork" | "vfork" => library::process_started(evaluator, range),
        "setuid" | "setgid" | "setresuid" | "setreuid" if call.first().as_number() == Some(0) => {
            evaluator.gather.named(EffectKind::Privilege, "root", range);
        }
        "unlink" | "remove" | "rmdir" => {
            evaluator.gather.path(EffectKind::Delete, &call.first(), Qualities::NONE, range);
        }
        // The folder that it is relative to stands first.
        "unlinkat" => {
            evaluator.gather.path(EffectKind::Delete, &call.second(), Qualities::NONE, range);
        }
        "truncate" => {
            evaluator.gather.path(EffectKind::Overwrite, &call.first(), Qualities::NONE, range);
        }
        "kill" => kill(evaluator, &call.first(), range),
        // A program in a file that only exists in memory.
        "memfd_create" => {
            evaluator.gather.shellcode(range);
            return Some(in_memory());
        }
        "fexecve" | "execveat" => evaluator.gather.shellcode(range),
        "reboot" => evaluator.gather.named(EffectKind::Halt, "machine", range),
        "kexec_load" | "kexec_file_load" => {
            evaluator.gather.named(EffectKind::Kernel, "kernel", range);
        }
        "ptrace" | "process_vm_writev" => {
            evaluator.gather.named(EffectKind::Inject, "process", range);
        }
        "mount" | "umount" | "umount2" => evaluator.gather.named(EffectKind::Mount, "\0", range),
        "setns" | "unshare" => evaluator.gather.named(EffectKind::Breakout, "namespace", range),
        "init_module" | "finit_module" => {
            evaluator.gather.named(EffectKind::Kernel, "module", range)
        }
        _ => {}
    }
    Some(Value::default())
}

/// The file of `memfd_create`.
fn in_memory() -> Value {
    Value { kind: Kind::File(b"/proc/self/fd/memory".to_vec()), origin: Origin::NONE }
}

/// The functions behind the numbers of Linux on x86-64 (syscalls(2)).
fn system_call(number: i64) -> Option<&'static str> {
    Some(match number {
        57 => "fork",
        58 => "vfork",
        59 => "execve",
        62 => "kill",
        76 => "truncate",
        84 => "rmdir",
        87 => "unlink",
        101 => "ptrace",
        105 => "setuid",
        165 => "mount",
        166 => "umount2",
        169 => "reboot",
        175 => "init_module",
        246 => "kexec_load",
        263 => "unlinkat",
        272 => "unshare",
        308 => "setns",
        311 => "process_vm_writev",
        313 => "finit_module",
        319 => "memfd_create",
        320 => "kexec_file_load",
        322 => "execveat",
        _ => return None,
    })
}

/// Those who watch the user.
fn watching(
    evaluator: &mut Evaluator<'_>,
    name: &str,
    call: &Call,
    _origin: Origin,
) -> Option<Value> {
    let what = match name {
        "pynput.keyboard.Listener"
        | "keyboard.on_press"
        | "keyboard.hook"
        | "keyboard.record"
        | "keyboard.on_release"
        | "pyHook.HookManager"
        | "pyxhook.HookManager" => "keys",
        "pyperclip.paste" | "win32clipboard.GetClipboardData" => "clipboard",
        "pyautogui.screenshot" | "PIL.ImageGrab.grab" | "mss.mss().shot" => "screen",
        "keyring.get_password" => "keyring",
        _ => return None,
    };
    // What is typed is a secret; what is on the screen is one if it is sent.
    if matches!(what, "keys" | "keyring") {
        evaluator.gather.named(EffectKind::Secret, what, call.range);
    }
    for (_, handler) in &call.named {
        if let Kind::Function(id) = handler.kind {
            evaluator.invoke(id, &[], Origin::WATCHED, 1);
        }
    }
    Some(Value::named_from(format!("{name}()"), Origin::WATCHED))
}

/// Whether a name of the module `sh` is a program, and none of its own functions.
fn is_program_name(name: &str) -> bool {
    !name.is_empty()
        && !matches!(name, "Command" | "contrib" | "pushd" | "cd" | "bake")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
