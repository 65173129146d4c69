"""scripts/release/finish-layout, and what it reads out of an image, on layouts made here. Run: python3 tests/unit/test_finish.py"""

import hashlib
import json
import sys
import unittest

sys.dont_write_bytecode = True
from layouts import INDEX, LAYER, SCRIPTS, LayoutTest, run, sha, tar_of

sys.path.insert(0, str(SCRIPTS / "lib"))
import contents
import layout
import slsa
import spdx

PACKAGE = """package: qemu-user
version: 1:1.0+ds-1
architecture: s390x
release: Debian sid
sha256: {}
source: qemu
source-version: 1:1.0+ds-1
built-using: glibc (= 2.43-7), zlib (= 1:1.3-4)
get-the-source: apt-get source --only-source qemu=1:1.0+ds-1
source-is-in: Debian sid (a deb-src line), or a snapshot of it of 20261123
""".format("5" * 64)
S390X, ARM = {"os": "linux", "architecture": "s390x"}, {"os": "linux", "architecture": "arm", "variant": "v6"}


UNPACK = {"+zstd": ("zstd", "-dqc"), "+gzip": ("gzip", "-dc")}


def frame_window(data):
    """The window that a zstd frame asks for, or the size of its contents where it is one segment (RFC 8878, 3.1.1.1)."""
    assert data[:4] == b"\x28\xb5\x2f\xfd"
    if data[4] & 0x20:
        size = 1 << (data[4] >> 6)
        return int.from_bytes(data[5 : 5 + size], "little") + (256 if size == 2 else 0)
    base = 1 << (10 + (data[5] >> 3))
    return base + (base >> 3) * (data[5] & 7)


