//! What has to be confirmed: asked here, approved there.

use hyper::Method;

use super::client::{Call, Client, segment};
use super::problem::Refusal;
use crate::confirm;
use crate::failure::{Failure, REFUSED};
use crate::show::Style;

/// Approves a command, as somebody here says and as far as the token may; errs when it does not run.
pub(super) async fn confirmed(
    client: &Client,
    refusal: Refusal,
    id: &str,
    yes: bool,
) -> Result<(), Failure> {
    let failure = |hint: String| {
        let failure = Failure::new(REFUSED, "unconfirmed", "not confirmed: its risk is high");
        failure.details(refusal.details.clone()).hint(hint)
    };
    if !yes {
        if confirm::can_ask() {
            let style = Style::stderr();
            eprintln!("{}", style.yellow("ctrlz: the risk of this command is high:"));
            for reason in &refusal.details {
                eprintln!("  {}", crate::show::plain(reason));
            }
        }
        match confirm::ask("Run it?") {
            Some(true) => {}
            Some(false) => return Err(Failure::new(REFUSED, "unconfirmed", "nothing ran")),
            None => {
                return Err(failure(format!(
                    "nothing ran; --yes approves it where the token may, or answer the question on a \
                     terminal; else it waits as confirmation {id}, see --confirmation"
                )));
            }
        }
    }
    let path = format!("/v1/confirmations/{}/approve", segment(id));
    match client.ask_told(Call::new(Method::POST, path).once()?).await? {
        Ok(_) => Ok(()),
        Err(refused) if refused.kind == "forbidden" => Err(failure(format!(
            "nothing ran; this token may not approve it: once somebody who may has done so by `ctrlz \
             approve {id}`, run it again with --confirmation {id}"
        ))),
        Err(refused) => Err(refused.into_failure()),
    }
}
