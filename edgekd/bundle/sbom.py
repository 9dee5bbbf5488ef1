"""A CycloneDX bill of what made a bundle: packages with versions and licences, the data, what came from outside.

It follows https://cyclonedx.org/docs/1.6/json/ and has no time and nothing random: the same run gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from edgekd.bundle.making import Making, Package
from edgekd.bundle.manifest import Licence, Manifest

NAME = "sbom.cdx.json"
Component = Mapping[str, Any]


def sbom(made: Making, manifest: Manifest) -> bytes:
    """The bill as JSON."""
    subject = {
        "type": "machine-learning-model",
        "bom-ref": "bundle",
        "name": manifest.name,
        "version": _short(manifest),
    }
    components = [*_materials(made), *_licensed(manifest), *(_package(each) for each in made.packages)]
    tool = {"type": "application", "name": "edgekd", "version": made.edgekd_version}
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"tools": {"components": [tool]}, "component": {**subject, "version": _short(manifest)}},
        "components": components,
        "dependencies": [{"ref": "bundle", "dependsOn": [each["bom-ref"] for each in components]}],
    }
    number = uuid.UUID(bytes=hashlib.sha256(_text(bill)).digest()[:16], version=4)  # told by the content, not drawn
    return _text({**bill, "serialNumber": f"urn:uuid:{number}"})


def _text(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _short(manifest: Manifest) -> str:
    """A version for what has none: the models' digests, cut."""
    return hashlib.sha256("".join(each.sha256 for each in manifest.models).encode()).hexdigest()[:12]


def _materials(made: Making) -> Iterator[Component]:
    """The data, the files that asked for the build, and what its steps took from outside."""
    yield {
        "type": "data",
        "bom-ref": "data",
        "name": made.data_title,
        "properties": [{"name": "edgekd:digest", "value": made.data_digest}],
    }
    for role, source in (("pipeline", made.pipeline), ("device", made.device)):
        yield _digested("file", f"{role}/{source.name}", source.name, source.sha256)
    for each in made.materials:
        kind = "machine-learning-model" if each.what == "weights" else "file"
        yield _digested(kind, f"{each.step}/{each.what}/{each.sha256[:12]}", f"{each.what} of {each.step}", each.sha256)


def _digested(kind: str, ref: str, name: str, sha256: str) -> Component:
    return {"type": kind, "bom-ref": ref, "name": name, "hashes": [{"alg": "SHA-256", "content": sha256}]}


def _licensed(manifest: Manifest) -> Iterator[Component]:
    """Teacher, data, tokenizer and code, as the manifest has their licences."""
    for number, each in enumerate(manifest.licences):
        yield {
            "type": "data" if each.part == "data" else "file",
            "bom-ref": f"licence/{number}",
            "name": each.name,
            "description": each.part,
            "licenses": [{"license": {"name": _named(each)}}],
        }


def _named(each: Licence) -> str:
    return each.terms or "unknown"


def _package(each: Package) -> Component:
    purl = f"pkg:pypi/{each.name.lower().replace('_', '-')}@{each.version}"
    told = {"licenses": [{"license": {"name": each.licence}}]} if each.licence else {}
    return {"type": "library", "bom-ref": purl, "name": each.name, "version": each.version, "purl": purl, **told}
