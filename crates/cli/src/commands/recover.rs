//! `ctrlz recover`.

use crate::Answer;
use crate::context::{Context, WhenBusy};
use crate::show;

pub(crate) fn recover(json: bool) -> Answer {
    let context = Context::open()?;
    let recovered = context.with_core(WhenBusy::Wait, |core| Ok(core.recover()?))?;
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
        show::print_json(&[("recovered", list.into())]);
        return show::done();
    }
    if recovered.is_empty() {
        println!("nothing was left unfinished");
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
    show::done()
}
