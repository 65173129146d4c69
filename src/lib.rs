//! qus: make a Linux host run programs of any architecture, and prove it.
//!
//! The rooms, from the front door down; imports point down this list only.
//!
//! | room | its one job |
//! |---|---|
//! | [`cli`] | a dialect each → one `Command`; no I/O |
//! | [`report`] | outcome and status → text or JSON |
//! | [`run`] | the order of a run |
//! | [`plan`] | (asked for, carried, registered, native) → actions; pure |
//! | [`probe`] | the embedded programs: does this architecture run here, and through which interpreter? |
//! | [`anchor`] | a mount of binfmt_misc that lasts |
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
pub mod elf;
pub mod emulators;
pub mod error;
pub mod plan;
pub mod probe;
pub mod report;
pub mod rule;
pub mod run;
pub mod sys;
