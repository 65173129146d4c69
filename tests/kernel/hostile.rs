//! Names, files and directories that nobody would make by accident.

use crate::sandbox::Sandbox;

/// Commands in a sandbox with a binfmt_misc on /mnt; `own TARGET…` registers from /own.
fn watched() -> Option<Sandbox> {
    let s = Sandbox::with_static_entrypoint()?;
    s.quietly("mount -t binfmt_misc b /mnt; mkdir /own; echo 'timeout 10 qus -s -- -p -Q /own \"$@\"' >/path/own; chmod +x /path/own");
    Some(s)
}

#[test]
fn handlers_may_have_any_name() {
    let Some(mut s) = watched() else { return };
    s.quietly(
        r#"handler() { printf ":$1:E::odd$((n += 1))::/usr/bin/env:" >/mnt/register; }
        handler 'qemu-with space'; handler 'qemu-new\nline'; handler 'qemu-\033]0;title\007\033[31m'; handler 'qemu-umläut'
        handler 'qemu-\377\376'; handler 'qemu-..'; handler 'qemu-.new'; handler 'qemu-'; handler 'qemu-aarch64.new.new'
        handler 'qemu-\342\200\256txet'; handler "qemu-$(printf %0250d | tr 0 x)"; handler -rf; handler '\\'; handler 'qemu'
        handler 'QEMU-arm'; handler '*'; handler ' qemu-arm'; handler '\r'"#,
    );
    s.step("qus -l | sed -E 's/x{20,}/xx/; s/ {20,}/   /'");
    s.step("qus list --json | sed -E 's/x{20,}/xx/; s/ {20,}/   /' | grep name");
    s.step("qus status | sed -E 's/x{20,}/xx/'");
    s.step("qus doctor | sed -E 's/x{20,}/xx/' | grep -v ' kernel:'");
    s.step("qus -- -r arm aarch64");
    s.step("qus -- -r -t | sed -E 's/x{20,}/xx/; s/ {20,}/   /'");
    s.step("qus -- -r | sed -E 's/x{20,}/xx/; s/ {20,}/   /'");
    s.step("ls -b /mnt");
    s.compare();
}

#[test]
fn entries_of_unknown_kinds_are_shown_and_left_alone() {
    let Some(mut s) = Sandbox::new() else { return };
    // No kernel with them is available: for reading, a directory looks the same.
    s.quietly(
        r"mkdir /later; cd /later; : >register; echo enabled >status
        printf 'enabled\ninterpreter /usr/bin/x\nflags: PTLD\nbpf 7\nprogram elf_loader\n' >bpf
        printf 'enabled\nflags: B\nloader 12\n' >no-interpreter
        printf 'enabled\ninterpreter /usr/bin/x\nflags: F\noffset 18446744073709551615\nmagic 7f\nmask ff\n' >far
        printf 'enabled\ninterpreter /usr/bin/x\nflags: F\noffset 0\nmagic +f+f\nmask -0\n' >signs
        head -c 100000 /dev/zero >zeros; : >empty; printf '\377\377' >bytes; mkfifo /tmp/unused
        printf 'enabled\ninterpreter /own/qemu-arm\nflags: POCFTLD\noffset 0\nmagic 7f454c46\n' >qemu-arm",
    );
    s.step("mount --bind /later /proc/sys/fs/binfmt_misc; qus -l; qus -l -- -r -t");
    s.compare();
}

#[test]
fn thousands_of_entries_are_listed_and_removed() {
    let Some(s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt; i=0
        while [ $i -lt 3000 ]; do
            echo \":other-$i:E::ext$i::/usr/bin/env:\" >/mnt/register
            echo \":qemu-x$i:E::foreign$i::/usr/bin/env:\" >/mnt/register
            i=$((i + 1))
        done",
    );
    // Each must end within the time of a step.
    assert_eq!(
        s.quietly("qus -l | wc -l; qus -s -- -p arm >&2; /foreign/busybox-arm uname -m").trim(),
        "6001\narmv7l"
    );
    assert_eq!(
        s.quietly("qus -- -r | grep -c removed; ls /mnt | grep -c other-; ls /mnt | wc -l")
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["3001", "3000", "3002"]
    );
}

