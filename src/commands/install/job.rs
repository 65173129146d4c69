//! One handler on its way: what is requested, what is there, what was decided, what came of it.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::anchor::Keeper;
use crate::arch::Arch;
use crate::commands::rules::rule;
use crate::emulators::Emulator;
use crate::error::{Error, Result, Step};
use crate::outcome::{Report, State, TargetResult};
use crate::plan::Action;
use crate::probe::{self, RanBy, Verdict};
use crate::request::HandlerOptions;
use crate::rule::{Entry, Flags, Rule};
use crate::selinux;

pub(super) struct Job {
    pub(super) arch: &'static Arch,
    /// The emulator's name in its directory.
    pub(super) file: String,
    /// The requested rule, unsigned.
    pub(super) rule: Rule,
    /// Does the kernel run such programs without a handler?
    pub(super) is_native: bool,
    /// What to do; `None` once it is done or has failed.
    pub(super) action: Option<Action>,
    /// The emulator that the handler to replace holds open, if it is known.
    pub(super) held_open: Option<File>,
    /// The emulator, once it is opened and checked.
    pub(super) emulator: Option<Arc<Emulator>>,
    /// Does its digest match?
    pub(super) is_verified: bool,
    /// The path to open it by, if not its own.
    pub(super) opened: Option<PathBuf>,
    /// The index of the detached tree that it was opened through.
    pub(super) tree: Option<usize>,
    /// The result so far.
    pub(super) state: State,
    /// How long a program of that architecture took to run.
    pub(super) proof: Option<Duration>,
    /// What keeps the handler.
    pub(super) keeper: Option<Keeper>,
    /// The third-party handler that runs its programs.
    pub(super) left_to: Option<String>,
}

impl Job {
    pub(super) fn new(arch: &'static Arch, options: &HandlerOptions, file: String, is_native: bool) -> Self {
        Self {
            rule: rule(arch, options, Some(&file)),
            arch,
            file,
            is_native,
            action: None,
            held_open: None,
            emulator: None,
            is_verified: false,
            opened: None,
            tree: None,
            state: State::Failed,
            proof: None,
            keeper: None,
            left_to: None,
        }
    }

    /// Is there a handler as requested, or would there be one?
    pub(super) const fn has_handler(&self) -> bool {
        matches!(self.state, State::Already | State::Registered | State::Replaced)
    }

    /// Has this run registered it?
    pub(super) const fn is_new(&self) -> bool {
        matches!(self.state, State::Registered | State::Replaced)
    }

    /// Is it to be registered?
    pub(super) const fn is_due(&self) -> bool {
        matches!(self.action, Some(Action::Register | Action::Replace(_)))
    }

    /// The handler to keep.
    pub(super) const fn keeps(&self) -> Option<&Entry> {
        if let Some(Action::Keep(entry)) = &self.action { Some(entry) } else { None }
    }

    /// Keeps a handler that is as requested, or does more, possibly by another name.
    pub(super) fn keep(&mut self, entry: &Entry, proof: Option<Duration>) {
        (self.action, self.state, self.proof) = (None, State::Already, proof);
        self.rule.name.clone_from(&entry.name);
        self.rule.interpreter.clone_from(&entry.interpreter);
        self.rule.flags = Flags::parse(&entry.flags);
    }

    /// Closes the emulators, and releases the mounts that they were opened through.
    pub(super) fn close(&mut self) {
        (self.emulator, self.held_open) = (None, None);
    }

    pub(super) fn fail(&mut self, error: Error, report: &mut Report) {
        (self.action, self.state, self.proof) = (None, State::Failed, None);
        // Several jobs may fail for one reason, such as a shared emulator.
        if !report.errors.contains(&error) {
            report.errors.push(error);
        }
    }

    /// Judges a handler with these flags by the verdict of its probe.
    pub(super) fn judge(&self, verdict: &Verdict, flags: Flags) -> Result<Duration> {
        let failed = |why: &str| Error::new(Step::Prove, format!("{} programs", self.arch.name), why);
        match verdict {
            Verdict::Ran { argv0: false, .. } if flags.preserve_argv0 => {
                Err(failed("this QEMU does not support flag P")
                    .hint("`qus install --preserve-argv0 no` registers without it; or use a newer QEMU"))
            }
            Verdict::Ran { by: RanBy::Interpreter(file), took, .. } => {
                let unread = |e| Error::new(Step::Read, format!("what runs {} programs", self.arch.name), e);
                let is_same = self.emulator.as_ref().map_or(Ok(true), |emulator| emulator.is_same_as(file));
                match is_same.map_err(unread)? {
                    true => self.see_who_may_execute(file).map(|()| *took),
                    false => Err(failed("another interpreter runs them")),
                }
            }
            Verdict::Ran { took, .. } => Ok(*took),
            other if other.is_unclear() => {
                let error = probe::failure(self.arch, other);
                let more = "`qus install --no-prove` skips this step";
                let hint = error.hint.as_ref().map_or_else(|| more.to_owned(), |h| format!("{h}; {more}"));
                Err(error.hint(hint))
            }
            other => Err(probe::failure(self.arch, other)),
        }
    }

    /// With SELinux, what runs here may be forbidden to other containers.
    pub(super) fn see_who_may_execute(&self, emulator: &File) -> Result<()> {
        let what = format!("{} programs in other containers", self.arch.name);
        let failed = |why: String, hint: &str| Err(Error::new(Step::Prove, what, why).hint(hint));
        if selinux::forbids_execmem(selinux::CONTAINER) {
            let why = "SELinux denies them execmem, which every QEMU needs";
            return failed(why.to_owned(), selinux::EXECMEM);
        }
        let Some(label) = selinux::forbidden_label(emulator) else { return Ok(()) };
        failed(
            format!("SELinux forbids them to execute an emulator labelled {label}"),
            "run this container with --security-opt label=level:s0; on the host, `chcon -t bin_t` the emulator",
        )
    }

    pub(super) fn result(&self, dry_run: bool) -> TargetResult {
        let handler = || (self.rule.interpreter.clone(), self.rule.flags.as_reported().to_string());
        TargetResult {
            name: self.arch.name.to_owned(),
            state: self.state,
            handler: self.has_handler().then(handler),
            verified: self.is_verified,
            proof: self.proof,
            rule: (dry_run && self.is_new())
                .then(|| self.rule.line().unwrap_or_else(|error| error.to_string())),
            keeper: self.keeper,
            left_to: self.left_to.clone(),
        }
    }
}
