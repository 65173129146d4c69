# What tests/kernel/faults.rs does in its sandboxes; sourced there.
# shellcheck shell=sh

# line TARGET – what is between name and interpreter in its rule.
line() { qus -s -- -p -t "$1" 2>/dev/null | sed -n 's/^  :qemu-[^:]*:\(.*\):[^:]*:[^:]*$/\1/p'; }

# others – register what belongs to others, one of them for a target that is asked for, as Debian registers it: without F,
# under the name of qus's; in the current directory.
others() {
    cp /qus/bin/qemu-arm-static /usual
    cp /qus/bin/qemu-s390x-static /rosetta
    printf %s ':jar:E::jar::/usr/bin/env:' >register
    printf %s ':python3.11:M::\xa7\x0d\x0d\x0a::/usr/bin/env:' >register
    echo 0 >python3.11
    printf %s ":rosetta:$(line s390x):/rosetta:F" >register
    printf %s ":qemu-arm:$(line arm):/usual:OC" >/debian
}

# ours – register the handlers of qus without qus.
ours() {
    for target in aarch64 arm; do printf %s "$(cat "/line-$target")" >register; done
}

# none – remove every handler of ours.
none() {
    for entry in qemu-*; do [ ! -e "$entry" ] || echo -1 >"$entry"; done
}

# entries – all that is registered, in every byte but those by which qus knows its own: they are new in each run.
entries() {
    set -- *
    for entry; do
        shift
        [ "$entry" = register ] || set -- "$@" "$entry"
    done
    grep -H '' -- "$@" | sed 's/717573[0-9a-f]\{10\}/signed/'
}

# surroundings – mounts, files and processes.
surroundings() {
    cut -d ' ' -f 4- /proc/1/mountinfo
    find / -xdev -path /tmp -prune -o ! -path / -printf '%y %m %s %p\n'
    grep -Fl /qus/register /proc/[0-9]*/maps 2>/dev/null
}

# runs – the targets whose programs run.
runs() {
    for target in aarch64 arm; do
        # Ended by a signal (a fault in a shared page, say) or refused: both are no.
        /foreign/busybox-$target true 2>/dev/null && echo $target
    done
}

# staying COMMAND… – until it says that it keeps the handlers; what runs then is in /tmp/during. Then it is asked to end.
staying() {
    : >/tmp/out
    rm -f /tmp/during
    "$@" >/tmp/out 2>/tmp/err &
    tracer=$!
    # One that could not say it, because nobody reads, stays all the same.
    await -p $tracer grep '^they stay' /tmp/out 2>/dev/null || :
    if kill -0 $tracer 2>/dev/null; then
        runs >/tmp/during
        pkill -TERM -P $tracer
    fi
    wait $tracer
}
