//! `ctrlz rollback --memory`: files, state and memory return to one moment, and the command goes on from it.

use std::ffi::OsString;
use std::mem::ManuallyDrop;

use ctrlz_core::driver::Isolation;
use ctrlz_core::isolation::Network;
use ctrlz_core::memory::Remembered;
use ctrlz_engine::{RollbackOptions, RollbackTarget};
use ctrlz_isolation::Isolator;

use super::rollback::named;
use super::run::{carry_out, configuration};
use super::task::{Again, Task};
use crate::Answer;
use crate::arguments::{CommandArguments, RollbackArguments};
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::places;

pub(crate) fn go_on(arguments: &RollbackArguments, isolation: Isolator, json: bool) -> Answer {
    let (name, target) = named(&arguments.words)?;
    let RollbackTarget::Snapshot(id) = target else {
        let message = "memory is kept by snapshots: name one, such as snap-3";
        return Err(Failure::new(OWN_FAILURE, "usage", message));
    };
    let context = ManuallyDrop::new(Context::open_with(isolation)?);
    let sandbox = context.sandbox(name.as_ref())?;
    let snapshot = context.store().snapshot(id)?;
    let (remembered, memory) =
        context.with_core(WhenBusy::Wait, |core| Ok(core.recall(&snapshot)?))?;
    let how = CommandArguments { yes: arguments.yes, ..CommandArguments::plain()? };
    let mut config = configuration(&how, &places::working_folder()?)?;
    may_go_on(&remembered, config.network)?;
    config.isolation = Isolation::Driver(remembered.driver.clone());
    config.network = remembered.network;
    config.limits = remembered.limits;
    let argv: Vec<OsString> = remembered.argv.iter().map(OsString::from).collect();
    let again = Some(Again { remembered: &remembered, memory: &memory });
    let task = Task { argv: &argv, config: &config, how: &how, fresh: false, store: None, again };
    // It is judged as it was, in the sandbox as it was then.
    context.with_core(WhenBusy::Wait, |core| {
        let options = RollbackOptions { paths: Vec::new(), thorough: arguments.verify };
        let returned = core.rollback(&sandbox, target, &options)?;
        eprintln!(
            "ctrlz {}: rolled back; what was there before is {}",
            returned.operation, returned.left_behind
        );
        Ok(())
    })?;
    let sandbox = context.sandbox(Some(&sandbox.name))?;
    let (root, base) = (&sandbox.root, &sandbox.base);
    let past = Some((context.store(), &sandbox));
    let verdict = task.approved(root, base, task.verdict(root, base)?, past)?;
    context.with_core(WhenBusy::Wait, |core| {
        let request = task.request(&context, &sandbox, Some(verdict))?;
        carry_out((&context, core), &sandbox, request, &task, json)
    })
}

/// What had more of the network than the configuration gives now does not get it back.
fn may_go_on(remembered: &Remembered, network: Network) -> Result<(), Failure> {
    if remembered.network == Network::None || network == Network::Host {
        return Ok(());
    }
    let message = "the command had the host's network, which the configuration does not give now";
    Err(Failure::new(REFUSED, "memory-unfit", message).hint("`run: {network: host}` gives it"))
}
