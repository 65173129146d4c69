//! Refusals: the reason is reported, and nothing is left over.

use crate::sandbox::Sandbox;

/// A sandbox with a binfmt_misc on /mnt, that is looked at in the end.
fn watched() -> Option<Sandbox> {
    let s = Sandbox::new()?;
    s.quietly("mount -t binfmt_misc b /mnt; mkdir /own; echo 'qus -s -- -p -Q /own \"$@\"' >/path/own; chmod +x /path/own");
    Some(s)
}

/// Bad binaries of all kinds, which `own` would register.
fn with_bad_binaries() -> Option<Sandbox> {
    let s = Sandbox::with_arm64_entrypoint()?;
    s.quietly("mount -t binfmt_misc b /mnt; mkdir /own; echo 'qus -s -- -p -Q /own \"$@\"' >/path/own; chmod +x /path/own; cd /own
        cp /bin/true qemu-arm-static
        head -c 1000000 /qus/bin/qemu-ppc-static >qemu-ppc-static
        head -c 60 /qus/bin/qemu-ppc-static >qemu-ppc64-static
        : >qemu-ppc64le-static
        printf '#!/bin/sh\\n' >qemu-s390x-static
        cp /arm64v8/sid/bin/qemu-sh4-static .
        mkfifo qemu-sparc-static
        mkdir qemu-sparc64-static
        ln -s qemu-hppa-static qemu-hppa-static
        ln -s /not/here qemu-m68k-static
        cp /qus/bin/qemu-or1k-static qemu-alpha-static
        cp $(readlink -f /usr/lib/x86_64-linux-gnu/libc.so.6) qemu-riscv32-static
        cp /qus/bin/qemu-aarch64-static .");
    Some(s)
}

#[test]
fn bad_emulators_are_refused() {
    let Some(mut s) = with_bad_binaries() else { return };
    for target in [
        "arm", "ppc", "ppc64", "ppc64le", "s390x", "sh4", "sparc", "sparc64", "hppa", "m68k", "alpha",
        "riscv32", "mips",
    ] {
        s.step(&format!("own {target}"));
    }
    s.step("own s390x aarch64 arm");
    s.step("ls /mnt");
    s.step("own --json ppc");
    s.compare();
}

#[test]
fn bad_emulators_are_skipped_when_all_targets_are_requested() {
    let Some(mut s) = with_bad_binaries() else { return };
    s.step("own");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn an_emulator_with_a_wrong_digest_is_refused() {
    let Some(mut s) = watched() else { return };
    s.quietly("cd /own; cp /qus/bin/qemu-aarch64-static /qus/bin/qemu-arm-static .; sha256sum qemu-aarch64-static >SHA256SUMS");
    s.step("own aarch64 arm");
    s.step("ls /mnt");
    s.step("printf x >>/own/qemu-aarch64-static; own aarch64");
    s.step("ls /mnt");
    s.step("echo nonsense >/own/SHA256SUMS; own aarch64");
    s.step("ls /mnt");
    s.step("(cd /own; sha256sum ../own/qemu-arm-static >SHA256SUMS); own arm");
    s.step("ls /mnt");
    s.step("rm /own/SHA256SUMS; mkfifo /own/SHA256SUMS; own arm");
    s.step("ls /mnt");
    s.step("rm /own/SHA256SUMS; own arm");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn directories_without_emulators_are_refused() {
    let Some(mut s) = watched() else { return };
    s.step("own arm");
    s.step("own");
    s.step("qus -s -- -p -Q /not/here arm");
    s.step("qus -s -- -p -Q /bin/true arm");
    s.quietly("chmod 0 /own");
    s.step("setpriv --bounding-set=-dac_override,-dac_read_search qus -s -- -p -Q /own arm");
    s.quietly("chmod 755 /own");
    s.quietly("cp /qus/bin/qemu-arm-static /own; chmod 0 /own/*");
    s.step("setpriv --bounding-set=-dac_override,-dac_read_search qus -s -- -p -Q /own arm");
    s.step("chmod 644 /own/*; qus -s -- -p -Q /own arm");
    s.step("qus verify --quiet --path /own");
    s.step("mkdir '/no emulators'; qus install --path '/no emulators' arm");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn without_p_only_a_missing_directory_need_not_be_readable() {
    let Some(mut s) = watched() else { return };
    s.quietly("cp /qus/bin/qemu-arm-static /own");
    for spoil in [
        "echo nonsense >/own/SHA256SUMS",
        "ln -sf /not/here /own/SHA256SUMS",
        "rm /own/SHA256SUMS; chmod 0 /own",
    ] {
        s.step(&format!(
            "{spoil}; setpriv --bounding-set=-dac_override,-dac_read_search qus -s -- -Q /own arm"
        ));
    }
    s.step("qus -s -- -Q /bin/true arm");
    s.step("chmod 755 /own; cd /; qus -s -- -Q own arm");
    s.step("cd /; rm -r own; qus -s -- --replace --no-prove -Q own arm");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn odd_paths_work_or_are_refused() {
    let Some(mut s) = watched() else { return };
    s.quietly(r#"odd() { mkdir -p "$1" && ln /own/qemu-arm-static "$1/"; }
        cp /qus/bin/qemu-arm-static /own/
        odd '/with space'; odd '/with:colon'; odd '/with,comma'; odd '/with\backslash'; odd "/with'quote"; odd '/wîth'
        odd '/:|,;!%&+=@~^#'; odd "$(printf '/new\nline')"
        long=/long; while [ ${#long} -lt 1790 ]; do long=$long/$(printf %0100d | tr 0 x); done; odd $long; echo $long >/long/name"#);
    for dir in [
        "/with space",
        "/with:colon",
        "/with,comma",
        "/with\\backslash",
        "/with'\\''quote",
        "/wîth",
        "own/../own",
    ] {
        s.step(&format!("qus -s -- -p -Q '{dir}' arm"));
        s.step("/foreign/busybox-arm uname -m; qus -- -r arm");
    }
    s.step("cd /own; qus -s -- -p -Q . arm; ls");
    s.step("/foreign/busybox-arm uname -m; qus -- -r arm");
    s.step("mkdir /gone; cd /gone; rmdir /gone; { qus -s -- -Q . arm; qus install --path ../own --dry-run arm; } 2>&1 | grep cannot");
    s.step("qus -s -- -p -Q '/:|,;!%&+=@~^#' arm");
    s.step(r"mkdir $(printf '/bytes\377'); cd /bytes*; cp /own/qemu-arm-static .; qus -s -- -p -Q . arm");
    s.step("cd /bytes*; QEMU_BIN_DIR=$PWD qus -s -- -t arm");
    s.step("cd /bytes*; QEMU_BIN_DIR=$PWD qus -s -- arm");
    s.step("cd /bytes*; QEMU_BIN_DIR=$PWD qus export update-binfmts arm");
    s.step("qus -s -- -p -Q \"$(printf '/new\\nline')\" arm");
    s.step("qus -s -- -p -Q \"$(cat /long/name)\" arm 2>&1 | sed s/xx*/x/g");
    s.step("qus -s -- -p -Q \"$(cat /long/name)\" -t arm 2>&1 | sed s/xx*/x/g");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn missing_privileges_are_named_in_the_hint() {
    let Some(mut s) = watched() else { return };
    let without = "setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin";
    s.quietly("mount -t binfmt_misc b /proc/sys/fs/binfmt_misc");
    s.step(&format!("{without} qus -s -- -p arm"));
    s.step(&format!("{without} qus -- -r arm"));
    s.step(&format!("{without} qus -l"));
    s.quietly("umount /proc/sys/fs/binfmt_misc");
    s.step(&format!("{without} qus -s -- -p arm"));
    s.step(&format!("{without} qus -- -r arm"));
    s.step(&format!("{without} qus -l"));
    s.step("unshare --user qus -s -- -p arm");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn missing_proc_is_an_error() {
    let Some(mut s) = watched() else { return };
    for run in ["-s -- -p arm", "run --targets arm -- /bin/true"] {
        s.step(&format!("unshare --mount sh -c 'mount -t tmpfs t /proc; qus {run}'"));
    }
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn a_proc_without_a_directory_to_mount_on_is_named() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("rmdir /qus/anchor; mkdir /point");
    let bare = "unshare --mount sh -c 'mount -t proc -o subset=pid p /proc;";
    for command in ["-l", "-s -- -p arm"] {
        s.step(&format!("{bare} qus {command}'"));
    }
    s.step(&format!("{bare} qus --mount /point --install arm >/dev/null; arm() {{ /foreign/busybox-arm $@; }}; arm uname -m'"));
    s.step(
        "strace --quiet=all -o /dev/null -e trace=open,openat -P /proc/sys/fs/binfmt_misc \
        -e inject=open,openat:error=EACCES qus -s -- -p arm",
    );
    s.quietly("mount -t tmpfs t /proc/sys/fs");
    s.step("qus -l");
    s.compare();
}

#[test]
fn a_read_only_proc_sys_is_worked_around() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys");
    s.step("qus -s -- -p arm");
    s.step("/foreign/busybox-arm uname -m");
    s.step("qus -- -r arm");
    s.step("/foreign/busybox-arm uname -m");
    s.compare();
}

#[test]
fn a_read_only_binfmt_misc_is_worked_around() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; mount -o remount,bind,ro /proc/sys/fs/binfmt_misc",
    );
    s.step("qus -s -- -p arm");
    s.step("/foreign/busybox-arm uname -m");
    s.step("qus -- -r arm");
    s.step("/foreign/busybox-arm uname -m");
    s.compare();
}

#[test]
fn a_read_only_status_file_does_not_matter() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("cd /proc/sys/fs/binfmt_misc; mount -t binfmt_misc b .; cd .; mount --bind status status; mount -o remount,bind,ro status");
    s.step("qus -s -- -p arm");
    s.step("/foreign/busybox-arm uname -m");
    s.step("qus -l");
    s.step("qus -- -r arm");
    s.compare();
}

#[test]
fn untried_programs_get_a_hint_for_that_command() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("echo 2 >/proc/sys/vm/memfd_noexec");
    for command in ["check arm", "list", "status", "-- -r arm", "-s -- -p arm", "run -- /bin/true"] {
        s.step(&format!("qus {command}"));
    }
    s.step("qus install --shadow-host arm");
    s.quietly("mount -t binfmt_misc b /mnt; mount -t binfmt_misc b /proc/sys/fs/binfmt_misc");
    s.step("qus -l");
    s.compare();
}

#[test]
fn a_caller_that_ignores_sigchld_does_not_matter() {
    let Some(mut s) = Sandbox::new() else { return };
    s.step("env --ignore-signal=CHLD qus -s -- -p arm");
    s.step("env --ignore-signal=CHLD qus --version | tail -n 1 | cut -d ' ' -f 1-2");
    s.step("env --ignore-signal=CHLD qus -- -r arm");
    s.compare();
}

#[test]
fn a_limit_on_the_size_of_files_ends_nothing_halfway() {
    let Some(mut s) = watched() else { return };
    s.step("prlimit --fsize=0 qus install arm; ls /mnt");
    s.step("qus install arm; prlimit --fsize=10 qus -l >/tmp/list; echo $?; cat /tmp/list");
    s.compare();
}

#[test]
fn a_limit_on_memory_is_named() {
    let Some(mut s) = Sandbox::new() else { return };
    let limited = |kib: u32, run: &str| format!("ulimit -v {kib}; {run}");
    s.step(&limited(4_000_000, "qus install --dry-run arm"));
    s.step(&limited(4_000_000, "qus install arm"));
    s.step(&limited(100_000, "qus install aarch64"));
    s.step(&limited(20_000, "qus install aarch64"));
    s.step(&limited(10_000, "qus install aarch64"));
    s.quietly("qus install arm aarch64");
    s.step(&limited(4_000_000, "qus check arm"));
    s.step(&limited(4_000_000, "qus doctor | grep -A 1 -E '^(warn|broken) '"));
    s.step("ulimit -d 60000; qus check arm; qus doctor | grep -A 1 -E '^(warn|broken) '");
    s.step("qus check --quiet arm aarch64");
    s.compare();
}

/// The answers of kernels and hosts that are not at hand, given by strace to one system call of the run.
#[test]
fn errors_of_the_kernel_are_explained() {
    let Some(mut s) = watched() else { return };
    let injected = |call: &str, error: &str, more: &str, run: &str| {
        format!("strace -qq -o /dev/null -e trace={call} {more} -e inject={call}:error={error} {run}")
    };
    let install = "qus -s -- -p arm";
    s.step(&injected("mount", "ENODEV", "-P binfmt_misc", install));
    s.quietly("mount -t tmpfs sysctls /proc/sys/kernel; echo 1 >/proc/sys/kernel/modules_disabled");
    s.step(&injected("mount", "ENODEV", "-P binfmt_misc", install));
    s.quietly("umount /proc/sys/kernel");
    s.step(&injected("mount", "EPERM", "", install));
    s.step(&injected("unshare", "EPERM", "", install));
    s.step(&injected("open_tree", "ENOSYS", "", install));
    s.step("qus -- -r");
    s.step(&injected("mount", "ENODEV", "", "qus -l"));
    s.step(&injected("write", "ENOSPC", "-P /qus/anchor/register", install));
    s.step(&injected("write", "EINVAL", "-P /qus/anchor/register", install));
    s.step(&injected("write", "EEXIST", "-P /qus/anchor/register", install));
    s.step(&injected("open,openat", "EROFS", "-P /qus/anchor/register", install));
    s.step(&injected("open,openat", "EACCES", "-P /qus/anchor/register", install));
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn errors_of_qus_run_are_explained() {
    let Some(mut s) = watched() else { return };
    for error in ["EPERM", "ENODEV"] {
        s.step(&format!(
            "strace -qq -o /dev/null -e trace=mount -P binfmt_misc -e inject=mount:error={error} \
             qus run --targets arm -- /bin/true"
        ));
    }
    s.step("mkdir /all; mount --rbind / /all; chroot /all qus run --targets arm -- /bin/true");
    // The program is ended, as without qus.
    s.step("prlimit --fsize=0 qus run --targets arm -- sh -c 'echo >/tmp/list; echo not so' 2>&-");
    s.compare();
}

#[test]
fn a_containers_own_user_namespace_is_no_place_for_handlers() {
    let Some(mut s) = Sandbox::new() else { return };
    // With many users in it (/proc/self/uid_map, as strace has it read), it isn't an ordinary user's own; -D makes qus process 1.
    // The first read, of 32 bytes, is all but the line's end.
    let many: String =
        format!("{:>10} {:>10} {:>10}", 0, 100_000, 65_536).bytes().map(|b| format!("{b:02x}")).collect();
    s.quietly(&format!(
        "cat >/path/in-own <<'SH'
#!/bin/sh
exec unshare --user --map-root-user --mount sh -c '
    unshare --pid --fork --mount-proc \"$@\"
    code=$?
    clean
    exit $code' sh \"$@\"
SH
        cat >/path/remapped <<'SH'
#!/bin/sh
exec in-own \
    strace -D -qqq -o /dev/null -e trace=read -P /proc/self/uid_map -e inject=read:poke_exit=@arg2={many}:when=1 \"$@\"
SH
        chmod +x /path/in-own /path/remapped"
    ));
    s.step("remapped qus install arm");
    s.step("remapped qus install --dry-run arm");
    s.step("remapped qus hold arm");
    s.step("remapped qus install --shadow-host arm");
    // An ordinary user's own.
    s.step("in-own qus install arm");
    s.compare();
}

#[test]
fn emulators_in_the_root_directory_are_refused_and_stay() {
    let Some(mut s) = watched() else { return };
    s.quietly("cp /qus/bin/qemu-arm-static /; cp /qus/bin/qemu-arm-static /own; mkdir /twice; mount --bind /own /twice");
    // A mount there would be seen by none of these paths, and what is linked or removed by them is the user's.
    for dir in ["/", "/own/..", "/proc/self/root"] {
        s.step(&format!("qus -s -- -p -Q {dir} arm"));
        s.step(&format!("qus -s -- -p -Q {dir} -t arm"));
    }
    s.step("qus hold --path / arm");
    s.step("cd /own; qus -s -- -p -Q /proc/self/cwd arm");
    s.step("cd /own; qus -s -- -p -Q /proc/self/cwd -t arm");
    s.step("ls /mnt; for copy in / /own/; do cmp /qus/bin/qemu-arm-static ${copy}qemu-arm-static; done");
    s.step("qus -s -- -p -Q /proc/self/root/own arm; qus -- -r");
    s.step("qus -s -- -p -Q /twice arm; qus -- -r");
    s.step("cmp /qus/bin/qemu-arm-static /own/qemu-arm-static; ls /own");
    s.compare();
}

#[test]
fn emulators_around_binfmt_misc_are_refused() {
    let Some(mut s) = watched() else { return };
    s.quietly("cp /qus/bin/qemu-arm-static /qus; cp /qus/bin/qemu-arm-static /own; mkdir /own/deep; ln -s /own/deep /qus/deep");
    s.step("qus -s -- -p -Q /qus arm");
    s.step("qus -s -- -p -Q /qus -t arm");
    s.step("qus hold --path /qus arm");
    for (dir, mount) in [("/own", "/own/deep"), ("/own", "/qus/deep"), ("/own", "/own")] {
        s.step(&format!("QEMU_BINARY_PATH={dir} qus --mount {mount} --install arm 2>&1 >/dev/null"));
    }
    s.quietly("mkdir /tmp/below; cp /own/qemu-arm-static /tmp/below");
    for dir in ["/tmp/below", "."] {
        s.step(&format!(
            "cd /tmp/below; QEMU_BINARY_PATH={dir} qus --mount /tmp --install arm 2>&1 >/dev/null"
        ));
    }
    s.step("ls /mnt /own");
    s.compare();
}

#[test]
fn emulators_in_another_mount_namespace_are_refused() {
    let Some(mut s) = watched() else { return };
    s.quietly("cp /qus/bin/qemu-arm-static /own; sleep 60 >/dev/null 2>&1 & echo $! >/tmp/pid; until [ -e /proc/$!/exe ]; do :; done");
    s.step("qus -s -- -p -Q /proc/$(cat /tmp/pid)/root/own arm 2>&1 | sed 's:/[0-9]*/root:/PID/root:'");
    s.step("qus -s -- -p -Q /proc/$(cat /tmp/pid)/root/own -t arm 2>&1 | sed 's:/[0-9]*/root:/PID/root:'");
    s.step("ls /mnt; kill $(cat /tmp/pid)");
    s.compare();
}

#[test]
fn a_dry_run_without_proof_sees_what_cannot_be_executed() {
    let Some(mut s) = watched() else { return };
    s.quietly("cp /qus/bin/qemu-arm-static /own; chmod -x /own/*");
    for run in ["--dry-run", ""] {
        s.step(&format!("qus install --no-prove {run} --path /own arm"));
    }
    s.quietly("chmod +x /own/*; mount --bind /own /own; mount -o remount,bind,noexec /own");
    for run in ["--dry-run", ""] {
        s.step(&format!("qus install --no-prove {run} --path /own arm"));
    }
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn a_dry_run_knows_the_longest_line_of_a_run() {
    let Some(s) = watched() else { return };
    s.quietly("cp /qus/bin/qemu-arm-static /own");
    let mut codes = Vec::new();
    // Around the longest path that its line leaves room for: 1721 bytes with a name beside its own, 1725 without.
    for length in 1719..1729 {
        s.quietly(&format!(
            "dir=; while [ ${{#dir}} -lt 1600 ]; do dir=$dir/$(printf %0100d 0); done
            more=$(({length} - ${{#dir}})); dir=$dir/$(printf %0${{more}}d 0)
            mkdir -p $dir; ln /own/qemu-arm-static $dir; echo $dir >/tmp/dir"
        ));
        let code = |more: &str| {
            s.run(&format!("qus install {more} --path $(cat /tmp/dir) arm")).status.code().unwrap()
        };
        for options in ["", "--no-prove", "--replace --no-prove"] {
            let foretold = code(&format!("{options} --dry-run"));
            assert_eq!(foretold, code(options), "{length} {options}");
            codes.push(foretold);
        }
        s.quietly("qus remove");
    }
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 3 + 7 + 3);
    assert_eq!(codes.iter().filter(|code| **code == 1).count(), 7 + 3 + 7);
}

#[test]
fn too_few_descriptors_are_refused_before_anything_is_done() {
    let Some(mut s) = watched() else { return };
    for limit in 4..48 {
        let output = s.run(&format!("prlimit --nofile={limit} qus install arm aarch64 s390x"));
        assert_eq!(output.status.code(), Some(1), "{limit}: {output:?}");
        assert_eq!(s.quietly("ls /mnt"), "register\nstatus\n", "{limit}");
    }
    s.step("prlimit --nofile=32 qus install arm");
    s.step("prlimit --nofile=32 qus install --dry-run arm");
    s.step("prlimit --nofile=8:1024 qus install arm");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn files_where_binfmt_misc_is_not_seen_stay_as_they_are() {
    let Some(mut s) = watched() else { return };
    // They are named as in a binfmt_misc.
    s.quietly("cd /own; echo enabled >status; echo mine >register; echo mine >qemu-arm; cp * /; echo mine >/both; echo mine >>/both");
    for mount in ["/", "/own/..", "/proc/self/cwd", "/own"] {
        for run in ["--uninstall arm", "--install arm"] {
            s.step(&format!("cd /own; QEMU_BINARY_PATH=/qus/bin qus --mount {mount} {run} 2>&1 >/dev/null"));
        }
    }
    s.step("cat /register /qemu-arm | cmp - /both; cat /own/register /own/qemu-arm | cmp - /both; ls /mnt");
    s.compare();
}

/// As in /tmp; those that `chattr +i` protects are the same to the kernel.
#[test]
fn a_dry_run_of_an_export_sees_what_may_not_be_replaced() {
    let Some(mut s) = Sandbox::with_many_users() else { return };
    s.quietly("mkdir -m 1777 /all; echo theirs >/all/qemu-arm.conf; chmod 666 /all/*; ln -s /not/here /all/qemu-mips.conf");
    for run in ["--dry-run ", ""] {
        s.step(&format!(
            "setpriv --reuid 1000 --regid 1000 --clear-groups qus export binfmt.d {run}--path /qus/bin -e /all arm mips s390x >/dev/null"
        ));
    }
    s.step("ls -A /all; cat /all/qemu-arm.conf");
    s.compare();
}

#[test]
fn a_reached_limit_on_namespaces_is_named() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("echo 1 >/proc/sys/user/max_user_namespaces");
    s.step("unshare --user qus run --targets arm -- /bin/true");
    s.quietly("echo 0 >/proc/sys/user/max_mnt_namespaces");
    s.step("qus list");
    s.step("qus doctor | grep -A 1 binfmt_misc");
    s.quietly("echo 100 >/proc/sys/user/max_mnt_namespaces");
    s.compare();
}

#[test]
fn nothing_is_said_of_handlers_that_cannot_be_looked_at() {
    let Some(mut s) = watched() else { return };
    s.quietly("qus -q install arm");
    for look in ["list", "status", "remove arm", "doctor | grep -A 1 'privileges\\|binfmt_misc'"] {
        s.step(&format!("setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin qus {look}"));
    }
    s.compare();
}

#[test]
fn an_emulator_that_the_kernel_cannot_load_is_said_to_be_one() {
    let Some(mut s) = watched() else { return };
    // Its entry point is in the kernel's half of the addresses.
    s.quietly(
        "cp /qus/bin/qemu-arm-static /own; printf '\\377' | dd of=/own/qemu-arm-static bs=1 seek=31 conv=notrunc status=none",
    );
    s.step("own arm");
    s.step("own -t arm");
    s.step("own --no-prove arm");
    s.step("qus check arm");
    s.step("qus doctor | tail -n +4");
    s.step("qus status");
    s.compare();
}
