//! The commands, one file for each: [`crate::request`] → [`crate::outcome`].

mod check;
mod deploy;
mod doctor;
mod export;
mod files;
mod hold;
mod install;
mod list;
mod platforms;
mod remove;
mod reset;
mod rules;
mod run;
mod shell;
mod status;
mod undo;
mod verify;
mod version;

use crate::error::Result;
use crate::outcome::{Outcome, Report};
use crate::request::Command;
use crate::sys;
pub use hold::Holder;

/// Runs the commands in order; after a failure, the next ones still run, but nothing is removed. With `hold`, also returns the
/// [`Holder`], which is to wait once the report is delivered.
#[must_use]
pub fn run(commands: &[Command]) -> (Report, Option<Holder>) {
    let (mut report, mut holder) = (Report::default(), None);
    sys::set_signals();
    for command in commands {
        let done = match command {
            Command::Say(text) => Ok(Outcome::Text(text)),
            Command::List => list::list(),
            Command::Status { mount } => status::status(mount.as_deref(), &mut report),
            Command::Install(request) => install::install(request, &mut report, &mut holder),
            Command::Reset(request) => reset::reset(request, &mut report),
            // What would take the place of these handlers isn't there.
            Command::Remove(_) if !report.errors.is_empty() => continue,
            Command::Remove(request) => remove::remove(request, &mut report),
            Command::Export(request) => export::export(request, &mut report),
            Command::Deploy(request) => Ok(deploy::deploy(request, &mut report)),
            Command::Doctor => doctor::doctor(&mut report),
            Command::Verify(options) => verify::verify(options, &mut report),
            Command::Version(options) => version::version(options, &mut report),
            Command::Check { targets, version } => check::check(targets, *version, &mut report),
            Command::Run { targets, options, words } => Err(run::run(targets, options, words)),
            Command::Shell(words) => Err(shell::shell(words)),
        };
        match done {
            Ok(outcome) => report.outcomes.push(outcome),
            Err(error) => report.errors.push(error),
        }
    }
    (report, holder)
}

type Done = Result<Outcome>;
