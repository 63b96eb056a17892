//! What the service tells about itself, as arguments and the environment have it.

use std::io::IsTerminal as _;
use std::sync::Arc;

use ctrlz_server::{Form, Level, Logging, Traces};

use crate::failure::{Failure, OWN_FAILURE};

/// Begins to log, as text where a person reads it: what an argument says, else the environment, else what is usual.
pub(super) fn log((level, usual): (Option<Level>, Level)) -> Result<Logging, Failure> {
    let set = std::env::var("CTRLZ_LOG").ok().filter(|value| !value.is_empty());
    let level = match (level, set) {
        (Some(level), _) => level,
        (None, None) => usual,
        (None, Some(word)) => word
            .parse()
            .map_err(|error| Failure::new(OWN_FAILURE, "usage", format!("CTRLZ_LOG: {error}")))?,
    };
    let form = if std::io::stderr().is_terminal() { Form::Text } else { Form::Json };
    Ok(ctrlz_server::log(level, form))
}

/// Where traces go.
pub(super) fn traces() -> Result<Option<Arc<Traces>>, Failure> {
    Traces::from_environment().map_err(|error| {
        Failure::caused(OWN_FAILURE, "serve", &error)
            .hint("OTEL_EXPORTER_OTLP_ENDPOINT is a URL such as http://127.0.0.1:4318")
    })
}
