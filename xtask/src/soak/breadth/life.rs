//! One sandbox of many: random steps, each compared with the model.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::ctrlz::{Ctrlz, Journaled};
use super::super::model::{Model, Operation, Visible};
use super::super::random::Random;
use super::super::stage::parse;
use super::tally::Tally;
use crate::failure::{Answer, Failure};
use crate::project;

/// Prints the workspace: each file's name and its first line. A part of every command, so that each
/// shows whether all before it were right. Without a process of its own: there are thousands.
const LISTING: &str = "for f in *; do [ -f \"$f\" ] || continue; l=; IFS= read -r l < \"$f\"; echo \"$f=$l\"; done; :";

/// The longest wait before a kill, in microseconds: about as long as an operation takes.
const LATEST_KILL: u64 = 60_000;

/// Snapshots that a sandbox keeps by hand.
const MOST_SNAPSHOTS: usize = 4;

/// A sandbox and what it should be.
pub(super) struct Life {
    ctrlz: Ctrlz,
    name: String,
    folder: PathBuf,
    /// Whether `run` in the folder made it, and uses it.
    by_run: bool,
    model: Model,
    now: Visible,
    /// Written next: no two contents are the same.
    next: u64,
}

impl Life {
    /// Makes the sandbox and its folder.
    pub(super) fn begin(ctrlz: &Ctrlz, place: &Path, number: usize) -> Answer<Self> {
        let name = format!("s{number}");
        let folder = place.join(&name);
        fs::create_dir(&folder).map_err(Failure::io("make", &folder))?;
        let (ctrlz, model) = (ctrlz.clone(), Model::default());
        let by_run = number.is_multiple_of(2);
        let mut life =
            Self { ctrlz, name, folder, by_run, model, now: Visible::default(), next: 1 };
        life.make()?;
        Ok(life)
    }

    /// Makes the sandbox of the folder as it is.
    fn make(&mut self) -> Answer {
        let real = list(&self.folder)?;
        self.now = Visible { view: real.clone(), real, state: String::new() };
        self.model = Model::default();
        if !self.by_run {
            return self.ctrlz.ok(&self.folder, &["new", &self.name, "--base", "."]).map(drop);
        }
        self.ctrlz.ok(&self.folder, &["run", "--", "true"])?;
        self.model.took_effect(&Operation::Run("true".to_owned()), self.now.clone());
        Ok(())
    }

    /// One random step, which counts in `tally` as as many operations as it takes commands.
    pub(super) fn step(&mut self, random: &mut Random, tally: &mut Tally) -> Answer {
        match random.below(1000) {
            0..330 => {
                let (script, view) = self.script(random);
                self.operate(&Operation::Run(script), Some(view), random, tally)
            }
            330..400 => self.operate(&Operation::Commit, None, random, tally),
            400..430 => self.operate(&Operation::Discard, None, random, tally),
            430..510 => self.operate(&Operation::Undo, None, random, tally),
            510..550 => self.operate(&Operation::Redo, None, random, tally),
            550..600 if self.model.snapshots.len() < MOST_SNAPSHOTS => {
                self.operate(&Operation::Snapshot, None, random, tally)
            }
            550..600 => self.forget_snapshot(tally),
            600..660 if !self.model.snapshots.is_empty() => {
                let index = random.below(self.model.snapshots.len() as u64);
                let index = usize::try_from(index).unwrap_or(0);
                self.operate(&Operation::Rollback(index), None, random, tally)
            }
            600..740 => {
                let (key, value) = (format!("key-{}", random.below(4)), self.next.to_string());
                self.next += 1;
                self.operate(&Operation::Put(key, value), None, random, tally)
            }
            740..820 => self.get(random, tally),
            820..860 => self.tag(random, tally),
            860..885 => self.fork(tally),
            885..910 => self.suspend(tally),
            910..920 => self.anew(tally),
            920..960 => self.look("stats", &["stats", &self.name.clone()], tally),
            960..994 => self.look("events", &["events", "-n", "5"], tally),
            994..997 => self.verify(tally),
            _ => {
                tally.count("gc");
                self.ctrlz.ok(&self.folder, &["gc"]).map(drop)
            }
        }
    }

