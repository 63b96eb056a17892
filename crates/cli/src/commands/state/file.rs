//! `ctrlz state export` and `import`.

use std::io::Read;
use std::path::Path;

use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::state_store::{ImportConflict, Imported, StateImport};
use ctrlz_core::time::Timestamp;
use ctrlz_store::state_file::Bundle;

use crate::Answer;
use crate::clock;
use crate::commands::export;
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::show::{self, plain};

pub(super) fn export(
    context: &Context,
    namespaces: &[Sandbox],
    file: Option<&Path>,
    json: bool,
) -> Answer {
    let bundle = Bundle::of(context.store(), namespaces)?;
    let text = bundle
        .text(Timestamp::from_parts(clock::now().seconds(), 0))
        .map_err(|error| Failure::caused(OWN_FAILURE, "export", &error))?;
    let Some(file) = file else {
        export::print(&text)?;
        return show::done();
    };
    export::write(&text, file)?;
    let writes: usize = bundle.namespaces.iter().map(|(_, writes)| writes.len()).sum();
    if json {
        let names: Vec<&String> = bundle.namespaces.iter().map(|(name, _)| name).collect();
        show::print_json(&[
            ("namespaces", show::to_json(&names)?),
            ("writes", show::to_json(&writes)?),
        ]);
    } else {
        println!("{writes} versions in {}", file.display());
    }
    show::done()
}

/// Reads an export; `-` is standard input.
pub(super) fn read(file: &Path) -> Result<Bundle, Failure> {
    let mut text = String::new();
    let read = match file == Path::new("-") {
        true => std::io::stdin().read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    let failed = |reason: String| {
        let message = format!("cannot use the export {}", file.display());
        Failure::new(OWN_FAILURE, "import", message).detail(reason)
    };
    read.map_err(|error| failed(error.to_string()))?;
    Bundle::parse(&text).map_err(|error| failed(error.to_string()))
}

pub(super) fn import(
    context: &Context,
    file: &Path,
    to: Option<&Sandbox>,
    on_conflict: ImportConflict,
    dry_run: bool,
    json: bool,
) -> Answer {
    let bundle = read(file)?;
    if to.is_some() && bundle.namespaces.len() != 1 {
        let count = bundle.namespaces.len();
        let message = format!("the export has {count} namespaces, which cannot all go to one");
        return Err(Failure::new(REFUSED, "namespaces", message));
    }
    let mut imports = Vec::with_capacity(bundle.namespaces.len());
    for (name, writes) in &bundle.namespaces {
        let sandbox = match to {
            Some(to) => to.id,
            None if *name == SandboxName::of_no_sandbox().to_string() => {
                context.store().global()?.id
            }
            None => {
                context
                    .store()
                    .sandbox_named(name)
                    .map_err(|error| {
                        Failure::from(error).hint(
                    "nothing was imported; make it with `ctrlz new`, or say where it is to go \
                     with --sandbox or --global",
                )
                    })?
                    .id
            }
        };
        imports.push(StateImport { sandbox, writes: writes.clone() });
    }
    let done = context.with_core(WhenBusy::Wait, |core| {
        Ok(core.import_state(&imports, &bundle, on_conflict, dry_run)?)
    })?;
    told(&done, on_conflict, dry_run, json)
}

fn told(done: &Imported, on_conflict: ImportConflict, dry_run: bool, json: bool) -> Answer {
    let Imported { written, present, conflicts, operations } = done;
    let fields = [
        ("dry_run", dry_run.into()),
        ("written", (*written).into()),
        ("present", (*present).into()),
        ("conflicts", show::to_json(conflicts)?),
        ("operations", show::to_json(operations)?),
    ];
    let lines = || {
        conflicts
            .iter()
            .map(|conflict| plain(&format!("`{}` in {}", conflict.key, conflict.namespace)))
    };
    if on_conflict == ImportConflict::Fail && !conflicts.is_empty() {
        let message = "these keys have another history here";
        let failure = Failure::new(REFUSED, "state-conflict", message)
            .details(lines().collect())
            .hint("nothing was imported; choose with --on-conflict skip|theirs");
        if json {
            show::print_failure_json(&failure, &fields);
        } else {
            failure.print(false);
        }
        return Ok(REFUSED);
    }
    if json {
        show::print_json(&fields);
        return show::done();
    }
    let (would, word) = match on_conflict {
        _ if dry_run => ("would be ", "would be"),
        _ => ("", "was"),
    };
    for line in lines() {
        match on_conflict {
            ImportConflict::Theirs => println!("{line}: the import's history {word} added"),
            _ => println!("{line}: {word} left as it is here"),
        }
    }
    println!("{written} versions {would}imported, {present} were here already");
    show::done()
}
