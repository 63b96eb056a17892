//! `approve` at a service.

use ctrlz_core::tenancy::Confirmation;
use hyper::Method;
use serde::Deserialize;

use super::client::{Call, Client, segment};
use super::not_remote;
use super::problem::Refusal;
use crate::Answer;
use crate::arguments::ApproveArguments;
use crate::commands::serve::approve as here;

#[derive(Deserialize)]
struct Page {
    items: Vec<Confirmation>,
}

pub(super) fn approve(client: &Client, arguments: &ApproveArguments, json: bool) -> Answer {
    if arguments.tenant.is_some() {
        return Err(not_remote("`ctrlz approve --tenant`", "a token is of one tenant")
            .hint("leave --tenant out, and use a token of that tenant"));
    }
    let Page { items: mut waiting } = client.get("/v1/confirmations")?;
    waiting.retain(|one| one.approved_by.is_none());
    let Some(id) = &arguments.confirmation else { return here::list(&waiting, json) };
    let asked = here::asked_for(&waiting, id)?;
    let path = format!("/v1/confirmations/{}/approve", segment(id));
    match client.wait(client.ask_told(Call::new(Method::POST, path).once()?))? {
        Ok(_) => here::tell_approved(asked, json),
        Err(refusal) if refusal.kind == "no-confirmation" => Err(here::not_waiting(id)),
        Err(refusal) => Err(Refusal::into_failure(refusal)),
    }
}
