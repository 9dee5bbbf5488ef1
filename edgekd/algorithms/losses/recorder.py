"""Reads the layers of a model while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from edgekd.errors import BadInputError, nearest

ASKED = "output_attentions"  # what transformers calls the request


class Recorder:
    """Collects what named modules of ``model`` give, as long as the ``with`` block lasts.

    ``states`` names modules whose output is recorded (the first element where it is a tuple), ``maps`` attention
    modules that give (output, weights), whose weights are; one that gives them only on request (``output_attentions``,
    as MPNet's) is asked. Both are in the attributes of the same names, by module name, of the latest run; gradients
    flow through them.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> with Recorder(model, states=["0"]) as recorder:
    ...     _ = model(torch.zeros(4, 2))
    >>> recorder.states["0"].shape
    torch.Size([4, 3])

    Raises:
        BadInputError: a name that ``model`` doesn't have; while it runs, a module that gives something else.

    """

    def __init__(self, model: nn.Module, states: Iterable[str] = (), maps: Iterable[str] = ()) -> None:
        modules = dict(model.named_modules())
        self.states: dict[str, Tensor] = {}
        self.maps: dict[str, Tensor] = {}
        self._hooked = [(name, _module(modules, name), self._state) for name in dict.fromkeys(states)]
        self._hooked += [(name, _module(modules, name), self._map) for name in dict.fromkeys(maps)]
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        for name, module, record in self._hooked:
            self._handles.append(module.register_forward_hook(record(name)))
            if record == self._map and ASKED in signature(module.forward).parameters:
                self._handles.append(module.register_forward_pre_hook(_asking, with_kwargs=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _state(self, name: str) -> Any:
        def record(_module: nn.Module, _inputs: Any, output: Any) -> None:
            first = output if isinstance(output, Tensor) else _element(output, 0)
            if not isinstance(first, Tensor):
                raise BadInputError(f"layer {name!r}: found a module that gives {_kind(output)}, expected a tensor")
            self.states[name] = first

        return record

    def _map(self, name: str) -> Any:
        def record(_module: nn.Module, _inputs: Any, output: Any) -> None:
            weights = None if isinstance(output, Tensor) else _element(output, 1)
            if not isinstance(weights, Tensor):
                raise BadInputError(
                    f"layer {name!r}: found a module that gives {_kind(output)}, expected (output, attention weights)",
                    "name the attention module itself, and load the model with attn_implementation='eager'",
                )
            self.maps[name] = weights

        return record


def _module(modules: dict[str, nn.Module], name: str) -> nn.Module:
    if not name or name not in modules:
        raise BadInputError(f"found no layer {name!r} in the model", nearest(name, filter(None, modules)))
    return modules[name]


def _asking(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call of an attention module, in which it is asked for its weights too."""
    call = signature(module.forward).bind(*given, **named)
    call.arguments[ASKED] = True
    return call.args, call.kwargs


def _element(output: Any, index: int) -> Any:
    """The element at ``index`` of a tuple, or of what transformers returns in place of one."""
    elements = output.to_tuple() if hasattr(output, "to_tuple") else output
    return elements[index] if isinstance(elements, tuple | list) and len(elements) > index else None


def _kind(output: Any) -> str:
    """What came instead, for a message: the types inside a tuple matter."""
    if isinstance(output, tuple | list):
        return f"({', '.join(type(element).__name__ for element in output)})"
    return type(output).__name__
