//! `ctrlz state rotate`.

use ctrlz_config::KeySource;
use ctrlz_core::state_store::Reseal;
use ctrlz_store::vault::Rotation;

use crate::Answer;
use crate::context::Context;
use crate::failure::{Failure, REFUSED};
use crate::{show, state_key};

pub(super) fn rotate(
    context: &Context,
    from: &KeySource,
    to: Option<&KeySource>,
    json: bool,
) -> Answer {
    let rotation = Rotation { from: state_key::read(from)?, to: state_key::configured(to)? };
    let (old, new) = (Reseal::from(&rotation), rotation.to());
    if old == new {
        let message = format!("both are the same key, {old}");
        return Err(Failure::new(REFUSED, "same-key", message));
    }
    let done = context.store().reseal(&rotation)?;
    if json {
        show::print_json(&[
            ("from", show::to_json(&old)?),
            ("to", show::to_json(&new)?),
            ("entries", done.entries.into()),
            ("values", done.values.into()),
            ("operations", show::to_json(&done.operations)?),
        ]);
        return show::done();
    }
    match done.entries {
        0 => println!("nothing is encrypted with key {old}"),
        entries => println!(
            "{entries} entries ({} values) are encrypted with key {new} now; key {old} opens \
             nothing here any more",
            done.values
        ),
    }
    show::done()
}
