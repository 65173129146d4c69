# What is built from the Containerfile: `docker buildx bake` makes the images of this machine's platform, `docker buildx bake
# all` those of every host; `docker buildx bake qus-s390x` makes one. Variables are set by the environment of the same name; scripts/build-image sets them all.

variable "IMAGE" {
    description = "The name of the image, without a tag."
    default     = "qus"
}

variable "PLATFORMS" {
    description = "The platforms to build for, separated by commas; none: this machine's."
    default     = ""
}

variable "SUITE" {
    description = "The suite of QEMU packages (manifests/emulators.lock)."
    default     = "latest"
}

variable "TAGS" {
    description = "More tags than `latest`, separated by commas; the family is added."
    default     = ""
}

variable "TARGET" {
    description = "The target of the image `one`: QEMU's name of an architecture."
    default     = ""
}

variable "EXPORT" {
    description = "A folder that gets an OCI layout of each image, in a folder of its own; none: load it, or --push."
    default     = ""
}

variable "VERSION" {
    default = null
}

variable "REVISION" {
    description = "The commit."
    default     = null
}

variable "SOURCE_DATE_EPOCH" {
    description = "Nothing in an image is younger (scripts/lib/commit.sh)."
    default     = null
}

variable "NETWORK" {
    description = "How a build stage reaches the package mirrors: `host` for an engine without a bridge."
    default     = null
}

variable "CA" {
    description = "A file of certificates that build stages are to trust."
    default     = ""
}

# One row for each kind of image: a stage of the Containerfile, and which emulators are in it (scripts/internal/write-contexts).
variable "FAMILIES" {
    default = {
        qus = {
            stage       = "qus"
            set         = "all"
            latest      = "latest"
            suffix      = ""
            description = "Make a Linux host run programs and containers of any architecture"
            licences    = "Apache-2.0 AND MIT AND GPL-2.0-only"
        }
        pkg = {
            stage       = "pkg"
            set         = "all"
            latest      = "pkg"
            suffix      = "-pkg"
            description = "QEMU's user-mode emulators, static, without the entrypoint that registers them"
            licences    = "GPL-2.0-only"
        }
        register = {
            stage       = "register"
            set         = "none"
            latest      = "register"
            suffix      = "-register"
            description = "The entrypoint that registers QEMU's user-mode emulators, without the emulators"
            licences    = "Apache-2.0 AND MIT"
        }
        common = {
            stage       = "qus"
            set         = "common"
            latest      = "common"
            suffix      = "-common"
            description = "Make a Linux host run containers of the platforms that most images are for"
            licences    = "Apache-2.0 AND MIT AND GPL-2.0-only"
        }
    }
}

# The platforms of manifests/hosts; `entrypoint` is whether there is one for it.
variable "HOSTS" {
    default = {
        amd64    = { platform = "linux/amd64", entrypoint = true }
        i386     = { platform = "linux/386", entrypoint = true }
        arm64v8  = { platform = "linux/arm64/v8", entrypoint = true }
        arm32v7  = { platform = "linux/arm/v7", entrypoint = true }
        arm32v6  = { platform = "linux/arm/v6", entrypoint = true }
        s390x    = { platform = "linux/s390x", entrypoint = true }
        ppc64le  = { platform = "linux/ppc64le", entrypoint = true }
        riscv64  = { platform = "linux/riscv64", entrypoint = true }
        loong64  = { platform = "linux/loong64", entrypoint = true }
        mipsel   = { platform = "linux/mipsle", entrypoint = false }
        mips64el = { platform = "linux/mips64le", entrypoint = false }
    }
}

# Every image that there is: of each family, for each host.
variable "IMAGES" {
    default = flatten([
        for family in keys(FAMILIES) : [
            for host, about in HOSTS : { family = family, host = host }
            if about.entrypoint || family == "pkg"
        ]
    ])
}

group "default" {
    targets = keys(FAMILIES)
}

