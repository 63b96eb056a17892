//! Whether what a client was told, the journal and the workspace are of one opinion.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::deeds::{Answered, Deed, What};
use crate::failure::{Answer, Failure};
use crate::project;
use crate::service::{Client, Request};

/// How long the service may take to end what it was killed in the middle of.
const PATIENCE: Duration = Duration::from_secs(30);

/// What can be seen of a sandbox, as far as deeds change it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    log: Vec<String>,
    files: BTreeSet<String>,
    state: BTreeSet<String>,
}

/// One operation of the journal.
#[derive(Debug, Clone)]
struct Journaled {
    id: String,
    kind: String,
    status: String,
    title: String,
    target: Option<String>,
}

impl Journaled {
    fn took_effect(&self) -> bool {
        matches!(self.status.as_str(), "done" | "undone")
    }
}

/// Looks at a sandbox, which nobody uses meanwhile, with the eyes of the client whose deeds these are.
pub(super) fn agree(client: &mut Client, sandbox: &str, deeds: &[Deed]) -> Answer {
    let mut journal = journal(client, sandbox)?;
    // The last kill may have been a moment ago.
    let begun = Instant::now();
    while journal.iter().any(|one| one.status == "open") && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(50));
        journal = self::journal(client, sandbox)?;
    }
    let told = |what: String| Failure::told(format!("{sandbox}: {what}"));
    for one in &journal {
        if !matches!(one.status.as_str(), "done" | "undone" | "failed" | "recovered") {
            return Err(told(format!("an operation is neither done nor not done: {one:?}")));
        }
    }
    let snapshots = snapshots(client, sandbox)?;
    for deed in deeds {
        accounted_for(deed, &journal, &snapshots).map_err(told)?;
    }
    undone_as_told(deeds, &journal).map_err(told)?;
    let (wanted, seen) = (replayed(&journal, deeds), look(client, sandbox)?);
    if wanted == seen {
        return Ok(());
    }
    Err(told(format!("the journal says {wanted:?}, but there is {seen:?}")))
}

/// What was answered as done is there exactly once; what was refused is not; what nobody can tell is
/// there at most once.
fn accounted_for(
    deed: &Deed,
    journal: &[Journaled],
    snapshots: &[(String, String)],
) -> Result<(), String> {
    let names: Vec<&str> = match deed.what {
        // They do not have the key in their title.
        What::Undo => return Ok(()),
        What::Snapshot => {
            let found = snapshots.iter().filter(|(_, message)| *message == deed.key);
            found.map(|(id, _)| id.as_str()).collect()
        }
        What::Run | What::Write | What::State => {
            let found = journal.iter().filter(|one| {
                one.kind == deed.what.kind() && one.title.contains(&deed.key) && one.took_effect()
            });
            found.map(|one| one.id.as_str()).collect()
        }
    };
    let right = match &deed.answered {
        Answered::Done(None) => names.len() == 1,
        Answered::Done(Some(id)) => names == [id.as_str()],
        Answered::Not(_) => names.is_empty(),
        Answered::Unknown => names.len() <= 1,
    };
    if right { Ok(()) } else { Err(format!("{deed:?}, but the journal has {names:?}")) }
}

/// The same of what was taken back.
fn undone_as_told(deeds: &[Deed], journal: &[Journaled]) -> Result<(), String> {
    let undone = journal.iter().filter(|one| one.kind == "undo" && one.status == "done");
    let mut undone: BTreeSet<&str> = undone.map(|one| one.id.as_str()).collect();
    let mut unknown = 0;
    for deed in deeds.iter().filter(|deed| deed.what == What::Undo) {
        match &deed.answered {
            Answered::Done(Some(id)) if !undone.remove(id.as_str()) => {
                return Err(format!("{deed:?} is not in the journal"));
            }
            Answered::Unknown => unknown += 1,
            Answered::Done(_) | Answered::Not(_) => {}
        }
    }
    if undone.len() > unknown {
        return Err(format!("{undone:?} were undone, and {unknown} of them may be"));
    }
    Ok(())
}

/// What there should be, by the journal alone. Deeds say what the keys stand for.
fn replayed(journal: &[Journaled], deeds: &[Deed]) -> Seen {
    let mut now = Seen::default();
    let mut before: BTreeMap<&str, Seen> = BTreeMap::new();
    for one in journal.iter().filter(|one| one.took_effect()) {
        before.insert(&one.id, now.clone());
        if one.kind == "undo" {
            let target = one.target.as_deref().and_then(|target| before.get(target));
            now = target.cloned().unwrap_or(now);
            continue;
        }
        let is_it = |deed: &&Deed| deed.what.kind() == one.kind && one.title.contains(&deed.key);
        let Some(deed) = deeds.iter().find(is_it) else { continue };
        let key = deed.key.clone();
        match deed.what {
            What::Run => now.log.extend([key.clone(), key]),
            What::Write => drop(now.files.insert(key)),
            What::State => drop(now.state.insert(key)),
            What::Snapshot | What::Undo => {}
        }
    }
    now
}

