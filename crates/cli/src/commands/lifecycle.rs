//! `ctrlz suspend` and `ctrlz resume`.

use ctrlz_core::name::SandboxName;
use ctrlz_engine::Moved;
use ctrlz_policy::redact;

use crate::Answer;
use crate::arguments::{ResumeArguments, SuspendArguments};
use crate::context::{Context, WhenBusy};
use crate::failure::Failure;
use crate::show::{self, plain};

pub(crate) fn suspend(arguments: &SuspendArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(Some(&arguments.sandbox))?;
    let reason = redact(arguments.reason.as_deref().unwrap_or_default()).into_owned();
    let moved = context.with_core(WhenBusy::Wait, |core| Ok(core.suspend(&sandbox, &reason)?))?;
    tell_suspended(&sandbox.name, &moved, json)
}

pub(crate) fn tell_suspended(name: &SandboxName, moved: &Moved, json: bool) -> Answer {
    if json {
        return print_json(name, moved);
    }
    let what = match (moved.process, &moved.by) {
        (Some(pid), Some(by)) => format!("process {pid} and what it started is frozen ({by})"),
        _ => "nothing ran in it".to_owned(),
    };
    println!("{name} is suspended: {}", plain(&what));
    println!("  nothing begins in it until `ctrlz resume {name}`");
    show::done()
}

pub(crate) fn resume(arguments: &ResumeArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(Some(&arguments.sandbox))?;
    let moved = context.with_core(WhenBusy::Wait, |core| Ok(core.resume(&sandbox)?))?;
    tell_resumed(&sandbox.name, &moved, json)
}

pub(crate) fn tell_resumed(name: &SandboxName, moved: &Moved, json: bool) -> Answer {
    if json {
        return print_json(name, moved);
    }
    let what = match (moved.process, moved.recovered) {
        (Some(pid), _) => format!("process {pid} and what it started goes on"),
        (None, true) => "what ran in it is gone, and what it had begun was taken back".to_owned(),
        (None, false) => "nothing ran in it".to_owned(),
    };
    println!("{name} is resumed: {what}");
    show::done()
}

fn print_json(name: &SandboxName, moved: &Moved) -> Result<u8, Failure> {
    show::print_json(&[
        ("sandbox", show::to_json(name)?),
        ("from", show::to_json(&moved.from)?),
        ("to", show::to_json(&moved.to)?),
        ("process", show::to_json(&moved.process)?),
        ("by", show::to_json(&moved.by)?),
        ("recovered", moved.recovered.into()),
    ]);
    show::done()
}