#[test]
fn a_directory_of_emulators_may_contain_anything() {
    let Some(mut s) = watched() else { return };
    s.quietly(
        "cd /own; cp /qus/bin/qemu-arm-static /elsewhere; for e in aarch64 arm mips ppc s390x sh4 sparc; do cp /qus/bin/qemu-$e-static .; done
        mkdir sub; cp /elsewhere sub/qemu-m68k-static
        ln -s qemu-arm-static qemu-armeb-static; ln -s /elsewhere qemu-hppa-static; ln -s sub/qemu-m68k-static qemu-m68k-static
        ln -s ../own/qemu-arm-static qemu-or1k-static; ln -s . qemu-alpha-static
        ln /elsewhere qemu-mipsel-static
        chmod u+s qemu-mips-static; chmod g+s qemu-ppc-static; chmod 777 qemu-s390x-static
        mkdir qemu-sparc64-static; : >'qemu-'; : >'qemu-new
line'; : >qemu-$(printf %0240d | tr 0 x)
        sha256sum qemu-*-static 2>/dev/null >SHA256SUMS || :
        mkfifo qemu-xtensa-static; ln -s /dev/zero qemu-sh4eb-static",
    );
    for target in [
        "aarch64", "armeb", "hppa", "m68k", "or1k", "alpha", "sh4eb", "xtensa", "mips", "ppc", "s390x",
        "sparc64",
    ] {
        s.step(&format!("own {target}"));
    }
    s.step("rm /own/SHA256SUMS; own --no-prove hppa mips");
    s.step("own xtensa sh4eb");
    s.step("sha256sum /own/qemu-sparc-static >/sums; ln -s /sums /own/SHA256SUMS; own sparc");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn sha256sums_may_contain_anything() {
    let Some(mut s) = watched() else { return };
    s.quietly(
        r"cd /own; cp /qus/bin/qemu-arm-static .; sha256sum qemu-arm-static >/good; sum=$(cut -c -64 /good)
        sums() { cat >SHA256SUMS; }; mkdir /sums; cd /sums
        sed s,qemu,../own/qemu, /good >outside; sed 's,qemu,/own/qemu,' /good >absolute
        cat /good /good >twice; { cat /good; sed 's/^[0-9a-f]/0/;t' /good | tr 0-9 9; } >contradiction
        sed 's/$/\r/' /good >crlf; printf %s $(cat /good | tr -s ' ' ' ') >one-blank; printf %s $sum'  qemu-arm-static' >no-newline
        printf '%s  qemu-arm-static\n' $(echo $sum | tr a-f A-F) >upper-case
        { cat /good; head -c 2000000 /dev/zero | tr '\0' x; } >huge-line
        { head -c 1048576 /dev/zero | tr '\0' '\n'; cat /good; } >late
        { printf '\357\273\277'; cat /good; } >byte-order-mark; { printf '\377\n'; cat /good; } >not-utf8
        sed 's/^./+/' /good >sign; sed 's/^/\\/' /good >escaped; : >empty; head -c 64 /good >cut; printf '\0\0\0' >zeros
        sed 's,  , *./,' /good >binary",
    );
    for sums in [
        "outside",
        "absolute",
        "twice",
        "contradiction",
        "crlf",
        "one-blank",
        "no-newline",
        "upper-case",
        "huge-line",
        "late",
        "byte-order-mark",
        "not-utf8",
        "sign",
        "escaped",
        "empty",
        "cut",
        "zeros",
        "binary",
    ] {
        s.step(&format!("cp /sums/{sums} /own/SHA256SUMS; own arm; qus -- -r >/dev/null"));
    }
    s.compare();
}
