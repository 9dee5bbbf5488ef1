"""The processes of one build: one, or several that ``accelerate launch -m edgekd build`` started.

Every process takes the same steps. Training and the teacher's outputs are shared among them; all else is made by the
first one, which alone writes to the store, while the others wait.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any


def world() -> int:
    """How many processes there are, as ``accelerate launch`` (or torchrun) says in WORLD_SIZE."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this one is."""
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Whether this process writes to the store and prints."""
    return rank() == 0


def share(items: Sequence[int]) -> Sequence[int]:
    """The items that fall to this process."""
    return items[rank() :: world()]


def wait() -> None:
    """Wait until every process has come here."""
    if world() > 1:
        _state().wait_for_everyone()


def gather(values: Any) -> Any:
    """Rows (B, …) of all processes, one after another; gradients flow back to the process that a row came from."""
    if world() == 1:
        return values
    import torch
    from torch.distributed.nn.functional import all_gather

    _state()
    return torch.cat(tuple(all_gather(values.contiguous())))  # type: ignore[no-untyped-call]


def _state() -> Any:
    from accelerate import PartialState

    return PartialState(cpu=True)
