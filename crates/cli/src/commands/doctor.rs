//! `ctrlz doctor`.

use ctrlz_core::isolation::IsolationDriver;
use serde_json::json;

use crate::Answer;
use crate::context::Context;
use crate::show::{self, Style};

pub(crate) fn doctor(json: bool) -> Answer {
    let context = Context::open()?;
    let survey = context.isolation.survey();
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    if json {
        show::print_json(&[
            ("kernel", kernel.into()),
            ("store", context.directory.to_string_lossy().into_owned().into()),
            ("capabilities", show::to_json(&context.isolation.capabilities())?),
            ("enforcement", json!(survey)),
        ]);
        return show::done();
    }
    let style = Style::stdout();
    println!("kernel {kernel}, store {}", context.directory.display());
    for line in &survey {
        let (mark, by) = match &line.by {
            Some(by) => (style.green("✓"), by.as_str()),
            None => (style.red("✗"), "not enforced here"),
        };
        let note = if line.note.is_empty() { String::new() } else { format!(" ({})", line.note) };
        println!("{mark} {:<32} {by}{}", line.what, style.dim(&note));
    }
    show::done()
}
