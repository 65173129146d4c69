//! The dialect of multiarch/qemu-user-static and of QEMU's current script: `--reset -p yes`.
//!
//! It has no `--`, and switches take `yes` or `no`. `--reset` removes handlers named `qemu-*`, not those of third parties, once
//! what takes their place is there.

use std::ffi::OsString;

use super::args::{Given, Words, is_in};
use super::{Env, HELP, Invocation, at_once, path};
use crate::error::{Error, Result};
use crate::request::{Command, Format, HandlerOptions, Remove, Targets};

/// Is this a word of this dialect only? `value` is the next word.
pub(super) fn knows(word: &str, value: Option<&str>) -> bool {
    match word.split('=').next().unwrap_or_default() {
        "--reset" | "--qemu-path" | "--qemu-suffix" | "--systemd" | "--debian" => true,
        "-p" | "--persistent" | "-c" | "--credential" | "--preserve-argv0" => {
            word.contains('=') || matches!(value, Some("yes" | "no"))
        }
        _ => false,
    }
}

/// The shared options of this dialect.
const TAKES: &str =
    "-p --persistent -c --credential -g --preserve-argv0 -Q --qemu-path -F --qemu-suffix --json -q --quiet";

pub(super) fn parse(args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    let dir = path(env, "QEMU_BIN_DIR");
    let mut given = Given::new(HandlerOptions { dir, persistent: false, ..HandlerOptions::default() });
    let (mut reset, mut format, mut to) = (false, None, None);
    let mut words = Words::new(args.to_vec());
    while let Some(word) = words.next()? {
        match word.option.as_str() {
            "-h" | "--help" => return Ok(at_once(Command::Say(HELP), args)),
            "--reset" => reset = true,
            "-e" | "--exportdir" => to = Some(words.dir(&word.option)?),
            "-d" | "--debian" => format = Some(Format::UpdateBinfmts),
            "-s" | "--systemd" => {
                given.targets.add(&words.value()?)?;
                format = Some(Format::BinfmtD);
            }
            o if is_in(TAKES, o) && given.take(o, &mut words)? => {}
            _ => return Err(word.refused().hint("`qus --help` lists the commands")),
        }
    }
    let removal = || Command::Remove(Remove::of(Targets::All));
    let commands = match (format, given.install()?) {
        (Some(format), _) => {
            let files = given.host_files(format, to, env)?;
            if reset { vec![files, removal()] } else { vec![files] }
        }
        (None, _) if to.is_some() => {
            return Err(Error::usage("--exportdir requires --systemd or --debian"));
        }
        (None, Command::Install(install)) if reset => vec![Command::Reset(install)],
        (None, install) => vec![install],
    };
    Ok(given.asked(commands))
}
