"""A page for each stage that a pipeline can name, from its own Config and the comments beside its options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edgekd.cli.stages import kind, losses, toml
from edgekd.pipeline import STEPS

SIGNS = {Ge: ">=", Gt: ">", Le: "<=", Lt: "<"}
OPTION = re.compile(r"^    (\w+): .*?(?:  # (?!type:)(.*))?$", re.MULTILINE)


def page(name: str) -> str:
    """The page of the stage ``name``."""
    config = STEPS[name]
    lines = [f"# The stage {name}", "", _summary(config), ""]
    lines += ["```toml", "[[stages]]", f'use = "{name}"', "```", ""]
    lines += ["| option | value | default | what it is |", "|---|---|---|---|", *_rows(config)]
    if "losses" in config.model_fields:
        lines += ["", "The losses that it can have, and what each is for: [losses](../losses.md).", "", "```text"]
        lines += [*losses(by_labels=name == "finetune"), "```"]
    return "\n".join([*lines, ""])


def table() -> str:
    """All stages in the order in which a pipeline names them, with links."""
    rows = [f"| [`{name}`](stages/{name}.md) | {_summary(config)} |" for name, config in STEPS.items()]
    return "\n".join(["| stage | what it does |", "|---|---|", *rows, ""])


def _summary(config: type[BaseModel]) -> str:
    return (config.__doc__ or "").splitlines()[0]


def _rows(config: type[BaseModel]) -> Iterator[str]:
    said = _comments(config)
    for option, field in config.model_fields.items():
        default = "required" if field.is_required() else toml(field.default)
        cells = (f"`{option}`", _value(field), f"`{default}`", said.get(option, ""))
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _value(field: FieldInfo) -> str:
    """What the option takes, with its bounds."""
    bounds = [*_bounds(field.metadata)]
    for inner in getattr(field.annotation, "__args__", ()):  # of `Annotated[…] | None`
        bounds += _bounds(getattr(inner, "__metadata__", ()))
    word = re.sub(r"\bAnnotated\b", "number", kind(field.annotation))
    return ", ".join([word, *bounds])


def _bounds(metadata: Any) -> Iterator[str]:
    for each in metadata:
        for one in [each, *getattr(each, "metadata", ())]:
            if type(one) in SIGNS:
                yield f"{SIGNS[type(one)]} {getattr(one, type(one).__name__.lower())}"
            elif isinstance(one, MinLen):
                yield f"at least {one.min_length}"


def _comments(config: type[BaseModel]) -> dict[str, str]:
    """What stands beside each option in the sources, of the class itself and those that it builds on."""
    found: dict[str, str] = {}
    for each in reversed(config.__mro__):
        if issubclass(each, BaseModel) and each.__module__.startswith("edgekd."):
            found |= {name: text for name, text in OPTION.findall(inspect.getsource(each)) if text}
    return found
