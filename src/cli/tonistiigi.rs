//! The third dialect, tonistiigi/binfmt's: `--install`, `--uninstall`, `--mount`, `--version`, or nothing at all.
//!
//! As theirs does, it answers with the status as JSON after each action. On purpose it differs in this: the exit code is
//! true, flag `C` must be asked for, and flag `P` is set where it works.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::Long;

use super::{Env, Invocation, TargetNames, misuse, text, value};
use crate::arch;
use crate::error::{Error, Result};
use crate::request::{Command, HandlerOptions, Install, Remove, Targets};

/// Is this a word that only this dialect has?
pub(super) fn knows(word: &str) -> bool {
    let option = word.trim_start_matches('-').split('=').next().unwrap_or_default();
    word.starts_with('-') && ["install", "uninstall", "mount"].contains(&option)
}

pub(super) fn parse(args: &[OsString], env: Env<'_>) -> Result<Invocation> {
    let (mut install, mut uninstall, mut mount) = (None, None, None);
    // Go's flags take a single dash as well.
    let doubled = args.iter().map(|a| match a.to_str() {
        Some(word) if knows(word) && !word.starts_with("--") => OsString::from(format!("-{word}")),
        _ => a.clone(),
    });
    let mut parser = lexopt::Parser::from_args(doubled);
    while let Some(arg) = parser.next().map_err(|e| misuse(&e))? {
        match arg {
            Long("install") => install = Some(value(&mut parser)?),
            Long("uninstall") => uninstall = Some(value(&mut parser)?),
            Long("mount") => mount = Some(PathBuf::from(value(&mut parser)?)),
            Long("version") => {
                return Ok(Invocation {
                    commands: vec![Command::Version(style(env)?)],
                    ..Invocation::default()
                });
            }
            other => return Err(misuse(&other.unexpected()).hint("qus --help shows the dialects")),
        }
    }
    let mut commands = Vec::new();
    if let Some(list) = uninstall {
        commands.push(Command::Remove(Remove { mount: mount.clone(), ..Remove::of(to_remove(&list)?) }));
    }
    if let Some(list) = install {
        let mut targets = TargetNames::default();
        targets.add(&list)?;
        let style = style(env)?;
        commands.push(Command::Install(Install {
            mount: mount.clone(),
            ..Install::new(targets.wanted(), style)
        }));
    }
    commands.push(Command::Status { mount });
    Ok(Invocation { commands, json: true, quiet: false })
}

/// Their variables; without them the style of `install`.
fn style(env: Env<'_>) -> Result<HandlerOptions> {
    let variable = |name: &str| env(name).filter(|v| !v.is_empty()).map(text).transpose();
    let prefix = variable("QEMU_BINARY_PREFIX")?.unwrap_or_default();
    if prefix.contains('/') {
        return Err(Error::usage(format!("QEMU_BINARY_PREFIX can't be a path: {prefix}"))
            .hint("QEMU_BINARY_PATH names the directory"));
    }
    let dir = variable("QEMU_BINARY_PATH")?.or(variable("QEMU_BIN_DIR")?).map(PathBuf::from);
    // Theirs means: only if it is set. Here `P` is the default, so that only an explicit 0 or no changes anything.
    let preserve_argv0 =
        variable("QEMU_PRESERVE_ARGV0")?.map(|v| !["0", "no", "false"].contains(&v.as_str()));
    Ok(HandlerOptions { dir, prefix, preserve_argv0, ..HandlerOptions::default() })
}

/// Names of targets, of handlers, and patterns of these (`qemu-*`).
fn to_remove(list: &str) -> Result<Targets> {
    let (mut targets, mut named) = (TargetNames::default(), Vec::new());
    for word in list.split(',').map(str::trim) {
        if word == "qemu-*" || word == "*" {
            return Ok(Targets::All);
        }
        if !word.contains(['*', '?']) {
            let only_ours =
                "only handlers of QEMU are removed: names of targets, qemu-NAME, and patterns like qemu-*";
            targets.add(word).map_err(|e| if word.is_empty() { e } else { e.hint(only_ours) })?;
            continue;
        }
        let known = named.len();
        let meant = arch::ARCHES.iter().filter(|a| fits(word, &a.entry()) || fits(word, a.name));
        named.extend(meant.map(|a| a.target));
        if named.len() == known {
            return Err(Error::usage(format!("no target fits the pattern {word}")));
        }
    }
    named.extend(targets.named);
    if targets.all { Ok(Targets::All) } else { Ok(Targets::These(named)) }
}

/// Does the name fit a pattern with `*` (anything) and `?` (one character)? Only the last `*` ever has to take more: the time is
/// that of both lengths multiplied, whatever the pattern.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_handlers_and_targets() {
        assert_eq!(to_remove("qemu-*").unwrap(), Targets::All);
        assert_eq!(to_remove("arm64,riscv64").unwrap(), Targets::These(vec!["aarch64", "riscv64"]));
        assert_eq!(to_remove("qemu-riscv??").unwrap(), Targets::These(vec!["riscv32", "riscv64"]));
        assert_eq!(to_remove("sparc*").unwrap(), Targets::These(vec!["sparc", "sparc32plus", "sparc64"]));
        assert!(
            to_remove("jar").is_err()
                && to_remove("").is_err()
                && to_remove("qemo-*").is_err()
                && to_remove("arm64,").is_err()
        );
        assert!(fits("q*a*64", "qemu-aarch64") && fits("**", "x") && !fits("*a", "ab") && fits("a*?", "abc"));
        assert!(!fits(&"*?".repeat(5000), "qemu-sparc32plus"), "in no time");
        assert!(!fits("qemu-é?", "qemu-ab") && fits("*", "") && !fits("?", ""));
    }
}
