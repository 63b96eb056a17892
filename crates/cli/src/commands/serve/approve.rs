//! `ctrlz approve`: a yes at a terminal to what an agent asked for.

use ctrlz_core::store::StoreError;
use ctrlz_core::tenancy::{Confirmation, ReadInput, Registry as _, TenantName};

use super::registry;
use crate::Answer;
use crate::arguments::ApproveArguments;
use crate::confirm;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::show::{self, plain, print_table};
use crate::{actor, clock, places};

pub(crate) fn approve(arguments: &ApproveArguments, json: bool) -> Answer {
    let failed = |error: StoreError| Failure::caused(OWN_FAILURE, "registry", &error);
    // Whoever may write to the store may approve; that it is theirs alone is looked at first.
    Context::open()?.check_ownership()?;
    let registry = registry(&places::store()?)?;
    let tenant = &arguments.tenant.clone().unwrap_or_else(TenantName::owner);
    let mut waiting = registry.confirmations(tenant, clock::now()).map_err(failed)?;
    waiting.retain(|one| one.approved_by.is_none());
    let Some(id) = &arguments.confirmation else { return list(&waiting, json) };
    let asked = asked_for(&waiting, id)?;
    let by = format!("user-{}", actor::current().id);
    if !registry.approve(tenant, id, &by, clock::now()).map_err(failed)? {
        return Err(not_waiting(id));
    }
    tell_approved(asked, json)
}

/// Nothing waits for an approval by that name.
pub(crate) fn not_waiting(id: &str) -> Failure {
    let message = format!("nothing waits for a confirmation `{id}`");
    Failure::new(REFUSED, "no-confirmation", message)
        .hint("it may have expired, or been approved before; `ctrlz approve` lists what waits")
}

/// What somebody at a terminal says yes to; errs when nobody does.
pub(crate) fn asked_for<'a>(
    waiting: &'a [Confirmation],
    id: &str,
) -> Result<&'a Confirmation, Failure> {
    let asked = waiting.iter().find(|one| one.id == id).ok_or_else(|| not_waiting(id))?;
    tell(asked);
    match confirm::ask("let it run once?") {
        Some(true) => Ok(asked),
        Some(false) => Err(Failure::new(REFUSED, "unconfirmed", "nobody said yes")),
        None => {
            let message = "an approval is given at a terminal, and there is none";
            Err(Failure::new(REFUSED, "unconfirmed", message)
                .hint("POST /v1/confirmations/ID/approve needs none"))
        }
    }
}

pub(crate) fn tell_approved(asked: &Confirmation, json: bool) -> Answer {
    let id = &asked.id;
    if json {
        show::print_json(&[("confirmation", id.clone().into())]);
    } else {
        let until = asked.expires.rfc3339();
        println!("{id} is approved: what asked for it may run it once, until {until}");
    }
    show::done()
}

fn tell(asked: &Confirmation) {
    eprintln!("in the sandbox `{}`, asked by {}:", asked.sandbox, plain(&asked.asked_by));
    eprintln!("  {}", plain(&asked.title));
    if let Some(ReadInput { text, bytes, truncated }) = &asked.stdin {
        eprintln!("which reads {bytes} bytes:");
        for line in text.lines() {
            eprintln!("  | {}", plain(line));
        }
        if *truncated {
            eprintln!("  … and more, which is not shown");
        }
    }
    for reason in &asked.reasons {
        eprintln!("- {}", plain(reason));
    }
}

pub(crate) fn list(waiting: &[Confirmation], json: bool) -> Answer {
    if json {
        show::print_json(&[("confirmations", show::to_json(&waiting)?)]);
        return show::done();
    }
    let row = |one: &Confirmation| {
        let title = plain(&one.title).to_string();
        vec![one.id.clone(), one.sandbox.clone(), one.expires.rfc3339(), title]
    };
    let rows: Vec<Vec<String>> = waiting.iter().map(row).collect();
    print_table(
        &["ID", "SANDBOX", "EXPIRES", "COMMAND"],
        &rows,
        "nothing waits for a confirmation",
    );
    show::done()
}
