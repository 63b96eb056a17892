//! `ctrlz hook`: what a coding agent asks before it acts.
//!
//! An agent takes every end of a hook but exit code 2 for consent, so whatever goes wrong here has
//! to end with that code and a reason.

mod answer;
mod event;
mod guard;
mod install;
mod json_text;
mod judge;
mod settings;
mod wrap;

use std::io::{Read, Write};
use std::os::fd::AsFd;

use crate::Answer;
use crate::arguments::{Agent, HookAction, HookArguments, HookOptions, OnHigh, OnLow};
use crate::show::visible;

/// Blocks what the agent is about to do; the agent shows standard error.
pub(crate) const BLOCKS: u8 = 2;

/// The longest event that is read.
const LONGEST: u64 = 64 << 20;

pub(crate) fn hook(arguments: HookArguments, json: bool) -> Answer {
    match arguments.action {
        HookAction::Claude(options) => Ok(answer(Agent::Claude, options)),
        HookAction::Codex(options) => Ok(answer(Agent::Codex, options)),
        HookAction::Install(arguments) => install::install(&arguments, json),
        HookAction::Uninstall(arguments) => install::uninstall(&arguments, json),
    }
}

fn answer(agent: Agent, options: HookOptions) -> u8 {
    let result = match options.unguarded {
        true => answered(agent, options).map(Some),
        false => guard::watched(),
    };
    let written = result.and_then(|reply| {
        let Some(reply) = reply else { return Ok(BLOCKS) };
        let mut stdout = std::io::stdout().lock();
        if !reply.is_empty() && is_null(&stdout) {
            return Err("standard output is closed or the null device, so no answer arrives".into());
        }
        let written = stdout.write_all(&reply).and_then(|()| stdout.flush());
        written.map(|()| 0).map_err(|error| format!("cannot answer: {error}"))
    });
    written.unwrap_or_else(|reason| {
        eprintln!("ctrlz: blocked, since the hook failed: {}", visible(&reason));
        BLOCKS
    })
}

/// Whether what is written there is lost. Programs of Rust that start without a standard output get
/// the null device in its place.
fn is_null(output: &impl AsFd) -> bool {
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::fstat(output).is_ok_and(|status| {
        rustix::fs::FileType::from_raw_mode(status.st_mode) == rustix::fs::FileType::CharacterDevice
            && status.st_rdev == null
    })
}

/// What is to be printed for the event on standard input.
fn answered(agent: Agent, options: HookOptions) -> Result<Vec<u8>, String> {
    if agent == Agent::Codex && (options.on_high == OnHigh::Ask || options.on_low == OnLow::Allow) {
        return Err("Codex knows neither --on-high ask nor --on-low allow".to_owned());
    }
    let mut text = Vec::new();
    let read = std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut text);
    read.map_err(|error| format!("cannot read the event: {error}"))?;
    if text.len() as u64 > LONGEST {
        return Err(format!("the event has more than {} MiB", LONGEST >> 20));
    }
    let event = event::Event::read(&text)?;
    let opinion = judge::judge(&event)?;
    let reply = answer::reply(&event, &opinion, agent, options)?;
    Ok(reply.map(|reply| format!("{reply}\n").into_bytes()).unwrap_or_default())
}
