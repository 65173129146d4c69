"""scripts/release/merge, on layouts made here. Run: python3 tests/index/test_merge.py"""

import json
import shutil
import sys
import unittest

sys.dont_write_bytecode = True
from layouts import INDEX, LayoutTest, tar_of

PLATFORMS = {
    "amd64": {"os": "linux", "architecture": "amd64"},
    "arm": {"os": "linux", "architecture": "arm", "variant": "v6"},
    "s390x": {"os": "linux", "architecture": "s390x"},
    "vax": {"os": "linux", "architecture": "vax"},
}


class MergeTest(LayoutTest):
    def part(self, name, *platforms, about="this", contents=b"1", **more):
        """A layout with an index of these platforms' images, with an attestation of each; `about` is what it says of itself."""
        self.layout = self.root / name
        self.blobs = self.layout / "blobs" / "sha256"
        self.blobs.mkdir(parents=True)
        (self.layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        images, attached = [], []
        for each in platforms:
            files = tar_of({each: contents * 9999})
            images.append(self.image((files, "+zstd"), config=PLATFORMS[each], platform=PLATFORMS[each]))
            reference = {"vnd.docker.reference.digest": images[-1]["digest"], "vnd.docker.reference.type": "attestation-manifest"}
            nowhere = {"os": "unknown", "architecture": "unknown"}
            attached.append(self.image((files, ""), config=nowhere, platform=nowhere, annotations=reference))
            self.restate(attached[-1], each)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": images + attached, "annotations": {"of": about}}
        self.index(self.put(index, INDEX, annotations={"org.opencontainers.image.ref.name": name}))
        return self.layout

    def restate(self, attestation, what):
        """Put a statement where the layer of an attestation was."""
        manifest = json.loads(self.get(attestation))
        manifest["layers"] = [self.put({"on": what}, "application/vnd.in-toto+json")]
        attestation |= self.put(manifest, attestation["mediaType"])

    def merge(self, *parts, code=0):
        """Merge them; the merged layout is then the one that is looked at."""
        shutil.rmtree(self.root / "merged", ignore_errors=True)
        said = self.script("release/merge", self.root / "merged", *parts, code=code)
        self.layout = self.root / "merged"
        self.blobs = self.layout / "blobs" / "sha256"
        return said

    def index_bytes(self):
        [top] = self.top()
        return self.get(top)

    def test_parts_give_the_same_index_as_all_at_once_in_any_order(self):
        parts = [self.part(name, name) for name in ("s390x", "amd64", "arm")]
        at_once = self.part("all", "amd64", "arm", "s390x")
        self.merge(at_once)
        expected = self.index_bytes()
        self.assertEqual(
            [each["platform"]["architecture"] for each in json.loads(expected)["manifests"]],
            ["amd64", "arm", "s390x", "unknown", "unknown", "unknown"],
        )
        for order in (parts, parts[::-1], [*parts, at_once]):
            self.merge(*order)
            self.assertEqual(self.index_bytes(), expected)

    def test_all_but_layers_is_there(self):
        self.merge(self.part("first", "amd64"), self.part("second", "s390x"))
        named = {self.top()[0]["digest"]}
        for image in json.loads(self.index_bytes())["manifests"]:
            manifest = json.loads(self.get(image))
            self.get(manifest["config"])
            named |= {image["digest"], manifest["config"]["digest"]}
            for layer in manifest["layers"]:
                is_there = (self.blobs / layer["digest"][7:]).exists()
                self.assertEqual(is_there, layer["mediaType"] == "application/vnd.in-toto+json", layer)
                named |= {layer["digest"]} if is_there else set()
        self.assertEqual({"sha256:" + path.name for path in self.blobs.iterdir()}, named)

    def test_two_images_for_a_platform_are_refused(self):
        said = self.merge(self.part("first", "arm"), self.part("second", "arm", contents=b"2"), code=1)
        self.assertIn("second has another image for linux/arm/v6", said)
        self.assertEqual(self.top(), [])

    def test_parts_of_different_commits_are_refused(self):
        said = self.merge(self.part("first", "arm"), self.part("second", "amd64", about="that"), code=1)
        self.assertIn("second says other things of itself", said)
        self.assertEqual(self.top(), [])

    def test_a_platform_of_no_host_is_refused(self):
        self.assertIn("no platform linux/vax", self.merge(self.part("first", "vax"), code=1))

    def test_an_image_alone_is_refused(self):
        self.part("first", "arm")
        self.index(json.loads(self.index_bytes())["manifests"][0])
        self.assertIn("first has no index", self.merge(self.root / "first", code=1))

    def test_a_damaged_part_is_refused(self):
        part = self.part("first", "arm")
        image = json.loads(self.index_bytes())["manifests"][0]
        (self.blobs / image["digest"][7:]).write_text("{}")
        self.assertIn("have another digest", self.merge(part, code=1))

    def test_what_is_there_already_is_not_touched(self):
        part = self.part("first", "arm")
        (self.root / "merged/blobs").mkdir(parents=True)
        self.script("release/merge", self.root / "merged", part)  # an empty folder is fine
        self.assertIn("FileExistsError", self.script("release/merge", self.root / "merged", part, code=1))


if __name__ == "__main__":
    unittest.main()
