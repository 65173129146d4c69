//! qus: make a Linux host run programs of any architecture, and prove it.
//!
//! The modules, from the front door down; imports point down this list only.
//!
//! | file | its one job |
//! |---|---|
//! | [`cli`] | a dialect each → one [`request::Command`]; no I/O |
//! | [`report`] | [`outcome::Report`] → text or JSON |
//! | [`commands`] | one file a verb |
//! | [`request`], [`outcome`] | what can be asked, what came of it: data |
//! | [`plan`] | (asked for, registered, native) → actions; pure |
//! | [`probe`] | the embedded programs: does this architecture run here, and through which interpreter? |
//! | [`anchor`] | a mount of binfmt_misc that lasts |
//! | [`host`] | what this kernel and this program are; [`probe`] imports it |
//! | [`emulators`] | the QEMU binaries: find, check, digest |
//! | [`binfmt`] | a binfmt_misc directory: list, register, remove |
//! | [`rule`] | registration line ⇄ the kernel's text of an entry; pure |
//! | [`arch`] | the table |
//! | [`elf`] | header facts → magic and mask |
//! | [`sys`] | system calls; the only place with `unsafe` |
//! | [`error`] | what failed, on what, why, hint, exit code |

pub mod anchor;
pub mod arch;
pub mod binfmt;
pub mod cli;
pub mod commands;
pub mod elf;
pub mod emulators;
pub mod error;
pub mod host;
mod mounts;
pub mod outcome;
pub mod plan;
pub mod probe;
pub mod report;
pub mod request;
pub mod rule;
pub mod sys;
mod userns;
