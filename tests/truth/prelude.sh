# What the scenarios use, made in each sandbox before anything else; run by main.rs.
# shellcheck shell=sh
set -e
mkdir /new /own /look
cp /foreign/busybox-* /new/

# flip FILE OFFSET – one bit of that byte.
cat >/path/flip <<'SH'
#!/bin/sh
byte=$(od -An -tu1 -j "$2" -N 1 "$1")
# shellcheck disable=SC2059 # the format is the byte
printf "\\$(printf %03o $((byte ^ 1)))" | dd of="$1" seek="$2" bs=1 conv=notrunc status=none
SH

# carry TARGET… – copies of their emulators in /own, with a SHA256SUMS.
cat >/path/carry <<'SH'
#!/bin/sh
cd /own
for target; do cp "/qus/bin/qemu-$target-static" .; done
sha256sum qemu-* >SHA256SUMS
SH

# handler NAME INTERPRETER FLAGS [TARGET] – register one, as other tools do; its magic is that of TARGET, by default arm.
cat >/path/handler <<'SH'
#!/bin/sh
line=$(qus -s -- -p -t "${4:-arm}" 2>/dev/null | sed -n 's/^  :qemu-[^:]*:\(.*\):[^:]*:[^:]*$/\1/p')
printf %s ":$1:$line:$2:$3" >/mnt/register
SH

# without CALL ERROR COMMAND… – the kernel's answer to this system call is this error. Options of strace may stand before it.
cat >/path/without <<'SH'
#!/bin/sh
call=$1 error=$2
shift 2
exec strace -qq -o /dev/null -e trace="$call" -e inject="$call:error=$error" "$@"
SH

# as-user COMMAND… – as an ordinary user, 1000.
cat >/path/as-user <<'SH'
#!/bin/sh
exec setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all "$@"
SH

# inside COMMAND… – as root of a user namespace that an ordinary user has made; which programs run there is written down.
cat >/path/inside <<'SH'
#!/bin/sh
exec as-user unshare --user --map-root-user --mount sh -c '"$@"
	code=$?
	for target in aarch64 arm s390x; do /foreign/busybox-$target true 2>/dev/null && echo $target; done >/tmp/inside
	exit $code' sh "$@"
SH

# kept COMMAND… – a function: start it in the background, wait until it keeps the handlers, and see what runs.
cat >/path/kept.sh <<'SH'
kept() {
	"$@" >/tmp/said &
	pid=$!
	until grep -q ^kept /tmp/said || ! kill -0 "$pid"; do sleep 0.02; done
	for target in aarch64 arm; do /foreign/busybox-$target true 2>/dev/null && echo $target; done >/tmp/meanwhile
}
SH
chmod +x /path/*
