//! Names of emulators: Debian 13's static ones have no suffix, and not all files named `qemu-*` are emulators.

use crate::sandbox::Sandbox;

#[test]
fn emulators_without_suffix_are_found_for_static() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mkdir /own; cp /qus/bin/qemu-arm-static /own/qemu-arm; cp /qus/bin/qemu-aarch64-static /own
        echo tool >/own/qemu-img; echo tool >/own/qemu-system-arm",
    );
    s.step("qus verify --path /own | cut -d , -f 1");
    s.step("qus run --path /own --targets armhf -- /foreign/busybox-arm uname -m");
    s.step("qus install --path /own armhf");
    s.step("/foreign/busybox-arm uname -m; qus remove");
    s.step("qus install --path /own");
    s.step("/foreign/busybox-arm uname -m; /foreign/busybox-aarch64 uname -m; qus remove");
    s.step("qus export binfmt.d --path /own arm | cut -d : -f 7-");
    s.step("rm /own/*64*; QEMU_BIN_DIR=/own qus --version | sed 's/version .*/version .../'");
    s.compare();
}

#[test]
fn other_tools_of_qemu_are_not_registered() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mkdir /own; cd /own; for tool in img system-x86_64 nbd io ga keymap; do echo tool >qemu-$tool; done",
    );
    s.step("qus install --path /own");
    s.step("qus -s -- -p -Q /own");
    s.step("qus install --path /own arm");
    s.step("qus run --path /own -- true");
    s.step("qus verify --path /own");
    s.step("qus install --path /own --except arm");
    s.compare();
}
