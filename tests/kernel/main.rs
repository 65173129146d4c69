//! Tests against the real binfmt_misc, with real emulators and real foreign programs, each in a private place.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod sandbox;
#[path = "../transcript/mod.rs"]
mod transcript;

mod back;
mod facts;
mod faults;
mod host;
mod hostile;
mod killed;
mod last;
mod load;
mod names;
mod options;
mod others;
mod outer;
mod probes;
mod refuse;
mod register;
mod rules;

#[test]
fn tests_that_are_left_out_for_other_hosts_exist() {
    let listed = std::process::Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for test in sandbox::all_left_out() {
        assert!(listed.lines().any(|line| line == format!("{test}: test")), "tests/kernel/left-out: {test}");
    }
}