class FinishTest(LayoutTest):
    def finish(self, code=0):
        """Finish the layout; those made of it are self.outs, by how they are compressed."""
        source = self.layout
        said = self.script("release/finish-layout", "--fast", "--suite", "sid", "--family", "qus", source, self.root / "out", code=code)
        self.outs = {"+zstd": self.root / "out", "+gzip": self.root / "out-gzip"}
        return said

    def each_out(self):
        """Look at each of them in turn: how it is compressed, and its index."""
        for kind, out in self.outs.items():
            self.layout = out
            self.blobs = self.layout / "blobs" / "sha256"
            [top] = self.top()
            yield kind, json.loads(self.get(top))

    def statements(self, image, index):
        """The statements on an image, by the type of what they say."""
        [manifest] = (each for each in index["manifests"] if each.get("annotations", {}).get("vnd.docker.reference.digest") == image["digest"])
        self.assertEqual(manifest["platform"], {"architecture": "unknown", "os": "unknown"})
        manifest = json.loads(self.get(manifest))
        config = json.loads(self.get(manifest["config"]))
        self.assertEqual(config["rootfs"]["diff_ids"], [each["digest"] for each in manifest["layers"]])
        self.assertEqual(manifest["subject"], {key: image[key] for key in ("mediaType", "digest", "size")})
        self.assertEqual(manifest["artifactType"], "application/vnd.docker.attestation.manifest.v1+json")
        found = [json.loads(self.get(each)) for each in manifest["layers"]]
        for statement in found:
            self.assertEqual([each["digest"] for each in statement["subject"]], [{"sha256": image["digest"][7:]}])
        return {each["predicateType"]: each["predicate"] for each in found}

    def two_images(self):
        self.tars = [[tar_of({"a": b"1" * 9999}), tar_of({"b": b"2"})], [tar_of({"a": b"3" * 9999})]]
        images = [self.image(*((tar, "") for tar in tars), config=each, platform=each) for tars, each in zip(self.tars, (S390X, ARM), strict=True)]
        nested = {"schemaVersion": 2, "mediaType": INDEX, "manifests": images, "annotations": {"t": "u"}}
        self.index(self.put(nested, INDEX, annotations={"org.opencontainers.image.ref.name": "latest"}))

    def test_layers_are_compressed_and_have_the_same_contents(self):
        self.two_images()
        self.finish()
        for kind, index in self.each_out():
            self.assertEqual(index["annotations"], {"t": "u"})
            self.assertEqual([each["platform"] for each in index["manifests"][:2]], [S390X, ARM])
            for image, tars in zip(index["manifests"][:2], self.tars, strict=True):
                manifest = json.loads(self.get(image))
                self.assertEqual(manifest["annotations"], {"a": "b"})
                self.assertEqual({each["mediaType"] for each in manifest["layers"]}, {LAYER + kind})
                self.assertEqual([run(*UNPACK[kind], stdin=self.get(each)) for each in manifest["layers"]], tars)
                self.assertEqual(json.loads(self.get(manifest["config"]))["rootfs"]["diff_ids"], [sha(tar) for tar in tars])

    def test_each_image_gets_statements_on_its_digest(self):
        self.two_images()
        self.finish()
        for _, index in self.each_out():
            self.assertEqual(len(index["manifests"]), 4)
            for image, tars in zip(index["manifests"][:2], self.tars, strict=True):
                said = self.statements(image, index)
                self.assertEqual(set(said), {spdx.PREDICATE_TYPE, slsa.PREDICATE_TYPE})
                self.assertEqual(len(said[spdx.PREDICATE_TYPE]["files"]), len(tars))

    def test_nothing_is_left_over(self):
        self.two_images()
        self.finish()
        for _, index in self.each_out():
            named = {self.top()[0]["digest"]}
            for each in index["manifests"]:
                manifest = json.loads(self.get(each))
                named |= {part["digest"] for part in (each, manifest["config"], *manifest["layers"])}
            self.assertEqual({f"sha256:{path.name}" for path in self.blobs.iterdir()}, named)
            self.assertEqual({path.name for path in self.layout.iterdir()}, {"blobs", "index.json", "oci-layout"})

    def test_an_image_alone_becomes_an_index(self):
        self.index(self.image((tar_of({"a": b"1"}), ""), config=ARM))
        self.finish()
        for _, index in self.each_out():
            self.assertEqual(index["annotations"], {"a": "b"})
            self.assertEqual(index["manifests"][0]["platform"], ARM)
            self.statements(index["manifests"][0], index)

    def test_the_same_images_give_the_same_bytes(self):
        self.two_images()
        source = self.layout
        self.finish()
        first = [self.files() for _ in self.each_out()]
        self.layout = source
        for out in self.outs.values():
            out.rename(f"{out}-first")
        self.finish()
        again = [self.files() for _ in self.each_out()]
        self.assertEqual([set(each.values()) for each in again], [set(each.values()) for each in first])

    def test_a_small_layer_asks_for_a_small_window_and_a_large_one_for_32_mib(self):
        small, large = tar_of({"a": b"1" * 9999}), tar_of({"a": bytes(range(256)) * 160000})
        self.index(self.image((small, ""), (large, "")))
        self.finish()
        _, index = next(self.each_out())
        small_layer, large_layer = json.loads(self.get(index["manifests"][0]))["layers"]
        self.assertEqual(frame_window(self.get(small_layer)), len(small))
        self.assertEqual(frame_window(self.get(large_layer)), 1 << 25)

    def refused(self, words):
        self.assertIn(words, self.finish(code=1))
        self.assertFalse((self.root / "out" / "index.json").exists())

    def test_a_wrong_diff_id_is_refused(self):
        self.index(self.image((tar_of({"a": b"1"}), ""), diff_ids=[sha(b"something else")]))
        self.refused("are not what diff_ids say")

    def test_a_compressed_layer_is_refused(self):
        self.index(self.image((tar_of({"a": b"1"}), "+gzip")))
        self.refused("is compressed")

    def test_a_damaged_blob_is_refused(self):
        self.index(self.image((tar_of({"a": b"1"}), "")))
        layer = json.loads(self.get(self.top()[0]))["layers"][0]
        (self.blobs / layer["digest"][7:]).write_bytes(tar_of({"a": b"2"}))
        self.refused("have another digest")

    def test_a_digest_that_is_a_path_is_refused(self):
        self.index({"mediaType": INDEX, "digest": "sha256:../../../../etc/passwd", "size": 1})
        self.refused("not a sha256 digest")


