"""A module that runs as its INT8 file will: hooks round what the file rounds, and the module itself stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edgekd.algorithms.fake_quant import (
    STEPS,
    eased,
    fake_quantize,
    fake_quantize_items,
    fake_quantize_weights,
    folded,
)
from edgekd.algorithms.ranges import Histogram, Range, mse
from edgekd.errors import StageError
from edgekd.models.call_plan import Call, CallPlan, plan_calls, tensors

Visit = Callable[[int, Tensor], Tensor]  # a site and what is there; what goes on
Opened = Callable[[], TorchFunctionMode]
ARGUMENTS = ("input", "weight", "bias")


class Hooks:
    """Runs every forward of ``module`` in a function mode of its own, and in evaluation mode."""

    def __init__(self, module: nn.Module, opened: Opened, first: Callable[[Any], Any] | None = None) -> None:
        self._opened, self._first, self._open = opened, first, ExitStack()
        self._handles = (
            module.register_forward_pre_hook(self._enter),
            module.register_forward_hook(self._leave, always_call=True),
        )

    def remove(self) -> None:
        """Let the module be."""
        for each in self._handles:
            each.remove()

    def _enter(self, module: nn.Module, inputs: Any) -> Any:
        module.eval()  # normalisations are folded with their statistics as they are, and nothing is dropped
        given = inputs if self._first is None else self._first(inputs)
        self._open.enter_context(self._opened())
        return given

    def _leave(self, _module: nn.Module, _inputs: Any, _outputs: Any) -> None:
        self._open.close()


class Simulation(nn.Module):
    """Static INT8 with ranges that are learned: one for each site, [low * exp(a), high * exp(b)].

    ``start`` (sites, 2) has low and high, ``ends`` (sites, 2) a and b, which begin at 0: an end at zero stays there, no
    end crosses it, and a learning rate means the same for large and small values.
    """

    start: Tensor

    def __init__(self, module: nn.Module, example: Sequence[Tensor], *, per_channel: bool = True) -> None:
        super().__init__()
        self._plan, self._per_channel = plan_calls(module.eval(), example), per_channel
        self._module = [module]  # in a list: it is no part of this one
        self.ends = nn.Parameter(torch.zeros(self._plan.sites, 2))
        self.register_buffer("start", torch.zeros(self._plan.sites, 2))
        self._hooks: Hooks | None = None

    def begin(self, batches: Iterator[Sequence[Tensor]]) -> None:
        """Start with the ranges of least squared error over these batches, and simulate INT8 from now on.

        Raises:
            StageError: values that are not finite.

        """
        seen = [Histogram() for _ in range(self._plan.sites)]

        def note(site: int, values: Tensor) -> Tensor:
            seen[site].add(values.numpy())
            return values

        try:
            with torch.inference_mode(), self.watched(note) as module:
                for batch in batches:
                    module(*batch)
        except ValueError as error:
            raise StageError(f"qat: {error}", "look at the training rows that lead there") from error
        self.start.copy_(torch.tensor([_not_empty(mse(each)) for each in seen]))
        opened = _opener(self._plan, self._rounded, per_channel=self._per_channel)
        self._hooks = Hooks(self._module[0], opened, self._inputs)

    @contextmanager
    def watched(self, visit: Visit) -> Iterator[nn.Module]:
        """The module in float; as long as the block lasts, ``visit`` sees each tensor that has a site."""

        def first(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
            return _visited(inputs, self._plan, visit)

        hooks = Hooks(self._module[0], _opener(self._plan, visit, per_channel=None), first)
        try:
            yield self._module[0]
        finally:
            hooks.remove()

    @property
    def sites(self) -> int:
        """How many ranges there are."""
        return self._plan.sites

    def ranges(self) -> list[Range]:
        """The ranges as they are now, by site."""
        return [(low, high) for low, high in (self.start * self.ends.detach().exp()).tolist()]

    def end(self) -> None:
        """Leave the module as it was before."""
        if self._hooks is not None:
            self._hooks.remove()

    def _inputs(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return _visited(inputs, self._plan, self._rounded)

    def _rounded(self, site: int, values: Tensor) -> Tensor:
        """Gradients of a range are divided by sqrt(values of an item * 255), as Esser et al. 2020 do in section 2.2."""
        low, high = self.start[site] * eased(self.ends[site], (STEPS * values[0].numel()) ** -0.5).exp()
        return fake_quantize(values, low, high)


class DynamicSimulation(nn.Module):
    """Dynamic INT8 of a transformer: constant weights of products, and what they are multiplied with, as it comes.

    Rows of embedding tables are rounded too. There is nothing to learn but the weights.
    """

    def __init__(self, module: nn.Module, *, per_channel: bool = True) -> None:
        super().__init__()
        self._hooks = Hooks(module, lambda: _Dynamic(per_channel=per_channel))

    def ranges(self) -> list[Range]:
        """None: they come with the values."""
        return []

    def end(self) -> None:
        """Leave the module as it was before."""
        self._hooks.remove()


class _Dynamic(TorchFunctionMode):
    def __init__(self, *, per_channel: bool) -> None:
        super().__init__()
        self._per_channel = per_channel

    def __torch_function__(
        self, func: Any, _types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given, name = dict(kwargs or {}), func.__name__
        if name == "embedding":
            vectors = func(*args, **given)
            return fake_quantize_weights(vectors.flatten(0, -2)).view_as(vectors)
        if name != "linear":
            return func(*args, **given)
        named = {**dict(zip(ARGUMENTS, args, strict=False)), **given}
        if isinstance(named["weight"], nn.Parameter):
            named["input"] = fake_quantize_items(named["input"])
            named["weight"] = fake_quantize_weights(named["weight"], per_channel=self._per_channel)
        return func(**named)


class _Static(TorchFunctionMode):
    """Goes through a plan's calls, and has what each makes visited.

    With ``per_channel`` it simulates INT8: weights are rounded, and only what isn't rounded yet is visited.
    """

    def __init__(self, plan: CallPlan, visit: Visit, *, per_channel: bool | None) -> None:
        super().__init__()
        self._calls, self._visit, self._per_channel = iter(plan.calls), visit, per_channel

    def __torch_function__(
        self, func: Any, _types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        call, given = next(self._calls, None), dict(kwargs or {})
        if call is None or call.name != func.__name__:
            raise StageError(
                f"qat: found a call of {func.__name__!r} where the network had called "
                f"{'nothing more' if call is None else repr(call.name)} before, expected the same calls for all rows",
                "leave the stage 'qat' out",
            )
        result = self._result(func, args, given, call)
        if call.site is None or not isinstance(result, Tensor) or not (call.rounds or self._per_channel is None):
            return result
        return self._visit(call.site, result)

    def _result(self, func: Any, args: Sequence[Any], given: Mapping[str, Any], call: Call) -> Any:
        if self._per_channel is not None and call.skipped:
            return next(tensors([*args, *given.values()]))
        if self._per_channel is not None and call.weighted:
            return _weighted(func, args, given, call, per_channel=self._per_channel)
        return func(*args, **given)


def _opener(plan: CallPlan, visit: Visit, *, per_channel: bool | None) -> Opened:
    return lambda: _Static(plan, visit, per_channel=per_channel)


def _visited(inputs: Sequence[Tensor], plan: CallPlan, visit: Visit) -> tuple[Tensor, ...]:
    pairs = zip(inputs, plan.inputs, strict=True)
    return tuple(each if site is None else visit(site, each) for each, site in pairs)


def _weighted(func: Any, args: Sequence[Any], given: Mapping[str, Any], call: Call, *, per_channel: bool) -> Tensor:
    named = {**dict(zip(ARGUMENTS, args, strict=False)), **given}
    weight, bias = named.pop("weight"), named.pop("bias", None)
    if call.norm is not None:
        weight, bias = folded(weight, bias, call.norm)
    weight = fake_quantize_weights(weight, per_channel=per_channel)
    made: Tensor = func(named.pop("input"), weight, bias, *args[len(ARGUMENTS) :], **named)
    return made


def _not_empty(found: Range) -> Range:
    """Of a tensor that is always zero: any range keeps it."""
    return found if found[1] > found[0] else (0.0, 1.0)
