//! The command line → what is asked for. A dialect each in `cli/`; no I/O: arguments and environment come in as values.

mod args;
mod export;
mod meant;
mod multiarch;
mod original;
mod tonistiigi;
mod verbs;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::arch::{self, PREFIX};
use crate::error::{Error, Result};
use crate::request::Command;

/// What the command line and the environment ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// To be done in this order.
    pub commands: Vec<Command>,
    /// Answer as JSON.
    pub json: bool,
    /// Answer with the exit code, and with errors.
    pub quiet: bool,
}

/// Looks up a variable of the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

const HELP: &str = include_str!("cli/help/qus.txt");
const HELP_CONF: &str = include_str!("cli/help/original.txt");

/// Understands a command line (without the program's name). Where a line that may have been meant is understood, the error
/// has it as its hint.
///
/// # Errors
/// [`crate::error::Step::Usage`]; nothing is touched then.
pub fn parse(args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    understand(args, env).map_err(|error| {
        let is_understood = |line: &Vec<OsString>| understand(line, env).is_ok();
        match meant::lines(args).into_iter().find(is_understood).and_then(|line| meant::shown(&line)) {
            Some(line) => error.hint(format!("did you mean `qus{line}`?")),
            None => error,
        }
    })
}

fn understand(args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    let doubled: Vec<_> = args.iter().map(|a| doubled(a)).collect();
    let words: Vec<_> = doubled.iter().map(|a| a.to_str().unwrap_or_default()).collect();
    // What stands behind `--` belongs to the first dialect, or to a program that is to be run.
    let own = words.split(|w| *w == "--").next().unwrap_or_default();
    let next = |at: usize| own.get(at + 1).copied();
    // The form of the answer may be said before the verb. Alone, it is that of the status.
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

/// Does it only say how to answer?
fn is_form(word: &str) -> bool {
    ["--json", "--quiet", "-q"].contains(&word)
}

/// The original's long options may have a single dash.
fn doubled(arg: &OsStr) -> OsString {
    match arg.to_str() {
        Some("-help" | "-list" | "-static" | "-version" | "-json" | "-quiet") => {
            OsString::from(format!("-{}", arg.to_string_lossy()))
        }
        _ => arg.to_owned(),
    }
}

/// Collects the names of targets.
#[derive(Default)]
struct TargetNames {
    named: Vec<&'static str>,
    /// Handlers called `qemu-*` that are no target's, which can only be removed.
    handlers: Vec<String>,
    all: bool,
}

impl TargetNames {
    /// Adds one name, or several with commas or spaces between them.
    fn add(&mut self, text: &str) -> Result<()> {
        let mut names = text.split([',', ' ', '\t', '\n']).filter(|n| !n.is_empty()).peekable();
        if names.peek().is_none() {
            return Err(Error::usage("empty target name").hint("is a variable in that command not set?"));
        }
        for name in names {
            if name.eq_ignore_ascii_case("all") {
                self.all = true;
            } else if let Some(arch) = arch::named(name).next() {
                if !self.named.contains(&arch.target) {
                    self.named.push(arch.target);
                }
            } else if name.len() > PREFIX.len() && name.starts_with(PREFIX) && !name.contains('/') {
                self.handlers.push(name.to_owned());
            } else {
                return Err(unknown_target(name));
            }
        }
        Ok(())
    }

    /// Is everything meant, because that was said, or because nothing was?
    const fn is_everything(&self) -> bool {
        self.all || self.is_empty()
    }

    const fn is_empty(&self) -> bool {
        !self.all && self.named.is_empty() && self.handlers.is_empty()
    }
}

/// Asks for nothing but this.
fn one(command: Command) -> Invocation {
    Invocation { commands: vec![command], ..Invocation::default() }
}

fn unknown_target(name: &str) -> Error {
    let near = arch::nearest(name);
    let error = Error::usage(format!("unknown target: {name}"));
    match (name, near.as_slice()) {
        ("yes" | "no" | "true" | "false", _) => {
            error.hint("-p, -c, -r and -t take no value here; the switches that do take yes or no")
        }
        (_, []) => error.hint(format!("known targets: {}", arch::targets().collect::<Vec<_>>().join(" "))),
        (_, near) => error.hint(format!("did you mean {}?", near.join(" or "))),
    }
}

/// A word of the command line that must be text.
fn text(word: OsString) -> Result<String> {
    word.into_string().map_err(|w| Error::usage(format!("not UTF-8: {}", w.to_string_lossy())))
}

/// A variable of the environment; one that is empty says nothing.
fn variable(env: Env<'_>, name: &str) -> Result<Option<String>> {
    env(name).filter(|v| !v.is_empty()).map(text).transpose()
}

fn path(env: Env<'_>, name: &str) -> Option<PathBuf> {
    env(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// Where the environment says that the emulators are.
fn directory(env: Env<'_>) -> Option<PathBuf> {
    path(env, "QEMU_PATH").or_else(|| path(env, "QEMU_BIN_DIR"))
}
