//! `ctrlz new`, `ls`, `rm` and `fork`.

use ctrlz_core::sandbox::Root;
use ctrlz_core::size::ByteSize;
use ctrlz_engine::NewNamed;

use crate::Answer;
use crate::arguments::{ForkArguments, NewArguments, RemoveArguments};
use crate::context::{Context, WhenBusy};
use crate::show::{self, print_table};
use crate::{places, root};

pub(crate) fn new(arguments: &NewArguments, json: bool) -> Answer {
    let base = places::canonical(&arguments.base)?;
    let choice = root::choose(arguments.root.as_deref(), &base)?;
    let context = Context::open()?;
    let new = NewNamed { name: arguments.name.clone(), choice };
    let sandbox = context.with_core(WhenBusy::Wait, |core| Ok(core.create_named(&new)?))?;
    if json {
        show::print_json(&[("sandbox", show::to_json(&sandbox)?)]);
    } else {
        println!("{}: a sandbox on {}", sandbox.name, sandbox.base.display());
    }
    show::done()
}

pub(crate) fn list(json: bool) -> Answer {
    let context = Context::open()?;
    let sandboxes = context.store().sandboxes()?;
    if json {
        show::print_json(&[("sandboxes", show::to_json(&sandboxes)?)]);
        return show::done();
    }
    let rows: Vec<Vec<String>> = context.with_core(WhenBusy::Wait, |core| {
        sandboxes
            .iter()
            .map(|sandbox| {
                let tree = &sandbox.point.tree;
                let clean = core
                    .driver_of(sandbox)
                    .is_ok_and(|driver| driver.base_tree(tree).is_ok_and(|base| base == *tree));
                let status = match (sandbox.open_operation, clean) {
                    _ if sandbox.guard.contained.is_some() => "contained",
                    (Some(_), _) => "running",
                    (None, true) => "clean",
                    (None, false) => "uncommitted",
                };
                let place = match &sandbox.root {
                    Root::Image { source, .. } => source.display().to_string(),
                    _ => sandbox.base.display().to_string(),
                };
                Ok(vec![
                    sandbox.name.to_string(),
                    status.to_owned(),
                    sandbox.root.word().to_owned(),
                    place,
                    sandbox.used.rfc3339(),
                ])
            })
            .collect()
    })?;
    print_table(&["NAME", "STATUS", "ROOT", "BASE", "USED"], &rows, "there are no sandboxes");
    show::done()
}

pub(crate) fn remove(arguments: &RemoveArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(Some(&arguments.sandbox))?;
    let freed =
        context.with_core(WhenBusy::Wait, |core| Ok(core.remove(&sandbox, arguments.force)?))?;
    if json {
        show::print_json(&[
            ("sandbox", show::to_json(&sandbox.name)?),
            ("freed_bytes", freed.into()),
        ]);
    } else {
        println!("removed {} ({} freed)", sandbox.name, ByteSize(freed));
    }
    show::done()
}

pub(crate) fn fork(arguments: ForkArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let source = context.sandbox(Some(&arguments.sandbox))?;
    let sandbox =
        context.with_core(WhenBusy::Wait, |core| Ok(core.fork(&source, arguments.name)?))?;
    if json {
        show::print_json(&[("sandbox", show::to_json(&sandbox)?)]);
    } else {
        println!("{}: a copy of {}", sandbox.name, source.name);
    }
    show::done()
}
