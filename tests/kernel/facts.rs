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
    s.compare();
}

#[test]
fn kernel_takes_offset_and_magic_of_256_bytes_at_most() {
    let Some(mut s) = with_binfmt() else { return };
    s.step("register :at-251:M:251:MAGIC::/one:");
    s.step("register :at-252:M:252:MAGIC::/one:");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn kernel_takes_names_of_255_bytes_without_slashes() {
    let Some(mut s) = with_binfmt() else { return };
    s.step("register \":$(printf %0255d | tr 0 x):M::MAGIC::/one:\"");
    s.step("register \":$(printf %0256d | tr 0 x):M::MAGIC::/one:\"");
    s.step("register :a/b:M::MAGIC::/one:");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn kernel_refuses_a_name_that_is_taken() {
    let Some(mut s) = with_binfmt() else { return };
    s.step("register :x:M::MAGIC::/one:");
    s.step("register :x:M::OTHER::/two:");
    s.step("cat /mnt/x");
    s.compare();
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
    s.compare();
}

#[test]
fn kernel_accepts_a_missing_interpreter_only_without_f() {
    let Some(mut s) = with_binfmt() else { return };
    s.step("register :x:M::MAGIC::/not/here:F");
    s.step("register :x:M::MAGIC::/not/here:");
    s.step("/file");
    s.compare();
}

#[test]
fn kernel_adds_flag_o_to_flag_c() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("register :x:M::MAGIC::/one:C");
    s.step("cat /mnt/x");
    s.compare();
}

#[test]
fn kernel_removes_an_entry_by_minus_one_not_by_unlink() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("register :x:M::MAGIC::/one:");
    s.step("rm -f /mnt/x");
    s.step("echo -1 >/mnt/x; ls /mnt");
    s.compare();
}

#[test]
fn kernel_removes_everyones_entries_by_minus_one_to_status() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("register :x:M::MAGIC::/one:; register :y:E::jar::/one:");
    s.step("echo -1 >/mnt/status; ls /mnt");
    s.compare();
}

#[test]
fn kernel_drops_handlers_with_the_last_mount() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("register :x:M::MAGIC::/one:; mkdir /other; mount -t binfmt_misc b /other; umount /mnt; mount -t binfmt_misc b /mnt");
    s.step("ls /mnt");
    s.quietly("umount /mnt /other; mount -t binfmt_misc b /mnt");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn kernel_keeps_a_clones_mounts_while_an_entry_holds_it() {
    let Some(mut s) = Sandbox::new() else { return };
    // What qus does, without what it does about it: with the handler that holds the clone, everything goes.
    s.quietly("qus -s -- -p aarch64; mount -t binfmt_misc b /mnt; echo ':x:M::MAGIC::/one:' >/mnt/register; umount /mnt");
    s.quietly("mount -t binfmt_misc b /mnt");
    s.step("ls /mnt");
    s.quietly("echo -1 >/mnt/qemu-aarch64; umount /mnt; mount -t binfmt_misc b /mnt");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn kernel_gives_a_user_namespace_its_own_entries_once_mounted() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("register :x:M::MAGIC::/one:");
    s.step("unshare --user --map-root-user --mount /file");
    s.step("unshare --user --map-root-user --mount sh -c 'mount -t binfmt_misc b /mnt; ls /mnt; umount /mnt; /file'");
    s.step("/file");
    s.compare();
}

#[test]
fn kernel_shows_bytes_under_a_zero_mask_and_ignores_them() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly(r"register ':x:M::MAGICqus-note:\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00:/one:'");
    s.step("grep -e magic -e mask /mnt/x");
    s.step("/file");
    s.compare();
}

#[test]
fn kernel_gives_only_marked_files_to_a_mask_with_the_mark() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("printf MAGIC-12 >/marked; chmod +x /marked; register :all:M::MAGIC::/one:; register :trial:M::MAGIC-12::/two:");
    s.step("/file");
    s.step("/marked");
    s.compare();
}

#[test]
fn kernel_ignores_the_version_byte_of_elf_files() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly(r"cp /bin/echo /odd; printf '\360' | dd of=/odd bs=1 seek=6 conv=notrunc status=none");
    s.quietly(r"register ':x:M::\x7fELF\x02\x01\x01:\xff\xff\xff\xff\xff\xfe\xfe:/one:O'; echo 0 >/mnt/x");
    s.step("od -A n -t x1 -N 7 /odd; /odd it ran");
    s.step("echo 1 >/mnt/x; /odd it ran, and no handler took it; echo 0 >/mnt/x");
    s.compare();
}

