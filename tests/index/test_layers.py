"""scripts/release/compress-layers, on layouts made here. Run: python3 tests/index/test_layers.py"""

import gzip
import json
import sys
import unittest

sys.dont_write_bytecode = True
from layouts import CONFIG, INDEX, LAYER, MANIFEST, LayoutTest, run, sha, tar_of


def frame_window(data):
    """The window that a zstd frame asks for, or the size of its contents where it is one segment (RFC 8878, 3.1.1.1)."""
    assert data[:4] == b"\x28\xb5\x2f\xfd"
    if data[4] & 0x20:
        size = 1 << (data[4] >> 6)
        return int.from_bytes(data[5 : 5 + size], "little") + (256 if size == 2 else 0)
    base = 1 << (10 + (data[5] >> 3))
    return base + (base >> 3) * (data[5] & 7)


class LayersTest(LayoutTest):
    def layers(self, *options, code=0):
        return self.script("release/compress-layers", *options, self.layout, code=code)

    def test_every_way_to_compress_becomes_zstd_with_the_same_contents(self):
        tars = [tar_of({"a": b"1" * 9999}), tar_of({"b": b"2" * 9999}), tar_of({"c": b"3" * 9999})]
        self.index(self.image(*zip(tars, ["", "+gzip", "+zstd"])))
        old = json.loads(self.get(self.top()[0]))
        self.layers()
        manifest = json.loads(self.get(self.top()[0]))
        self.assertEqual([run("zstd", "-dqc", stdin=self.get(each)) for each in manifest["layers"]], tars)
        self.assertEqual({each["mediaType"] for each in manifest["layers"]}, {LAYER + "+zstd"})
        self.assertEqual(manifest["config"], old["config"])
        self.get(manifest["config"])
        self.assertEqual(manifest["annotations"], {"a": "b"})

    def test_gzip_is_made_of_zstd_and_is_the_same_each_time(self):
        tar = tar_of({"a": b"1" * 9999})
        self.index(self.image((tar, "")))
        self.layers()
        self.layers("--gzip")
        first = self.top()
        layer = json.loads(self.get(first[0]))["layers"][0]
        self.assertEqual(layer["mediaType"], LAYER + "+gzip")
        self.assertEqual(gzip.decompress(self.get(layer)), tar)
        self.layers("--gzip")
        self.assertEqual(self.top(), first)

    def test_indexes_are_followed_and_keep_platforms_and_annotations(self):
        shared = (tar_of({"a": b"1" * 9999}), "")
        first = self.image(shared, platform={"architecture": "arm", "os": "linux", "variant": "v6"})
        second = self.image(shared, (tar_of({"b": b"2"}), ""), platform={"architecture": "arm", "os": "linux", "variant": "v7"})
        nested = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [first, second], "annotations": {"t": "u"}}
        self.index(self.put(nested, INDEX, annotations={"org.opencontainers.image.ref.name": "latest"}))
        self.layers()
        [top] = self.top()
        self.assertEqual(top["annotations"], {"org.opencontainers.image.ref.name": "latest"})
        index = json.loads(self.get(top))
        self.assertEqual(index["annotations"], {"t": "u"})
        self.assertEqual([each["platform"]["variant"] for each in index["manifests"]], ["v6", "v7"])
        one, two = (json.loads(self.get(each))["layers"] for each in index["manifests"])
        self.assertEqual(one[0], two[0])

    def test_nothing_is_left_over(self):
        tar = tar_of({"a": b"1" * 9999})
        self.index(self.image((tar, "+gzip")))
        self.layers()
        manifest = json.loads(self.get(self.top()[0]))
        named = {self.top()[0]["digest"], manifest["config"]["digest"], *(each["digest"] for each in manifest["layers"])}
        self.assertEqual({f"sha256:{path.name}" for path in self.blobs.iterdir()}, named)
        self.assertEqual({path.name for path in self.layout.iterdir()}, {"blobs", "index.json", "oci-layout"})

    def test_a_small_layer_asks_for_a_small_window_and_a_large_one_for_what_was_said(self):
        small, large = tar_of({"a": b"1" * 9999}), tar_of({"a": bytes(range(256)) * 40000})
        self.index(self.image((small, ""), (large, "")))
        self.layers("--window", "23", "--level", "3")
        small_layer, large_layer = json.loads(self.get(self.top()[0]))["layers"]
        self.assertEqual(frame_window(self.get(small_layer)), len(small))
        self.assertEqual(frame_window(self.get(large_layer)), 1 << 23)

    def test_a_wrong_diff_id_is_refused_and_the_layout_stays(self):
        self.index(self.image((tar_of({"a": b"1"}), "+gzip"), diff_ids=[sha(b"something else")]))
        before = self.files()
        self.assertIn("does not contain what its diff_id says", self.layers(code=1))
        self.assertEqual(self.files(), before)

    def test_a_damaged_blob_is_refused(self):
        self.index(self.image((tar_of({"a": b"1"}), "")))
        layer = json.loads(self.get(self.top()[0]))["layers"][0]
        (self.blobs / layer["digest"][7:]).write_bytes(tar_of({"a": b"2"}))
        self.assertIn("have another digest", self.layers(code=1))

    def test_a_digest_that_is_a_path_is_refused(self):
        self.index({"mediaType": MANIFEST, "digest": "sha256:../../../../etc/passwd", "size": 1})
        self.assertIn("not a sha256 digest", self.layers(code=1))

    def test_attestations_keep_their_layers(self):
        layer = self.put({"predicate": {}}, "application/vnd.in-toto+json")
        config = self.put({"rootfs": {"diff_ids": [layer["digest"]]}}, CONFIG)
        content = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        self.index(self.put(content, MANIFEST))
        self.layers()
        manifest = json.loads(self.get(self.top()[0]))
        self.assertEqual(manifest["layers"], [layer])
        self.get(layer)

    def test_the_cache_gives_the_same_layer_and_is_not_trusted(self):
        def fresh():
            for path in self.blobs.iterdir():
                path.unlink()
            self.index(self.image((tar_of({"a": b"1" * 9999}), "")))

        fresh()
        self.layers("--cache", self.root / "cache")
        first = self.top()
        [kept] = (self.root / "cache").iterdir()
        fresh()
        kept.write_bytes(run("zstd", "-qc", "-1", stdin=run("zstd", "-dqc", stdin=kept.read_bytes())))
        self.layers("--cache", self.root / "cache")
        self.assertNotEqual(self.top(), first, "the cache was not used")
        fresh()
        kept.write_bytes(run("zstd", "-qc", stdin=tar_of({"a": b"bad"})))
        self.assertIn("damaged", self.layers("--cache", self.root / "cache"))
        self.assertEqual(self.top(), first)


if __name__ == "__main__":
    unittest.main()
