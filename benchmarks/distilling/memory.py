"""Memory: what caching a teacher's outputs and training on them hold of their own (RssAnon), for few and many rows.

The real steps run, ``teacher_outputs`` and ``distill``, one epoch, on texts from a Parquet file. Teacher and student
are two tables of random vectors, so that a million rows take minutes. Each size has a process of its own.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from distilling.row import Row
from edgekd.artifact import Artifact, Kind
from edgekd.data.text_sources import TextDataConfig
from edgekd.objectives.table import parse
from edgekd.stages import distill, teacher_outputs
from edgekd.stages.base import Context
from edgekd.store import Product, sha256
from edgekd.tasks import TaskData

if TYPE_CHECKING:
    from torch import Tensor, nn

BENCHMARKS = Path(__file__).parent.parent
SIZES = (10_000, 1_000_000)
LIMIT = 200e6  # bytes between the two sizes
WIDTH = 384
WORDS = 5_000
CHUNK = 50_000
PAIRS = 20
SAMPLED_EVERY = 0.02  # s


def rows(sizes: tuple[int, ...] = SIZES) -> list[Row]:
    """The difference of the peaks between the smallest and the largest size."""
    peaks = []
    for count in sizes:
        began = time.monotonic()
        with TemporaryDirectory() as folder:
            write(Path(folder), count)
            child = [sys.executable, "-m", "distilling.memory", folder]
            done = subprocess.run(child, cwd=BENCHMARKS, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout)
        peaks.append(found["peak"])
        steps = ", ".join(f"{name} {peak / 1e6:.0f} MB" for name, peak in found["peaks"].items())
        took = f"{time.monotonic() - began:.0f} s"
        print(f"memory of its own with {count:,} rows x {WIDTH}, float16: {steps} ({took})", flush=True)
    return [compared(sizes, peaks)]


def compared(sizes: Sequence[int], peaks: Sequence[int]) -> Row:
    """What the peaks of the sizes, in bytes, are apart."""
    more = max(peaks) - min(peaks)
    name = f"memory at {sizes[-1]:,} rows - at {sizes[0]:,}"
    return Row(name, f"< {LIMIT / 1e6:.0f} MB", f"{more / 1e6:.0f} MB", more < LIMIT)


def write(folder: Path, count: int) -> None:
    """Write ``count`` training texts of 4 to 11 words, all different, and a few test pairs."""
    import pyarrow as pa
    from pyarrow import parquet

    generator = np.random.default_rng(0)
    with parquet.ParquetWriter(folder / "train.parquet", pa.schema([("text", pa.string())])) as file:
        for start in range(0, count, CHUNK):
            ids = range(start, min(start + CHUNK, count))
            texts = [" ".join(_words(number, generator)) for number in ids]
            file.write_table(pa.table({"text": texts}))
    with (folder / "test.csv").open("w", newline="", encoding="utf-8") as pairs:
        table = csv.writer(pairs)
        table.writerow(["query", "document"])
        table.writerows([f"w1 w2 w{number}", f"w3 w{number}"] for number in range(PAIRS))


def _words(number: int, generator: np.random.Generator) -> list[str]:
    """The digits of ``number`` to the base of WORDS, which make the text unlike all others, and some words more."""
    own = [number % WORDS, number // WORDS, 0]
    return [f"w{word}" for word in [*own, *generator.integers(1, WORDS, generator.integers(1, 9)).tolist()]]


def bag(seed: int) -> nn.Module:
    """The mean of a random vector for each token: the factory of teacher and student."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(seed)
            self.tokens = nn.Embedding(WORDS + 2, WIDTH)

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:  # (B, L), (B, L) -> (B, WIDTH)
            kept = self.tokens(input_ids) * attention_mask[..., None]
            return functional.normalize(kept.sum(1), dim=1)

    return Bag()


class Peak:
    """The largest RssAnon of this process, sampled by a thread until ``stop``, for each name in turn."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self._name, self._stopped = "", threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self, name: str) -> None:
        """From now on what is seen counts for ``name``."""
        self._name = name
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self) -> None:
        """No more."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(SAMPLED_EVERY):
            name = self._name
            self.seen[name] = max(self.seen.get(name, 0), anonymous_bytes())


def anonymous_bytes() -> int:
    """RssAnon: memory in use that is no page of a file."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError("found no RssAnon in /proc/self/status, expected Linux 4.5 or later")
    return 1024 * int(found[1])


def measure(folder: Path) -> dict[str, object]:
    """Cache the teacher's outputs and train one epoch on them, and return the peaks."""
    peak = Peak()
    peak.start("reading")
    context, inputs = _prepared(folder)
    peak.start("teacher_outputs")
    cached = _kept(teacher_outputs.run(inputs, teacher_outputs.Config(), context), Kind.OUTPUTS)
    peak.start("distill")
    teacher, tokenizer = inputs
    config = distill.Config(epochs=1, batch_size=1024, optimizer="adamw", losses=parse([{"use": "mse", "weight": 1.0}]))
    made = distill.run((teacher, cached, tokenizer), config, context)
    peak.stop()
    return {"peak": max(peak.seen.values()), "peaks": peak.seen, "losses": made.facts["epoch_losses"]}


def _prepared(folder: Path) -> tuple[Context, tuple[Artifact, Artifact]]:
    """What the stages take: the data, a teacher and a tokenizer."""
    from edgekd.models import loading

    table = {"use": "table", "train": "train.parquet", "test": "test.csv"}
    data = TaskData("text-embedding", TextDataConfig.model_validate(table).beside(folder), folder / "tables")
    for name in ("scratch", "partial"):
        (folder / name).mkdir()
    context = Context(folder / "scratch", folder / "partial", data, 0, 1, lambda *_: None)
    spec = loading.ModelSpec("distilling.memory:bag", {"seed": 1})
    teacher = loading.save(bag(seed=2), spec, folder / "teacher.safetensors")
    return context, (_kept(Product(teacher), Kind.TORCH), _kept(Product(_tokenizer(folder)), Kind.TOKENIZER))


def _tokenizer(folder: Path) -> Path:
    """A tokenizer whose tokens are the words."""
    from tokenizers import Tokenizer as Library
    from tokenizers import models, pre_tokenizers

    from edgekd.data.tokens import Tokenizer

    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{f"w{word}": word + 2 for word in range(WORDS)}}
    library = Library(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106 (no password)
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return Tokenizer(library.to_str(), max_length=16, pad_id=0).save(folder / "tokenizer.json")


def _kept(product: Product, kind: Kind) -> Artifact:
    """What a stage made as an artifact, as the store would hand it on."""
    path = product.path
    return Artifact(
        key=path.stem,
        kind=kind,
        path=path,
        sha256=sha256(path),
        size_bytes=path.stat().st_size,
        made_by="benchmark",
        inputs=(),
        facts=product.facts,
    )


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
