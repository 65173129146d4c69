# What a host can run without any library: checks of ELF files; sourced after lib/say.sh and lib/hosts.sh, needs readelf.
# shellcheck shell=sh

# is_elf FILE
is_elf() {
	[ "$(head -c 4 "$1" | od -An -tx1)" = ' 7f 45 4c 46' ]
}

# elf_of FILE – its class, byte order and machine, as in manifests/hosts.
elf_of() {
	# shellcheck disable=SC2046 # a word for each byte
	set -- $(od -An -tu1 -j4 -N16 "$1")
	case $2 in
	1) order=little machine=$((${16} * 256 + ${15})) ;;
	*) order=big machine=$((${15} * 256 + ${16})) ;;
	esac
	echo "$(($1 * 32))-$order-$machine"
}

# prove_static HOST FILE… – end the script unless every file is HOST's own machine code and needs no dynamic loader
# and no library (static-pie is fine: it has a dynamic section, and nothing in it asks for a library).
prove_static() {
	wanted_elf=$(host_column "$1" 4) || exit
	proven_for=$1
	shift
	for elf in "$@"; do
		is_elf "$elf" || fail "not an ELF file: $elf"
		facts=$(readelf --wide --program-headers --dynamic "$elf")
		case $facts in *'(NEEDED)'* | *' INTERP '*) fail "not static: $elf" ;; esac
		[ "$(elf_of "$elf")" = "$wanted_elf" ] ||
			fail "not a program for $proven_for: $elf" "it is $(elf_of "$elf"), and should be $wanted_elf"
	done
}
