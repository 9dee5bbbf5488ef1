"""Train the vendored teacher on the full Fashion-MNIST training set (60,000 images).

    apt-get install dataset-fashion-mnist
    OMP_NUM_THREADS=1 python scripts/train_teacher.py --epochs 12 --seed 7 --out edgekd/assets/teacher

Writes OUT.safetensors and OUT.json (command, seed, accuracy on the full 10,000-image test set).
The test set is used once, after the last epoch; nothing is selected on it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from edgekd.models.convnet import teacher
from edgekd.models.loading import channels_last


def read_idx(path: Path) -> Tensor:
    """Read a gzipped IDX file of bytes."""
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy())


def prepare(images: Tensor) -> Tensor:
    """Bytes (N, 28, 28) -> floats in [-1, 1], (N, 3, 28, 28), grey repeated as RGB."""
    scaled = images.float().div_(127.5).sub_(1.0)
    return scaled[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random flip, shift of up to two pixels and a 7x7 erased square, per image. (N, 28, 28) bytes."""
    count = len(images)
    flip = torch.rand(count, generator=generator) < 0.5
    images = torch.where(flip[:, None, None], images.flip(2), images)
    padded = nn.functional.pad(images, (2, 2, 2, 2))
    shift = torch.randint(0, 5, (2, count, 1), generator=generator)
    span = torch.arange(28)
    rows, columns = (shift[0] + span)[:, :, None], (shift[1] + span)[:, None, :]
    shifted = padded[torch.arange(count)[:, None, None], rows, columns]
    corner = torch.randint(-3, 25, (2, count, 1), generator=generator)
    inside = [(span >= corner[axis]) & (span < corner[axis] + 7) for axis in (0, 1)]
    shifted[inside[0][:, :, None] & inside[1][:, None, :]] = 0
    return shifted


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of ``images`` whose largest logit is their label."""
    model.eval()
    with torch.no_grad():
        right = sum(
            int((model(prepare(images[rows])).argmax(1) == labels[rows]).sum())
            for rows in torch.arange(len(images)).chunk(len(images) // 500)
        )
    return right / len(images)


def train(model: nn.Module, images: Tensor, labels: Tensor, epochs: int, seed: int) -> None:
    """SGD with Nesterov momentum and a one-cycle learning rate; batches of 128."""
    generator = torch.Generator().manual_seed(seed)
    steps = len(images) // 128
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, epochs * steps, pct_start=0.2)
    for epoch in range(epochs):
        model.train()
        order, began, total = torch.randperm(len(images), generator=generator), time.time(), 0.0
        for batch in order[: steps * 128].chunk(steps):
            loss = nn.functional.cross_entropy(model(prepare(augment(images[batch], generator))), labels[batch].long())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs} loss {total / steps:.4f} {time.time() - began:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    sets = {
        name: read_idx(options.data / f"{name}-ubyte.gz")
        for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    }
    model = channels_last(teacher())
    train(model, sets["train-images-idx3"], sets["train-labels-idx1"], options.epochs, options.seed)
    figure = accuracy(model, sets["t10k-images-idx3"], sets["t10k-labels-idx1"])
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, f"{options.out}.safetensors")
    facts = {
        "accuracy": figure,
        "items": len(sets["t10k-labels-idx1"]),
        "test_set": "full Fashion-MNIST test set",
        "trained_on": "full Fashion-MNIST training set, 60,000 images",
        "seed": options.seed,
        "command": shlex.join(["python", *sys.argv]),
        "torch": torch.__version__,
    }
    Path(f"{options.out}.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
