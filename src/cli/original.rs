//! The first dialect: `qus [-h] [-l] [-s] [-i] [-- ARGS]`, where ARGS are those of the original's qemu-binfmt-conf.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};

use super::{
    Env, HELP, HELP_CONF, Invocation, TargetNames, directory, misuse, removal, text, value, yes_or_no,
};
use crate::emulators::STATIC;
use crate::error::{Error, Result};
use crate::request::{Command, Export, Format, HandlerOptions, Hold, Install};

/// Where systemd-binfmt and update-binfmts look.
pub(super) const SYSTEMD_DIR: &str = "/etc/binfmt.d";
pub(super) const DEBIAN_DIR: &str = "/usr/share/binfmts";

pub(super) fn parse(args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    let mut asked = Invocation::default();
    let (mut list, mut suffix) = (false, None);
    let (own, rest) =
        args.iter().position(|a| a == "--").map_or((args, None), |at| (&args[..at], Some(&args[at + 1..])));
    if let Some(at) = own.iter().position(|a| ["-i", "--interactive", "-interactive"].iter().any(|i| a == i))
    {
        asked.commands.push(Command::Shell(args[at + 1..].to_vec()));
        return Ok(asked);
    }
    // Help and version are said at once, in the form that is asked for behind them, too.
    asked.json = own.iter().any(|a| doubled(a) == "--json");
    let mut parser = lexopt::Parser::from_args(own.iter().map(|a| doubled(a)));
    while let Some(arg) = parser.next().map_err(|e| misuse(&e))? {
        match arg {
            Short('h') | Long("help") => {
                return Ok(Invocation { commands: vec![Command::Say(HELP)], ..asked });
            }
            Short('V') | Long("version") => {
                return Ok(Invocation {
                    commands: vec![Command::Version(HandlerOptions {
                        dir: directory(env),
                        ..HandlerOptions::default()
                    })],
                    ..asked
                });
            }
            Short('l') | Long("list") => list = true,
            Short('s') | Long("static") => suffix = Some(STATIC),
            Long("json") => {}
            Value(word) => {
                return Err(misplaced(Error::usage(format!("unknown command: {}", text(word)?)), args));
            }
            other => return Err(misplaced(misuse(&other.unexpected()), args)),
        }
    }
    if list {
        asked.commands.push(Command::List);
    }
    // `-l` alone only lists; everything else without `--` is the same as with an empty ARGS, as in the original.
    if !list || suffix.is_some() || rest.is_some() {
        let command = conf(rest.unwrap_or_default(), suffix, env, &mut asked)?;
        // Help is help, whatever stands before it.
        if matches!(command, Command::Say(_)) {
            asked.commands.clear();
        }
        asked.commands.push(command);
    }
    Ok(asked)
}

/// The original's long options may have a single dash.
fn doubled(arg: &OsStr) -> OsString {
    match arg.to_str() {
        Some("-help" | "-list" | "-static" | "-version" | "-json") => {
            OsString::from(format!("-{}", arg.to_string_lossy()))
        }
        _ => arg.to_owned(),
    }
}

/// What people forget most: the options of ARGS need the `--`.
fn misplaced(error: Error, args: &[OsString]) -> Error {
    if args.iter().any(|a| a == "--") {
        return error.hint("before `--` there are only -h, -l, -s, -i and --json; see --help");
    }
    let words: Vec<_> = args.iter().map(|a| a.to_string_lossy()).collect();
    let (before, behind): (Vec<_>, Vec<_>) = words.into_iter().partition(|w| w == "-s" || w == "-l");
    let line = before
        .into_iter()
        .map(String::from)
        .chain(["--".to_owned()])
        .chain(behind.into_iter().map(String::from));
    error.hint(format!(
        "what is to be registered stands behind `--`: qus {}",
        line.collect::<Vec<_>>().join(" ")
    ))
}

