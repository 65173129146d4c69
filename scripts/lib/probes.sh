# The probe programs (docs/probes.md), out of the source; sourced from the root of the tree.
# shellcheck shell=sh

# extract_probes DIR – write them there, each named after its row. They are taken out of src/probe/programs.rs, so
# they are what is embedded.
extract_probes() {
	while read -r line; do
		case $line in
		'("'*)
			name=${line#??}
			name=${name%%\"*}
			;;
		0x*)
			# shellcheck disable=SC2046 # a word for each byte
			printf %b "$(printf '\\0%03o' $(echo "$line" | tr , ' '))" >>"$1/$name"
			;;
		']),') chmod 755 "$1/$name" ;;
		esac
	done <src/probe/programs.rs
}
