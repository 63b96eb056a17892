//! `ctrlz doctor`.

mod cost;
mod isolators;
mod keepers;
mod levels;
#[cfg(test)]
mod reference;

use std::path::Path;

use ctrlz_config::Config;
use ctrlz_engine::NewNamed;
use serde_json::json;

use super::environment::{self, Need};
use super::{probe, setup};
use crate::Answer;
use crate::arguments::{CommandArguments, DoctorArguments};
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE};
use crate::places;
use crate::root::{self, Pull};
use crate::show::{self, Style, plain};

pub(crate) fn doctor(arguments: &DoctorArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let folder = places::working_folder()?;
    let config =
        ctrlz_config::load(&places::configuration(&folder), &ctrlz_config::Flags::default())
            .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))?;
    let survey = context.isolation.driver().survey();
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let probed = match arguments.probe {
        true => probe::anew(&context, &config, true)?,
        false => probe::known(&context, &config)?,
    };
    let needs = needs(&context, &config, &folder)?;
    let mut keepers = keepers::all(&context)?;
    let mut isolators = isolators::all();
    if arguments.cost {
        measure(&context, &mut isolators, &mut keepers)?;
    }
    let levels = levels::all(&isolators);
    let is_well = probed.broken().next().is_none() && needs.iter().all(|need| need.met);
    if json {
        show::print_json(&[
            ("kernel", kernel.into()),
            ("store", show::path_to_json(&context.directory)?),
            ("capabilities", show::to_json(&context.isolation.driver().capabilities())?),
            ("enforcement", json!(survey)),
            ("probe", json!(probed.trials)),
            ("probed_now", (!probed.is_known).into()),
            ("missing", json!(probed.missing)),
            ("environment", json!(needs)),
            ("isolation", json!(isolators)),
            ("levels", json!(levels)),
            ("workspaces", json!(keepers)),
        ]);
        return Ok(u8::from(!is_well));
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
    let when = if probed.is_known { "found earlier; --probe tries anew" } else { "found now" };
    println!("tried inside a sandbox ({when})");
    for trial in &probed.trials {
        let mark = match (trial.held, trial.tried) {
            (true, true) => style.green("✓"),
            (true, false) => style.dim("·"),
            (false, _) => style.red("✗"),
        };
        println!("{mark} {:<32} {}", trial.what, style.dim(&plain(&trial.evidence)));
    }
    isolators::print(&isolators, style);
    levels::print(&levels, style);
    keepers::print(&keepers, style);
    if !needs.is_empty() {
        println!("what `environment:` asks for");
    }
    for need in &needs {
        let mark = if need.met { style.green("✓") } else { style.red("✗") };
        println!("{mark} {:<32} {}", need.what, style.dim(&plain(&need.evidence)));
    }
    Ok(u8::from(!is_well))
}

/// Measures each driver that is there.
fn measure(
    context: &Context,
    isolators: &mut [isolators::Isolator],
    keepers: &mut [keepers::Keeper],
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "store", &error);
    let folder = cost::Folder::make(&context.directory).map_err(failed)?;
    for isolator in isolators.iter_mut().filter(|one| one.here.lacks.is_none()) {
        let driver = &isolator.here.description.driver;
        let cost = cost::start_and_exit(context.isolation.driver(), &folder.path, driver);
        isolator.start_and_exit = Some(cost);
    }
    for keeper in keepers.iter_mut().filter(|one| one.lacks.is_none()) {
        match cost::keeping(keeper.driver, &folder.path) {
            Ok(cost) => keeper.cost = cost,
            Err(why) => keeper.cost_unknown = Some(why),
        }
    }
    Ok(())
}

/// What `environment:` asks for, looked at in the sandbox of this folder, or in one that is made for
/// it and goes again.
fn needs(context: &Context, config: &Config, folder: &Path) -> Result<Vec<Need>, Failure> {
    if config.environment.is_empty() {
        return Ok(Vec::new());
    }
    context.with_core(WhenBusy::Wait, |core| {
        if let Some(sandbox) = core.sandbox_of_folder(folder, None)? {
            return environment::look((context, core), &sandbox, config);
        }
        let name = format!("doctor-{}", std::process::id());
        let name = name.parse().map_err(|error| Failure::caused(OWN_FAILURE, "name", &error))?;
        let new = NewNamed { name, choice: root::choose(None, folder, Pull::Never)? };
        let made = setup::made((context, core), config, &CommandArguments::plain()?, &new.choice)?;
        let sandbox = core.create_named(&new, made.as_ref())?;
        let needs = environment::look((context, core), &sandbox, config);
        core.remove(&sandbox, true)?;
        needs
    })
}
