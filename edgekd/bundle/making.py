"""Making: what made a run, kept beside its report: the files that asked for it, versions, digests, steps."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal

from edgekd import __version__
from edgekd.bundle.closure import closure
from edgekd.evidence import Findings
from edgekd.toml_file import Frozen

NAME = "made/making.json"  # in the run folder


class Package(Frozen):
    """An installed distribution that edgekd needs, directly or not."""

    name: str
    version: str
    licence: str  # as its metadata say it; '' where they don't


class Source(Frozen):
    """A file that asked for the build, with its text: without the folder it lies in, which is nobody's business."""

    name: str
    sha256: str
    text: str


class Material(Frozen):
    """What a step took from outside."""

    step: str
    what: str  # weights, code, source …
    sha256: str


class Step(Frozen):
    """What a step made, from which steps' artifacts."""

    name: str
    made_by: str  # stage and its version
    key: str
    sha256: str
    inputs: tuple[str, ...]  # SHA-256 of each


class Making(Frozen):
    """made/making.json."""

    format_version: Literal[1] = 1
    edgekd_version: str
    python: str
    platform: str
    pipeline: Source
    device: Source
    seed: int
    data_title: str
    data_digest: str
    materials: tuple[Material, ...]
    steps: tuple[Step, ...]
    packages: tuple[Package, ...]


def making(found: Findings) -> Making:
    """What made the artifacts of a build."""
    plan = found.plan
    return Making(
        edgekd_version=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        pipeline=_source(plan.pipeline.path),
        device=_source(plan.device.path),
        seed=plan.pipeline.seed,
        data_title=str(found.tested["data"]),
        data_digest=plan.data.digest,
        materials=tuple(dict.fromkeys(each for node in plan.nodes for each in _materials(node.name, node.config))),
        steps=tuple(
            Step(name=name, made_by=each.made_by, key=each.key, sha256=each.sha256, inputs=each.inputs)
            for name, each in found.artifacts.items()
        ),
        packages=_packages(),
    )


def _source(path: Path) -> Source:
    content = path.read_bytes()
    return Source(name=path.name, sha256=hashlib.sha256(content).hexdigest(), text=content.decode("utf-8"))


def _materials(step: str, config: Any) -> Iterator[Material]:
    """The digests among a step's options: 'sha256' and 'weights_sha256'."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if name.endswith("sha256") and isinstance(value, str):
            yield Material(step=step, what=name.removesuffix("sha256").rstrip("_") or "source", sha256=value)


def _packages() -> tuple[Package, ...]:
    found = {}
    for each in closure(distributions()):
        told = each.metadata  # read and parsed at each access, as for each.name
        licence = next((told[name] for name in ("License-Expression", "License") if name in told), "")
        found[told["Name"]] = Package(name=told["Name"], version=told["Version"], licence=licence.split("\n")[0][:100])
    return tuple(found[name] for name in sorted(found, key=str.lower))
