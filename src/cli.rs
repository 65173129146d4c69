//! The command line → what is asked for. A dialect each in `cli/`; no I/O: arguments and environment come in as values.

mod export;
mod multiarch;
mod original;
mod tonistiigi;
mod verbs;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::arch;
use crate::error::{Error, Result};
use crate::request::{Command, Remove, Targets};

/// What the command line and the environment ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// To be done in this order.
    pub commands: Vec<Command>,
    /// CheckResult as JSON.
    pub json: bool,
    /// CheckResult with the exit code, and with errors.
    pub quiet: bool,
}

/// Looks up a variable of the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

const HELP: &str = include_str!("cli/help/qus.txt");
const HELP_CONF: &str = include_str!("cli/help/original.txt");

/// Understands a command line (without the program's name).
///
/// # Errors
/// [`crate::error::Step::Usage`]; nothing is touched then.
pub fn parse(args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    let words: Vec<_> = args.iter().map(|a| a.to_str().unwrap_or_default()).collect();
    // What stands behind `--` belongs to the first dialect, or to a program that is to be run.
    let own = words.split(|w| *w == "--").next().unwrap_or_default();
    let next = |at: usize| own.get(at + 1).copied();
    match words.first() {
        Some(first) if verbs::is_verb(first) => verbs::parse(args, env),
        None => tonistiigi::parse(args, env),
        _ if own.iter().any(|w| tonistiigi::knows(w)) => tonistiigi::parse(args, env),
        _ if own.len() == words.len() && (0..own.len()).any(|at| multiarch::knows(own[at], next(at))) => {
            multiarch::parse(args, env)
        }
        _ => original::parse(args, env),
    }
}

/// Collects the names of targets.
#[derive(Default)]
struct TargetNames {
    named: Vec<&'static str>,
    all: bool,
}

impl TargetNames {
    /// Adds one name, or several with commas or spaces between them.
    fn add(&mut self, text: &str) -> Result<()> {
        if text.trim().is_empty() {
            return Err(Error::usage("empty target name").hint("a variable in that command may not be set"));
        }
        for name in text.split([',', ' ', '\t', '\n']).filter(|n| !n.is_empty()) {
            if name.eq_ignore_ascii_case("all") {
                self.all = true;
                continue;
            }
            let found = arch::named(name).next().ok_or_else(|| unknown_target(name))?.target;
            if !self.named.contains(&found) {
                self.named.push(found);
            }
        }
        Ok(())
    }

    /// Was nothing said?
    const fn is_empty(&self) -> bool {
        !self.all && self.named.is_empty()
    }

    /// Is everything meant, because that was said, or because nothing was?
    const fn is_everything(&self) -> bool {
        self.all || self.named.is_empty()
    }

    fn wanted(self) -> Targets {
        if self.is_everything() { Targets::All } else { Targets::These(self.named) }
    }

    /// The targets that are left when those of `--except` are taken out.
    fn without(self, except: &Self) -> Targets {
        if except.is_empty() {
            return self.wanted();
        }
        let is_left = |t: &&'static str| !except.all && !except.named.contains(t);
        Targets::These(match self.is_everything() {
            true => arch::targets().filter(is_left).collect(),
            false => self.named.into_iter().filter(is_left).collect(),
        })
    }
}

/// What is to be removed. Where all is meant but some, that is said apart: handlers that we have no row for are all, too.
fn removal(targets: TargetNames, except: TargetNames, dry_run: bool) -> Remove {
    match targets.is_everything() {
        true if !except.all => Remove { except: except.named, dry_run, ..Remove::of(Targets::All) },
        _ => Remove { dry_run, ..Remove::of(targets.without(&except)) },
    }
}

/// Asks for a text.
fn say(text: &'static str) -> Invocation {
    Invocation { commands: vec![Command::Say(text)], ..Invocation::default() }
}

fn unknown_target(name: &str) -> Error {
    let near = arch::nearest(name);
    let error = Error::usage(format!("unknown target: {name}"));
    match (name, near.as_slice()) {
        ("yes" | "no", _) => error.hint("-p, -c, -r and -t are switches here and take no value"),
        (_, []) => error.hint(format!("known are: {}", arch::targets().collect::<Vec<_>>().join(" "))),
        (_, near) => error.hint(format!("did you mean {}?", near.join(" or "))),
    }
}

/// What lexopt found wrong, in our words.
fn misuse(error: &lexopt::Error) -> Error {
    match error {
        lexopt::Error::UnexpectedOption(option) => Error::usage(format!("unknown option: {option}")),
        lexopt::Error::UnexpectedValue { option, value } => {
            Error::usage(format!("{option} takes no value, and was given {}", value.to_string_lossy()))
        }
        lexopt::Error::MissingValue { option: Some(option) } => {
            Error::usage(format!("{option} needs a value"))
        }
        other => Error::usage(other.to_string()),
    }
}

/// A word of the command line that must be text.
fn text(word: OsString) -> Result<String> {
    word.into_string().map_err(|w| Error::usage(format!("not UTF-8: {}", w.to_string_lossy())))
}

/// Where the environment says that the QEMU binaries are; a variable that is empty says nothing.
fn directory(env: Env<'_>) -> Option<PathBuf> {
    ["QEMU_PATH", "QEMU_BIN_DIR"]
        .into_iter()
        .find_map(|name| env(name).filter(|d| !d.is_empty()))
        .map(PathBuf::from)
}

/// The value of an option.
fn value(parser: &mut lexopt::Parser) -> Result<String> {
    parser.value().map_err(|e| misuse(&e)).and_then(text)
}

/// `yes` or `no`, as the environment and some options say it.
fn yes_or_no(what: &str, value: &str) -> Result<bool> {
    match value {
        "yes" => Ok(true),
        "no" | "" => Ok(false),
        other => Err(Error::usage(format!("{what} is {other}, and can be yes or no"))),
    }
}
