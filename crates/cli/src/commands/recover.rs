//! `ctrlz recover`.

use ctrlz_core::id::OperationId;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::store::Store;
use ctrlz_engine::Mended;

use crate::Answer;
use crate::context::{Context, WhenBusy};
use crate::failure::Failure;
use crate::show;

pub(crate) fn recover(json: bool) -> Answer {
    let context = Context::open()?;
    let (recovered, mended) =
        context.with_core(WhenBusy::Wait, |core| Ok((core.recover()?, core.mend_all()?)))?;
    let waiting = waiting(context.store())?;
    let code = u8::from(mended.iter().any(|one| one.left.is_some()));
    if json {
        let list: Vec<_> = recovered
            .iter()
            .map(|r| {
                serde_json::json!({
                    "sandbox": r.sandbox.name,
                    "operation": r.operation.id,
                    "status": r.operation.status,
                })
            })
            .collect();
        let left: Vec<_> = waiting
            .iter()
            .map(
                |(sandbox, open)| serde_json::json!({ "sandbox": sandbox.name, "operation": open }),
            )
            .collect();
        let damaged: Vec<_> = mended
            .iter()
            .map(|one| {
                serde_json::json!({
                    "sandbox": one.sandbox.name,
                    "from_archive": one.parts,
                    "left": one.left,
                })
            })
            .collect();
        show::print_json(&[
            ("recovered", list.into()),
            ("suspended", left.into()),
            ("damaged", damaged.into()),
        ]);
        return Ok(code);
    }
    if recovered.is_empty() && waiting.is_empty() && mended.is_empty() {
        println!("nothing was left unfinished");
    }
    for (Sandbox { name, .. }, open) in waiting {
        println!("{name}: {open} waits, since it is suspended: `ctrlz resume {name}`");
    }
    for r in recovered {
        let end = match r.operation.status {
            ctrlz_core::operation::Status::Done => "finished",
            _ => "taken back",
        };
        println!(
            "{}: {} ({}) was {end}",
            r.sandbox.name, r.operation.id, r.operation.request.title
        );
    }
    for Mended { sandbox: Sandbox { name, .. }, parts, left } in mended {
        for part in parts {
            println!("{name}: {part} was damaged, and was fetched from the archive");
        }
        if let Some(left) = left {
            println!("{name}: DAMAGED: {left}");
            println!("  `ctrlz rollback {name} SNAP` returns to a snapshot that is whole");
        }
    }
    Ok(code)
}

/// What is open and suspended, which nobody but its user ends.
fn waiting(store: &dyn Store) -> Result<Vec<(Sandbox, OperationId)>, Failure> {
    let suspended = |one: Sandbox| {
        let open = one.open_operation.filter(|_| one.life.suspended().is_some())?;
        Some((one, open))
    };
    Ok(store.sandboxes()?.into_iter().filter_map(suspended).collect())
}
