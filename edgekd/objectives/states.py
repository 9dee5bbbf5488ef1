"""Losses between inner layers of student and teacher."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from edgekd.objectives.base import LossConfig, Need, Objective


def _quoted(layers: Any) -> Any:
    """Refuse what TOML makes of a dotted name without quotes: tables within tables."""
    nested = [name for name, value in layers.items() if isinstance(value, dict)] if isinstance(layers, dict) else []
    if nested:
        raise ValueError(
            f"found a table under {nested[0]!r}, expected the name of a teacher's layer; "
            'a layer\'s name with dots stands in quotes: "encoder.layer.0" = "encoder.layer.1"'
        )
    return layers


Layers = Annotated[dict[str, str], Field(min_length=1), BeforeValidator(_quoted)]


class StatesConfig(LossConfig):
    """Layers by their dotted module names: the student's, then the teacher's that it learns from."""

    layers: Layers

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The student's and the teacher's layers that are compared, in the pipeline's order."""
        return tuple(self.layers.items())


class RelationsConfig(StatesConfig):
    """Layers are projections to queries, keys or values."""

    relation_heads: Annotated[int, Field(ge=1, strict=True)] = 12


OBJECTIVES = {
    "hidden": Objective("hidden states through a learned projection", StatesConfig, frozenset({Need.STATES})),
    "attention": Objective("attention maps, squared error", StatesConfig, frozenset({Need.ATTENTION})),
    "relations": Objective("relations among queries, keys or values", RelationsConfig, frozenset({Need.STATES})),
}
