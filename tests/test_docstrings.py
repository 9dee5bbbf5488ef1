"""The worked examples in the docstrings are right."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import edgekd

MODULES = [found.name for found in pkgutil.walk_packages(edgekd.__path__, "edgekd.") if not found.ispkg]
# Numerics have examples, but for those that train or cut a whole network; so do these others.
NUMERICS = {name for name in MODULES if name.startswith("edgekd.algorithms.")}
WITH_EXAMPLES = NUMERICS - {"edgekd.algorithms.pruning", "edgekd.algorithms.training"} | {
    "edgekd.units",
    "edgekd.toml_file",
    "edgekd.float_models",
    "edgekd.data.splits",
    "edgekd.data.tokens",
    "edgekd.models.pooling",
    "edgekd.objectives.schedule",
    "edgekd.objectives.table",
    "edgekd.profile.conditions",
    "edgekd.profile.answer",
    "edgekd.profile.rules",
    "edgekd.profile.state",
    "edgekd.stages.trim_vocabulary",
    "edgekd.tasks.base",
    "edgekd.tasks.image_classification",
}


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"edgekd.__main__"}))
def test_examples(name: str) -> None:
    result = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
    assert bool(result.attempted) or name not in WITH_EXAMPLES


def test_every_module_that_is_named_here_exists() -> None:
    assert set(MODULES) >= WITH_EXAMPLES