group "all" {
    targets = [for image in IMAGES : "${image.family}-${image.host}"]
}

target "build" {
    dockerfile = "Containerfile"
    platforms  = compact(split(",", PLATFORMS))
    network    = NETWORK
    secret     = CA == "" ? [] : ["id=ca,src=${CA}"]
    args = {
        SUITE              = SUITE
        REVISION          = REVISION
        SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH
    }
}

function "facts" {
    params = [description, licences]
    result = {
        "org.opencontainers.image.title"         = "qus"
        "org.opencontainers.image.description"   = description
        "org.opencontainers.image.version"       = VERSION
        "org.opencontainers.image.revision"      = REVISION
        "org.opencontainers.image.source"        = "https://github.com/dbhi/qus"
        "org.opencontainers.image.url"           = "https://github.com/dbhi/qus"
        "org.opencontainers.image.documentation" = "https://github.com/dbhi/qus/blob/main/README.md"
        "org.opencontainers.image.vendor"        = "aptman"
        "org.opencontainers.image.licenses"      = licences
    }
}

# Annotations are for registries: on each image of an index, and on the index, which there is for several platforms.
function "annotations" {
    params = [facts]
    result = EXPORT == "" ? [] : [
        for key, value in facts : "${length(split(",", PLATFORMS)) > 1 ? "index,manifest" : "manifest"}:${key}=${value}"
        if value != null
    ]
}

# All times are the commit's, and layers are compressed later (scripts/release/finish-layout).
function "output" {
    params = [name]
    result = EXPORT == "" ? [] : [
        "type=oci,dest=${EXPORT}/${name},tar=false,rewrite-timestamp=true,compression=uncompressed,force-compression=true"
    ]
}

target "image" {
    name        = family
    matrix      = { family = keys(FAMILIES) }
    inherits    = ["build"]
    target      = FAMILIES[family].stage
    args        = { SET = FAMILIES[family].set }
    tags        = EXPORT != "" ? [] : formatlist("${IMAGE}:%s", concat([FAMILIES[family].latest], formatlist("%s${FAMILIES[family].suffix}", compact(split(",", TAGS)))))
    labels      = facts(FAMILIES[family].description, FAMILIES[family].licences)
    annotations = annotations(facts(FAMILIES[family].description, FAMILIES[family].licences))
    output      = output(family)
}

# One image of those, for a host: FAMILY-HOST. It is tagged so, too.
target "hosted" {
    name      = "${image.family}-${image.host}"
    matrix    = { image = IMAGES }
    inherits  = [image.family]
    platforms = [HOSTS[image.host].platform]
    tags      = EXPORT != "" ? [] : ["${IMAGE}:${image.family}-${image.host}"]
    output    = output("${image.family}-${image.host}")
}

# The entrypoint and the emulator of TARGET, which it registers when it is run without arguments.
target "one-without-command" {
    inherits = ["build"]
    target   = "qus"
    args     = { SET = TARGET }
}

target "one" {
    inherits          = ["build"]
    contexts          = { qus = "target:one-without-command" }
    dockerfile-inline = "FROM qus\nCMD [\"-s\", \"--\", \"-p\", \"${TARGET}\"]\n"
    tags              = EXPORT != "" ? [] : formatlist("${IMAGE}:%s", concat([TARGET], formatlist("%s-${TARGET}", compact(split(",", TAGS)))))
    labels            = facts("Make a Linux host run programs and containers for ${TARGET}", "Apache-2.0 AND MIT AND GPL-2.0-only")
    annotations       = annotations(facts("Make a Linux host run programs and containers for ${TARGET}", "Apache-2.0 AND MIT AND GPL-2.0-only"))
    output            = output("one")
}

# Checks of what is in the images; each is a stage that fails or not.
group "check" {
    targets = ["sums", "static"]
}

target "checks" {
    name     = check
    matrix   = { check = ["sums", "static"] }
    inherits = ["build"]
    target   = check
    output   = ["type=cacheonly"]
}
