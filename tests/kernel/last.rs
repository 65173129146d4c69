//! Handlers outlive the run that registered them, and the container that it was; nothing but they keep anything alive.

use crate::sandbox::Sandbox;

/// What an engine does around a run: `container ROOT ARGS…` mounts what every container has, and executes the entrypoint with
/// ARGS in that root. Its mounts end with it.
const CONTAINER: &str = r#"
cat >/path/container <<'SH'
#!/bin/sh
exec unshare --mount --propagation=private sh -euc '
	root=$1
	shift
	mountpoint -q $root || mount --bind $root $root
	mount --rbind /usr $root/usr
	mount --rbind /proc $root/proc
	exec chroot $root /qus/register "$@"' container "$@"
SH
chmod +x /path/container
mkdir -p /image/proc /image/usr /image/qus/bin /image/qus/anchor
for dir in bin lib lib64; do cp -P /$dir /image/; done
cp /qus/register /image/qus/
[ ! -d /emulated ] || cp -a /emulated /image/
cp /qus/bin/qemu-aarch64-static /image/qus/bin/
grep qemu-aarch64-static /qus/bin/SHA256SUMS >/image/qus/bin/SHA256SUMS"#;

#[test]
fn handlers_outlive_a_container_whose_directories_are_deleted() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(CONTAINER);
    s.step("container /image -s -- -p aarch64");
    s.step("rm -rf /image; ls /image");
    s.step("/foreign/busybox-aarch64 uname -m");
    s.step("qus -l");
    s.step("qus -- -r");
    s.step("/foreign/busybox-aarch64 uname -m");
    s.compare();
}

#[test]
fn handlers_outlive_a_container_on_an_overlay() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(CONTAINER);
    s.quietly(
        "mkdir -p /layers/upper /layers/work /root
        mount -t overlay -o lowerdir=/image,upperdir=/layers/upper,workdir=/layers/work overlay /root",
    );
    s.step("container /root -s -- -p aarch64");
    s.step("umount /root && rm -rf /layers /root /image");
    s.step("/foreign/busybox-aarch64 uname -m");
    s.step("qus -- -r");
    s.step("/foreign/busybox-aarch64 uname -m");
    s.compare();
}

#[test]
fn handlers_last_without_a_directory_for_the_anchor() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(CONTAINER);
    s.quietly("rmdir /image/qus/anchor");
    s.step("container /image -s -- -p aarch64");
    s.step("/foreign/busybox-aarch64 uname -m");
    s.compare();
}

#[test]
fn another_container_finds_or_replaces_the_handlers() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(CONTAINER);
    s.quietly("cp -a /image /same; cp -a /image /other; rm /other/qus/bin/*");
    // A byte after the loaded segments doesn't change QEMU.
    s.quietly(
        "cp /qus/bin/qemu-aarch64-static /other/qus/bin; printf x >>/other/qus/bin/qemu-aarch64-static",
    );
    s.step("container /image -s -- -p aarch64");
    s.step("container /same -s -- -p aarch64");
    s.step("container /other -s -- -p aarch64");
    s.step("container /image -s -- -p aarch64");
    s.step("/foreign/busybox-aarch64 uname -m");
    s.step("qus -l");
    s.compare();
}

/// Another run: waits for the lock until the first has ended, and then takes as many seconds.
const SECOND: &str = "cat >/path/second <<'SH'
#!/bin/sh
exec unshare --mount --propagation=private sh -c '
    mount -t binfmt_misc b /mnt; await test -e /mnt/qemu-arm; exec flock /mnt/register sleep $0' $1
SH
chmod +x /path/second";

/// Before a command: what it writes to register takes long.
const SLOWLY: &str =
    "strace -qq -o /dev/null -P /qus/anchor/register -e trace=write -e inject=write:delay_exit=700000";

#[test]
fn another_run_is_not_what_keeps_the_handlers() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(SECOND);
    s.step(&format!("second 4 & {SLOWLY} qus -s -- arm"));
    s.compare();
}

#[test]
fn a_look_is_not_what_keeps_the_handlers() {
    let Some(mut s) = Sandbox::new() else { return };
    // It stays for a while once others can tell what it is.
    s.quietly(
        "cat >/path/look <<'SH'
#!/bin/sh
exec strace -qq -o /tmp/$1 -P /qus/anchor/register -e trace=fcntl -e inject=fcntl:delay_exit=3000000 qus $1 >/dev/null
SH
chmod +x /path/look",
    );
    for what in ["list", "status", "doctor"] {
        s.step(&format!(
            "look {what} & await grep -qs F_OFD_SETLK /tmp/{what}; qus -s -- arm; code=$?; wait; (exit $code)"
        ));
    }
    s.step("qus -l -s -- arm");
    s.compare();
}

#[test]
fn removing_the_last_handler_leaves_nothing_behind() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(CONTAINER);
    s.quietly("mount -t binfmt_misc b /mnt; echo ':jar:E::jar::/bin/true:' >/mnt/register");
    s.step("container /image -s -- -p aarch64");
    s.quietly("umount /mnt");
    s.step("qus -l");
    s.step("qus -- -r aarch64");
    s.step("qus -l");
    s.compare();
}

#[test]
fn what_another_run_may_hold_is_not_said_to_stay() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(SECOND);
    // Longer than anybody waits.
    s.step(&format!("second 45 & {SLOWLY} qus -s -- arm; code=$?; wait; (exit $code)"));
    s.step("qus list");
    s.compare();
}