/// What there is. Each file and value has its own name in it.
fn look(client: &mut Client, sandbox: &str) -> Answer<Seen> {
    let mut seen = Seen::default();
    let at = |rest: &str| format!("/v1/sandboxes/{sandbox}/{rest}");
    for entry in pages(client, &at("files?path=.&limit=1000"))? {
        let name = project::text(&entry, "/name").unwrap_or_default().to_owned();
        let content = client.expect(Request::get(&at(&format!("files?path={name}"))), 200)?.text();
        if name == "log" {
            seen.log = content.lines().map(str::to_owned).collect();
        } else if content == name {
            seen.files.insert(name);
        } else {
            seen.files.insert(format!("{name} with {content:?}"));
        }
    }
    for entry in pages(client, &at("state"))? {
        let key = project::text(&entry, "/key").unwrap_or_default().to_owned();
        let value = client.expect(Request::get(&at(&format!("state/{key}"))), 200)?.text();
        let whole = value == key;
        seen.state.insert(if whole { key } else { format!("{key} with {value:?}") });
    }
    Ok(seen)
}

/// The journal, the oldest operation first.
fn journal(client: &mut Client, sandbox: &str) -> Answer<Vec<Journaled>> {
    let all = pages(client, &format!("/v1/sandboxes/{sandbox}/operations?limit=1000"))?;
    let one = |value: &Value| {
        let field = |pointer: &str| project::text(value, pointer).unwrap_or_default().to_owned();
        Journaled {
            id: field("/id"),
            kind: field("/request/kind"),
            status: field("/status"),
            title: field("/request/title"),
            target: project::text(value, "/request/target").map(str::to_owned),
        }
    };
    Ok(all.iter().rev().map(one).collect())
}

/// Ids and messages.
fn snapshots(client: &mut Client, sandbox: &str) -> Answer<Vec<(String, String)>> {
    let all = pages(client, &format!("/v1/sandboxes/{sandbox}/snapshots?limit=1000"))?;
    let field = |value: &Value, at: &str| project::text(value, at).unwrap_or_default().to_owned();
    Ok(all.iter().map(|one| (field(one, "/id"), field(one, "/message"))).collect())
}

/// All items of a list.
fn pages(client: &mut Client, path: &str) -> Answer<Vec<Value>> {
    let mut all = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let page = match &next {
            None => path.to_owned(),
            Some(next) => format!("{path}&cursor={next}"),
        };
        let page = client.expect(Request::get(&page), 200)?.json();
        let items = page.get("items").or_else(|| page.get("entries")).and_then(Value::as_array);
        let items = items.ok_or_else(|| Failure::told(format!("{path} is no list: {page}")))?;
        all.extend(items.iter().cloned());
        next = project::text(&page, "/next").map(str::to_owned);
        if next.is_none() {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(what: What, key: &str, answered: Answered) -> Deed {
        Deed { key: key.to_owned(), what, answered, kept: None }
    }

    fn journaled(id: &str, kind: &str, status: &str, title: &str) -> Journaled {
        let [id, kind, status, title] = [id, kind, status, title].map(str::to_owned);
        Journaled { id, kind, status, title, target: None }
    }

    fn done(id: &str) -> Answered {
        Answered::Done(Some(id.to_owned()))
    }

    #[test]
    fn what_is_lost_done_twice_or_done_though_refused_is_seen() {
        let once = [journaled("op-1", "run", "done", "echo k1 >> log")];
        let twice = [once[0].clone(), journaled("op-2", "run", "undone", "echo k1 >> log")];
        let cut = [journaled("op-1", "run", "recovered", "echo k1 >> log")];
        let fine = |answered, journal: &[Journaled]| {
            accounted_for(&deed(What::Run, "k1", answered), journal, &[]).is_ok()
        };
        assert!(fine(done("op-1"), &once));
        assert!(!fine(done("op-2"), &once));
        assert!(!fine(done("op-1"), &twice));
        assert!(!fine(done("op-1"), &cut));
        let not = || Answered::Not("500".to_owned());
        assert!(fine(not(), &cut) && !fine(not(), &once));
        assert!(fine(Answered::Unknown, &once) && fine(Answered::Unknown, &cut));
        assert!(!fine(Answered::Unknown, &twice));
    }

    #[test]
    fn an_undo_that_nobody_asked_for_is_seen() {
        let journal = [journaled("op-3", "undo", "done", "undo op-1")];
        let check = |answered| undone_as_told(&[deed(What::Undo, "u", answered)], &journal);
        assert!(check(done("op-3")).is_ok() && check(Answered::Unknown).is_ok());
        assert!(check(Answered::Not("404".to_owned())).is_err());
        assert!(check(done("op-2")).is_err());
    }

    #[test]
    fn the_journal_is_replayed() {
        let deeds = ["k1", "k2"].map(|key| deed(What::Run, key, Answered::Unknown));
        let undo = Journaled {
            target: Some("op-2".to_owned()),
            ..journaled("op-3", "undo", "done", "undo op-2")
        };
        let journal = [
            journaled("op-1", "run", "done", "echo k1 >> log"),
            journaled("op-2", "run", "undone", "echo k2 >> log"),
        ];
        assert_eq!(replayed(&journal, &deeds).log, ["k1", "k1", "k2", "k2"]);
        let journal = [journal[0].clone(), journal[1].clone(), undo];
        assert_eq!(replayed(&journal, &deeds).log, ["k1", "k1"]);
    }
}
