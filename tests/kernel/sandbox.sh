# The inside of a sandbox: process 1 of new user, mount and PID namespaces; run by sandbox.rs.
# Arguments: the folder to build the root on, the entrypoint, the emulators, the foreign programs, which of the emulators
# runs the entrypoint, with options, or nothing; and what goes to /arm64v8, if anything does.
#
# The root is a tmpfs like the image (/qus) with the host's programs beside it. No binfmt_misc is mounted.
# Prints its PID outside, waits for standard input to be closed, and removes all handlers.
set -eu
read -r pid _ </proc/self/stat
mount -t tmpfs -o mode=755 root "$1"
mkdir "$1/proc" "$1/dev" "$1/old" "$1/path" "$1/foreign" "$1/qus" "$1/qus/bin" "$1/qus/anchor" "$1/mnt"
mkdir -m 1777 "$1/tmp"
for dir in usr bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$dir" ]; then
        cp -P "/$dir" "$1/$dir"
    elif [ -d "/$dir" ]; then
        mkdir "$1/$dir"
        mount --rbind "/$dir" "$1/$dir"
    fi
done
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
if [ "$(stat -c %u "$3")" -eq 0 ]; then
    mount --bind "$3" "$1/qus/bin"
else
    cp "$3"/* "$1/qus/bin" # files of a user that doesn't exist in here would be taken for the host's
fi
mount --bind "$4" "$1/foreign"
: >"$1/qus/register"
case $5 in
'') mount --bind "$2" "$1/qus/register" ;;
*)
    mkdir "$1/emulated"
    cp "$3/${5%% *}" "$1/emulated/qemu"
    cp "$2" "$1/emulated/qus"
    case $5 in *' '*) options=${5#* } ;; *) options= ;; esac
    printf '#!/bin/sh\nexec /emulated/qemu %s -0 "$0" /emulated/qus "$@"\n' "$options" >"$1/qus/register"
    chmod +x "$1/qus/register"
    ;;
esac
if [ $# -gt 5 ]; then
    mkdir "$1/arm64v8"
    mount --bind "$6" "$1/arm64v8"
fi
ln -s /qus/register "$1/path/qus"
# await [-p PID] COMMAND… – until it succeeds, that process has ended (nobody may have reaped it), or half a minute is over. Whether
# it has is seen by the shell alone: other programs take most of the time.
cat >"$1/path/await" <<'SH'
#!/bin/sh
pid=$$ tries=0
[ "$1" != -p ] || { pid=$2 && shift 2; }
is_up() {
    while read -r key state _ && [ "$key" != State: ]; do :; done 2>/dev/null <"/proc/$pid/status" || return
    [ "${state:-Z}" != Z ]
}
until "$@" >/dev/null 2>&1; do
    is_up || exit
    [ $((tries += 1)) -lt 600 ] || { echo "await: still not so: $*" >&2 && exit 1; }
    sleep 0.05
done
SH
# clean – removes all handlers of this user namespace: those that are anchored outlive it, and nobody could remove them then. By a
# mount of its own, whatever is mounted where; two in one place would be EBUSY.
cat >"$1/path/clean" <<'SH'
#!/bin/sh
exec unshare --mount --propagation=private sh -ec '
    mount -t tmpfs tmpfs /mnt
    mount -t binfmt_misc binfmt_misc /mnt
    for handler in /mnt/*; do
        case ${handler##*/} in register | status) ;; *) echo -1 >"$handler" ;; esac
    done'
SH
chmod +x "$1/path/await" "$1/path/clean"
cd "$1"
pivot_root . old
umount -l old
rmdir old
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
umount /proc/sys/fs/binfmt_misc
echo "$pid"
read -r _ || : # the end of standard input
/path/clean
