"""Run the golden vectors of the INT8 files on an emulated Arm processor, and see what memory they take there."""

from __future__ import annotations

import json
from dataclasses import asdict

from edgekd.artifact import Artifact, Kind
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 2
CONSUMES = ((Kind.GOLDEN,),)
PRODUCES = Kind.EMULATED
LIBRARIES = ("numpy", "onnxruntime", "ai-edge-litert")  # the same versions run on both processors
READS_DATA = False


class Config(Frozen):
    """Which core, by qemu's name."""

    cpu: str


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write how far each file's outputs lie from the golden ones, as JSON."""
    from edgekd.bundle import archive
    from edgekd.bundle.inputs import DRAFT
    from edgekd.bundle.manifest import read
    from edgekd.targets import arm64, arm64_memory, arm64_tools

    root = context.scratch / "bundle"
    for place, content in archive.unpacked(inputs[0].path).items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(content)
    tools = arm64_tools.ready()
    compared = arm64.compare(root, read(root / DRAFT), config.cpu, tools)
    outcomes = [{**asdict(each), "within": each.within.model_dump()} for each in compared]
    memory = [asdict(each) for each in arm64_memory.of_bundle(root, config.cpu, tools)]
    facts = {"cpu": config.cpu, "qemu": tools.qemu_version, "outcomes": outcomes, "measured": memory}
    path = context.scratch / "arm64.json"
    path.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    missed = sum(len(each.found.misses) for each in compared)
    vectors = sum(each.found.vectors for each in compared)
    told = "all within tolerance" if missed == 0 else f"{missed} outputs beyond tolerance"
    return Product(path, {**facts, "summary": f"{vectors} golden vectors on {config.cpu}, {told}"})
