//! Timing commands. A small process of its own starts them, so that every command of a round is
//! started by the same user in the same way, by vfork and exec.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::account::Account;
use crate::failure::{Answer, Failure};

/// In which order the commands of a round run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The same each round: ABAB.
    Same,
    /// Each round in the order opposite to that of the round before: ABBA.
    Alternating,
}

/// What a command took, once for each round, in milliseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Took {
    /// From its start to its end.
    pub(super) wall: Vec<f64>,
    /// Of all processors together, for it and what it started; known to ten milliseconds.
    pub(super) processor: Vec<f64>,
}

/// A command to be timed.
#[derive(Debug, Clone)]
pub(super) struct Timed {
    argv: Vec<String>,
    folder: PathBuf,
    env: Vec<(String, String)>,
    /// Commands before and after each run that are not timed.
    before: Vec<Vec<String>>,
    after: Vec<Vec<String>>,
}

fn strings(words: &[&dyn AsRef<OsStr>]) -> Vec<String> {
    words.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect()
}

impl Timed {
    /// A command with `folder` as working folder.
    pub(super) fn new(folder: &Path, argv: &[&dyn AsRef<OsStr>]) -> Self {
        Self {
            argv: strings(argv),
            folder: folder.to_owned(),
            env: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
        }
    }

    /// With a variable.
    pub(super) fn env(mut self, name: &str, value: &Path) -> Self {
        self.env.push((name.to_owned(), value.to_string_lossy().into_owned()));
        self
    }

    /// With a command before each run that is not timed.
    pub(super) fn before(mut self, argv: &[&dyn AsRef<OsStr>]) -> Self {
        self.before.push(strings(argv));
        self
    }

    /// With a command after each run that is not timed.
    pub(super) fn after(mut self, argv: &[&dyn AsRef<OsStr>]) -> Self {
        self.after.push(strings(argv));
        self
    }

    fn to_json(&self) -> Value {
        json!({
            "argv": self.argv,
            "folder": self.folder,
            "env": self.env,
            "before": self.before,
            "after": self.after,
        })
    }
}

/// Who runs the commands, and in which surroundings.
pub(super) struct Runner<'a> {
    /// A copy of this program that the user can reach.
    pub(super) program: &'a Path,
    /// The user; this process's own when there is none.
    pub(super) account: Option<&'a Account>,
    /// A command in front, such as unshare(1).
    pub(super) prefix: &'a [String],
}

impl Runner<'_> {
    /// Runs the commands in turn, `rounds` times, after a few rounds that do not count. Answers
    /// what each command took.
    pub(super) fn interleaved(
        &self,
        commands: &[Timed],
        rounds: usize,
        order: Order,
    ) -> Answer<Vec<Took>> {
        let plan = json!({
            "rounds": rounds,
            "alternating": order == Order::Alternating,
            "commands": commands.iter().map(Timed::to_json).collect::<Vec<_>>(),
        });
        let inner = match self.account {
            Some(account) => account.command(self.program),
            None => Command::new(self.program),
        };
        let mut command = match self.prefix.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(inner.get_program()).args(inner.get_args());
                command
            }
            None => inner,
        };
        command.arg("measure").stdin(Stdio::piped()).stdout(Stdio::piped());
        let start = |source| Failure::Start { program: "xtask measure".to_owned(), source };
        let mut child = command.spawn().map_err(start)?;
        if let Some(stdin) = child.stdin.take() {
            serde_json::to_writer(stdin, &plan)
                .map_err(|source| Failure::Output { program: "xtask".to_owned(), source })?;
        }
        let output = child.wait_with_output().map_err(start)?;
        if !output.status.success() {
            return Err(Failure::told(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
        }
        let took: Vec<(Vec<f64>, Vec<f64>)> = serde_json::from_slice(&output.stdout)
            .map_err(|source| Failure::Output { program: "xtask measure".to_owned(), source })?;
        Ok(took.into_iter().map(|(wall, processor)| Took { wall, processor }).collect())
    }
}

