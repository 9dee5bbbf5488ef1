"""What a torch module computes on the way: each call of a function, wherever in ``forward`` it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy.typing as npt
from torch import Tensor, inference_mode, nn
from torch.overrides import TorchFunctionMode

from edgekd.algorithms.parting import Operation
from edgekd.models.call_plan import tensors as tensors_in
from edgekd.tasks.base import Arrays

Row = Mapping[str, npt.NDArray[Any]]


def read(path: Path, rows: Sequence[Arrays]) -> tuple[list[Operation], list[str], list[Row]]:
    """The calls of the first row, the inputs, and what each call gives, row by row."""
    from edgekd.models import loading

    return record(loading.load(path)[0], rows)


def record(module: nn.Module, rows: Sequence[Arrays]) -> tuple[list[Operation], list[str], list[Row]]:
    """The same of a module in memory."""
    from edgekd.models.running import tensors

    module.eval()
    made = [_recorded(module, tensors(row), list(row)) for row in rows]
    return made[0].operations, list(rows[0]), [each.values for each in made]


def _recorded(module: nn.Module, inputs: Sequence[Tensor], names: Sequence[str]) -> _Recorder:
    recorder = _Recorder(inputs, names)
    with ExitStack() as stack:
        for path, each in module.named_modules():
            stack.callback(each.register_forward_pre_hook(lambda *_, path=path: recorder.path.append(path)).remove)
            stack.callback(each.register_forward_hook(lambda *_: recorder.left(), always_call=True).remove)
        stack.enter_context(inference_mode())
        stack.enter_context(recorder)
        module(*inputs)
    return recorder


class _Recorder(TorchFunctionMode):
    """Keeps every float tensor that a call makes, under a name of its own."""

    def __init__(self, inputs: Sequence[Tensor], names: Sequence[str]) -> None:
        super().__init__()
        self.path: list[str] = []  # the modules that are running, the innermost last
        self.operations: list[Operation] = []
        self._alive = list(inputs)  # or another tensor could get the same id
        self._names = {id(each): name for each, name in zip(inputs, names, strict=True)}
        self.values: dict[str, npt.NDArray[Any]] = {
            name: each.numpy() for each, name in zip(inputs, names, strict=True) if each.is_floating_point()
        }

    def left(self) -> None:
        """The innermost module has ended."""
        self.path.pop()

    def __torch_function__(
        self, func: Any, _types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        reads = tuple(self._names[id(each)] for each in tensors_in([*args, *given.values()]) if id(each) in self._names)
        result = func(*args, **given)
        made = [each for each in tensors_in(result) if reads]
        if made:
            place = ".".join(part for part in (self.path[-1] if self.path else "", func.__name__) if part)
            writes = tuple(f"{len(self.operations)} {place} {number}" for number in range(len(made)))
            self.operations.append(Operation(place, func.__name__, reads, writes))
            self._keep(made, writes)
        return result

    def _keep(self, made: Sequence[Tensor], names: Sequence[str]) -> None:
        for each, name in zip(made, names, strict=True):
            self._alive.append(each)
            self._names[id(each)] = name  # of what was changed in place, the new name
            if each.is_floating_point():
                self.values[name] = each.detach().float().numpy().copy()
