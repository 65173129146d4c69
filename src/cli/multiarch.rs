//! The fourth dialect, that of multiarch/qemu-user-static and of QEMU's current script: `--reset -p yes` and the like.
//!
//! Every option stands before no `--`, and switches take `yes` or `no`. `--reset` removes handlers called `qemu-*`, not
//! those of other makers.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short};

use super::original::{DEBIAN_DIR, SYSTEMD_DIR};
use super::{Env, HELP, Invocation, TargetNames, misuse, say, text, value, yes_or_no};
use crate::error::{Error, Result};
use crate::request::{Command, Export, Format, HandlerOptions, Install, Remove, Targets};

/// Is this a word that only this dialect has? (`value` is what follows.)
pub(super) fn knows(word: &str, value: Option<&str>) -> bool {
    match word.split('=').next().unwrap_or_default() {
        "--reset" | "--qemu-path" | "--qemu-suffix" | "--systemd" | "--debian" => true,
        "-p" | "--persistent" | "-c" | "--credential" | "--preserve-argv0" => {
            word.contains('=') || matches!(value, Some("yes" | "no"))
        }
        _ => false,
    }
}

pub(super) fn parse(args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    let mut style = HandlerOptions { persistent: false, ..HandlerOptions::default() };
    style.dir = env("QEMU_BIN_DIR").filter(|d| !d.is_empty()).map(PathBuf::from);
    let (mut reset, mut format, mut to) = (false, None, None);
    let mut targets = TargetNames::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| misuse(&e))? {
        match arg {
            Short('h') | Long("help") => return Ok(say(HELP)),
            Long("reset") => reset = true,
            Short('p') | Long("persistent") => style.persistent = yes_or_no("-p", &value(&mut parser)?)?,
            Short('c') | Long("credential") => style.credentials = yes_or_no("-c", &value(&mut parser)?)?,
            Short('g') | Long("preserve-argv0") => {
                style.preserve_argv0 = Some(yes_or_no("--preserve-argv0", &value(&mut parser)?)?);
            }
            Short('Q') | Long("qemu-path") => style.dir = Some(PathBuf::from(value(&mut parser)?)),
            Short('F') | Long("qemu-suffix") => style.suffix = value(&mut parser)?,
            Short('e') | Long("exportdir") => to = Some(PathBuf::from(value(&mut parser)?)),
            Short('d') | Long("debian") => format = Some(Format::UpdateBinfmts),
            Short('s') | Long("systemd") => {
                targets.add(&value(&mut parser)?)?;
                format = Some(Format::BinfmtD);
            }
            other => return Err(misuse(&other.unexpected()).hint("qus --help shows the dialects")),
        }
    }
    let mut commands = Vec::new();
    if reset {
        commands.push(Command::Remove(Remove::of(Targets::All)));
    }
    let host = env("HOST_ARCH").filter(|h| !h.is_empty()).map(text).transpose()?;
    commands.push(match format {
        Some(format) => {
            let usual = if format == Format::BinfmtD { SYSTEMD_DIR } else { DEBIAN_DIR };
            let to = Some(to.unwrap_or_else(|| usual.into()));
            Command::Export(Export {
                targets: targets.wanted(),
                options: style,
                format,
                to,
                host,
                dry_run: false,
            })
        }
        None if to.is_some() => {
            return Err(Error::usage("--exportdir says where files go: it needs --systemd or --debian"));
        }
        None => Command::Install(Install::new(Targets::All, style)),
    });
    Ok(Invocation { commands, ..Invocation::default() })
}
