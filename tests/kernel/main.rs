//! Tests against the real binfmt_misc, with real emulators and real foreign programs, each in a private place.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod sandbox;
#[path = "../transcript/mod.rs"]
mod transcript;

mod facts;
mod faults;
mod hostile;
mod killed;
mod last;
mod load;
mod options;
mod others;
mod refuse;
mod register;
mod rules;
