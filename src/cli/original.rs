//! The original's dialect: `qus [-h] [-l] [-s] [-i] [-- ARGS]`, where ARGS are those of its qemu-binfmt-conf.

use std::ffi::OsString;

use super::args::{Given, Words, yes_or_no};
use super::{Env, HELP, HELP_CONF, Invocation, at_once, directory, doubled, is_form, one, variable};
use crate::emulators::STATIC;
use crate::error::{Error, Result};
use crate::request::{Command, Format, HandlerOptions, Hold};

pub(super) fn parse(args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    let (mut list, mut suffix) = (false, None);
    let mut given = Given::new(HandlerOptions { persistent: false, ..HandlerOptions::default() });
    let (own, rest) =
        args.iter().position(|a| a == "--").map_or((args, None), |at| (&args[..at], Some(&args[at + 1..])));
    if let Some(at) = own.iter().position(|a| ["-i", "--interactive", "-interactive"].iter().any(|i| a == i))
    {
        return Ok(one(Command::Shell(args[at + 1..].to_vec())));
    }
    let own: Vec<_> = own.iter().map(|a| doubled(a)).collect();
    // The most frequent mistake: targets and their options go after `--`.
    let misplaced = match rest {
        Some(_) => "only -h, -l, -s, -i, -V, --json and --quiet go before `--`; see `qus --help`",
        None => "targets go after `--`, or after a command such as install; see `qus --help`",
    };
    let mut words = Words::new(own);
    while let Some(word) = words.next()? {
        match word.option.as_str() {
            "-h" | "--help" => return Ok(at_once(Command::Say(HELP), args)),
            "-V" | "--version" => {
                let options = HandlerOptions { dir: directory(env), ..HandlerOptions::default() };
                return Ok(at_once(Command::Version(options), args));
            }
            "-l" | "--list" => list = true,
            "-s" | "--static" => suffix = Some(STATIC),
            o if is_form(o) && given.take(o, &mut words)? => {}
            "" => return Err(Error::usage(format!("unknown command: {}", word.text()?)).hint(misplaced)),
            _ => return Err(word.refused().hint(misplaced)),
        }
    }
    // As in the original: without `--`, -l only lists, and all else is the same as with an empty ARGS; the list comes last.
    let mut commands = Vec::new();
    if !list || rest.is_some() {
        match conf(rest.unwrap_or_default(), suffix, &mut given, env)? {
            help @ Command::Say(_) => return Ok(at_once(help, args)),
            command => commands.push(command),
        }
    }
    if list && given.quiet && !given.json {
        return Err(Error::usage("-q prints no results, and -l the handlers: use one of them"));
    }
    if list {
        commands.push(Command::List);
    }
    Ok(given.asked(commands))
}

/// Parses ARGS and their variables.
fn conf(args: &[OsString], suffix: Option<&str>, given: &mut Given, env: Env<'_>) -> Result<Command> {
    let switch = |name| variable(env, name).and_then(|v| yes_or_no(name, &v.unwrap_or_default()));
    let options = &mut given.install.options;
    options.dir = directory(env);
    options.suffix = suffix.map(str::to_owned).or(variable(env, "QEMU_SUFFIX")?).unwrap_or_default();
    (options.persistent, options.credentials) = (switch("QEMU_PERSISTENT")?, switch("QEMU_CREDENTIAL")?);
    given.install.dry_run = switch("QEMU_TEST")?;
    let (mut clear, mut hold, mut format, mut to) = (switch("QEMU_CLEAR")?, false, None, None);

    let mut words = Words::new(args.to_vec());
    while let Some(word) = words.next()? {
        let options = &mut given.install.options;
        match word.option.as_str() {
            "" => {
                let word = word.text()?;
                let is_value = ["yes", "no", "true", "false"].contains(&word.as_str());
                let hinted = |e: Error| e.hint("-p, -c, -r and -t take no value after `--`");
                given.targets.add(&word).map_err(|e| if is_value { hinted(e) } else { e })?;
            }
            "-h" | "--help" => return Ok(Command::Say(HELP_CONF)),
            "-p" | "--persistent" => options.persistent = true,
            "-c" | "--credential" => options.credentials = true,
            "-r" | "--clear" => clear = true,
            "-t" | "--test" => given.install.dry_run = true,
            "-d" | "--debian" => format = Some(Format::UpdateBinfmts),
            "-s" | "--systemd" => format = Some(Format::BinfmtD),
            "-e" | "--exportdir" => to = Some(words.dir(&word.option)?),
            "--hold" => hold = true,
            o if given.take(o, &mut words)? => {}
            _ => return Err(word.refused().hint("`qus -- --help` lists the options after `--`")),
        }
    }
    if given.targets.is_empty()
        && let Some(names) = variable(env, "QEMU_TARGETS")?.filter(|n| !n.trim().is_empty())
    {
        given.targets.add(&names)?;
    }
    if !hold && given.hold != Hold::default() {
        return Err(Error::usage("--clean and --strict require --hold"));
    }
    if hold && clear {
        return Err(Error::usage("-r removes handlers, --hold keeps them: use one of them")
            .hint("--hold --clean removes them in the end"));
    }
    if hold && format.is_some() {
        return Err(Error::usage("-s and -d write files, --hold keeps handlers: use one of them"));
    }
    given.install.hold = hold.then_some(given.hold);
    match format {
        Some(_) if clear => Err(Error::usage("-r removes handlers, -s and -d write files: use one of them")),
        Some(format) => given.host_files(format, to, env),
        None if to.is_some() => Err(Error::usage("-e requires -s (systemd) or -d (Debian)")),
        None if clear => given.remove(),
        None => given.install(),
    }
}
