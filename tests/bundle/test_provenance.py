"""The bill of what made a bundle, held against CycloneDX's own schema, and the statement of where it comes from."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import cyclonedx.schema
import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from edgekd.bundle import manifest
from edgekd.bundle.closure import closure
from edgekd.bundle.making import Making, Material, Package, Source, Step
from edgekd.bundle.manifest import Licence, Manifest
from edgekd.bundle.provenance import provenance
from edgekd.bundle.sbom import sbom

DIGEST = hashlib.sha256(b"x").hexdigest()
MADE = Making(
    edgekd_version="0.1.0",
    python="3.11.7",
    platform="Linux x86_64",
    pipeline=Source(name="default.toml", sha256=DIGEST, text=""),
    device=Source(name="pixel8.toml", sha256=DIGEST, text=""),
    seed=7,
    data_title="Schönes Bild, \N{GRINNING FACE}",
    data_digest=f"{DIGEST}:500",
    materials=(Material(step="teacher", what="weights", sha256=DIGEST),),
    steps=(Step(name="teacher", made_by="teacher 3", key="k", sha256=DIGEST, inputs=()),),
    packages=(
        Package(name="Torch_Pruning", version="1.6.1", licence="MIT"),
        Package(name="x", version="1", licence=""),
    ),
)
RESOURCES = Path(cyclonedx.schema.__file__).parent / "_res"


@pytest.fixture
def told(whole: Path) -> Manifest:
    made = manifest.read(whole / "manifest.json")
    licence = Licence(part="data", name="Fashion-MNIST", terms="MIT", source="its authors", file=None)
    return made.model_copy(update={"licences": (licence,)})


@cache
def validator() -> Draft7Validator:
    names = ("bom-1.6", "spdx", "jsf-0.82", "cryptography-defs")
    found = [
        json.loads(path.read_text()) for name in names if (path := RESOURCES / f"{name}.SNAPSHOT.schema.json").is_file()
    ]
    registry: Registry[Any] = Registry().with_resources(
        (each["$id"], Resource.from_contents(each)) for each in found if "$id" in each
    )
    return Draft7Validator(found[0], registry=registry)


def test_the_bill_follows_the_schema_of_cyclonedx(told: Manifest) -> None:
    bill = json.loads(sbom(MADE, told))
    assert [error.message for error in validator().iter_errors(bill)] == []
    assert list(validator().iter_errors({**bill, "specVersion": 1}))  # the schema does refuse something


def test_the_bill_has_packages_data_teacher_and_licences(told: Manifest) -> None:
    bill = json.loads(sbom(MADE, told))
    by_name = {each["name"]: each for each in bill["components"]}
    assert by_name["Torch_Pruning"]["purl"] == "pkg:pypi/torch-pruning@1.6.1"
    assert by_name["Torch_Pruning"]["licenses"] == [{"license": {"name": "MIT"}}]
    assert "licenses" not in by_name["x"]
    assert by_name["weights of teacher"]["hashes"] == [{"alg": "SHA-256", "content": DIGEST}]
    assert by_name[MADE.data_title]["properties"][0]["value"] == MADE.data_digest
    assert by_name["Fashion-MNIST"]["licenses"] == [{"license": {"name": "MIT"}}]
    refs = [each["bom-ref"] for each in bill["components"]]
    assert len(refs) == len(set(refs))


def test_the_same_run_gives_the_same_bill_and_another_run_another_number(told: Manifest) -> None:
    assert sbom(MADE, told) == sbom(MADE, told)
    other = MADE.model_copy(update={"seed": 8, "data_digest": "0"})
    assert json.loads(sbom(MADE, told))["serialNumber"] != json.loads(sbom(other, told))["serialNumber"]


def test_the_statement_names_every_file_and_what_it_was_made_of() -> None:
    files = {"b": b"2", "a": b"1"}
    statement = json.loads(provenance(MADE, files))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert [(each["name"], each["digest"]["sha256"]) for each in statement["subject"]] == [
        (name, hashlib.sha256(files[name]).hexdigest()) for name in ("a", "b")
    ]
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["seed"] == 7
    assert definition["externalParameters"]["pipeline"] == {"name": "default.toml", "digest": {"sha256": DIGEST}}
    names = [each["name"] for each in definition["resolvedDependencies"]]
    assert names == [MADE.data_title, "weights of teacher", "Torch_Pruning", "x"]
    assert provenance(MADE, files) == provenance(MADE, dict(reversed(files.items())))


def test_the_closure_has_what_is_needed_and_nothing_else() -> None:
    found = {each.name for each in closure(distributions(), "rich")}
    assert found == {"rich", "markdown-it-py", "mdurl", "Pygments"}


def test_the_closure_of_what_is_not_installed_is_everything() -> None:
    installed: list[Distribution] = list(distributions())
    assert len(closure(installed, "no-such-package")) == len({each.name for each in installed})
