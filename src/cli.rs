//! Parses the command line into [`Command`]s. One file for each dialect; no I/O: arguments and environment are values.

mod args;
mod export;
mod multiarch;
mod original;
mod suggest;
mod tonistiigi;
mod verbs;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::arch::{self, ARCHES, PREFIX, host_family};
use crate::error::{Error, Result};
use crate::request::{Command, Install, Remove, Targets};

/// A parsed command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// What to do, in this order.
    pub commands: Vec<Command>,
    /// Print JSON.
    pub json: bool,
    /// Print only errors.
    pub quiet: bool,
    /// Print only the status as JSON, and the rest as text to stderr, as tonistiigi/binfmt does.
    pub brief: bool,
}

/// Looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

const HELP: &str = include_str!("cli/help/qus.txt");
const HELP_CONF: &str = include_str!("cli/help/original.txt");

/// Parses a command line, without the program's name.
///
/// # Errors
/// [`crate::error::Step::Usage`], with the line that was probably intended as its hint, if there is one.
pub fn parse(args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    parse_dialect(args, env).map_err(|error| {
        if parse_dialect(args, &|_| None).is_ok() {
            return error; // the environment's
        }
        let is_valid = |(is_guess, line): &(bool, Vec<OsString>)| {
            parse_dialect(line, env).is_ok_and(|asked| !is_guess || !asked.commands.iter().any(acts_on_all))
        };
        match suggest::lines(args).into_iter().find(is_valid).and_then(|(_, line)| suggest::shown(&line)) {
            Some(line) => error.hint(format!("did you mean `qus{line}`?")),
            None => error,
        }
    })
}

/// Does it change something, and no target is named? Or run any program?
fn acts_on_all(command: &Command) -> bool {
    match command {
        Command::Install(Install { targets: Targets::All, dry_run, .. })
        | Command::Remove(Remove { targets: Targets::All, dry_run, .. }) => !dry_run,
        Command::Export(export) => export.to.is_some(),
        Command::Reset(_) | Command::Run { .. } | Command::Shell(_) => true,
        _ => false,
    }
}

fn parse_dialect(args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    let doubled: Vec<_> = args.iter().map(|a| doubled(a)).collect();
    let words: Vec<_> = doubled.iter().map(|a| a.to_str().unwrap_or_default()).collect();
    // What follows `--` belongs to the original dialect, or to the program of `run`.
    let own = words.split(|w| *w == "--").next().unwrap_or_default();
    let next = |at: usize| own.get(at + 1).copied();
    // --json and --quiet may precede the verb; alone, they apply to `status`.
    let at = words.iter().take_while(|w| is_form(w)).count();
    match words.get(at) {
        None if at == 0 => tonistiigi::parse(args, env),
        None => verbs::parse("status", &doubled, env),
        Some(verb) if verbs::is_verb(verb) => {
            verbs::parse(verb, &[&doubled[..at], &args[at + 1..]].concat(), env)
        }
        _ if own.iter().any(|w| tonistiigi::knows(w)) => tonistiigi::parse(args, env),
        _ if own.len() == words.len() && (0..own.len()).any(|at| multiarch::knows(own[at], next(at))) => {
            multiarch::parse(args, env)
        }
        _ => original::parse(args, env),
    }
}

/// Is this an option for the output only?
fn is_form(word: &str) -> bool {
    ["--json", "--quiet", "-q"].contains(&word)
}

/// Adds the second dash to the original's long options.
fn doubled(arg: &OsStr) -> OsString {
    match arg.to_str() {
        Some("-help" | "-list" | "-static" | "-version" | "-json" | "-quiet") => {
            OsString::from(format!("-{}", arg.to_string_lossy()))
        }
        _ => arg.to_owned(),
    }
}

/// Names of targets on the command line.
#[derive(Default)]
struct TargetNames {
    named: Vec<&'static str>,
    /// Full names `qemu-*` other than those of the targets' handlers, which are removed, and the targets that they name otherwise.
    handlers: Vec<(String, Option<&'static str>)>,
    all: bool,
}

impl TargetNames {
    /// Adds one name, or several separated by commas or spaces.
    fn add(&mut self, text: &str) -> Result<()> {
        let mut names = text.split([',', ' ', '\t', '\n']).filter(|n| !n.is_empty()).peekable();
        if names.peek().is_none() {
            return Err(Error::usage("empty target name").hint("is a shell variable unset?"));
        }
        for name in names {
            if name.eq_ignore_ascii_case("all") {
                self.all = true;
                continue;
            }
            let target = arch::named(name).next().map(|arch| arch.target);
            let is_handler = name.len() > PREFIX.len() && name.starts_with(PREFIX) && !name.contains('/');
            if is_handler && !ARCHES.iter().any(|arch| arch.handler_name() == name) {
                self.handlers.push((name.to_owned(), target));
            } else {
                add(&mut self.named, target.ok_or_else(|| unknown_target(name))?);
            }
        }
        Ok(())
    }

    /// The targets, where full names of handlers are names of targets, too.
    fn targets(&self) -> Result<Vec<&'static str>> {
        let mut named = self.named.clone();
        for (name, target) in &self.handlers {
            add(&mut named, target.ok_or_else(|| unknown_target(name))?);
        }
        Ok(named)
    }

    /// `all`, or no name?
    const fn is_everything(&self) -> bool {
        self.all || self.is_empty()
    }

    const fn is_empty(&self) -> bool {
        !self.all && self.named.is_empty() && self.handlers.is_empty()
    }
}

fn add(named: &mut Vec<&'static str>, target: &'static str) {
    if !named.contains(&target) {
        named.push(target);
    }
}

fn one(command: Command) -> Invocation {
    Invocation { commands: vec![command], ..Invocation::default() }
}

/// What prints at once, whatever else there is: `--json` may also follow it.
fn at_once(command: Command, args: &[OsString]) -> Invocation {
    Invocation { json: args.iter().any(|arg| doubled(arg) == "--json"), ..one(command) }
}

fn unknown_target(name: &str) -> Error {
    let near = arch::nearest(name);
    let error = Error::usage(format!("unknown target: {name}"));
    match near.as_slice() {
        [] => error.hint(format!("known targets: {}", arch::targets().collect::<Vec<_>>().join(" "))),
        near => error.hint(format!("did you mean {}?", near.join(" or "))),
    }
}

fn text(word: OsString) -> Result<String> {
    word.into_string().map_err(|w| Error::usage(format!("not UTF-8: {}", w.to_string_lossy())))
}

/// The name of a host, as `uname -m` prints it: of a family that has targets, or its own family would be written.
fn host(name: String) -> Result<String> {
    match ARCHES.iter().any(|arch| arch.family == host_family(&name)) {
        true => Ok(name),
        false => Err(Error::usage(format!("unknown host: {name}")).hint("use what `uname -m` prints on it")),
    }
}

/// An environment variable; an empty one counts as unset.
fn variable(env: Env<'_>, name: &str) -> Result<Option<String>> {
    env(name).filter(|v| !v.is_empty()).map(text).transpose()
}

fn path(env: Env<'_>, name: &str) -> Option<PathBuf> {
    env(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// The directory of the emulators in the environment.
fn directory(env: Env<'_>) -> Option<PathBuf> {
    path(env, "QEMU_PATH").or_else(|| path(env, "QEMU_BIN_DIR"))
}
