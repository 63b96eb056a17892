//! Starting and ending one command.

use super::Rounds;
use super::measure::Timed;
use super::peers;
use super::scene::{Player, Scene};
use super::table::Row;
use crate::failure::{Answer, Failure};
use crate::{account, prerequisites, program};

pub(super) fn rows(scene: &Scene, rounds: Rounds) -> Answer<Vec<Row>> {
    let mut rows = Vec::new();
    for player in scene.players()? {
        let what = format!("`ctrlz run -- true` as {}", player.label);
        rows.push(bubblewrap(&player, &what, rounds));
        rows.push(floor(scene, &player, &what, rounds));
        if player.label == "root" {
            rows.extend(peers::rows(scene, &player, &what, rounds));
        } else if !account::is_root() {
            rows.push(Row::skipped(&what, "podman, runc, crun", "measured as root only"));
        }
    }
    Ok(rows)
}

/// `ctrlz run -- true` in a small folder.
pub(super) fn ctrlz_true(player: &Player<'_>) -> Answer<Timed> {
    Ok(player.ctrlz(&player.make("project")?, &["run", "--", "true"]))
}

/// A row of ctrlz against `peer`, or why there is none.
pub(super) fn row(
    player: &Player<'_>,
    (what, against): (&str, &str),
    peer: Answer<Timed>,
    goal: f64,
    rounds: usize,
) -> Row {
    let times = peer.and_then(|peer| player.time(&[ctrlz_true(player)?, peer], rounds));
    from_times(what, against, times, goal)
}

/// A row from the times of two commands.
pub(super) fn from_times(
    what: &str,
    against: &str,
    times: Answer<Vec<Vec<f64>>>,
    goal: f64,
) -> Row {
    match times {
        Ok(times) => match times.as_slice() {
            [ours, peer] => Row::ratio(what, against, ours, peer, goal),
            _ => Row::skipped(what, against, "nothing was measured"),
        },
        Err(failure) => Row::skipped(what, against, &failure.to_string()),
    }
}

fn bubblewrap(player: &Player<'_>, what: &str, rounds: Rounds) -> Row {
    let against = "`bwrap --unshare-all --ro-bind / / true`, same user";
    let peer = || {
        if program::find("bwrap").is_none() {
            prerequisites::install(&["bubblewrap"])?;
        }
        let bwrap = program::find("bwrap").ok_or_else(|| Failure::told("bwrap is missing"))?;
        let folder = player.make("project")?;
        Ok(Timed::new(&folder, &[&bwrap, &"--unshare-all", &"--ro-bind", &"/", &"/", &"true"]))
    };
    row(player, (what, against), peer(), 1.2, rounds.short)
}

fn floor(scene: &Scene, player: &Player<'_>, what: &str, rounds: Rounds) -> Row {
    let against = "the floor (xtask/bench/floor.c), same user";
    row(player, (what, against), floor_true(scene, player), 2.5, rounds.short)
}

/// `true` with what the kernel alone needs: namespaces, an overlay, an exec.
fn floor_true(scene: &Scene, player: &Player<'_>) -> Answer<Timed> {
    let lower = player.make("project")?;
    let (scratch, merged) = (player.make("floor/scratch")?, player.make("floor/merged")?);
    let floor = scene.binary("floor");
    Ok(Timed::new(&lower, &[&floor, &lower, &scratch, &merged, &"/usr/bin/true"]))
}

/// How long that takes, in milliseconds.
pub(super) fn floor_alone(scene: &Scene, player: &Player<'_>, rounds: usize) -> Answer<Vec<f64>> {
    let times = player.time(&[floor_true(scene, player)?], rounds)?;
    Ok(times.into_iter().flatten().collect())
}
