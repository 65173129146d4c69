//! `qus export FORMAT [OPTIONS] [TARGETS]`: files with handlers, or files that run qus.
//!
//! Names of images and files end up in units and YAML, so only those are accepted that need no quoting there. A handler's path may
//! have any character.

use std::ffi::OsString;
use std::path::PathBuf;

use super::args::{Given, Words, is_in};
use super::verbs::refused;
use super::{Env, Invocation, at_once, directory, host};
use crate::error::{Error, Result};
use crate::request::{Command, Deploy, Engine, Export, Format, HOST_DIR, HandlerOptions, Runner};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Handlers(Format),
    Runs(Runner),
}

const FORMATS: [(&str, Kind); 6] = [
    ("binfmt.d", Kind::Handlers(Format::BinfmtD)),
    ("update-binfmts", Kind::Handlers(Format::UpdateBinfmts)),
    ("systemd", Kind::Runs(Runner::Systemd(Engine::Docker))),
    ("openrc", Kind::Runs(Runner::OpenRc)),
    ("kubernetes", Kind::Runs(Runner::Kubernetes)),
    ("compose", Kind::Runs(Runner::Compose)),
];

impl Kind {
    /// The options of this format only.
    const fn options(self) -> &'static str {
        match self {
            Self::Handlers(_) => "--path --suffix --persistent --credentials --preserve-argv0 --host --force",
            Self::Runs(Runner::Systemd(_)) => "--engine --image",
            Self::Runs(Runner::SystemdHost) => "--engine --path --program",
            Self::Runs(Runner::OpenRc) => "--path --program",
            Self::Runs(Runner::Kubernetes | Runner::Compose) => "--image",
        }
    }
}

/// The shared options of all formats.
const OF_ALL: &str = "--json -q --quiet --dry-run --except --platform --targets";

pub(super) fn parse(args: &[OsString], env: Env<'_>, help: &'static str) -> Result<Invocation> {
    let (mut kind, mut to, mut of_some) = (None, None, Vec::new());
    let mut given = Given::new(HandlerOptions::default());
    let mut words = Words::new(args.to_vec());
    while let Some(word) = words.next()? {
        match word.option.as_str() {
            "" if kind.is_none() => kind = Some(format(&word.text()?)?),
            "" => given.targets.add(&word.text()?)?,
            "-h" | "--help" => return Ok(at_once(Command::Say(help), args)),
            "-e" | "--dir" => to = Some(words.dir(&word.option)?),
            "--host" | "--engine" | "--image" | "--program" => of_some.push((word.option, words.value()?)),
            o if is_in(OF_ALL, o) && given.take(o, &mut words)? => {}
            o if is_in(FORMATS[0].1.options(), o) && given.take(o, &mut words)? => {
                of_some.push((word.option, String::new()));
            }
            _ => return Err(refused(word, "export")),
        }
    }
    let said = |name: &str| of_some.iter().rev().find(|(o, _)| o == name).map(|(_, value)| value.clone());
    let kind = match (kind, said("--engine").as_deref()) {
        (None, _) => return Err(Error::usage("no format given").hint(formats())),
        (Some(Kind::Runs(Runner::Systemd(_))), Some("podman")) => Kind::Runs(Runner::Systemd(Engine::Podman)),
        (Some(Kind::Runs(Runner::Systemd(_))), Some("none")) => Kind::Runs(Runner::SystemdHost),
        (Some(kind), None | Some("docker" | "podman" | "none")) => kind,
        (_, Some(other)) => {
            return Err(Error::usage(format!("--engine must be docker, podman or none, not {other}")));
        }
    };
    if to.is_none() && (given.quiet || given.install.dry_run) {
        return Err(
            Error::usage("--quiet and --dry-run require -e DIR").hint("without -e, the files go to stdout")
        );
    }
    if let Some((other, _)) = of_some.iter().find(|(o, _)| !is_in(kind.options(), o)) {
        let with_none = match kind {
            Kind::Runs(Runner::Systemd(_)) => "; with --engine none: --path --program",
            _ => "",
        };
        return Err(Error::usage(format!("{other} does not apply to this format"))
            .hint(format!("its options are {}{with_none}", kind.options())));
    }
    let command = command(kind, &given, to, &said, env)?;
    Ok(given.asked(vec![command]))
}

pub(super) fn is_format(word: &str) -> bool {
    format(word).is_ok()
}

fn formats() -> String {
    format!("formats: {}", FORMATS.map(|(name, _)| name).join(" "))
}

fn format(word: &str) -> Result<Kind> {
    let found = FORMATS.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind);
    found.ok_or_else(|| Error::usage(format!("unknown format: {word}")).hint(formats()))
}

/// A word of letters, digits and what is usual in names of images and files.
fn plain(option: &str, word: String) -> Result<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/:@+~-".contains(c);
    match word.chars().all(is_plain) {
        true if option == "--suffix" || word.starts_with(|c: char| c == '/' || c.is_ascii_alphanumeric()) => {
            Ok(word)
        }
        _ => Err(Error::usage(format!("invalid value for {option}: '{word}'"))
            .hint("use letters, digits and . _ / : @ + ~ -, and begin with a letter, a digit or /")),
    }
}

fn absolute(option: &str, word: String) -> Result<String> {
    if word.starts_with('/') {
        return Ok(word);
    }
    Err(Error::usage(format!("{option} must be an absolute path: {word}"))
        .hint("the files are read at boot, or on another host"))
}

fn command(
    kind: Kind,
    given: &Given,
    to: Option<PathBuf>,
    said: &dyn Fn(&str) -> Option<String>,
    env: Env<'_>,
) -> Result<Command> {
    let (targets, dry_run) = (given.targets()?, given.install.dry_run);
    let mut options = given.install.options.clone();
    let dir = options.dir.map(|d| absolute("--path", d.to_string_lossy().into_owned())).transpose()?;
    let by = match kind {
        Kind::Runs(by) => by,
        Kind::Handlers(format) => {
            options.dir = dir.map(PathBuf::from).or(directory(env)).or(Some(HOST_DIR.into()));
            options.suffix = plain("--suffix", options.suffix)?;
            let (host, force) = (said("--host").map(host).transpose()?, given.install.force);
            return Ok(Command::Export(Export { targets, options, format, to, host, force, dry_run }));
        }
    };
    if by == Runner::Kubernetes && !targets.are_named() {
        return Err(Error::usage("no targets given").hint(
            "the DaemonSet's probes run a program of each target: name targets that the image has emulators for",
        ));
    }
    let usual = Deploy::new(by);
    let program = absolute("--program", said("--program").unwrap_or(usual.program))?;
    Ok(Command::Deploy(Deploy {
        targets,
        image: plain("--image", said("--image").unwrap_or(usual.image))?,
        program: plain("--program", program)?,
        dir: plain("--path", dir.unwrap_or(usual.dir))?,
        to,
        dry_run,
        by,
    }))
}
