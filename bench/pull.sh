# Pulling: bytes and time of qus's images, of the same files as gzip, and of ten targets as gzip; sourced by scripts/bench.
# Prints markdown.
#
# The ten are those of tonistiigi/binfmt, from the same package of QEMU. The registry is Debian's docker-registry, on
# loopback, so the time of a pull is that of unpacking and storing; the engine is a private one. Every image is pulled in
# turn, and removed again with all that it has brought. It needs root.
# shellcheck shell=sh disable=SC2154 # $work, $quick, $host and $emulators are those of scripts/bench
. scripts/lib/traces.sh

ten="aarch64 x86_64 riscv64 arm s390x ppc64le i386 mips64el mips64 loongarch64"

# pull_down – at the end, whatever happens.
pull_down() {
	[ -z "$registry" ] || kill "$registry"
	scripts/internal/manage-engine down
}

# ten_targets – an image of these ten, gzip -9, as $work/ten.
ten_targets() {
	mkdir "$work/ten.files"
	for target in $ten; do
		ln "$emulators/qemu-$target-static" "$work/ten.files/"
	done
	printf 'FROM scratch\nCOPY . /usr/bin/\n' >"$work/ten.Containerfile"
	docker buildx build --quiet --provenance=false --file "$work/ten.Containerfile" \
		--output "type=oci,dest=$work/ten,tar=false,compression=gzip,compression-level=9" "$work/ten.files" >/dev/null
	skopeo copy --quiet --dest-tls-verify=false "oci:$work/ten" "docker://$name:ten-gzip"
	# The engine would find its layers there, and fetch nothing.
	docker builder prune --all --force >/dev/null
}

# manifest TAG – of this host's image: of the one in the index, beside what is attached to it, or of a single one.
manifest() {
	manifest=$(skopeo inspect --tls-verify=false --raw "docker://$name:$1")
	digest=$(echo "$manifest" | jq -r '.manifests[]? | select(.platform.os == "linux").digest')
	[ -z "$digest" ] || manifest=$(skopeo inspect --tls-verify=false --raw "docker://$name@$digest")
	echo "$manifest"
}

# row LABEL TAG – of the table; the median of its pulls.
row() {
	bytes=$(manifest "$2" | jq '[.config.size, .layers[].size] | add')
	printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$bytes" "$(sort -n "$work/pull.$2" | sed -n "$(((rounds + 1) / 2))p")" \
		"$(sort -n "$work/unpack.$2" | sed -n "$(((rounds + 1) / 2))p")"
}

# took COMMAND… – its wall time in milliseconds.
took() {
	began=$(date +%s%N)
	"$@" >"$work/out" || fail "this has failed: $*"
	echo $((($(date +%s%N) - began) / 1000000))
}

# unpack TAG – decompress its largest layer.
unpack() {
	layer=$(manifest "$1" | jq -r '.layers | max_by(.size).digest[7:]')
	case $1 in
	*-gzip) set -- gzip ;;
	*) set -- zstd --long=27 ;;
	esac
	"$@" -dqc "$work/registry/docker/registry/v2/blobs/sha256/$(echo "$layer" | cut -c 1-2)/$layer/data"
}

[ "$(id -u)" -eq 0 ] || fail "cannot run a private engine: not root" "use sudo"
need docker-registry:docker-registry skopeo:skopeo jq:jq zstd:zstd curl:curl
unset DOCKER_HOST DOCKER_CONTEXT
export QUS_ENGINE_DIR="$QUS_CACHE/bench-pull"
registry=
trap pull_down EXIT
trap 'exit 130' HUP INT TERM
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
name=127.0.0.1:$port/qus
cat >"$work/registry.yml" <<-YAML
	version: 0.1
	storage: {filesystem: {rootdirectory: $work/registry}}
	http: {addr: "127.0.0.1:$port"}
YAML
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!
retry 100 curl --silent --fail "http://127.0.0.1:$port/v2/" >/dev/null || fail "the registry does not answer"
engine=$(scripts/internal/manage-engine up)
eval "$engine"
scripts/release/build-indexes --host "$host" --family qus --family common --family "$one" "$name" >&2
ten_targets

tags="latest latest-gzip common common-gzip $one $one-gzip ten-gzip"
rounds=$(rounds 10)
[ "$rounds" -le 3 ] || rounds=3 # seconds each
for _ in $(seq "$rounds"); do
	for tag in $tags; do
		took docker pull --quiet "$name:$tag" >>"$work/pull.$tag"
		docker rmi "$name:$tag" >/dev/null
		took unpack "$tag" >>"$work/unpack.$tag"
	done
done
# An image that was still there would not have been fetched.
for tag in $tags; do
	layer=$(manifest "$tag" | jq -r '.layers | max_by(.size).digest')
	fetched=$(grep -c "\"GET /v2/qus/blobs/$layer .* 200 " "$work/registry.log" || :) # 0 is an answer
	[ "$fetched" -ge "$rounds" ] || fail "$name:$tag was pulled $rounds times, and fetched $fetched times"
done

where "$(docker version --format 'Docker {{.Server.Version}}'), $(docker info --format '{{.Driver}}'), $(emulators_version), $(commit), medians of $rounds"
{
	row "all targets" latest
	row "the same, gzip -9" latest-gzip
	row "\`common\`" common
	row "the same, gzip -9" common-gzip
	row "one target (\`$one\`)" "$one"
	row "the same, gzip -9" "$one-gzip"
	row "ten targets, gzip -9" ten-gzip
} >"$work/rows"
awk -F '\t' -f bench/pull.awk "$work/rows"
