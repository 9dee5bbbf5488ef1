"""Load and save float models: safetensors weights plus the 'module:function' that builds their module.

Nothing is ever unpickled: weights are safetensors, or a PyTorch file that ``weights_only=True`` accepts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edgekd import dotted
from edgekd.algorithms.ranges import Range
from edgekd.errors import BadInputError

METADATA = "edgekd"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The function that builds a module, and the options that it is called with."""

    factory: str
    options: dict[str, Any] = field(default_factory=dict)


def build(spec: ModelSpec, where: str) -> nn.Module:
    """Call the factory.

    Raises:
        BadInputError: unknown factory, options that it doesn't take, or a result that is no torch module.

    """
    factory = dotted.function(spec.factory, where)
    try:
        module = factory(**spec.options)
    except Exception as error:  # whatever a user's function raises
        raise BadInputError(
            f"{where}: {spec.factory} refused the options {spec.options}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(module, nn.Module):
        raise BadInputError(f"{where}: {spec.factory} returned a {type(module).__name__}, expected a torch.nn.Module")
    return module


def read_weights(path: Path, where: str) -> dict[str, Tensor]:
    """Read a state dict without running any code from the file.

    Raises:
        BadInputError: missing, corrupt, or a pickle that needs more than tensors.

    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, weights_only=True, map_location="cpu")
    except (SafetensorError, OSError) as error:
        raise BadInputError(f"{where}: found no readable weights in {path}: {error}") from error
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError … for a file it doesn't trust
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise BadInputError(
            f"{where}: found {path}, which is corrupt or needs code to be unpickled; "
            f"expected safetensors, or tensors only: {reason}",
            "save the weights again with safetensors.torch.save_file(model.state_dict(), PATH)",
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BadInputError(f"{where}: found {path}, which holds no state dict (names and tensors)")
    return state


def load_into(module: nn.Module, state: dict[str, Tensor], where: str) -> nn.Module:
    """Load ``state`` into ``module`` as it is.

    Raises:
        BadInputError: names or shapes that do not fit.

    """
    try:
        module.load_state_dict(state)
    except (RuntimeError, KeyError) as error:
        raise BadInputError(
            f"{where}: the weights don't fit the module: {' '.join(str(error).split())[:400]}"
        ) from error
    return module


def fit_shapes(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Give each convolution, normalisation and linear layer the shape that ``state`` holds for it."""
    for name, layer in module.named_modules():
        weight = state.get(f"{name}.weight")
        if weight is None or weight.shape == layer.weight.shape:
            continue
        if isinstance(layer, nn.Conv2d):
            grouped = layer.groups > 1
            layer.out_channels, layer.in_channels = weight.shape[0], weight.shape[0 if grouped else 1]
            layer.groups = weight.shape[0] if grouped else 1
        elif isinstance(layer, nn.BatchNorm2d):
            layer.num_features = weight.shape[0]
        elif isinstance(layer, nn.Linear):
            layer.out_features, layer.in_features = weight.shape
        _replace_tensors(name, layer, state)


def _replace_tensors(name: str, layer: nn.Module, state: dict[str, Tensor]) -> None:
    for key, parameter in layer.named_parameters(recurse=False):
        setattr(layer, key, nn.Parameter(torch.empty_like(state[f"{name}.{key}"]), parameter.requires_grad))
    for key, _ in layer.named_buffers(recurse=False):
        layer.register_buffer(key, torch.empty_like(state[f"{name}.{key}"]))


def save(module: nn.Module, spec: ModelSpec, path: Path, ranges: Sequence[Range] = ()) -> Path:
    """Write the weights; the factory and its options, and ranges that were learned, stand in the file's metadata.

    Under one key, since safetensors writes several in a random order, and equal models are to be equal files.
    """
    about = {"factory": spec.factory, "options": spec.options} | ({"ranges": ranges} if ranges else {})
    metadata = {METADATA: json.dumps(about, sort_keys=True)}
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path, metadata)
    return path


def load(path: Path) -> tuple[nn.Module, ModelSpec]:
    """Load what ``save`` wrote, in evaluation mode."""
    about = _about(path)
    spec = ModelSpec(about["factory"], about["options"])
    module, state = build(spec, str(path)), read_weights(path, str(path))
    fit_shapes(module, state)  # our own file: its layers may have been pruned
    return load_into(module, state, str(path)).eval(), spec


def learned_ranges(path: Path) -> list[Range]:
    """The ranges of activations that were learned with the weights that ``save`` wrote, by site; none for most."""
    return [(low, high) for low, high in _about(path).get("ranges", ())]


def _about(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()[METADATA])
    return found


def channels_last(module: nn.Module) -> nn.Module:
    """Lay the weights out as convolutions on a CPU are mostly faster with (a wider teacher's inference: +23 %)."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return] # the stub lacks it
