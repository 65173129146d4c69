//! The options that several dialects share.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg;

use super::{Env, Invocation, TargetNames, host, path, text, variable};
use crate::arch::{ARCHES, Arch};
use crate::error::{Error, Result};
use crate::request::{Command, Export, Format, HandlerOptions, Hold, Install, Remove, Targets};

/// Is the word in a list separated by spaces?
pub(super) fn is_in(list: &str, word: &str) -> bool {
    list.split(' ').any(|w| w == word)
}

/// An option or an argument.
pub(super) struct Word {
    /// With its dashes, without its value; empty for an argument.
    pub(super) option: String,
    pub(super) argument: OsString,
}

impl Word {
    pub(super) fn text(self) -> Result<String> {
        text(self.argument)
    }

    /// The error for an option or argument that isn't accepted here.
    pub(super) fn refused(self) -> Error {
        match self.option.as_str() {
            "" => Error::usage(format!("unexpected argument: {}", self.argument.to_string_lossy())),
            option => Error::usage(format!("unknown option: {option}")),
        }
    }
}

/// The words of the command line, in order.
pub(super) struct Words(lexopt::Parser);

impl Words {
    pub(super) fn new(args: impl IntoIterator<Item = OsString>) -> Self {
        Self(lexopt::Parser::from_args(args.into_iter().collect::<Vec<_>>()))
    }

    pub(super) fn next(&mut self) -> Result<Option<Word>> {
        let (option, argument) = match self.0.next().map_err(|e| misuse(&e))? {
            None => return Ok(None),
            Some(Arg::Short(letter)) => (format!("-{letter}"), OsString::new()),
            Some(Arg::Long(name)) => (format!("--{name}"), OsString::new()),
            Some(Arg::Value(argument)) => (String::new(), argument),
        };
        Ok(Some(Word { option, argument }))
    }

    /// The value of the last option.
    pub(super) fn value(&mut self) -> Result<String> {
        self.0.value().map_err(|e| misuse(&e)).and_then(text)
    }

    /// The value of the last option, a directory. An empty one would be that of the caller.
    pub(super) fn dir(&mut self, option: &str) -> Result<PathBuf> {
        match self.value()? {
            dir if dir.is_empty() => {
                Err(Error::usage(format!("{option} requires a directory")).hint("is a shell variable unset?"))
            }
            dir => Ok(dir.into()),
        }
    }

    /// The value of the last option, `yes` or `no`; without one, `yes`.
    pub(super) fn is_yes(&mut self, option: &str) -> Result<bool> {
        let next = |words: &mut lexopt::Parser| words.raw_args().ok()?.next_if(|w| w == "yes" || w == "no");
        match self.0.optional_value().or_else(|| next(&mut self.0)) {
            Some(value) => yes_or_no(option, &text(value)?),
            None => Ok(true),
        }
    }

    /// The remaining words, unparsed.
    pub(super) fn rest(&mut self) -> Result<Vec<OsString>> {
        Ok(self.0.raw_args().map_err(|e| misuse(&e))?.collect())
    }
}

pub(super) fn yes_or_no(what: &str, value: &str) -> Result<bool> {
    match value {
        "yes" => Ok(true),
        "no" | "" => Ok(false),
        other => Err(Error::usage(format!("{what} must be yes or no, not {other}"))),
    }
}

fn misuse(error: &lexopt::Error) -> Error {
    match error {
        lexopt::Error::UnexpectedValue { option, value } => {
            Error::usage(format!("unexpected value for {option}: {}", value.to_string_lossy()))
        }
        lexopt::Error::MissingValue { option: Some(option) } => {
            Error::usage(format!("{option} requires a value"))
        }
        // None of the methods that are used here returns another.
        _ => Error::usage("unexpected option"),
    }
}

/// The values of the shared options.
pub(super) struct Given {
    pub(super) targets: TargetNames,
    pub(super) except: TargetNames,
    /// Without its targets, which are above.
    pub(super) install: Install,
    pub(super) hold: Hold,
    pub(super) json: bool,
    pub(super) quiet: bool,
}

