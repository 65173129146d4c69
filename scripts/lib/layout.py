"""An OCI layout on disk: verified reading, adding of blobs, and a new index in one step.

It is valid at any time: new blobs are added, index.json is replaced in one step, then what nothing names any more is removed.
"""

import hashlib
import json
from pathlib import Path

INDEX = "application/vnd.oci.image.index.v1+json"
INDEXES = {INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CHUNK = 1 << 20


class Refused(Exception):
    """The layout is not what it should be."""


def digest_of(file):
    """The digest of what is left in an open file."""
    sha = hashlib.sha256()
    while chunk := file.read(CHUNK):
        sha.update(chunk)
    return "sha256:" + sha.hexdigest()


def encode(content):
    """JSON as it is written into blobs: the same content gives the same bytes."""
    return json.dumps(content, separators=(",", ":")).encode()


def name_of(image):
    """The platform in an image's descriptor, as in linux/arm/v7."""
    platform = image["platform"]
    return "/".join(filter(None, (platform["os"], platform["architecture"], platform.get("variant"))))


class Layout:
    """An OCI layout."""

    def __init__(self, path):
        self.path = Path(path)
        self.blobs = self.path / "blobs" / "sha256"
        self.named = set()  # the digests that the new index.json leads to

    def blob(self, digest):
        """The path of a blob."""
        algorithm, _, name = digest.partition(":")
        if algorithm != "sha256" or len(name) != 64 or not set(name) <= set("0123456789abcdef"):
            raise Refused(f"not a sha256 digest: {digest!r}")
        return self.blobs / name

    def verified(self, digest):
        """The path of a blob whose contents were compared with its name."""
        path = self.blob(digest)
        with open(path, "rb") as file:
            if digest_of(file) != digest:
                raise Refused(f"the contents of blob {digest} have another digest")
        return path

    def read(self, digest):
        """A JSON blob, verified."""
        return json.loads(self.verified(digest).read_bytes())

    def write(self, content, descriptor):
        """Add a JSON blob; give the descriptor that names it."""
        data = encode(content)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        part = self.blob(digest).with_suffix(".part")
        part.write_bytes(data)
        part.replace(self.blob(digest))
        return {**descriptor, "digest": digest, "size": len(data)}

    def top(self):
        """The descriptors in index.json."""
        return json.loads((self.path / "index.json").read_text())["manifests"]

    def replace_top(self, descriptors):
        """Put others there; `named` must hold every digest that they lead to. All other blobs are removed."""
        index = json.loads((self.path / "index.json").read_text())
        part = self.path / "index.json.part"
        part.write_bytes(encode({**index, "manifests": descriptors}))
        part.replace(self.path / "index.json")
        for path in self.blobs.iterdir():
            if "sha256:" + path.name not in self.named:
                path.unlink()

    def images(self, descriptors=None):
        """Each image's descriptor and its manifest, in indexes of indexes too; attestations are none."""
        for each in self.top() if descriptors is None else descriptors:
            content = self.read(each["digest"])
            if each.get("mediaType") in INDEXES:
                yield from self.images(content["manifests"])
            elif each.get("annotations", {}).get("vnd.docker.reference.type") != "attestation-manifest":
                yield each, content
