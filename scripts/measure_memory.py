"""Measure the peak memory of model files on this machine, as rows for ``scripts/fit_memory.py``.

    OMP_NUM_THREADS=1 python scripts/measure_memory.py [FAMILY=FOLDER ...]

Without folders it makes networks with random weights (convolutions, dense layers, tables of tokens), in both formats,
float and INT8. With them it measures every .onnx and .tflite file below each, as rows of that family. Files that are
there already, with that number of tokens, are left out. The rows go to ``scripts/data/host_memory_rows.csv``.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from memory_rows import ROWS, Row, read, write

from edgekd import device, targets
from edgekd.errors import EdgekdError
from edgekd.profile import made_inputs
from edgekd.profile.measurement import Measurement
from edgekd.profile.rules import Plan
from edgekd.runtimes import for_file
from edgekd.runtimes.asked import asked
from edgekd.targets.base import Subject
from edgekd.targets.memory import work_of

FORMATS = (".onnx", ".tflite")
TOKENS = (16, 128)  # for files that take any number
RUNS = Plan(min_runs=4, min_seconds=0)
CONVS = ((32, 4, 56), (96, 6, 28), (192, 6, 28), (384, 5, 14))  # channels, layers, side
DENSE = ((256, 4), (512, 6), (1024, 6), (1536, 8))  # width, layers
TABLES = ((4000, 256), (12000, 384), (30000, 384), (40000, 512))  # tokens, width


def modules() -> Iterator[tuple[str, Any, Any]]:
    """Family, module and an input of each network that is made."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    body: list[nn.Module]
    for channels, layers, side in CONVS:
        body = [part for _ in range(layers) for part in (nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())]
        yield "made convolutions", nn.Sequential(*body), torch.randn(1, channels, side, side)
    for width, layers in DENSE:
        body = [part for _ in range(layers) for part in (nn.Linear(width, width), nn.ReLU())]
        yield "made dense layers", nn.Sequential(*body), torch.randn(1, 32, width)
    for tokens, width in TABLES:
        body = [nn.Embedding(tokens, width), nn.Linear(width, width), nn.ReLU()]
        yield "made tables", nn.Sequential(*body), torch.randint(0, tokens, (1, 64))


def make(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of all networks."""
    import litert_torch
    import torch

    from edgekd.quantizers import tflite_dynamic

    for number, (family, module, given) in enumerate(modules()):
        stem = folder / f"{number}"
        torch.onnx.export(module.eval(), (given,), f"{stem}.onnx", dynamo=False, opset_version=17)
        litert_torch.convert(module.eval(), (given,)).export(f"{stem}.tflite")
        _to_int8(Path(f"{stem}.onnx"), Path(f"{stem}-int8.onnx"), given.numpy())
        tflite_dynamic.quantize(Path(f"{stem}.tflite"), Path(f"{stem}-int8.tflite"), "dynamic")
        for end in (".onnx", ".tflite", "-int8.onnx", "-int8.tflite"):
            yield family, Path(f"{stem}{end}")


def _to_int8(source: Path, target: Path, given: Any) -> None:
    """Convolutions with ranges, all else with weights alone, as edgekd's recipes do."""
    from onnxruntime import quantization

    if given.ndim < 4:
        quantization.quantize_dynamic(source, target)
        return

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        left: ClassVar[list[Any]] = [{asked(source)[0].name: given}]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    quantization.quantize_static(source, target, Reader(), quant_format=quantization.QuantFormat.QDQ)


def measured(path: Path, family: str, known: set[tuple[str, int]]) -> Iterator[Row]:
    """The rows of one file: one, or one for each of TOKENS."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    wanted = asked(path)
    is_open = any(isinstance(size, str) for each in wanted for size in each.shape)
    for tokens in TOKENS if is_open else (0,):
        if (digest, tokens) in known:
            continue
        shapes = {each.name: tuple(_size(size, tokens) for size in each.shape) for each in wanted} if is_open else {}
        runtime = for_file(path)
        work = work_of(runtime.describe(path, tokens or None))
        peak = _peak(path, runtime.NAME, made_inputs.make(path, wanted, shapes))
        base, load = (float(peak.conditions[name]) for name in ("base_memory_bytes", "load_peak_bytes"))
        yield Row(family, digest, tokens, work, base, load, peak.values[0])


def _size(size: int | str, tokens: int) -> int:
    """The first open size is the batch in all files of ours, the second the tokens."""
    return size if isinstance(size, int) else 1 if "batch" in size else tokens


def _peak(path: Path, runtime: str, arrays: Any) -> Measurement:
    with tempfile.TemporaryDirectory() as folder, targets.measuring(device.load("host")) as session:
        np.savez(Path(folder) / "inputs.npz", **arrays)
        copy = shutil.copyfile(path, Path(folder) / path.name)
        found = session.measure(Subject("file", copy, runtime, Path(folder) / "inputs.npz"), RUNS)
    return next(each for each in found if each.metric == "peak_memory")


def files(given: list[str], scratch: Path) -> Iterator[tuple[str, Path]]:
    """Families and files: those below the folders that were given, or those that are made."""
    if not given:
        yield from make(scratch)
    for text in given:
        family, _, folder = text.partition("=")
        found = [path for path in Path(folder).rglob("*") if path.suffix in FORMATS and path.is_file()]
        yield from ((family, path) for path in sorted(found))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the peak memory of model files on this machine.")
    parser.add_argument("folders", nargs="*", metavar="FAMILY=FOLDER")
    rows = read() if ROWS.exists() else []
    with tempfile.TemporaryDirectory() as scratch:
        for family, path in files(parser.parse_args().folders, Path(scratch)):
            known = {(row.digest, row.tokens) for row in rows}
            try:
                for row in measured(path, family, known):
                    rows.append(row)
                    print(f"{family}: {path.name} {row.digest} {row.peak / 1e6:.1f} MB", flush=True)
            except EdgekdError as error:
                print(f"left out: {error}", file=sys.stderr)
            write(rows)


if __name__ == "__main__":
    main()
