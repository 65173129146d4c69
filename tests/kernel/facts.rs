//! What the kernel does (docs/kernel.md), so that a kernel that does otherwise is noticed.

use crate::sandbox::Sandbox;

/// A sandbox with a binfmt_misc on /mnt, and a function `register` that takes a line.
fn with_binfmt() -> Option<Sandbox> {
    let s = Sandbox::new()?;
    s.quietly(
        "mount -t binfmt_misc b /mnt
        echo 'env printf %s \"$1\" >/mnt/register' >/path/register
        printf '#!/bin/sh\\necho interpreted by %s \"$@\"\\n' '$0' >/one
        cp /one /two; chmod +x /path/register /one /two; echo MAGIC >/file; chmod +x /file",
    );
    Some(s)
}

#[test]
fn kernel_refuses_lines_over_1920_bytes() {
    let Some(mut s) = with_binfmt() else { return };
    let line = |length: usize| {
        format!("register \":x:M::MAGIC::/$(printf %0{}d):\"", length - ":x:M::MAGIC::/:".len())
    };
    s.step(&line(1921));
    s.step(&line(1920));
    s.step("ls /mnt");
    s.compare("fact-length");
}

#[test]
fn kernel_takes_offset_and_magic_of_256_bytes_at_most() {
    let Some(mut s) = with_binfmt() else { return };
    s.step("register :at-251:M:251:MAGIC::/one:");
    s.step("register :at-252:M:252:MAGIC::/one:");
    s.step("ls /mnt");
    s.compare("fact-offset");
}

#[test]
fn kernel_takes_names_of_255_bytes_without_slashes() {
    let Some(mut s) = with_binfmt() else { return };
    s.step("register \":$(printf %0255d | tr 0 x):M::MAGIC::/one:\"");
    s.step("register \":$(printf %0256d | tr 0 x):M::MAGIC::/one:\"");
    s.step("register :a/b:M::MAGIC::/one:");
    s.step("ls /mnt");
    s.compare("fact-name");
}

#[test]
fn kernel_refuses_a_name_that_is_taken() {
    let Some(mut s) = with_binfmt() else { return };
    s.step("register :x:M::MAGIC::/one:");
    s.step("register :x:M::OTHER::/two:");
    s.step("cat /mnt/x");
    s.compare("fact-taken");
}

#[test]
fn kernel_uses_the_entry_registered_last() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("register :b:M::MAGIC::/one:");
    s.step("/file");
    s.quietly("register :a:M::MAGIC::/two:");
    s.step("/file");
    s.quietly("echo 0 >/mnt/a");
    s.step("/file");
    s.compare("fact-last");
}

#[test]
fn kernel_accepts_a_missing_interpreter_without_f_and_refuses_it_with_f() {
    let Some(mut s) = with_binfmt() else { return };
    s.step("register :x:M::MAGIC::/not/here:F");
    s.step("register :x:M::MAGIC::/not/here:");
    s.step("/file");
    s.compare("fact-missing");
}

#[test]
fn kernel_shows_flag_o_where_c_was_registered() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("register :x:M::MAGIC::/one:C");
    s.step("cat /mnt/x");
    s.compare("fact-credentials");
}

#[test]
fn kernel_removes_an_entry_by_minus_one_and_forbids_to_unlink_it() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("register :x:M::MAGIC::/one:");
    s.step("rm -f /mnt/x");
    s.step("echo -1 >/mnt/x; ls /mnt");
    s.compare("fact-remove");
}

#[test]
fn kernel_removes_everyones_entries_by_minus_one_to_status() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("register :x:M::MAGIC::/one:; register :y:E::jar::/one:");
    s.step("echo -1 >/mnt/status; ls /mnt");
    s.compare("fact-status");
}

#[test]
fn kernel_drops_handlers_with_the_last_mount() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("register :x:M::MAGIC::/one:; mkdir /other; mount -t binfmt_misc b /other; umount /mnt; mount -t binfmt_misc b /mnt");
    s.step("ls /mnt");
    s.quietly("umount /mnt /other; mount -t binfmt_misc b /mnt");
    s.step("ls /mnt");
    s.compare("fact-last-mount");
}

#[test]
fn kernel_keeps_the_mounts_of_a_clone_whose_file_is_an_interpreter() {
    let Some(mut s) = Sandbox::new() else { return };
    // What qus does, without what it does about it: with the handler that holds the clone, everything goes.
    s.quietly("qus -s -- -p aarch64; mount -t binfmt_misc b /mnt; echo ':x:M::MAGIC::/one:' >/mnt/register; umount /mnt");
    s.quietly("mount -t binfmt_misc b /mnt");
    s.step("ls /mnt");
    s.quietly("echo -1 >/mnt/qemu-aarch64; umount /mnt; mount -t binfmt_misc b /mnt");
    s.step("ls /mnt");
    s.compare("fact-clone");
}

#[test]
fn kernel_gives_each_user_namespace_its_own_entries_once_it_has_mounted() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("register :x:M::MAGIC::/one:");
    s.step("unshare --user --map-root-user --mount /file");
    s.step("unshare --user --map-root-user --mount sh -c 'mount -t binfmt_misc b /mnt; ls /mnt; umount /mnt; /file'");
    s.step("/file");
    s.compare("fact-namespace");
}
