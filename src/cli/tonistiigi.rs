//! The dialect of tonistiigi/binfmt: `--install`, `--uninstall`, `--mount`, `--version`, or no argument.
//!
//! As theirs, it prints a line for each target to stderr, and the status as JSON to stdout. Unlike theirs, the exit code is true, flag `C` must be requested,
//! and flag `P` is set where it works.

use std::ffi::OsString;

use super::args::{Given, Words};
use super::{Env, Invocation, TargetNames, at_once, is_form, variable};
use crate::arch::{ARCHES, PREFIX};
use crate::error::{Error, Result};
use crate::request::{Command, HandlerOptions, matches};

/// Is this a word of this dialect only?
pub(super) fn knows(word: &str) -> bool {
    let option = word.trim_start_matches('-').split('=').next().unwrap_or_default();
    word.starts_with('-') && ["install", "uninstall", "mount"].contains(&option)
}

pub(super) fn parse(args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    let (mut install, mut uninstall) = (None, None);
    let mut given = Given::new(HandlerOptions::default());
    // Go's flags may have a single dash.
    let doubled = args.iter().map(|a| match a.to_str() {
        Some(word) if knows(word) && !word.starts_with("--") => OsString::from(format!("-{word}")),
        _ => a.clone(),
    });
    let mut words = Words::new(doubled);
    while let Some(word) = words.next()? {
        match word.option.as_str() {
            "--install" => install = Some(words.value()?),
            "--uninstall" => uninstall = Some(words.value()?),
            "--mount" => given.install.mount = Some(words.dir(&word.option)?),
            "--version" => return Ok(at_once(Command::Version(options(env)?), args)),
            o if is_form(o) && given.take(o, &mut words)? => {}
            _ => return Err(word.refused().hint("`qus --help` lists the commands")),
        }
    }
    let mut commands = Vec::new();
    if let Some(list) = uninstall {
        given.targets = to_remove(&list)?;
        commands.push(given.remove()?);
    }
    if let Some(list) = install {
        given.targets = TargetNames::default();
        given.targets.add(&list)?;
        given.install.options = options(env)?;
        commands.push(given.install()?);
    }
    commands.push(Command::Status { mount: given.install.mount.clone() });
    Ok(Invocation { brief: !given.json, ..given.asked(commands) })
}

/// Their variables; the rest as for `install`.
fn options(env: Env<'_>) -> Result<HandlerOptions> {
    let prefix = variable(env, "QEMU_BINARY_PREFIX")?.unwrap_or_default();
    if prefix.contains('/') {
        return Err(Error::usage(format!("QEMU_BINARY_PREFIX must not have a slash: {prefix}"))
            .hint("QEMU_BINARY_PATH sets the directory"));
    }
    let dir = variable(env, "QEMU_BINARY_PATH")?.or(variable(env, "QEMU_BIN_DIR")?).map(Into::into);
    // Theirs sets flag P if this is set. Here P is the default, so only 0, no and false change anything.
    let preserve_argv0 =
        variable(env, "QEMU_PRESERVE_ARGV0")?.map(|v| !["0", "no", "false"].contains(&v.as_str()));
    Ok(HandlerOptions { dir, prefix, preserve_argv0, ..HandlerOptions::default() })
}

/// Names and patterns (`qemu-*`) of targets and handlers.
fn to_remove(list: &str) -> Result<TargetNames> {
    let mut targets = TargetNames::default();
    for word in list.split(',').map(str::trim) {
        if word == "qemu-*" || word == "*" {
            targets.all = true;
        } else if word.contains(['*', '?']) && !word.starts_with(PREFIX) {
            let is_named = |name: &str| matches(word.as_bytes(), name.as_bytes());
            if !ARCHES.iter().any(|a| is_named(&a.handler_name()) || is_named(a.name)) {
                return Err(Error::usage(format!("no target matches the pattern {word}")));
            }
            targets.handlers.push((word.to_owned(), None));
        } else {
            let hint =
                "give names of targets, qemu-NAME, or patterns like qemu-*; other handlers are not removed";
            targets.add(word).map_err(|e| if word.is_empty() { e } else { e.hint(hint) })?;
        }
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_handlers_and_targets() {
        let named = |list: &str| to_remove(list).unwrap().named;
        let handlers = |list: &str| {
            to_remove(list).unwrap().handlers.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert!(to_remove("qemu-*").unwrap().all && to_remove("arm,*").unwrap().all);
        assert_eq!(named("arm64,riscv64"), ["aarch64", "riscv64"]);
        assert_eq!(handlers("qemu-riscv??,sparc*,qemu-cr*"), ["qemu-riscv??", "sparc*", "qemu-cr*"]);
        assert_eq!(handlers("qemu-cris"), ["qemu-cris"]);
        for list in ["jar", "", "qemo-*", "arm64,", "qemu-", "qemu-../status"] {
            assert!(to_remove(list).is_err(), "{list}");
        }
        let matches = |pattern: &str, name: &str| matches(pattern.as_bytes(), name.as_bytes());
        assert!(
            matches("q*a*64", "qemu-aarch64")
                && matches("**", "x")
                && !matches("*a", "ab")
                && matches("a*?", "abc")
        );
        assert!(!matches(&"*?".repeat(5000), "qemu-sparc32plus"), "in no time");
        assert!(!matches("qemu-é?", "qemu-ab") && matches("*", "") && !matches("?", ""));
    }
}
