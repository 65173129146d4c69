"""An OCI layout on disk: verified reading, and writing of a new one."""

import hashlib
import json
from pathlib import Path

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


class Refused(Exception):
    """The layout is not what it should be."""


def digest_of(file):
    """The digest of an open file."""
    return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def name_of(image):
    """The platform in an image's descriptor, as in linux/arm/v7."""
    platform = image["platform"]
    return "/".join(filter(None, (platform["os"], platform["architecture"], platform.get("variant"))))


class Layout:
    """An OCI layout that has one image or one index."""

    def __init__(self, path):
        self.path = Path(path)
        self.blobs = self.path / "blobs" / "sha256"

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

    def index(self):
        """The index, or one around a single image, with the annotations of the image."""
        [top] = json.loads((self.path / "index.json").read_text())["manifests"]
        content = self.read(top["digest"])
        if top["mediaType"] == INDEX:
            return content
        config = self.read(content["config"]["digest"])
        platform = {key: config[key] for key in ("architecture", "os", "variant") if config.get(key)}
        image = {key: top[key] for key in ("mediaType", "digest", "size")} | {"platform": platform}
        around = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [image]}
        return around | ({"annotations": content["annotations"]} if "annotations" in content else {})

    def create(self):
        """Make it, empty."""
        self.blobs.mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add(self, path, descriptor):
        """Move a file there as a blob; give the descriptor that names it."""
        with open(path, "rb") as file:
            digest = digest_of(file)
        size = path.stat().st_size
        path.replace(self.blob(digest))
        return {**descriptor, "digest": digest, "size": size}

    def write(self, content, descriptor):
        """Add a JSON blob; give the descriptor that names it. The same content gives the same bytes."""
        data = json.dumps(content, separators=(",", ":")).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.blob(digest).write_bytes(data)
        return {**descriptor, "digest": digest, "size": len(data)}

    def finish(self, index):
        """Add the index that it is to have."""
        top = self.write(index, {"mediaType": INDEX})
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