/// ARGS, and the variables that stand for them.
fn conf(args: &[OsString], suffix: Option<&str>, env: Env<'_>, asked: &mut Invocation) -> Result<Command> {
    let variable = |name: &str| env(name).map(text).transpose();
    let switch = |name: &str| variable(name).and_then(|v| yes_or_no(name, v.as_deref().unwrap_or("no")));
    let (mut targets, mut except) = (TargetNames::default(), TargetNames::default());
    let mut dir = directory(env);
    let mut suffix = suffix.map(str::to_owned).or(variable("QEMU_SUFFIX")?);
    let (mut persistent, mut credentials) = (switch("QEMU_PERSISTENT")?, switch("QEMU_CREDENTIAL")?);
    let (mut clear, mut dry_run) = (switch("QEMU_CLEAR")?, switch("QEMU_TEST")?);
    let (mut preserve_argv0, mut prove, mut force, mut replace) = (None, true, false, false);
    let (mut shadow_host, mut hold, mut clean) = (false, false, false);
    let (mut format, mut to) = (None, None);

    // lexopt keeps the value of an option that may have none to itself, so the words are looked at one ahead.
    let mut words: VecDeque<_> = args.iter().cloned().collect();
    if let Some(at) = words.iter().position(|w| w == "--preserve-argv0")
        && let Some(value) = words.get(at + 1).and_then(|w| w.to_str()).filter(|w| ["yes", "no"].contains(w))
    {
        words[at] = OsString::from(format!("--preserve-argv0={value}"));
        words.remove(at + 1);
    }
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(arg) = parser.next().map_err(|e| misuse(&e))? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Say(HELP_CONF)),
            Short('p') | Long("persistent") => persistent = true,
            Short('c') | Long("credential") => credentials = true,
            Short('r') | Long("clear") => clear = true,
            Short('t') | Long("test" | "dry-run") => dry_run = true,
            Short('d') | Long("debian") => format = Some(Format::UpdateBinfmts),
            Short('s') | Long("systemd") => format = Some(Format::BinfmtD),
            Short('Q') | Long("path") => dir = Some(PathBuf::from(value(&mut parser)?)),
            Short('F') | Long("suffix") => suffix = Some(value(&mut parser)?),
            Short('e') | Long("exportdir") => to = Some(PathBuf::from(value(&mut parser)?)),
            Long("preserve-argv0") => {
                let yes = parser.optional_value().map(text).transpose()?;
                preserve_argv0 = Some(yes.map_or(Ok(true), |v| yes_or_no("--preserve-argv0", &v))?);
            }
            Long("no-prove") => prove = false,
            Long("except") => except.add(&value(&mut parser)?)?,
            Long("force") => force = true,
            Long("replace") => replace = true,
            Long("shadow-host") => shadow_host = true,
            Long("hold") => hold = true,
            Long("clean") => clean = true,
            Long("json") => asked.json = true,
            Long("quiet") => asked.quiet = true,
            Value(word) => targets.add(&text(word)?)?,
            other => {
                return Err(
                    misuse(&other.unexpected()).hint("qus -- --help lists what may stand behind `--`")
                );
            }
        }
    }
    if targets.is_empty()
        && let Some(names) = variable("QEMU_TARGETS")?.filter(|n| !n.trim().is_empty())
    {
        targets.add(&names)?;
    }
    if clean && !hold {
        return Err(Error::usage("--clean says what happens when --hold ends: it needs --hold"));
    }
    let hold = hold.then_some(Hold { clean, strict: false });
    let style = HandlerOptions {
        dir,
        prefix: String::new(),
        suffix: suffix.unwrap_or_default(),
        persistent,
        credentials,
        preserve_argv0,
    };
    match format {
        _ if clear && format.is_some() => {
            Err(Error::usage("-r removes handlers, and -s and -d write files: one of them at a time"))
        }
        Some(format) => {
            let usual = if format == Format::BinfmtD { SYSTEMD_DIR } else { DEBIAN_DIR };
            let host = variable("HOST_ARCH")?.filter(|h| !h.is_empty());
            let to = Some(to.unwrap_or_else(|| usual.into()));
            let wanted = targets.without(&except);
            Ok(Command::Export(Export { targets: wanted, options: style, format, to, host, dry_run }))
        }
        None if to.is_some() => {
            Err(Error::usage("-e says where files go: it needs -s (systemd) or -d (Debian)"))
        }
        None if clear => Ok(Command::Remove(removal(targets, except, dry_run))),
        None => Ok(Command::Install(Install {
            dry_run,
            prove,
            force,
            replace,
            shadow_host,
            hold,
            ..Install::new(targets.without(&except), style)
        })),
    }
}