    /// A script, and the workspace after it.
    fn script(&mut self, random: &mut Random) -> (String, String) {
        let mut files: BTreeMap<String, String> = self
            .now
            .view
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, line)| (name.to_owned(), line.to_owned()))
            .collect();
        let mut steps = Vec::new();
        for _ in 0..=random.below(2) {
            let (one, other) = (random.below(6), random.below(6));
            let (one, other) = (format!("file-{one}"), format!("file-{other}"));
            let number = self.next;
            self.next += 1;
            match random.below(8) {
                0 => {
                    steps.push(format!("rm -f {one}"));
                    files.remove(&one);
                }
                1 if one != other && files.contains_key(&one) => {
                    steps.push(format!("mv {one} {other}"));
                    let moved = files.remove(&one).unwrap_or_default();
                    files.insert(other, moved);
                }
                2 => {
                    steps.push(format!("(echo {number}; head -c 60000 /dev/zero) > {one}"));
                    files.insert(one, number.to_string());
                }
                _ => {
                    steps.push(format!("echo {number} > {one}"));
                    files.insert(one, number.to_string());
                }
            }
        }
        steps.push(LISTING.to_owned());
        let view: Vec<String> = files.iter().map(|(name, line)| format!("{name}={line}")).collect();
        (steps.join("; "), view.join("\n"))
    }

    /// Performs an operation of the model, perhaps kills it, and compares.
    fn operate(
        &mut self,
        operation: &Operation,
        ran: Option<String>,
        random: &mut Random,
        tally: &mut Tally,
    ) -> Answer {
        tally.count(operation.kind());
        let expected = self.model.expect(operation, &self.now, ran);
        let kill = (random.below(12) == 0).then(|| random.below(LATEST_KILL));
        let kill = kill.map(Duration::from_micros);
        // What took effect is asked where the exit code does not tell.
        let unsure = kill.is_some() || expected.is_none();
        let last = if unsure { Some(self.newest()?) } else { None };
        let ended = self.ctrlz.run(&self.folder, &self.words(operation), kill)?;
        let wrong = |what: &str| {
            let (status, out, err) = (ended.status, &ended.out, &ended.err);
            Failure::told(format!(
                "{what} after {operation:?} in {} ({status}, killed: {})\n{out}{err}\nit was {:#?}\n\
                 and should be {expected:#?}",
                self.name,
                kill.is_some(),
                self.now
            ))
        };
        if kill.is_some() {
            tally.killed += 1;
            tally.count("recover");
            self.ctrlz.ok(&self.folder, &["recover"])?;
        }
        let took_effect = match last {
            Some(last) => {
                let newest = self.newest()?;
                newest.id != last.id && newest.kind == operation.kind() && newest.status == "done"
            }
            None => ended.code() == Some(0),
        };
        if !took_effect && kill.is_none() && expected.is_some() {
            return Err(wrong("the operation took no effect"));
        }
        if expected.is_none() && kill.is_none() && !matches!(ended.code(), Some(0 | 123)) {
            return Err(wrong("the answer is wrong"));
        }
        let now = match &expected {
            Some(expected) if took_effect => expected.clone(),
            _ => self.now.clone(),
        };
        if kill.is_none() && matches!(operation, Operation::Run(_)) && ended.out.trim() != now.view
        {
            return Err(wrong("the command saw another workspace"));
        }
        if list(&self.folder)? != now.real {
            return Err(wrong("the real folder is another"));
        }
        if took_effect {
            if *operation == Operation::Snapshot && kill.is_none() {
                let answer = parse(&ended.out)?;
                let id = project::text(&answer, "/snapshot/id").unwrap_or_default().to_owned();
                self.model.snapshots.push((id, self.now.clone()));
            }
            self.model.took_effect(operation, std::mem::replace(&mut self.now, now));
        }
        Ok(())
    }

    fn words<'w>(&'w self, operation: &'w Operation) -> Vec<&'w str> {
        let name = self.name.as_str();
        match operation {
            // By the folder and by the name, which is the same.
            Operation::Run(script) if self.by_run && self.next.is_multiple_of(2) => {
                vec!["run", "--", "sh", "-c", script]
            }
            Operation::Run(script) => vec!["exec", name, "--", "sh", "-c", script],
            Operation::Commit => vec!["commit", name],
            Operation::Discard => vec!["discard", name],
            Operation::Undo => vec!["undo", name],
            Operation::Redo => vec!["redo", name],
            Operation::Snapshot => vec!["--json", "snapshot", name],
            Operation::Rollback(index) => {
                let id = self.model.snapshots.get(*index).map_or("", |(id, _)| id.as_str());
                vec!["rollback", name, id]
            }
            Operation::Put(key, value) => vec!["state", "--sandbox", name, "put", key, value],
        }
    }

    fn newest(&self) -> Answer<Journaled> {
        self.ctrlz.newest(&self.folder, &self.name)
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.now.state.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }

    fn get(&self, random: &mut Random, tally: &mut Tally) -> Answer {
        tally.count("state get");
        self.check_value(&format!("key-{}", random.below(4)))
    }

    fn check_value(&self, key: &str) -> Answer {
        let arguments = ["state", "--sandbox", &self.name, "get", key];
        let ended = self.ctrlz.run(&self.folder, &arguments, None)?;
        let found = (ended.code() == Some(0)).then(|| ended.out.trim_end());
        if found == self.value(key) {
            return Ok(());
        }
        let wanted = self.value(key);
        Err(Failure::told(format!(
            "{key} of {} is {found:?}, not {wanted:?}\n{}",
            self.name, ended.err
        )))
    }

    fn tag(&self, random: &mut Random, tally: &mut Tally) -> Answer {
        let index = usize::try_from(random.below(MOST_SNAPSHOTS as u64)).unwrap_or(0);
        let Some((id, _)) = self.model.snapshots.get(index) else { return Ok(()) };
        tally.count("snapshot tag");
        let change = random.one_of(&["+keep", "-keep", "+soak"]).copied().unwrap_or("+soak");
        self.ctrlz.ok(&self.folder, &["snapshot", "tag", id, change]).map(drop)
    }

    fn forget_snapshot(&mut self, tally: &mut Tally) -> Answer {
        tally.count("snapshot rm");
        let (id, _) = self.model.snapshots.remove(0);
        self.ctrlz.ok(&self.folder, &["snapshot", "rm", "--force", &id]).map(drop)
    }

    /// A copy is what it is a copy of, and what becomes of it is its own business.
    fn fork(&self, tally: &mut Tally) -> Answer {
        let copy = format!("{}-fork", self.name);
        for what in ["fork", "run", "rm"] {
            tally.count(what);
        }
        self.ctrlz.ok(&self.folder, &["fork", &self.name, &copy])?;
        let script = format!("{LISTING}; echo > new; rm -f file-1");
        let arguments = ["exec", &copy, "--", "sh", "-c", &script];
        let seen = self.ctrlz.ok(&self.folder, &arguments)?;
        self.ctrlz.ok(&self.folder, &["rm", "--force", &copy])?;
        if seen.trim() == self.now.view {
            return Ok(());
        }
        let (name, view) = (&self.name, &self.now.view);
        Err(Failure::told(format!("the copy of {name} is\n{seen}, and it should be\n{view}")))
    }

    fn suspend(&self, tally: &mut Tally) -> Answer {
        for what in ["suspend", "run", "resume"] {
            tally.count(what);
        }
        self.ctrlz.ok(&self.folder, &["suspend", &self.name])?;
        self.ctrlz.expect(&self.folder, &["exec", &self.name, "--", "touch", "x"], 123)?;
        self.ctrlz.ok(&self.folder, &["resume", &self.name]).map(drop)
    }

    /// Removes the sandbox and makes it again.
    fn anew(&mut self, tally: &mut Tally) -> Answer {
        tally.count("rm");
        tally.count("new");
        self.ctrlz.ok(&self.folder, &["rm", "--force", &self.name])?;
        self.make()
    }

    fn look(&self, what: &'static str, arguments: &[&str], tally: &mut Tally) -> Answer {
        tally.count(what);
        self.ctrlz.json(&self.folder, arguments).map(drop)
    }

    fn verify(&self, tally: &mut Tally) -> Answer {
        tally.count("audit verify");
        self.ctrlz.ok(&self.folder, &["audit", "verify"]).map(drop)
    }

    /// Compares all of it with the model: the folder, the workspace, the state, the snapshots.
    pub(super) fn check(&self, tally: &mut Tally) -> Answer {
        if list(&self.folder)? != self.now.real {
            return Err(Failure::told(format!("the folder of {} is another", self.name)));
        }
        for key in 0..4 {
            self.check_value(&format!("key-{key}"))?;
        }
        self.ctrlz.ok(&self.folder, &["state", "--sandbox", &self.name, "verify"])?;
        for (id, _) in &self.model.snapshots {
            let arguments = ["rollback", &self.name, id, "--dry-run", "--verify"];
            self.ctrlz.ok(&self.folder, &arguments)?;
        }
        self.fork(tally)
    }

    /// Lets go of all that the sandbox holds beside its folder.
    pub(super) fn settle(&mut self) -> Answer {
        for (id, _) in std::mem::take(&mut self.model.snapshots) {
            self.ctrlz.ok(&self.folder, &["snapshot", "rm", "--force", &id])?;
        }
        let ended = self.ctrlz.run(&self.folder, &["discard", &self.name], None)?;
        self.now.view.clone_from(&self.now.real);
        match ended.code() {
            Some(0 | 123) => Ok(()),
            _ => Err(Failure::told(format!("`ctrlz discard {}`: {}", self.name, ended.err))),
        }
    }
}

/// A real folder as [`LISTING`] prints it.
fn list(folder: &Path) -> Answer<String> {
    let failed = || Failure::io("read", folder);
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let mut line = String::new();
        let file = fs::File::open(entry.path()).map_err(failed())?;
        BufReader::new(file).read_line(&mut line).map_err(failed())?;
        lines.push(format!("{}={}", entry.file_name().to_string_lossy(), line.trim_end()));
    }
    lines.sort();
    Ok(lines.join("\n"))
}
