//! The second dialect: `qus VERB [OPTIONS] [TARGETS]`. Handlers are registered as in `-s -- -p` unless an option says otherwise.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};

use super::{
    Env, HELP, Invocation, TargetNames, directory, export, misuse, removal, say, text, value, yes_or_no,
};
use crate::error::{Error, Result};

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

use crate::request::{Command, HandlerOptions, Install};
use Verb::{Check, Doctor, Export, Help, Hold, List, Remove as RemoveVerb, Run, Status, Verify, Version};

fn verb(word: &str) -> Option<Verb> {
    Some(match word {
        "install" => Verb::Install,
        "hold" => Hold,
        "remove" => RemoveVerb,
        "list" => List,
        "status" => Status,
        "check" => Check,
        "doctor" => Doctor,
        "verify" => Verify,
        "run" => Run,
        "export" => Export,
        "help" => Help,
        "version" => Version,
        _ => return None,
    })
}

pub(super) fn is_verb(word: &str) -> bool {
    verb(word).is_some()
}

impl Verb {
    const fn help(self) -> &'static str {
        match self {
            Self::Install => include_str!("help/install.txt"),
            Hold => include_str!("help/hold.txt"),
            RemoveVerb => include_str!("help/remove.txt"),
            List => include_str!("help/list.txt"),
            Status => include_str!("help/status.txt"),
            Check => include_str!("help/check.txt"),
            Doctor => include_str!("help/doctor.txt"),
            Verify => include_str!("help/verify.txt"),
            Run => include_str!("help/run.txt"),
            Export => include_str!("help/export.txt"),
            Help | Version => HELP,
        }
    }

    const fn registers(self) -> bool {
        matches!(self, Self::Install | Self::Hold)
    }

    /// Does it care where the binaries are?
    const fn takes_binaries(self) -> bool {
        matches!(self, Self::Install | Self::Hold | Self::Verify | Self::Run)
    }

    const fn takes_targets(self) -> bool {
        matches!(self, Self::Install | Self::Hold | Self::Remove | Self::Check)
    }

    /// Is there an exit code worth having without its text?
    const fn can_be_quiet(self) -> bool {
        self.takes_targets() || matches!(self, Self::Doctor | Self::Verify)
    }
}

pub(super) fn parse(args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    let (first, rest) = args.split_first().map_or((None, args), |(first, rest)| (first.to_str(), rest));
    let (name, verb) = (first.unwrap_or_default(), first.and_then(verb).unwrap_or(Help));
    if verb == Export {
        return export::parse(rest, env, verb.help());
    }
    let mut asked = Invocation::default();
    let (mut targets, mut except) = (TargetNames::default(), TargetNames::default());
    let dir = directory(env);
    let mut style = HandlerOptions { dir, ..HandlerOptions::default() };
    let (mut dry_run, mut prove, mut shadow_host, mut clean) = (false, true, false, false);
    let (mut force, mut replace) = (false, false);
    let (mut words, mut version, mut topic) = (Vec::new(), false, Help);

    let mut parser = lexopt::Parser::from_args(rest);
    while let Some(arg) = parser.next().map_err(|e| misuse(&e))? {
        match arg {
            Short('h') | Long("help") => return Ok(say(verb.help())),
            Long("json") if verb != Run => asked.json = true,
            Long("quiet") if verb.can_be_quiet() => asked.quiet = true,
            Long("dry-run") if verb.registers() || verb == RemoveVerb => dry_run = true,
            Long("except") if verb.takes_targets() => except.add(&value(&mut parser)?)?,
            Long("force") if verb.registers() => force = true,
            Long("replace") if verb.registers() => replace = true,
            Long("shadow-host") if verb.registers() => shadow_host = true,
            Long("no-prove") if verb.registers() => prove = false,
            Long("clean") if verb == Hold => clean = true,
            Long("credentials") if verb.registers() => {
                style.credentials = yes_or_no("--credentials", &value(&mut parser)?)?;
            }
            Long("persistent") if verb.registers() => {
                style.persistent = yes_or_no("--persistent", &value(&mut parser)?)?;
            }
            Long("preserve-argv0") if verb.registers() => {
                style.preserve_argv0 = Some(yes_or_no("--preserve-argv0", &value(&mut parser)?)?);
            }
            Long("path") if verb.takes_binaries() => style.dir = Some(PathBuf::from(value(&mut parser)?)),
            Long("suffix") if verb.takes_binaries() => style.suffix = value(&mut parser)?,
            Long("emulator") if verb == Check => version = true,
            Long("targets") if verb == Run => targets.add(&value(&mut parser)?)?,
            Value(word) if verb == Run => {
                words.push(word);
                words.extend(parser.raw_args().map_err(|e| misuse(&e))?);
            }
            Value(word) if verb == Help && topic == Help => topic = explained(&text(word)?)?,
            Value(word) if verb.takes_targets() => targets.add(&text(word)?)?,
            Value(word) => return Err(Error::usage(format!("{name} takes no targets: {}", text(word)?))),
            other => return Err(refused(misuse(&other.unexpected()), name)),
        }
    }
    if verb == Check && targets.is_empty() {
        return Err(
            Error::usage("which targets?").hint("qus check TARGETS, or qus status to see what runs here")
        );
    }
    let hold = (verb == Hold).then_some(crate::request::Hold { clean, strict: false });
    if verb == RemoveVerb {
        asked.commands.push(Command::Remove(removal(targets, except, dry_run)));
        return Ok(asked);
    }
    let wanted = targets.without(&except);
    asked.commands.push(match verb {
        Verb::Install | Hold => Command::Install(Install {
            dry_run,
            prove,
            force,
            replace,
            shadow_host,
            hold,
            ..Install::new(wanted, style)
        }),
        List => Command::List,
        Status => Command::Status { mount: None },
        Check => Command::Check { targets: wanted, version },
        Doctor => Command::Doctor,
        Verify => Command::Verify(style),
        Run if words.is_empty() => {
            return Err(Error::usage("which program?").hint("qus run [--targets T] -- PROGRAM [ARGUMENTS]"));
        }
        Run => Command::Run { targets: wanted, options: style, words },
        Version => Command::Version(style),
        Export | Help | RemoveVerb => Command::Say(topic.help()),
    });
    Ok(asked)
}

/// The verb in `qus help VERB`.
fn explained(word: &str) -> Result<Verb> {
    verb(word).ok_or_else(|| Error::usage(format!("no verb is called {word}")).hint("qus help lists them"))
}

/// An option that this verb doesn't have.
pub(super) fn refused(error: Error, verb: &str) -> Error {
    error.hint(format!("qus {verb} --help lists its options"))
}
