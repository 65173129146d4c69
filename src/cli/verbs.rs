//! `qus VERB [OPTIONS] [TARGETS]`. Handlers are registered as with `-s -- -p`, unless an option says otherwise.

use std::ffi::OsString;

use super::args::{Given, Word, Words};
use super::{Env, HELP, Invocation, at_once, directory, export};
use crate::error::{Error, Result};
use crate::request::{Command, HandlerOptions};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Install,
    Hold,
    Remove,
    List,
    Status,
    Check,
    Doctor,
    Verify,
    Run,
    Export,
    Help,
    Version,
}

use Verb::{Check, Doctor, Export, Help, Hold, Install, List, Remove, Run, Status, Verify, Version};

/// Names and help texts.
const VERBS: [(&str, Verb, &str); 12] = [
    ("install", Install, include_str!("help/install.txt")),
    ("hold", Hold, include_str!("help/hold.txt")),
    ("remove", Remove, include_str!("help/remove.txt")),
    ("list", List, include_str!("help/list.txt")),
    ("status", Status, include_str!("help/status.txt")),
    ("check", Check, include_str!("help/check.txt")),
    ("doctor", Doctor, include_str!("help/doctor.txt")),
    ("verify", Verify, include_str!("help/verify.txt")),
    ("run", Run, include_str!("help/run.txt")),
    ("export", Export, include_str!("help/export.txt")),
    ("help", Help, HELP),
    ("version", Version, HELP),
];

fn find(word: &str) -> Option<(Verb, &'static str)> {
    VERBS.iter().find(|(name, ..)| *name == word).map(|(_, verb, help)| (*verb, *help))
}

pub(super) fn is_verb(word: &str) -> bool {
    find(word).is_some()
}

impl Verb {
    const fn registers(self) -> bool {
        matches!(self, Install | Hold)
    }

    const fn takes_targets(self) -> bool {
        matches!(self, Install | Hold | Remove | Check)
    }

    /// The shared options of this verb.
    fn takes(self, option: &str) -> bool {
        match option {
            "--json" => self != Run,
            // The verbs whose exit code says it all.
            "-q" | "--quiet" => self.takes_targets() || matches!(self, Doctor | Verify),
            "--targets" | "--platform" => self.takes_targets() || self == Run,
            "--except" => self.takes_targets(),
            "--dry-run" | "--force" => self.registers() || self == Remove,
            "--path" | "--suffix" => self.registers() || matches!(self, Verify | Run),
            "--clean" | "--strict" => self == Hold,
            // The rest is for registering. Short options belong to other dialects.
            _ => self.registers() && option.starts_with("--"),
        }
    }
}

/// Parses what follows the verb.
pub(super) fn parse(name: &str, args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    let (verb, help) = find(name).unwrap_or((Help, HELP));
    if verb == Export {
        return export::parse(args, env, help);
    }
    let mut given = Given::new(HandlerOptions { dir: directory(env), ..HandlerOptions::default() });
    let (mut program, mut version, mut topic) = (Vec::new(), false, None);
    let mut words = Words::new(args.to_vec());
    while let Some(word) = words.next()? {
        match word.option.as_str() {
            "-h" | "--help" => return Ok(at_once(Command::Say(help), args)),
            "--emulator" if verb == Check => version = true,
            o if verb.takes(o) && given.take(o, &mut words)? => {}
            "" if verb == Run => {
                program.push(word.argument);
                program.extend(words.rest()?);
            }
            "" if verb == Help && topic.is_none() => topic = Some(help_for(&word.text()?)?),
            "" if verb.takes_targets() => given.targets.add(&word.text()?)?,
            "" => return Err(Error::usage(format!("{name} takes no targets: {}", word.text()?))),
            _ => return Err(refused(word, name)),
        }
    }
    given.install.hold = (verb == Hold).then_some(given.hold);
    let options = given.install.options.clone();
    let command = match verb {
        Install | Hold => given.install()?,
        Remove => given.remove()?,
        List => Command::List,
        Status => Command::Status { mount: None },
        Check if given.targets.is_empty() => {
            return Err(Error::usage("no targets given").hint("`qus status` shows what runs here"));
        }
        Check => Command::Check { targets: given.targets()?, version },
        Doctor => Command::Doctor,
        Verify => Command::Verify(options),
        Run if program.is_empty() => {
            return Err(
                Error::usage("no program given").hint("usage: qus run [OPTIONS] [--] PROGRAM [ARGUMENTS]")
            );
        }
        Run => Command::Run { targets: given.targets()?, options, words: program },
        Version => Command::Version(options),
        Export | Help => Command::Say(topic.unwrap_or(HELP)),
    };
    Ok(given.asked(vec![command]))
}

/// The help text in `qus help VERB`.
fn help_for(word: &str) -> Result<&'static str> {
    let unknown = || Error::usage(format!("unknown command: {word}")).hint("`qus help` lists them");
    find(word).map(|(_, help)| help).ok_or_else(unknown)
}

pub(super) fn refused(word: Word, verb: &str) -> Error {
    word.refused().hint(format!("`qus {verb} --help` lists its options"))
}
