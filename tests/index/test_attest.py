"""scripts/release/attest, and what scripts/release/write-sbom reads out of an image, on layouts made here. Run: python3 tests/index/test_attest.py"""

import hashlib
import json
import sys
import unittest

sys.dont_write_bytecode = True
from layouts import INDEX, SCRIPTS, LayoutTest, tar_of

sys.path.insert(0, str(SCRIPTS / "lib"))
import contents
import layout
import slsa
import spdx

PACKAGE = """package: qemu-user
version: 1:1.0+ds-1
architecture: s390x
suite: Debian sid
sha256: {}
source: qemu
source-version: 1:1.0+ds-1
built-using: glibc (= 2.43-7), zlib (= 1:1.3-4)
get-the-source: apt-get source --only-source qemu=1:1.0+ds-1
source-is-in: Debian sid (a deb-src line), or a snapshot of it of 20261123
""".format("5" * 64)
S390X, ARM = {"os": "linux", "architecture": "s390x"}, {"os": "linux", "architecture": "arm", "variant": "v6"}


class AttestTest(LayoutTest):
    def facts(self, *images):
        """A folder of predicates, as scripts/release/write-sbom leaves it."""
        for image in images:
            config = json.loads(self.get(image))["config"]["digest"]
            folder = self.root / "facts" / config.replace(":", "-")
            folder.mkdir(parents=True)
            for name in ("spdx.json", "provenance.json"):
                (folder / name).write_text(json.dumps({"about": config, "in": name}))

    def attest(self, code=0):
        return self.script("release/attest", self.layout, self.root / "facts", code=code)

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
        first = self.image((tar_of({"a": b"1" * 9999}), ""), config=S390X, platform=S390X)
        second = self.image((tar_of({"a": b"2" * 9999}), ""), config=ARM, platform=ARM)
        nested = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [first, second], "annotations": {"t": "u"}}
        self.index(self.put(nested, INDEX, annotations={"org.opencontainers.image.ref.name": "latest"}))
        self.facts(first, second)

    def test_each_image_of_an_index_gets_statements_on_its_digest(self):
        self.two_images()
        self.attest()
        [top] = self.top()
        self.assertEqual(top["annotations"], {"org.opencontainers.image.ref.name": "latest"})
        index = json.loads(self.get(top))
        self.assertEqual(index["annotations"], {"t": "u"})
        self.assertEqual([each["platform"] for each in index["manifests"][:2]], [S390X, ARM])
        self.assertEqual(len(index["manifests"]), 4)
        for image in index["manifests"][:2]:
            said = self.statements(image, index)
            self.assertEqual(set(said), {spdx.PREDICATE_TYPE, slsa.PREDICATE_TYPE})
            config = json.loads(self.get(image))["config"]["digest"]
            self.assertEqual(said[spdx.PREDICATE_TYPE], {"about": config, "in": "spdx.json"})

    def test_what_is_known_of_an_image_holds_however_its_layers_are_compressed(self):
        self.two_images()
        self.script("release/compress-layers", self.layout)
        self.attest()
        index = json.loads(self.get(self.top()[0]))
        self.assertEqual([len(self.statements(image, index)) for image in index["manifests"][:2]], [2, 2])

    def test_an_image_alone_becomes_an_index(self):
        image = self.image((tar_of({"a": b"1"}), ""), config=ARM, annotations={"org.opencontainers.image.ref.name": "latest"})
        self.index(image)
        self.facts(image)
        self.attest()
        [top] = self.top()
        self.assertEqual((top["mediaType"], top["annotations"]), (INDEX, {"org.opencontainers.image.ref.name": "latest"}))
        index = json.loads(self.get(top))
        self.assertEqual(index["annotations"], {"a": "b"})
        self.assertEqual((index["manifests"][0]["platform"], index["manifests"][0]["digest"]), (ARM, image["digest"]))
        self.statements(image, index)

    def test_doing_it_again_changes_nothing(self):
        self.two_images()
        self.attest()
        first = self.files()
        self.attest()
        self.assertEqual(self.files(), first)

    def test_an_image_of_which_nothing_is_known_is_refused_and_the_layout_stays(self):
        self.two_images()
        folder = next((self.root / "facts").iterdir())
        for path in folder.iterdir():
            path.unlink()
        before = self.top()
        self.assertIn("nothing is known of", self.attest(code=1))
        self.assertEqual(self.top(), before)