class ContentsTest(LayoutTest):
    def setUp(self):
        super().setUp()
        (self.root / "manifests").mkdir()
        (self.root / "manifests/hosts").write_text("# HOST\n\ns390x s390x s390x-unknown-linux-musl 64-big-22 linux/s390x\n")
        self.linked = self.root / "target/dist/s390x/linked"
        self.linked.parent.mkdir(parents=True)
        self.note(b"program")

    def note(self, program):
        """What scripts/build-entrypoint says of that program."""
        digest = hashlib.sha256(program).hexdigest()
        rows = [f"qus qus 0.1.0 {digest} {'c' * 40} Apache-2.0", f"crate nix 0.31.3 {'a' * 64} - MIT", "tool rustc 1.96 - rustc=1.96 -"]
        self.linked.write_text("\n".join(rows) + "\n")

    def contents(self, files):
        image = self.image((tar_of(files), ""))
        self.index(image)
        opened = layout.Layout(self.layout)
        [found] = opened.index()["manifests"]
        return contents.image(opened, opened.read(found["digest"]), self.root)

    def test_files_and_parts_are_told(self):
        files = {"qus/register": b"program", "qus/bin/qemu-arm-static": b"qemu", "qus/licences/package": PACKAGE.encode()}
        found = self.contents(files)
        self.assertEqual({each.path: each.sha256 for each in found.files}, {path: hashlib.sha256(data).hexdigest() for path, data in files.items()})
        self.assertEqual([each.name for each in found.entrypoint], ["qus", "nix"])
        self.assertEqual([each.name for each in found.tools], ["rustc"])
        self.assertEqual(
            [f"{each.kind} {each.name} {each.version}" for each in found.emulators],
            ["deb qemu-user 1:1.0+ds-1", "source qemu 1:1.0+ds-1", "source glibc 2.43-7", "source zlib 1:1.3-4"],
        )
        relations = {(each["spdxElementId"], each["relationshipType"], each["relatedSpdxElement"]) for each in spdx.document(found, "n", "c")["relationships"]}
        qemu = "SPDXRef-deb-qemu-user-1-1.0-ds-1"
        self.assertLessEqual(
            {
                ("SPDXRef-qus-qus-0.1.0", "STATIC_LINK", "SPDXRef-crate-nix-0.31.3"),
                (qemu, "GENERATED_FROM", "SPDXRef-source-qemu-1-1.0-ds-1"),
                (qemu, "STATIC_LINK", "SPDXRef-source-glibc-2.43-7"),
                ("SPDXRef-file-0", "GENERATED_FROM", qemu),
            },
            relations,
        )

    def test_emulators_of_fedora_are_several_packages(self):
        (self.root / "manifests/fedora").write_text("# HOST\ns390x 44 s390x-at-fedora\n")
        said = PACKAGE.replace("qemu-user\n", "qemu-user-static\n").replace("Debian sid\n", "Fedora 44\n")
        said = said.replace("architecture: s390x", "architecture: s390x-at-fedora").replace("1:1.0+ds-1", "2:1.0-1.fc44")
        said = said.replace("sha256: ", "rpm: qemu-user-static-arm ").replace("glibc (= 2.43-7), zlib (= 1:1.3-4)", "who knows")
        found = self.contents({"qus/bin/qemu-arm-static": b"qemu", "qus/licences/package": said.encode()})
        self.assertEqual(
            [f"{each.kind} {each.name} {each.version}" for each in found.emulators],
            ["rpm qemu-user-static 2:1.0-1.fc44", "srpm qemu 2:1.0-1.fc44", "rpm qemu-user-static-arm 2:1.0-1.fc44"],
        )
        document = spdx.document(found, "n", "c")
        relations = {(each["spdxElementId"], each["relationshipType"], each["relatedSpdxElement"]) for each in document["relationships"]}
        whole = "SPDXRef-rpm-qemu-user-static-2-1.0-1.fc44"
        self.assertLessEqual(
            {
                (whole, "GENERATED_FROM", "SPDXRef-srpm-qemu-2-1.0-1.fc44"),
                (whole, "DEPENDS_ON", "SPDXRef-rpm-qemu-user-static-arm-2-1.0-1.fc44"),
            },
            relations,
        )
        [arm] = (each for each in document["packages"] if each["name"] == "qemu-user-static-arm")
        self.assertEqual(arm["checksums"], [{"algorithm": "SHA256", "checksumValue": "5" * 64}])
        self.assertEqual(arm["externalRefs"][0]["referenceLocator"], "pkg:rpm/fedora/qemu-user-static-arm@1.0-1.fc44?arch=s390x-at-fedora&epoch=2")
        went_in = slsa.predicate(found, {})["buildDefinition"]["resolvedDependencies"]
        self.assertIn({"sha256": "5" * 64}, [each.get("digest") for each in went_in])

    def test_emulators_built_from_source_are_of_that_source(self):
        said = PACKAGE.replace("qemu-user\n", "qemu-user-lean\n").replace("sha256: ", "recipe: build-emulators\nsource-sha256: ")
        said += "built-with: gcc-14-cross (= 1), binutils (= 2.44-3)\n"
        found = self.contents({"qus/bin/qemu-arm-static": b"qemu", "qus/licences/package": said.encode()})
        self.assertEqual(
            [f"{each.kind} {each.name} {each.version} {each.sha256}" for each in found.emulators],
            [
                "built qemu-user-lean 1:1.0+ds-1 None",
                f"source qemu 1:1.0+ds-1 {'5' * 64}",
                "source glibc 2.43-7 None",
                "source zlib 1:1.3-4 None",
            ],
        )
        self.assertEqual([f"{each.name} {each.version}" for each in found.tools], ["gcc-14-cross 1", "binutils 2.44-3"])
        document = spdx.document(found, "n", "c")
        relations = {(each["spdxElementId"], each["relationshipType"], each["relatedSpdxElement"]) for each in document["relationships"]}
        whole, source = "SPDXRef-built-qemu-user-lean-1-1.0-ds-1", "SPDXRef-source-qemu-1-1.0-ds-1"
        self.assertLessEqual({(whole, "GENERATED_FROM", source), ("SPDXRef-file-0", "GENERATED_FROM", whole)}, relations)
        [qemu] = (each for each in document["packages"] if each["SPDXID"] == source)
        self.assertEqual(qemu["checksums"], [{"algorithm": "SHA256", "checksumValue": "5" * 64}])
        went_in = slsa.predicate(found, {})["buildDefinition"]["resolvedDependencies"]
        self.assertEqual([each["name"] for each in went_in[1:]], ["qemu 1:1.0+ds-1", "gcc-14-cross 1", "binutils 2.44-3"])

    def test_an_entrypoint_of_another_build_is_refused(self):
        self.note(b"another program")
        with self.assertRaisesRegex(layout.Refused, "of another entrypoint"):
            self.contents({"qus/register": b"program"})

    def test_emulators_from_nowhere_or_for_another_host_are_refused(self):
        with self.assertRaisesRegex(layout.Refused, "does not say where they come from"):
            self.contents({"usr/bin/qemu-arm-static": b"qemu"})
        with self.assertRaisesRegex(layout.Refused, "emulators for arm64"):
            self.contents({"qus/licences/package": PACKAGE.replace("architecture: s390x", "architecture: arm64").encode()})

    def test_a_commit_with_changes_is_no_digest(self):
        found = self.contents({})
        for revision, digest in (("c" * 40, {"gitCommit": "c" * 40}), ("", None)):
            found.labels = {"org.opencontainers.image.revision": revision}
            self.assertEqual(slsa.predicate(found, {})["buildDefinition"]["resolvedDependencies"][0].get("digest"), digest)
        found.labels = {"org.opencontainers.image.revision": "c" * 40 + "-modified"}
        self.assertEqual(slsa.predicate(found, {})["buildDefinition"]["resolvedDependencies"][0]["annotations"], {"modified": True})


if __name__ == "__main__":
    unittest.main()
