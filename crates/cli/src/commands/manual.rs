//! `ctrlz completions` and `ctrlz man`: made from the command line's own grammar.

use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Answer;
use crate::arguments::Arguments;
use crate::failure::{Failure, OWN_FAILURE};
use crate::show;

pub(crate) fn completions(shell: Shell) -> Answer {
    clap_complete::generate(shell, &mut Arguments::command(), "ctrlz", &mut io::stdout());
    show::done()
}

pub(crate) fn manual(folder: &Path) -> Answer {
    clap_mangen::generate_to(Arguments::command(), folder).map_err(|error| {
        let message = format!("cannot write manual pages into {}: {error}", folder.display());
        Failure::new(OWN_FAILURE, "manual", message)
    })?;
    show::done()
}
