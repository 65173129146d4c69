# What a host can run without any library: checks of ELF files; sourced after lib/say.sh, needs readelf.
# shellcheck shell=sh

# is_elf FILE
is_elf() {
	[ "$(head -c 4 "$1" | od -An -tx1)" = ' 7f 45 4c 46' ]
}

# prove_static HOST FILE… – end the script unless every file is HOST's own machine code and needs no dynamic loader
# and no library (static-pie is fine: it has a dynamic section, and nothing in it asks for a library).
prove_static() {
	machine=$(host_machine "$1") || exit 1
	proven_for=$1
	shift
	for elf in "$@"; do
		facts=$(readelf --wide --file-header --program-headers --dynamic "$elf" 2>/dev/null) ||
			fail "not an ELF file: $elf"
		case $facts in
		*'(NEEDED)'* | *' INTERP '*) fail "not static: $elf" ;;
		esac
		[ "$(echo "$facts" | elf_machine)" = "$machine" ] || fail "not a program for $proven_for: $elf" \
			"it is $(echo "$facts" | elf_machine), and should be $machine"
	done
}

# elf_machine – class, byte order and machine out of readelf's words.
elf_machine() {
	sed -n 's/^  Class: *//p; s/^  Data: *.*complement, *//p; s/^  Machine: *//p' | tr '\n' ' ' | sed 's/ $//'
}

host_machine() {
	case $1 in
	amd64) echo 'ELF64 little endian Advanced Micro Devices X86-64' ;;
	i386) echo 'ELF32 little endian Intel 80386' ;;
	arm64v8) echo 'ELF64 little endian AArch64' ;;
	arm32v7 | arm32v6) echo 'ELF32 little endian ARM' ;;
	s390x) echo 'ELF64 big endian IBM S/390' ;;
	ppc64le) echo 'ELF64 little endian PowerPC64' ;;
	riscv64) echo 'ELF64 little endian RISC-V' ;;
	loong64) echo 'ELF64 little endian LoongArch' ;;
	mipsel) echo 'ELF32 little endian MIPS R3000' ;;
	mips64el) echo 'ELF64 little endian MIPS R3000' ;;
	*) fail "lib/elf.sh does not know the machine of the host '$1'" ;;
	esac
}
