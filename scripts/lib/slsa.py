"""An image → its provenance, version 1 of SLSA (https://slsa.dev/spec/v1.0/provenance)."""

import os

from spdx import purl

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
SOURCE = "git+https://github.com/dbhi/qus"
BUILD_TYPE = "https://github.com/dbhi/qus/blob/main/docs/images.md#provenance"


def predicate(image, asked):
    """What was asked for, what went in, and who built it; the same image gives the same bytes, except where a service built it."""
    revision = image.labels.get("org.opencontainers.image.revision", "")
    source = {"uri": SOURCE}
    if revision.endswith("-modified"):
        source["annotations"] = {"modified": True}
    if revision:
        source["digest"] = {"gitCommit": revision.removesuffix("-modified")}
    went_in = [source]
    packages = [part for part in image.emulators if part.sha256]
    for part in (*image.entrypoint[1:], *packages, *image.tools):
        what = {"uri": purl(part), "name": f"{part.name} {part.version}"}
        if part.sha256:
            what["digest"] = {"sha256": part.sha256}
        if part.kind == "std":
            what["digest"] = {"gitCommit": part.source}
        went_in.append(what)
    run = {"builder": {"id": f"{BUILD_TYPE}-by-hand"}}
    server, workflow = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_WORKFLOW_REF")
    if server and workflow:
        run["builder"]["id"] = f"{server}/{workflow}"
        repository, number, attempt = (os.environ[f"GITHUB_{name}"] for name in ("REPOSITORY", "RUN_ID", "RUN_ATTEMPT"))
        run["metadata"] = {"invocationId": f"{server}/{repository}/actions/runs/{number}/attempts/{attempt}"}
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {**asked, "host": image.host},
            "resolvedDependencies": went_in,
        },
        "runDetails": run,
    }
