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

# handler NAME INTERPRETER FLAGS [TARGET [all]] – register one, as other tools do; its magic is that of TARGET, by default arm. With
# `all`, each byte of e_ident counts but the ABI, as QEMU's script, Debian, Fedora and Rosetta have it.
cat >/path/handler <<'SH'
#!/bin/sh
case ${4:-arm} in
i386) class=01 data=01 type='\x02\x00' machine='\x03\x00' ;;
arm) class=01 data=01 type='\x02\x00' machine='\x28\x00' ;;
aarch64) class=02 data=01 type='\x02\x00' machine='\xb7\x00' ;;
s390x) class=02 data=02 type='\x00\x02' machine='\x00\x16' ;;
esac
case $data in 01) either='\xfe\xff' ;; 02) either='\xff\xfe' ;; esac
pad='\x00\x00\x00\x00\x00\x00\x00\x00' mask=$pad
[ "${5:-}" != all ] || mask='\xff\xff\xff\xff\xff\xff\xff\xff'
reg ":$1:M::\x7fELF\x$class\x$data\x01\x00$pad$type$machine:\xff\xff\xff\xff\xff\xff\xff\x00$mask$either\xff\xff:$2:$3"
SH

# reg LINE – register what it says.
cat >/path/reg <<'SH'
#!/bin/sh
printf %s "$1" >/mnt/register
SH

# program FILE CODE – a static program for this machine that has these bytes as its code: what else could be an emulator.
cat >/path/program <<'SH'
#!/bin/sh
# shellcheck disable=SC2059 # the format is the byte
bytes() { for byte in $(echo "$1" | sed 's/ //g; s/../& /g'); do printf "\\$(printf %03o "0x$byte")"; done; }
{
	bytes '7f454c46 02010100 00000000 00000000 0200 3e00 01000000 7800400000000000 4000000000000000 0000000000000000'
	bytes '00000000 4000 3800 0100 0000 0000 0000'
	bytes '01000000 05000000 0000000000000000 0000400000000000 0000400000000000 0010000000000000 0010000000000000 0010000000000000'
	bytes "$2"
	head -c 4096 /dev/zero
} >"$1"
chmod +x "$1"
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

# locked FILE… – locked by that user until the scenario ends.
cat >/path/locked <<'SH'
#!/bin/sh
for file; do
	as-user flock "$file" sleep 300 >/dev/null 2>&1 &
	await sh -c '! flock --nonblock "$0" true' "$file"
done
SH

# inside COMMAND… – as root of a user namespace that an ordinary user has made; which programs run there is written down.
cat >/path/inside <<'SH'
#!/bin/sh
exec as-user within "$@"
SH

# within COMMAND… – the same, in a user namespace of the caller.
cat >/path/within <<'SH'
#!/bin/sh
exec unshare --user --map-root-user --mount sh -c '"$@"
	code=$?
	for target in aarch64 arm s390x; do /foreign/busybox-$target true 2>/dev/null && echo $target; done >/tmp/inside
	clean
	exit $code' sh "$@"
SH

# throughout TARGET COMMAND… – with programs of TARGET executed all the time; those that fail or hang are written down.
cat >/path/throughout <<'SH'
#!/bin/sh
target=$1
shift
: >/tmp/failed
touch /tmp/go-on
while [ -e /tmp/go-on ]; do
	timeout 2 "/foreign/busybox-$target" sh -c 'exit 7'
	[ $? = 7 ] || echo it failed >>/tmp/failed
	sleep 0.01
done &
"$@"
code=$?
rm /tmp/go-on
wait
exit $code
SH

# kept COMMAND… – a function: start it in the background, wait until it keeps the handlers, and see what runs.
cat >/path/kept.sh <<'SH'
kept() {
	: >/tmp/said
	"$@" >/tmp/said &
	pid=$!
	await -p "$pid" test -s /tmp/said
	for target in aarch64 arm; do /foreign/busybox-$target true 2>/dev/null && echo $target; done >/tmp/throughout
}

# looked – a function: have it look (SIGHUP), and wait until it has: it takes the second signal when it is done with the first.
looked() {
	for _ in first second; do
		kill -HUP "$pid"
		await -p "$pid" grep '^ShdPnd:.*[02468ace]$' "/proc/$pid/status"
	done
}

# again – a function: have it look, and see what runs.
again() {
	looked
	for target in aarch64 arm; do /foreign/busybox-$target true 2>/dev/null && echo $target; done >/tmp/throughout
}

# stays COMMAND… – a function: start it in the background, and see that it hasn't ended a second later; then tell it to.
stays() {
	"$@" >/tmp/said &
	pid=$!
	sleep 1
	readlink "/proc/$pid/exe" >/tmp/stayed || :
	kill "$pid"
	wait "$pid"
}
SH
chmod +x /path/*
