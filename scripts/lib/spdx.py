"""An image → its bill of materials in the JSON of SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/)."""

import hashlib
import json
import re
from urllib.parse import quote

NO = "NOASSERTION"
PREDICATE_TYPE = "https://spdx.dev/Document"


def commit_of(part):
    """The commit of qus, where it is known."""
    return part.source.removesuffix("-modified") if part.kind == "qus" and part.source else None


def purl(part):
    """The package URL of a part, or None."""
    version = quote(part.version, safe="")
    match part.kind:
        case "rpm" | "srpm":
            epoch, _, rest = part.version.rpartition(":")
            arch = part.arch or "src"
            return f"pkg:rpm/fedora/{part.name}@{quote(rest, safe='')}?arch={arch}" + (f"&epoch={epoch}" if epoch else "")
        case "crate":
            return f"pkg:cargo/{part.name}@{version}"
        case "deb":
            return f"pkg:deb/debian/{quote(part.name)}@{version}?arch={part.arch}"
        case "source" | "tool":
            return f"pkg:deb/debian/{quote(part.name)}@{version}" + ("?arch=source" if part.kind == "source" else "")
        case "built":
            return f"pkg:generic/{part.name}@{version}?arch={part.arch}"
        case "std":
            return f"pkg:github/rust-lang/rust@{version}"
        case "qus":
            return f"pkg:github/dbhi/qus@{commit_of(part) or 'v' + version}"
    return None


def identifier(part):
    """SPDXRef-…: letters, digits, dots and dashes."""
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{part.kind}-{part.name}-{part.version}")


def package(part):
    """A part as a package."""
    where = f"https://crates.io/api/v1/crates/{part.name}/{part.version}/download" if part.kind == "crate" else NO
    if commit_of(part):
        where = f"git+https://github.com/dbhi/qus@{commit_of(part)}"
    out = {
        "SPDXID": identifier(part),
        "name": part.name,
        "versionInfo": part.version,
        "downloadLocation": where,
        "filesAnalyzed": False,
        "licenseConcluded": NO,
        "licenseDeclared": part.licence or NO,
        "copyrightText": NO,
    }
    if part.sha256 and part.kind != "qus":
        out["checksums"] = [{"algorithm": "SHA256", "checksumValue": part.sha256}]
    notes = [part.note] if part.note else []
    if part.kind in ("deb", "rpm", "built"):
        notes.append(f"built from the source package {part.source}")
    if (part.kind in ("qus", "std")) and part.source:
        notes.append(f"commit {part.source}")
    if notes:
        out["sourceInfo"] = "; ".join(notes)
    out["externalRefs"] = [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl(part)}]
    return out


def document(image, name, created):
    """The document, as text; the same image gives the same bytes."""
    # The verification code is that of section 7.9 of the specification.
    code = hashlib.sha1("".join(sorted(each.sha1 for each in image.files)).encode(), usedforsecurity=False).hexdigest()
    root = {
        "SPDXID": "SPDXRef-image",
        "name": name,
        "versionInfo": image.labels.get("org.opencontainers.image.version", NO),
        "downloadLocation": NO,
        "filesAnalyzed": True,
        "packageVerificationCode": {"packageVerificationCodeValue": code},
        "licenseInfoFromFiles": [NO],
        "licenseConcluded": NO,
        "licenseDeclared": image.labels.get("org.opencontainers.image.licenses", NO),
        "copyrightText": NO,
        "primaryPackagePurpose": "CONTAINER",
        "comment": f"an OCI image for {image.platform}",
    }
    files = [
        {
            "SPDXID": f"SPDXRef-file-{at}",
            "fileName": f"./{each.path}",
            "fileTypes": ["BINARY" if each.path == "qus/register" or ("/qemu-" in each.path and "/doc/" not in each.path) else "TEXT"],
            "checksums": [
                {"algorithm": "SHA1", "checksumValue": each.sha1},
                {"algorithm": "SHA256", "checksumValue": each.sha256},
            ],
            "licenseConcluded": NO,
            "licenseInfoInFiles": [NO],
            "copyrightText": NO,
        }
        for at, each in enumerate(image.files)
    ]
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image")]
    relations += [("SPDXRef-image", "CONTAINS", each["SPDXID"]) for each in files]
    for parts, is_its in ((image.entrypoint, lambda f: f == "./qus/register"), (image.emulators, lambda f: "/bin/qemu-" in f)):
        if parts:
            whole, *linked = parts
            relations.append(("SPDXRef-image", "CONTAINS", identifier(whole)))
            relations += [(each["SPDXID"], "GENERATED_FROM", identifier(whole)) for each in files if is_its(each["fileName"])]
            for part in linked:
                relation = "DEPENDS_ON" if part.kind == "rpm" else "STATIC_LINK"  # Fedora's is cut into several
                if part.kind in ("source", "srpm") and whole.source == f"{part.name}={part.version}":
                    relation = "GENERATED_FROM"
                relations.append((identifier(whole), relation, identifier(part)))
    content = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "creationInfo": {"created": created, "creators": ["Tool: qus-scripts-sbom"]},
        "packages": [root, *(package(each) for each in (*image.entrypoint, *image.emulators))],
        "files": files,
        "relationships": [{"spdxElementId": a, "relationshipType": relation, "relatedSpdxElement": b} for a, relation, b in relations],
    }
    # Unique to the contents, as the specification wants it.
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    content["documentNamespace"] = f"https://github.com/dbhi/qus/sbom/{digest}"
    return content