/// The same, with `events DIR COMMAND…`: what inotify reports of a directory while COMMAND runs. In Perl, which every Debian has.
fn with_watch() -> Option<Sandbox> {
    let s = with_binfmt()?;
    s.quietly(
        r#"cat >/path/watch.pl <<'PERL'
sub watch {
    my ($dir, $fd) = (shift, syscall 294, 0x800); # inotify_init1, IN_NONBLOCK
    syscall(254, $fd, $dir, 0x602) >= 0 or die "inotify_add_watch: $!\n"; # IN_MODIFY, IN_DELETE, IN_DELETE_SELF
    open my $watch, "<&=", $fd;
    $watch
}
sub told {
    my %word = (0x2 => "IN_MODIFY", 0x200 => "IN_DELETE", 0x400 => "IN_DELETE_SELF", 0x2000 => "IN_UNMOUNT", 0x8000 => "IN_IGNORED");
    my ($bytes, @told) = "";
    sysread shift, $bytes, 4096;
    while (length $bytes) {
        my (undef, $mask, undef, $length) = unpack "iIII", $bytes;
        my $name = unpack "Z*", substr $bytes, 16, $length;
        push @told, join " ", $word{$mask & 0xffff}, $name || ();
        $bytes = substr $bytes, 16 + $length;
    }
    @told ? join ", ", sort @told : "nothing"
}
1;
PERL
        cat >/path/events <<'PERL'
#!/usr/bin/perl
require "/path/watch.pl";
my $watch = watch(shift);
system @ARGV;
print told($watch), "\n";
PERL
        chmod +x /path/events"#,
    );
    Some(s)
}

#[test]
fn kernel_tells_a_watch_that_the_superblock_is_gone() {
    let Some(mut s) = with_watch() else { return };
    s.quietly("register :x:M::MAGIC::/one:; mkdir /other; mount -t binfmt_misc b /other");
    s.step("events /mnt umount /other");
    s.step("events /mnt umount /mnt");
    s.quietly("mount -t binfmt_misc b /mnt");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn kernel_keeps_a_clones_mounts_while_a_file_of_it_is_open() {
    let Some(mut s) = with_watch() else { return };
    // A tree as qus makes it: a file system, binfmt_misc on it, and a sentinel on that; then only its clone is left.
    s.quietly(
        r#"umount /mnt
        cat >/path/on-clone <<'PERL'
#!/usr/bin/perl
require "/path/watch.pl";
$| = 1;
sub sh { system(shift) == 0 or die }
sh "mount -t tmpfs low /mnt; echo >/mnt/held";
open my $root, "<", "/mnt";
sh "mount -t binfmt_misc b /mnt; register :x:M::MAGIC::/one:; mount -t tmpfs sentinel /mnt";
my $watch = watch("/mnt");
# open_tree, AT_FDCWD, AT_RECURSIVE | OPEN_TREE_CLONE
my $fd = syscall 428, -100, "/proc/self/fd/" . fileno $root, 0x8001;
open my $clone, "<&=", $fd;
close $root;
sh "umount /mnt; umount /mnt; umount /mnt";
print "its clone is open: ", told($watch), "\n";
open my $held, "<", "/proc/self/fd/$fd/held";
close $clone;
print "a file of it is open: ", told($watch), "\n";
sh "mount -t binfmt_misc b /mnt; ls /mnt; umount /mnt";
close $held;
print "nothing of it is open: ", told($watch), "\n";
sh "mount -t binfmt_misc b /mnt; ls /mnt";
PERL
        chmod +x /path/on-clone"#,
    );
    s.step("on-clone");
    s.compare();
}

#[test]
fn kernel_thaws_only_for_the_namespace_that_has_mounted() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly(
        r#"cat >/path/thaw <<'PERL'
#!/usr/bin/perl
for (@ARGV) { open my $file, "<", $_ or die; ioctl $file, 0xC0045878, 0; print "$_: $!\n" }
PERL
        chmod +x /path/thaw; mkdir /inner"#,
    );
    s.step("thaw /bin/sh /one /mnt /mnt/status");
    s.step(
        "unshare --user --map-root-user --mount sh -c 'mount -t binfmt_misc b /inner; thaw /one /mnt /inner'",
    );
    s.compare();
}

#[test]
fn kernel_removes_the_entry_of_the_descriptor() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("register :x:M::MAGIC::/one:");
    s.step("exec 3<>/mnt/x; echo -1 >/mnt/x; register :x:M::MAGIC::/two:; echo -1 >&3; /file");
    s.compare();
}

#[test]
fn kernel_has_one_register_for_root_on_all_mounts() {
    let Some(mut s) = with_binfmt() else { return };
    s.quietly("mkdir /other; mount -t binfmt_misc b /other");
    s.step("stat -c '%A %u' /mnt/register");
    s.step("exec 3>/mnt/register 4>/other/register; flock -n 3 && ! flock -n 4 && echo locked");
    s.compare();
}

#[test]
fn kernel_tells_a_watch_of_each_removed_entry() {
    let Some(mut s) = with_watch() else { return };
    s.quietly("for name in x y z; do register :$name:M::MAGIC::/one:; done");
    s.step("events /mnt sh -c 'echo 0 >/mnt/x'");
    s.step("events /mnt sh -c 'echo -1 >/mnt/x'");
    s.step("events /mnt sh -c 'echo -1 >/mnt/status'");
    s.compare();
}