class ContentsTest(LayoutTest):
    def setUp(self):
        super().setUp()
        (self.root / "manifests").mkdir()
        (self.root / "manifests/hosts").write_text("# HOST\n\ns390x s390x s390x-unknown-linux-musl linux/s390x\n")
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
        [(_, manifest)] = opened.images()
        return contents.image(opened, manifest, self.root)

    def test_files_and_parts_are_told(self):
        files = {"qus/register": b"program", "qus/bin/qemu-arm-static": b"qemu", "qus/licences/package": PACKAGE.encode()}
        found = self.contents(files)
        self.assertEqual({each.path: each.sha256 for each in found.files}, {path: hashlib.sha256(data).hexdigest() for path, data in files.items()})
        self.assertEqual([each.name for each in found.entrypoint], ["qus", "nix"])
        self.assertEqual([each.name for each in found.tools], ["rustc"])
        self.assertEqual([f"{each.kind} {each.name} {each.version}" for each in found.emulators],
            ["deb qemu-user 1:1.0+ds-1", "source qemu 1:1.0+ds-1", "source glibc 2.43-7", "source zlib 1:1.3-4"])
        relations = {(each["spdxElementId"], each["relationshipType"], each["relatedSpdxElement"]) for each in spdx.document(found, "n", "c")["relationships"]}
        qemu = "SPDXRef-deb-qemu-user-1-1.0-ds-1"
        self.assertLessEqual({
            ("SPDXRef-qus-qus-0.1.0", "STATIC_LINK", "SPDXRef-crate-nix-0.31.3"),
            (qemu, "GENERATED_FROM", "SPDXRef-source-qemu-1-1.0-ds-1"),
            (qemu, "STATIC_LINK", "SPDXRef-source-glibc-2.43-7"),
            ("SPDXRef-file-0", "GENERATED_FROM", qemu),
        }, relations)

    def test_emulators_of_fedora_are_several_packages(self):
        (self.root / "manifests/fedora").write_text("# HOST\ns390x 44 s390x-at-fedora\n")
        said = PACKAGE.replace("qemu-user\n", "qemu-user-static\n").replace("Debian sid\n", "Fedora 44\n")
        said = said.replace("architecture: s390x", "architecture: s390x-at-fedora").replace("1:1.0+ds-1", "2:1.0-1.fc44")
        said = said.replace("sha256: ", "rpm: qemu-user-static-arm ").replace("glibc (= 2.43-7), zlib (= 1:1.3-4)", "who knows")
        found = self.contents({"qus/bin/qemu-arm-static": b"qemu", "qus/licences/package": said.encode()})
        self.assertEqual([f"{each.kind} {each.name} {each.version}" for each in found.emulators],
            ["rpm qemu-user-static 2:1.0-1.fc44", "srpm qemu 2:1.0-1.fc44", "rpm qemu-user-static-arm 2:1.0-1.fc44"])
        document = spdx.document(found, "n", "c")
        relations = {(each["spdxElementId"], each["relationshipType"], each["relatedSpdxElement"]) for each in document["relationships"]}
        whole = "SPDXRef-rpm-qemu-user-static-2-1.0-1.fc44"
        self.assertLessEqual({
            (whole, "GENERATED_FROM", "SPDXRef-srpm-qemu-2-1.0-1.fc44"),
            (whole, "DEPENDS_ON", "SPDXRef-rpm-qemu-user-static-arm-2-1.0-1.fc44"),
        }, relations)
        [arm] = (each for each in document["packages"] if each["name"] == "qemu-user-static-arm")
        self.assertEqual(arm["checksums"], [{"algorithm": "SHA256", "checksumValue": "5" * 64}])
        self.assertEqual(arm["externalRefs"][0]["referenceLocator"],
            "pkg:rpm/fedora/qemu-user-static-arm@1.0-1.fc44?arch=s390x-at-fedora&epoch=2")
        went_in = slsa.predicate(found, {})["buildDefinition"]["resolvedDependencies"]
        self.assertIn({"sha256": "5" * 64}, [each.get("digest") for each in went_in])

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
