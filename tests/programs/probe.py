#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What no command line shows of an emulator; run by ./run in a guest, as `python3 /probe/probe.py QUESTION`.

calls      the system calls that QEMU refuses, a line each: ENOSYS or EINVAL, and the name
jit        "stale code", if code that is rewritten through a second mapping runs as it was before
fexecve    execute a program from a close-on-exec memfd
noreplace  "mapped elsewhere", if MAP_FIXED_NOREPLACE is taken for a hint
speed CPU  how many times as much CPU time gzip takes under QEMU's default processor as under CPU
"""

import ctypes
import errno
import os
import platform
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
READ, WRITE, EXEC = 1, 2, 4
SHARED, PRIVATE_ANONYMOUS, FIXED_NOREPLACE = 0x01, 0x22, 0x100000
# By architecture: whether system calls before number 403 have arm's numbers or the generic ones; and the machine code
# of a function that returns a number below 256.
ARMS, CODE = {
    "aarch64": (False, lambda n: (0x52800000 | n << 5).to_bytes(4, "little") + bytes.fromhex("c0035fd6")),
    "armv7l": (True, lambda n: (0xE3A00000 | n).to_bytes(4, "little") + bytes.fromhex("1eff2fe1")),
    "riscv64": (False, lambda n: (n << 20 | 0x513).to_bytes(4, "little") + bytes.fromhex("67800000")),
}[platform.machine().replace("armv8l", "armv7l")]


def calls():
    buf = ctypes.create_string_buffer(4096)
    page = ctypes.cast(buf, ctypes.c_void_p)
    # Generic number, arm's, arguments that do no harm and would be refused by other errors, or taken.
    for name, generic, arms, *arguments in [
        ("bpf", 280, 386, 0, 0, 0),
        ("clone3", 435, 435, 0, 0),
        ("epoll_pwait2", 441, 441, -1, 0, 0, 0),
        ("execveat", 281, 387, -1, b"", 0, 0, 0x1000),
        ("fanotify_init", 262, 367, 0, 0),
        ("fchmodat2", 452, 452, -1, b"/nowhere", 0, 0),
        ("fsopen", 430, 430, b"tmpfs", 0),
        ("futex_waitv", 449, 449, 0, 0, 0, 0),
        ("io_uring_setup", 425, 425, 1, buf),
        ("keyctl", 219, 311, 0, -3, 1),
        ("landlock_create_ruleset", 444, 444, 0, 0, 1),
        ("mlock2", 284, 390, page, 4096, 1),
        ("mseal", 462, 462, 0, 0, 0),
        ("open_tree", 428, 428, -1, b"/", 0),
        ("openat2", 437, 437, -1, b"/nowhere", buf, 24),
        ("perf_event_open", 241, 364, buf, 0, -1, -1, 0),
        ("ptrace", 117, 26, 0, 0, 0, 0),
        ("rseq", 293, 398, 0, 0, 0, 0),
        ("seccomp", 277, 383, 2, 0, buf),
        ("set_robust_list", 99, 338, buf, 3 * ctypes.sizeof(ctypes.c_long)),
        ("userfaultfd", 282, 388, 1),
    ]:
        words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
        if libc.syscall(arms if ARMS else generic, *words) == -1 and ctypes.get_errno() == errno.ENOSYS:
            print("ENOSYS", name)
    for name, option, value in [("PR_SET_SECCOMP", 22, 1), ("PR_SET_CHILD_SUBREAPER", 36, 1)]:
        if libc.prctl(option, value, 0, 0, 0) == -1 and ctypes.get_errno() == errno.EINVAL:
            print("EINVAL", f"prctl({name})")


def jit():
    code = os.memfd_create("code")
    os.ftruncate(code, 4096)
    writable = libc.mmap(None, 4096, READ | WRITE, SHARED, code, 0)
    executable = libc.mmap(None, 4096, READ | EXEC, SHARED, code, 0)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(executable)
    flush = ctypes.CDLL("libgcc_s.so.1")["__clear_cache"]
    got = []
    for number in 1, 2:
        ctypes.memmove(writable, CODE(number), len(CODE(number)))
        flush(ctypes.c_void_p(executable), ctypes.c_void_p(executable + 4096))
        got.append(function())
    print({(1, 1): "stale code", (1, 2): "current code"}[tuple(got)])


def fexecve():
    program = os.memfd_create("program")  # with MFD_CLOEXEC, as Python has it
    with open("/usr/bin/true", "rb") as true:
        os.write(program, true.read())
    os.execve(program, ["true"], os.environ)


def noreplace():
    taken = libc.mmap(None, 4096, READ, PRIVATE_ANONYMOUS, -1, 0)
    got = libc.mmap(taken, 4096, READ, PRIVATE_ANONYMOUS | FIXED_NOREPLACE, -1, 0)
    print("refused" if got == ctypes.c_void_p(-1).value else "mapped elsewhere")


def speed(cpu):
    def seconds(environment):
        before = os.times().children_user
        command = ["gzip", "--stdout", os.path.realpath(sys.executable)]
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
        return os.times().children_user - before

    print(round(seconds(os.environ) / seconds({**os.environ, "QEMU_CPU": cpu}), 1))


globals()[sys.argv[1]](*sys.argv[2:])
