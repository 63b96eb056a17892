//! Snapshots at rest: written, written again when little changed, brought back; their size, and what
//! memory that takes.

mod material;
mod memory;
mod tools;

use super::Rounds;
use super::measure::{Timed, Took};
use super::scene::{Player, Scene};
use super::table::Row;
use crate::failure::Answer;
use material::Material;
use tools::{Tool, Tools};

/// What is compared with what: ctrlz's side, the peer's, and the goal for ctrlz's time, where there
/// is one.
struct Pair {
    ours: &'static str,
    peer: &'static str,
    goal: Option<f64>,
}

const fn pair(ours: &'static str, peer: &'static str, goal: f64) -> Pair {
    Pair { ours, peer, goal: Some(goal) }
}

/// The same, brought to the disk as ctrlz does.
const SYNCED: Pair = Pair { ours: tools::PLAIN, peer: tools::TAR_SYNCED, goal: None };

const WRITTEN: [Pair; 5] = [
    pair(tools::PLAIN, tools::TAR, 1.1),
    SYNCED,
    pair(tools::ENCRYPTED, tools::AGE, 0.8),
    pair(tools::ENCRYPTED, tools::RESTIC, 0.5),
    pair(tools::ENCRYPTED, tools::BORG, 0.5),
];

const BROUGHT_BACK: [Pair; 4] = [
    pair(tools::PLAIN, tools::TAR, 1.0),
    SYNCED,
    pair(tools::ENCRYPTED, tools::RESTIC, 0.5),
    pair(tools::ENCRYPTED, tools::BORG, 0.5),
];

const WRITTEN_AGAIN: [Pair; 2] =
    [pair(tools::ENCRYPTED, tools::RESTIC, 0.2), pair(tools::ENCRYPTED, tools::BORG, 0.2)];

/// The largest size, as a multiple of that of the peer.
const SIZE: f64 = 1.02;

pub(super) fn rows(scene: &Scene, rounds: Rounds) -> Answer<Vec<Row>> {
    let players = scene.players()?;
    let Some(player) = players.first() else { return Ok(Vec::new()) };
    let folder = player.make("archive")?;
    let mut rows = Vec::new();
    let mut peaks = memory::Peaks::default();
    for material in material::all(&folder)? {
        eprintln!("measuring: archive, {}", material.what);
        let tools = Tools::of(scene, player, &material, &folder)?;
        let rounds = if material.is_large { rounds.long / 7 } else { rounds.long / 4 }.max(1);
        let measured = Measured { player, material: &material, tools: &tools, rounds };
        rows.extend(measured.rows("written", &WRITTEN, Tool::written));
        rows.push(measured.size());
        rows.extend(measured.rows("brought back", &BROUGHT_BACK, Tool::brought_back));
        for tool in [tools::PLAIN, tools::ENCRYPTED].iter().filter_map(|name| tools.get(name).ok())
        {
            tool.clear()?;
            peaks.add(tool)?;
        }
        if material.changes {
            let what = "written again after 1 % of the files changed";
            rows.extend(measured.rows(what, &WRITTEN_AGAIN, Tool::written_again));
        }
        tools.clear()?;
    }
    rows.extend(peaks.rows());
    Ok(rows)
}

/// One material and everything that archives it.
struct Measured<'a> {
    player: &'a Player<'a>,
    material: &'a Material,
    tools: &'a Tools,
    rounds: usize,
}

impl Measured<'_> {
    /// The rows of all pairs: their commands run in one sitting, there and back.
    fn rows(&self, what: &str, pairs: &[Pair], timed: impl Fn(&Tool) -> Timed) -> Vec<Row> {
        let names = pairs.iter().flat_map(|pair| [pair.ours, pair.peer]);
        let mut tools: Vec<&Tool> = Vec::new();
        for tool in names.filter_map(|name| self.tools.get(name).ok()) {
            if !tools.iter().any(|known| known.name == tool.name) {
                tools.push(tool);
            }
        }
        let commands: Vec<Timed> = tools.iter().map(|tool| timed(tool)).collect();
        let took = self.player.there_and_back(&commands, self.rounds);
        let took = |name: &str| -> Result<Took, String> {
            self.tools.get(name)?;
            let took = took.as_ref().map_err(ToString::to_string)?;
            let mut found = tools.iter().zip(took).filter(|(tool, _)| tool.name == name);
            found.next().map(|(_, took)| took.clone()).ok_or_else(|| "not measured".to_owned())
        };
        let mut rows = Vec::new();
        for Pair { ours, peer, goal } in pairs {
            let what = format!("{}, {what}, {ours}", self.material.what);
            match took(ours).and_then(|ours| Ok((ours, took(peer)?))) {
                Ok((ours, theirs)) => {
                    rows.push(match goal {
                        Some(goal) => Row::ratio(&what, peer, &ours.wall, &theirs.wall, *goal),
                        None => Row::told(&what, peer, &ours.wall, &theirs.wall),
                    });
                    let what = format!("{what}: processor time");
                    rows.push(Row::told(&what, peer, &ours.processor, &theirs.processor));
                }
                Err(why) => rows.push(Row::skipped(&what, peer, &why)),
            }
        }
        rows
    }

    /// The sizes of what the last round left.
    fn size(&self) -> Row {
        let what = format!("{}, size", self.material.what);
        let size = |name| self.tools.get(name)?.size().map_err(|failure| failure.to_string());
        match size(tools::PLAIN).and_then(|ours| Ok((ours, size(tools::TAR)?))) {
            Ok((ours, peer)) => Row::sizes(&what, tools::TAR, ours, peer, SIZE),
            Err(why) => Row::skipped(&what, tools::TAR, &why),
        }
    }
}
