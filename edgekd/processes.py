"""The processes of one build: one, or several that ``accelerate launch --multi_gpu -m edgekd build …`` started.

Every process takes the same steps. Training and the teacher's outputs are shared among them; all else is made by the
first one, which alone keeps artifacts, prints and reports, while the others wait for what it says. It all runs on CPUs
and speaks gloo.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from edgekd.errors import BadInputError

Value = TypeVar("Value")
# What torchrun and accelerate set, then three MPIs, in the order in which accelerate reads them.
WORLD = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
RANK = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
PATIENCE = timedelta(days=7)  # the others wait as long as the first one exports and measures; a dead one is noticed
LEAVING = timedelta(seconds=15)  # how long one that failed waits to learn whether the first one did too
FAILED = "edgekd: the first process failed"


def world() -> int:
    """How many processes there are."""
    return _number(WORLD, 1)


def rank() -> int:
    """Which of them this one is, from 0."""
    return _number(RANK, 0)


def is_main() -> bool:
    """Whether this process keeps artifacts and prints."""
    return rank() == 0


def check() -> None:
    """Refuse launches that would build alone, or wait for ever.

    Raises:
        BadInputError: no rank, or one process where the launcher was asked for several.

    """
    if world() > 1 and not any(name in os.environ for name in RANK):
        raise BadInputError(
            f"found WORLD_SIZE={world()} in the environment and no RANK, which says which process this is",
            "start the processes with accelerate launch or torchrun, or unset WORLD_SIZE",
        )
    if world() == 1 and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" and "MASTER_ADDR" in os.environ:
        raise BadInputError(
            "found one process, though accelerate launch was asked for several: without mpirun, --cpu starts one",
            "start them with: accelerate launch --multi_gpu --num_processes N -m edgekd build …; it needs no GPU",
        )


def share(items: Sequence[int]) -> Sequence[int]:
    """The items that fall to this process.

    >>> list(share([3, 4, 5]))  # one process has them all
    [3, 4, 5]
    """
    return items[rank() :: world()]


def wait() -> None:
    """Wait until every process has come here."""
    if world() > 1:
        _state().wait_for_everyone()


def said(value: bool) -> bool:  # noqa: FBT001 (the only thing that is said)
    """What the first process says; the others wait for it, and what they pass counts for nothing."""
    if world() == 1:
        return value
    import torch

    _state()
    told = torch.tensor([int(value)])
    torch.distributed.broadcast(told, 0)
    return bool(told.item())


def main_first(work: Callable[[], Value]) -> Value:
    """Do ``work`` in the first process and then in the others, for what it leaves on disk or refuses."""
    if is_main():
        made = work()
        wait()
        return made
    wait()
    return work()


def gather(values: Any) -> Any:
    """Rows (B, …) of all processes, one after another; gradients flow back to the process that a row came from.

    Every process then computes the same loss of all rows, and DistributedDataParallel takes the mean of the processes'
    gradients. So what comes back to a process's own rows is multiplied by the number of processes: the mean is then the
    gradient that one process with all rows would have.
    """
    if world() == 1:
        return values
    import torch

    _state()
    parts = [torch.empty_like(values) for _ in range(world())]
    torch.distributed.all_gather(parts, values.detach().contiguous())
    own = parts[rank()] = values.view_as(values)
    if own.requires_grad:
        own.register_hook(lambda gradient: gradient * world())
    return torch.cat(parts)


def left_to_main() -> bool:
    """In a process that failed: whether the first one failed too, and so says what happened.

    That one leaves word, and the others wait a little for it. Where no word comes this process failed alone and is to
    say so itself; the launcher then ends the rest.
    """
    if world() == 1 or "torch" not in sys.modules:
        return False
    from torch import distributed

    if not distributed.is_initialized():
        return False
    store = distributed.distributed_c10d._get_default_store()  # noqa: SLF001 (torch has no public name for it)
    try:
        if is_main():
            store.set(FAILED, "yes")
            return False
        store.wait([FAILED], LEAVING)
    except RuntimeError:  # no word in time; or none can be had, since the one that keeps it went away
        return False
    return True


def leave() -> None:
    """Part from the other processes in peace."""
    if world() > 1:
        _state().destroy_process_group()


def _number(names: Sequence[str], otherwise: int) -> int:
    return next((int(os.environ[name]) for name in names if name in os.environ), otherwise)


def _state() -> Any:
    # torch reads it once: each process would warn that all parameters were used where some might not have been
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from accelerate import PartialState

    return PartialState(cpu=True, timeout=PATIENCE)
