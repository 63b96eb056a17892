//! What Node's functions do with processes.

use crate::effect::{EffectKind, Qualities, Target, UNKNOWN};

use super::constant;
use super::evaluate::Evaluator;
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
    let child = || Some(Value::named("child_process.spawn()"));
    match name {
        "child_process.exec"
        | "child_process.execSync"
        | "execa.command"
        | "execa.commandSync"
        | "shelljs.exec"
        | "shell.exec"
        | "cp.exec"
        | "cp.execSync" => {
            library::process_started(evaluator, range);
            evaluator.gather.shell(&first, range);
            Some(match name.ends_with("Sync") {
                true => Value::named_from("child_process.execSync()", Origin::NONE),
                false => Value::named("child_process.spawn()"),
            })
        }
        "Deno.run" => {
            let Kind::Map(entries) = &first.kind else { return None };
            library::process_started(evaluator, range);
            let arguments = constant::entry(entries, b"cmd").unwrap_or_default();
            evaluator.gather.program(&arguments, range);
            child()
        }
        "child_process.spawn"
        | "child_process.spawnSync"
        | "child_process.execFile"
        | "child_process.execFileSync"
        | "execa"
        | "execa.execa"
        | "execa.sync"
        | "cross-spawn"
        | "cross-spawn.sync"
        | "Bun.spawn"
        | "Bun.spawnSync"
        | "node-pty.spawn"
        | "Deno.Command" => {
            library::process_started(evaluator, range);
            let mut arguments = match &first.kind {
                Kind::List(items) => items.clone(),
                _ => vec![first.clone()],
            };
            match &call.second().kind {
                Kind::List(items) => arguments.extend(items.iter().cloned()),
                Kind::Map(entries) => {
                    let list =
                        constant::entry(entries, b"args").and_then(|it| constant::items(&it));
                    arguments.extend(list.unwrap_or_default());
                }
                Kind::Unknown | Kind::Named(_) if call.given.len() > 1 => {
                    arguments.push(Value::text_from([UNKNOWN], call.second().origin));
                }
                _ => {}
            }
            let options = call.given.iter().find_map(|one| match &one.kind {
                Kind::Map(entries) => Some(entries),
                _ => None,
            });
            let shell = options.is_some_and(|it| constant::entry(it, b"shell").is_some());
            if shell {
                let words: Vec<Vec<u8>> = arguments.iter().map(Value::to_text).collect();
                let text = Value::text_from(words.join(&b' '), Value::list(arguments).origin);
                evaluator.gather.shell(&text, range);
            } else {
                evaluator.gather.program(&Value::list(arguments), range);
            }
            if let Some(input) = options.and_then(|it| constant::entry(it, b"input"))
                && super::gather::is_shell(&first.to_text())
            {
                evaluator.gather.shell(&input, range);
            }
            child()
        }
        "child_process.fork" | "worker_threads.Worker" | "Worker" => {
            library::process_started(evaluator, range);
            // A program that starts nothing but itself again.
            let itself = first.to_text() == b"./\0/\0/\0/\0";
            if itself && call.given.len() == 1 && name == "child_process.fork" {
                evaluator.gather.bomb(range);
            }
            Some(Value::default())
        }
        "cluster.fork" => {
            library::process_started(evaluator, range);
            Some(Value::default())
        }
        "process.binding" if first.as_text() == Some(b"spawn_sync") => {
            Some(Value::named("spawn_sync"))
        }
        "spawn_sync.spawn" => {
            if let Kind::Map(entries) = &first.kind {
                let arguments = constant::entry(entries, b"args").unwrap_or_default();
                evaluator.gather.program(&arguments, range);
            }
            Some(Value::default())
        }
        "process.kill" => {
            if !first.is_blank() {
                let everything = matches!(first.as_number(), Some(-1 | 1));
                let name = String::from_utf8_lossy(&first.to_text()).into_owned();
                let qualities = Qualities::NONE.with_if(everything, Qualities::ALL_OF_THEM);
                evaluator.gather.effect(EffectKind::Kill, Target::Name(name), qualities, range);
            }
            Some(Value::default())
        }
        "process.setuid" | "process.setgid" | "process.seteuid" => {
            if first.as_number() == Some(0) {
                evaluator.gather.named(EffectKind::Privilege, "root", range);
            }
            Some(Value::default())
        }
        "process.dlopen" => {
            evaluator.gather.named(EffectKind::Inject, "process", range);
            Some(Value::default())
        }
        _ => {
            // What is written to a shell that was started is a command.
            let inner = name.strip_prefix("child_process.spawn().stdin.")?;
            if matches!(inner, "write" | "end") && first.as_text().is_some() {
                evaluator.gather.shell(&first, range);
            }
            Some(Value::unknown(origin))
        }
    }
}
