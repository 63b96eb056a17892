//! `ctrlz pull`: a snapshot at rest is brought back.

use ctrlz_archive::snapshot::Snapshot;

use super::bring::{self, Source};
use super::setting::Setting;
use crate::Answer;
use crate::arguments::PullArguments;
use crate::context::Context;

pub(crate) fn pull(arguments: &PullArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let setting = Setting::read(&context)?;
    let place = setting.open(arguments.from.from.as_deref())?;
    let keys = setting.keys(place.as_ref(), &arguments.keys)?;
    let snapshot = Snapshot::find(place.as_ref(), &arguments.name, keys.as_ref())?;
    let source = Source { place: place.as_ref(), keys: keys.as_ref(), snapshot: &snapshot };
    bring::bring(&context, &source, &arguments.destination, json)
}
