//! qus: make a Linux host run programs of any architecture, and prove it.
//!
//! The modules, from the front door down; imports point down this list only.
//!
//! | file | its one job |
//! |---|---|
//! | [`cli`] | the dialects → [`request::Command`]s; no I/O |
//! | [`report`] | [`outcome::Report`] → text or JSON |
//! | [`commands`] | one file for each verb; `install/` has one for each step |
//! | [`request`], [`outcome`] | what can be requested, what came of it: data |
//! | `plan` | (requested, registered, native) → actions; pure |
//! | `anchor` | a binfmt_misc to register in, and the detached trees that keep it |
//! | `userns` | which binfmt_misc belongs to this user namespace, and what mounting it would hide |
//! | `mounts` | private mount namespaces, tmpfs, overlay |
//! | `probe` | runs tiny programs: verdicts |
//! | `host` | the architectures of this kernel and of this program |
//! | `selinux` | the labels that containers may execute |
//! | [`emulators`] | finds and checks emulators |
//! | `binfmt` | a binfmt_misc directory: list, register, remove |
//! | [`rule`] | registration line ⇄ the kernel's text of an entry; pure |
//! | [`arch`] | the table |
//! | [`elf`] | header facts → magic and mask |
//! | `sys` | system calls; the only file with `unsafe` |
//! | [`error`] | the call that failed, on what, why, hint, exit code |

mod anchor;
pub mod arch;
mod binfmt;
pub mod cli;
pub mod commands;
pub mod elf;
pub mod emulators;
pub mod error;
mod host;
mod mounts;
pub mod outcome;
mod plan;
mod probe;
pub mod report;
pub mod request;
pub mod rule;
mod selinux;
mod sys;
mod userns;