impl Given {
    pub(super) fn new(options: HandlerOptions) -> Self {
        let (targets, except) = (TargetNames::default(), TargetNames::default());
        let install = Install::new(Targets::All, options);
        Self { targets, except, install, hold: Hold::default(), json: false, quiet: false }
    }

    /// Takes an option, with its value; `false` if it isn't a shared one. No dialect or verb has all of them.
    pub(super) fn take(&mut self, option: &str, words: &mut Words) -> Result<bool> {
        let options = &mut self.install.options;
        match option {
            "--json" => self.json = true,
            "-q" | "--quiet" => self.quiet = true,
            "--targets" | "--platform" => self.targets.add(&words.value()?)?,
            "--except" => self.except.add(&words.value()?)?,
            "--dry-run" => self.install.dry_run = true,
            "--force" => self.install.force = true,
            "--replace" => self.install.replace = true,
            "--shadow-host" => self.install.shadow_host = true,
            "--no-prove" => self.install.prove = false,
            "--clean" => self.hold.clean = true,
            "--strict" => self.hold.strict = true,
            "-p" | "--persistent" => options.persistent = words.is_yes(option)?,
            "-c" | "--credential" | "--credentials" => options.credentials = words.is_yes(option)?,
            "-g" | "--preserve-argv0" => options.preserve_argv0 = Some(words.is_yes(option)?),
            "-Q" | "--path" | "--qemu-path" => options.dir = Some(words.dir(option)?),
            "-F" | "--suffix" | "--qemu-suffix" => options.suffix = words.value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// These targets without those of `--except`. If nothing else is requested, some must be left.
    fn left(&self, named: &[&'static str], has_more: bool) -> Result<Targets> {
        let except = self.except.targets()?;
        let left = match self.targets.is_everything() {
            true if self.except.is_empty() => return Ok(Targets::All),
            true => Targets::AllBut(except),
            false => Targets::These(named.iter().copied().filter(|t| !except.contains(t)).collect()),
        };
        match self.except.all || !has_more && left.rows().next().is_none() {
            true => Err(Error::usage("--except excludes every target")),
            false => Ok(left),
        }
    }

    pub(super) fn targets(&self) -> Result<Targets> {
        self.left(&self.targets.targets()?, false)
    }

    pub(super) fn install(&self) -> Result<Command> {
        Ok(Command::Install(Install { targets: self.targets()?, ..self.install.clone() }))
    }

    pub(super) fn remove(&self) -> Result<Command> {
        let Install { force, dry_run, ref mount, .. } = self.install;
        let except = self.except.targets()?;
        let mut spared: Vec<_> = self.except.handlers.iter().map(|(name, _)| name.clone()).collect();
        let mut handlers = self.targets.handlers.clone();
        handlers.retain(|(name, _)| !self.targets.all && !spared.contains(name));
        if !handlers.is_empty() {
            let excepted = ARCHES.iter().filter(|arch| except.contains(&arch.target));
            spared.extend(excepted.map(Arch::handler_name));
        }
        for (_, target) in &mut handlers {
            *target = target.filter(|target| !except.contains(target));
        }
        let targets = self.left(&self.targets.named, !handlers.is_empty())?;
        let mount = mount.clone();
        Ok(Command::Remove(Remove { targets, handlers, spared, force, dry_run, mount }))
    }

    /// Files for the host's own tools, by default where these look for them.
    pub(super) fn host_files(&self, format: Format, to: Option<PathBuf>, env: Env<'_>) -> Result<Command> {
        let usual = match format {
            Format::BinfmtD => "/etc/binfmt.d",
            Format::UpdateBinfmts => "/usr/share/binfmts",
        };
        let to = to.or_else(|| path(env, "EXPORTDIR")).unwrap_or_else(|| usual.into());
        Ok(Command::Export(Export {
            targets: self.targets()?,
            options: self.install.options.clone(),
            format,
            to: Some(to),
            host: variable(env, "HOST_ARCH")?.map(host).transpose()?,
            force: self.install.force,
            dry_run: self.install.dry_run,
        }))
    }

    pub(super) const fn asked(&self, commands: Vec<Command>) -> Invocation {
        Invocation { commands, json: self.json, quiet: self.quiet, brief: false }
    }
}
