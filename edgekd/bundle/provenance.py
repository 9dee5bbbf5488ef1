"""Where a bundle comes from, as an in-toto Statement v1 with SLSA provenance v1.

See https://in-toto.io/Statement/v1 and https://slsa.dev/spec/v1.0/provenance. It has no time: the same run gives the
same bytes. Whoever needs proof of who made it signs the checksums, in which this file is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from edgekd.bundle.making import Making
from edgekd.bundle.manifest import Place

NAME = "provenance.intoto.json"
BUILD_TYPE = "urn:edgekd:build:v1"
BUILDER = "urn:edgekd"


def provenance(made: Making, files: Mapping[Place, bytes]) -> bytes:
    """The statement about ``files``, all others of the bundle."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [_described(name, hashlib.sha256(files[name]).hexdigest()) for name in sorted(files)],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": _definition(made), "runDetails": _details(made)},
    }
    return (json.dumps(statement, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _definition(made: Making) -> Mapping[str, Any]:
    sources = {"pipeline": made.pipeline, "device": made.device}
    return {
        "buildType": BUILD_TYPE,
        "externalParameters": {
            **{role: _described(each.name, each.sha256) for role, each in sources.items()},
            "seed": made.seed,
        },
        "internalParameters": {"python": made.python, "platform": made.platform},
        "resolvedDependencies": [*_dependencies(made)],
    }


def _dependencies(made: Making) -> Iterator[Mapping[str, Any]]:
    """The data, what steps took from outside, and the packages that ran."""
    yield {"name": made.data_title, "annotations": {"role": "data", "digest": made.data_digest}}
    for each in made.materials:
        yield {**_described(f"{each.what} of {each.step}", each.sha256), "annotations": {"role": each.what}}
    for package in made.packages:
        yield {"name": package.name, "uri": f"pkg:pypi/{package.name.lower().replace('_', '-')}@{package.version}"}


def _details(made: Making) -> Mapping[str, Any]:
    """What ran, and what each of its steps made on the way."""
    steps = [
        {**_described(each.name, each.sha256), "annotations": {"made_by": each.made_by, "inputs": list(each.inputs)}}
        for each in made.steps
    ]
    return {"builder": {"id": BUILDER, "version": {"edgekd": made.edgekd_version}}, "byproducts": steps}


def _described(name: str, sha256: str) -> Mapping[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}}