/// The hidden task `measure`: carries out a plan from standard input.
pub(crate) fn serve() -> Answer {
    let mut text = String::new();
    let input = Path::new("standard input");
    std::io::stdin().read_to_string(&mut text).map_err(Failure::io("read", input))?;
    let plan: Value = serde_json::from_str(&text)
        .map_err(|source| Failure::Output { program: "the plan".to_owned(), source })?;
    let commands = plan.get("commands").and_then(Value::as_array).cloned().unwrap_or_default();
    let rounds = plan.get("rounds").and_then(Value::as_u64).unwrap_or(1);
    let warm_up = (rounds / 10).clamp(1, 10);
    let alternating = plan.get("alternating").and_then(Value::as_bool).unwrap_or(false);
    let mut took: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); commands.len()];
    for round in 0..warm_up + rounds {
        let mut turns: Vec<_> = commands.iter().zip(&mut took).collect();
        if alternating && round % 2 == 1 {
            turns.reverse();
        }
        for (spec, took) in turns {
            let (wall, processor) = match one(spec) {
                Ok(took) => took,
                Err(failure) => {
                    // The parent reads why from standard output.
                    println!("{failure}");
                    return Err(failure);
                }
            };
            if round >= warm_up {
                took.0.push(wall);
                took.1.push(processor);
            }
        }
    }
    println!("{}", json!(took));
    Ok(())
}

/// Runs a command once: how long it took, and how much processor time, in milliseconds.
fn one(spec: &Value) -> Answer<(f64, f64)> {
    for argv in list(spec, "before") {
        command(spec, argv)?.1.wait_successfully()?;
    }
    let used = processor_of_children()?;
    let (started, child) = command(spec, spec.get("argv").unwrap_or(&Value::Null))?;
    let ended = child.wait_successfully()?;
    let used = processor_of_children()? - used;
    for argv in list(spec, "after") {
        command(spec, argv)?.1.wait_successfully()?;
    }
    Ok(((ended - started).as_secs_f64() * 1e3, used))
}

/// What the children of this process that have ended took, and theirs, in milliseconds.
fn processor_of_children() -> Answer<f64> {
    let file = Path::new("/proc/self/stat");
    let text = std::fs::read_to_string(file).map_err(Failure::io("read", file))?;
    let ticks =
        children_ticks(&text).ok_or_else(|| Failure::told("no times in /proc/self/stat"))?;
    Ok(ticks * 1e3 / rustix::param::clock_ticks_per_second() as f64)
}

/// `cutime` and `cstime` together (proc_pid_stat(5)).
fn children_ticks(stat: &str) -> Option<f64> {
    // The name before them, in brackets, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(13).map(str::parse::<f64>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

fn list<'v>(spec: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    spec.get(key).and_then(Value::as_array).into_iter().flatten()
}

struct Child {
    words: String,
    child: std::process::Child,
}

fn command(spec: &Value, argv: &Value) -> Answer<(Instant, Child)> {
    let words: Vec<&str> =
        argv.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::told("an empty command"));
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(folder) = spec.get("folder").and_then(Value::as_str) {
        command.current_dir(folder);
    }
    for pair in list(spec, "env") {
        if let (Some(name), Some(value)) =
            (pair.get(0).and_then(Value::as_str), pair.get(1).and_then(Value::as_str))
        {
            command.env(name, value);
        }
    }
    let started = Instant::now();
    let child = command
        .spawn()
        .map_err(|source| Failure::Start { program: (*program).to_owned(), source })?;
    Ok((started, Child { words: words.join(" "), child }))
}

impl Child {
    fn wait_successfully(mut self) -> Answer<Instant> {
        let status = self.child.wait();
        let ended = Instant::now();
        match status {
            Ok(status) if status.success() => Ok(ended),
            Ok(status) => Err(Failure::Ended {
                command: self.words,
                status: status.to_string(),
                output: String::new(),
            }),
            Err(source) => Err(Failure::Start { program: self.words, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::children_ticks;

    #[test]
    fn reads_the_times_of_children() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 110 220 0 0 30 40 500 60 20 0 1 0 99";
        assert_eq!(children_ticks(stat), Some(560.0));
        assert_eq!(children_ticks("7 (a) S 1"), None);
    }
}
