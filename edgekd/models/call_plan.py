"""What a network computes, call by call, and where an INT8 file of it rounds.

A module's functions are seen as they are called (torch's function modes), so that sums and means in ``forward`` count
as layers do, and the module itself stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from edgekd.algorithms.fake_quant import Norm

CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d"})
WEIGHTED = CONVOLUTIONS | {"linear"}  # outputs are the first axis of their weights
FUSED = frozenset({"relu", "relu_", "relu6", "hardtanh", "hardtanh_", "clamp", "clamp_", "clip"})
FIXED = frozenset({"softmax", "log_softmax", "sigmoid", "sigmoid_", "tanh", "tanh_"})  # kernels set their ranges
MOVES = frozenset(
    {
        *("__get__", "__getitem__", "alpha_dropout", "chunk", "clone", "contiguous", "detach", "dropout", "dropout2d"),
        *("expand", "flatten", "float", "max_pool1d", "max_pool2d", "adaptive_max_pool2d", "movedim", "pad", "permute"),
        *("reshape", "split", "squeeze", "to", "transpose", "unbind", "unsqueeze", "view", "channel_shuffle"),
        *("cat", "concat", "stack", "pixel_shuffle", "pixel_unshuffle", "unfold"),
    }
)
AVERAGES = frozenset({"avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "interpolate"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function. ``site`` is the range of what it makes, None where an INT8 file has no such tensor."""

    name: str
    reads: tuple[int, ...] = ()  # the calls that made what it reads; the network's inputs are -1, -2, ...
    makes: bool = False  # a float tensor that depends on the input
    site: int | None = None
    weighted: bool = False  # by weights that are rounded
    norm: Norm | None = None  # of a convolution: the normalisation behind it; of a normalisation: itself
    skipped: bool = False  # a normalisation that is in the convolution's weights

    @property
    def rounds(self) -> bool:
        """Whether what it makes isn't on the levels of its range yet."""
        return self.site is not None and self.name not in MOVES


@dataclass(frozen=True, slots=True)
class CallPlan:
    """All calls of a forward, in order, and the sites of its inputs; sites are numbered from 0."""

    calls: tuple[Call, ...]
    inputs: tuple[int | None, ...]
    sites: int


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in ``value``, which may be one, or have them in tuples and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from tensors(each)


def plan_calls(module: nn.Module, example: Sequence[Tensor]) -> CallPlan:
    """Run ``module`` (in evaluation mode) on ``example``, and say where its INT8 files round.

    They round the inputs and what each operator gives, but not between a convolution, its batch normalisation and the
    activation behind it, which become one. What only moves values or averages them keeps the range of what it reads,
    and all that is put together has one range: so TFLite's kernels have it.

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()).eval()
    >>> calls = plan_calls(network, [torch.zeros(1, 1, 8, 8)]).calls
    >>> [(call.name, call.site) for call in calls if call.makes]
    [('conv2d', None), ('batch_norm', None), ('relu', 1), ('max_pool2d', 1), ('flatten', 1)]
    """
    recorder = _Recorder(example)
    with torch.no_grad(), recorder:
        module(*example)
    return _rounded(_with_norms(recorder.calls), [each.is_floating_point() for each in example])


class _Recorder(TorchFunctionMode):
    """Notes every call."""

    def __init__(self, example: Sequence[Tensor]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._made = {id(each): -1 - number for number, each in enumerate(example)}
        self._alive = list(example)  # ids are unique among these

    def __torch_function__(
        self, func: Any, _types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        reads = tuple(self._made[id(each)] for each in tensors([*args, *given.values()]) if id(each) in self._made)
        result = func(*args, **given)
        name = func.__name__
        whole = isinstance(result, Tensor) or name in MOVES
        made = [each for each in tensors(result) if each.is_floating_point()] if reads and whole else []
        for each in made:
            self._made[id(each)] = len(self.calls)
            self._alive.append(each)
        parameter = given.get("weight", args[1] if len(args) > 1 else None)
        weighted = name in WEIGHTED and isinstance(parameter, nn.Parameter)
        norm = _norm(args, given) if func is functional.batch_norm else None
        self.calls.append(Call(name, reads, bool(made), weighted=weighted, norm=norm))
        return result


def _norm(args: Sequence[Any], given: Mapping[str, Any]) -> Norm | None:
    bound = signature(functional.batch_norm).bind(*args, **given)
    bound.apply_defaults()
    named = bound.arguments
    if named["running_mean"] is None or named["training"]:
        return None
    return Norm(named["running_mean"], named["running_var"], named["weight"], named["bias"], named["eps"])


def _readers(calls: Sequence[Call]) -> Counter[int]:
    """How often what a call made is read, by what makes tensors of it."""
    return Counter(read for call in calls if call.makes for read in call.reads)


def _with_norms(calls: Sequence[Call]) -> list[Call]:
    """Give each convolution that a normalisation alone reads that normalisation."""
    made, readers = list(calls), _readers(calls)
    for number, call in enumerate(calls):
        source = call.reads[0] if call.norm is not None and call.reads else -1
        if source >= 0 and readers[source] == 1 and calls[source].weighted and calls[source].name in CONVOLUTIONS:
            made[source] = replace(made[source], norm=call.norm)
            made[number] = replace(call, skipped=True)
    return made


@dataclass(slots=True)
class _Sites:
    """The range of what each call made; ranges that turn out to be one are joined."""

    of: dict[int, int] = field(default_factory=dict)
    joined: list[int] = field(default_factory=list)

    def new(self, call: int) -> None:
        self.of[call] = len(self.joined)
        self.joined.append(len(self.joined))

    def same(self, call: int, reads: Sequence[int]) -> None:
        """What ``call`` makes has the range of all that it reads."""
        known = [self.final(self.of[read]) for read in reads if read in self.of]
        if known:
            self.of[call] = known[0]
            self.joined = [known[0] if site in known else site for site in map(self.final, range(len(self.joined)))]

    def final(self, site: int) -> int:
        return self.joined[site]


def _rounded(calls: Sequence[Call], floats: Sequence[bool]) -> CallPlan:
    """Give every call its site; ``floats`` says which inputs are rounded."""
    sites, absorbed = _Sites(), _absorbed(calls)
    inputs = [-1 - number if is_float else None for number, is_float in enumerate(floats)]
    for each in inputs:
        if each is not None:
            sites.new(each)
    for number, call in enumerate(calls):
        if not call.makes or call.name in FIXED:
            continue
        if call.name in MOVES | AVERAGES:
            sites.same(number, call.reads)
        elif number not in absorbed:
            sites.new(number)
    numbers = {site: place for place, site in enumerate(dict.fromkeys(sites.joined))}
    found = {number: numbers[sites.final(site)] for number, site in sites.of.items()}
    made = (replace(call, site=found.get(number)) for number, call in enumerate(calls))
    return CallPlan(tuple(made), tuple(None if each is None else found[each] for each in inputs), len(numbers))


def _absorbed(calls: Sequence[Call]) -> set[int]:
    """The calls whose results exist in no INT8 file: a normalisation or activation alone reads them, and is fused."""
    readers = _readers(calls)
    fused = [call.reads[0] for call in calls if call.reads and (call.skipped or call.name in FUSED)]
    return {source for source in fused if readers[source] == 1}
