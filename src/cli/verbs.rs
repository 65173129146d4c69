//! The second dialect: `qus VERB [OPTIONS] [TARGETS]`. Handlers are registered as in `-s -- -p` unless an option says otherwise.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};

use super::{Asked, Env, HELP, Targets, directory, misuse, text, value, yes_or_no};
use crate::error::{Error, Result};
use crate::run::{Command, Install, Remove, Style, Wanted};

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
    Help,
    Version,
}

use Verb::{Check, Doctor, Help, Hold, List, Remove as RemoveVerb, Run, Status, Verify, Version};

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
        "help" => Help,
        "version" => Version,
        _ => return None,
    })
}

pub(super) fn is_verb(word: &str) -> bool {
    verb(word).is_some()
}

impl Verb {
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
}

pub(super) fn parse(args: &[OsString], env: Env<'_>) -> Result<Asked> {
    let (first, rest) = args.split_first().map_or((None, args), |(first, rest)| (first.to_str(), rest));
    let (name, verb) = (first.unwrap_or_default(), first.and_then(verb).unwrap_or(Help));
    let mut asked = Asked::default();
    let (mut targets, mut except) = (Targets::default(), Targets::default());
    let dir = directory(env);
    let mut style = Style { dir, ..Style::default() };
    let (mut dry_run, mut prove, mut force, mut shadow_host, mut clean) = (false, true, false, false, false);
    let (mut words, mut version) = (Vec::new(), false);

    let mut parser = lexopt::Parser::from_args(rest);
    while let Some(arg) = parser.next().map_err(|e| misuse(&e))? {
        match arg {
            Short('h') | Long("help") => {
                return Ok(Asked { commands: vec![Command::Say(HELP)], json: false });
            }
            Long("json") if verb != Run => asked.json = true,
            Long("dry-run") if matches!(verb, Verb::Install | RemoveVerb) => dry_run = true,
            Long("except") if verb.registers() => except.add(&value(&mut parser)?)?,
            Long("force") if verb.registers() => force = true,
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
            Value(word) if verb.takes_targets() => targets.add(&text(word)?)?,
            Value(word) => return Err(Error::usage(format!("{name} takes no targets: {}", text(word)?))),
            other => return Err(misuse(&other.unexpected()).hint("qus --help lists what each verb takes")),
        }
    }
    if verb == Check && targets.named.is_empty() && !targets.all {
        return Err(
            Error::usage("which targets?").hint("qus check TARGETS, or qus status to see what runs here")
        );
    }
    let hold = (verb == Hold).then_some(clean);
    let wanted = without(targets.wanted(), &except.named);
    asked.commands.push(match verb {
        Verb::Install | Hold => Command::Install(Install {
            dry_run,
            prove,
            force,
            shadow_host,
            hold,
            ..Install::new(wanted, style)
        }),
        RemoveVerb => Command::Remove(Remove { wanted, dry_run, mount: None }),
        List => Command::List,
        Status => Command::Status { mount: None },
        Check => Command::Check { wanted, version },
        Doctor => Command::Doctor,
        Verify => Command::Verify(style),
        Run if words.is_empty() => {
            return Err(Error::usage("which program?").hint("qus run [--targets T] -- PROGRAM [ARGUMENTS]"));
        }
        Run => Command::RunAlone { wanted, style, words },
        Version => Command::Version(style),
        Help => Command::Say(HELP),
    });
    Ok(asked)
}

/// The targets that are left when those of `--except` are taken out.
fn without(wanted: Wanted, except: &[&'static str]) -> Wanted {
    if except.is_empty() {
        return wanted;
    }
    let mut left: Vec<_> = wanted.rows().map(|a| a.target).filter(|t| !except.contains(t)).collect();
    left.dedup();
    Wanted::These(left)
}
