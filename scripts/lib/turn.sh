# Whose turn it is: the handlers of the tests of images are real, and other tests would see them; sourced after lib/apt.sh.
# shellcheck shell=sh

# turn --exclusive|--shared – wait for the others: for all, or for those that do not share. Held open as 7.
turn() {
	mkdir -p "$QUS_CACHE"
	exec 7>"$QUS_CACHE/tests.lock"
	flock --nonblock "$@" 7 || {
		say "waiting for other tests to end"
		flock "$@" 7
	}
}
