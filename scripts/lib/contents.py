"""What is in an image: its files, out of its layers, and its parts, as what made them has noted down.

The parts of the entrypoint are in target/dist/HOST/linked (scripts/build-entrypoint), those of the emulators in the image itself, in
the file `package` (scripts/fetch-emulators). Both are refused where they are not of the files that the image has.
"""

import hashlib
import re
import tarfile
from dataclasses import dataclass, field

from layout import LAYER, Refused

ENTRYPOINT = "qus/register"
PACKAGE_FILES = ("qus/licences/package", "usr/share/doc/qemu-user/package")


@dataclass
class Part:
    """Something with a name and a version."""

    kind: str  # qus, crate, std, tool; deb and source, which are Debian's; rpm and srpm, which are Fedora's; built, from a source
    name: str
    version: str
    sha256: str | None = None
    source: str | None = None  # NAME=VERSION of a source package; a commit for qus and std
    licence: str | None = None
    arch: str | None = None  # the distribution's name
    note: str | None = None


@dataclass
class File:
    """A file of an image."""

    path: str
    sha1: str
    sha256: str


@dataclass
class Image:
    """An image and all that is in it."""

    platform: str
    host: str
    labels: dict
    files: list[File] = field(default_factory=list)
    entrypoint: list[Part] = field(default_factory=list)  # itself first, then what is linked into it
    tools: list[Part] = field(default_factory=list)  # what built it
    emulators: list[Part] = field(default_factory=list)  # the package first, then its source, then what is linked into it


def table(path):
    """Rows of a table in manifests/."""
    return [line.split() for line in path.read_text().splitlines() if line[:1] not in "#"]


def image(layout, manifest, root):
    """The image of that manifest; `root` is the tree that it was made in. Its layers must not be compressed."""
    config = layout.read(manifest["config"]["digest"])
    platform = "/".join(filter(None, (config["os"], config["architecture"], config.get("variant"))))
    hosts = {of.removesuffix("/v8"): (host, debian) for host, debian, _, _, of in table(root / "manifests/hosts")}
    host, debian = hosts[platform.removesuffix("/v8")]
    found = Image(platform, host, config["config"].get("Labels") or {})
    kept = {}
    for layer in manifest["layers"]:
        if layer["mediaType"] != LAYER:
            raise Refused(f"the layer {layer['digest']} is compressed")
        with tarfile.open(layout.verified(layer["digest"])) as tar:
            for member in tar:
                if member.isfile():
                    path, data = member.name.removeprefix("./"), tar.extractfile(member).read()
                    sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
                    found.files.append(File(path, sha1, hashlib.sha256(data).hexdigest()))
                    if path in PACKAGE_FILES:
                        kept[path] = data.decode()
    found.files.sort(key=lambda each: each.path)
    digests = {each.path: each.sha256 for each in found.files}
    if ENTRYPOINT in digests:
        read_linked(found, root / "target/dist" / host / "linked", debian, digests[ENTRYPOINT])
    for path in PACKAGE_FILES:
        if path in kept:
            read_package(found, kept[path], root, debian)
    if any("/qemu-" in path for path in digests) and not found.emulators:
        raise Refused(f"the image of {host} has emulators, and does not say where they come from")
    return found


def read_linked(found, path, debian, sha256):
    """The entrypoint's parts."""
    for row in path.read_text().splitlines():
        kind, name, version, digest, source, licence = (None if each == "-" else each for each in row.split(" ", 5))
        part = Part(kind, name, version, digest, source, licence, debian if kind == "deb" else None)
        (found.tools if kind == "tool" else found.entrypoint).append(part)
    if found.entrypoint[0].sha256 != sha256:
        raise Refused(f"{path} is of another entrypoint than the one in the image")


def read_package(found, text, root, debian):
    """The emulators' parts."""
    facts = [line.split(": ", 1) for line in text.splitlines() if ": " in line]
    rpms = [value.split() for key, value in facts if key == "rpm"]
    facts = dict(facts)
    arch = {host: arch for host, _, arch in table(root / "manifests/fedora")}.get(found.host) if rpms else debian
    if facts["architecture"] != arch:
        raise Refused(f"the image of {found.host} has emulators for {facts['architecture']}")
    source = Part("srpm" if rpms else "source", facts["source"], facts["source-version"], facts.get("source-sha256"), None, "GPL-2.0-only")
    source.note = facts["get-the-source"]
    origin = f"{source.name}={source.version}"
    kind = "rpm" if rpms else "built" if "recipe" in facts else "deb"
    binary = Part(kind, facts["package"], facts["version"], facts.get("sha256"), origin, "GPL-2.0-only", arch)
    binary.note = f"{facts['release']}; its source: {facts['source-is-in']}"
    found.emulators = [binary, source]
    found.emulators += [Part("rpm", name, binary.version, sha256, origin, "GPL-2.0-only", arch) for name, sha256 in rpms]
    binary.note += f"; by {facts['recipe']}" if kind == "built" else ""
    found.emulators += [Part("source", *each) for each in packages(facts, "built-using")]
    found.tools += [Part("source", *each) for each in packages(facts, "built-with")]


def packages(facts, field):
    """NAME (= VERSION), …"""
    return re.findall(r"([^ ,]+) \(= ([^)]+)\)", facts.get(field, ""))
