"""The worked examples in the docstrings are right."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import edgekd

MODULES = [found.name for found in pkgutil.walk_packages(edgekd.__path__, "edgekd.") if not found.ispkg]
WITH_EXAMPLES = {
    "edgekd.units",
    "edgekd.toml_file",
    "edgekd.algorithms.agreement",
    "edgekd.algorithms.intervals",
    "edgekd.algorithms.order_statistics",
    "edgekd.algorithms.proportions",
    "edgekd.profile.conditions",
    "edgekd.profile.session",
    "edgekd.tasks.image_classification",
}


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"edgekd.__main__"}))
def test_examples(name: str) -> None:
    result = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
    assert bool(result.attempted) or name not in WITH_EXAMPLES


def test_every_module_that_is_named_here_exists() -> None:
    assert set(MODULES) >= WITH_EXAMPLES
