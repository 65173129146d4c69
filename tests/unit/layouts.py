"""Layouts for tests, made here."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def run(*command, stdin):
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


def tar_of(files):
    """`files` are contents by path."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class LayoutTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.layout = self.root / "layout"
        self.blobs = self.layout / "blobs" / "sha256"
        self.blobs.mkdir(parents=True)
        (self.layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def put(self, data, media_type, **more):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        (self.blobs / sha(data)[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": sha(data), "size": len(data), **more}

    def image(self, *layers, diff_ids=None, config=None, **more):
        """`layers` are pairs of a tar and how it is compressed."""
        pack = {"": bytes, "+gzip": gzip.compress, "+zstd": lambda tar: run("zstd", "-qc", stdin=tar)}
        descriptors = [self.put(pack[kind](tar), LAYER + kind) for tar, kind in layers]
        diff_ids = diff_ids or [sha(tar) for tar, _ in layers]
        config = {"os": "linux", "architecture": "s390x", "config": {}, **(config or {})}
        config = self.put({**config, "rootfs": {"type": "layers", "diff_ids": diff_ids}}, CONFIG)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": descriptors}
        return self.put({**manifest, "annotations": {"a": "b"}}, MANIFEST, **more)

    def index(self, *descriptors):
        (self.layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": descriptors}))

    def script(self, name, *arguments, code=0):
        """Run one of scripts/; give what it said."""
        env = {**os.environ, "SOURCE_DATE_EPOCH": "1"}
        done = subprocess.run([sys.executable, SCRIPTS / name, *arguments], capture_output=True, text=True, env=env)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def get(self, descriptor):
        data = (self.blobs / descriptor["digest"][7:]).read_bytes()
        self.assertEqual((sha(data), len(data)), (descriptor["digest"], descriptor["size"]))
        return data

    def top(self):
        return json.loads((self.layout / "index.json").read_text())["manifests"]

    def files(self):
        """Contents of all files of the layout."""
        return {path: path.read_bytes() for path in self.layout.rglob("*") if path.is_file()}
