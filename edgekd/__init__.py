"""edgekd: from a large teacher to a small INT8 model that provably fits a device.

A pipeline (``pipelines/*.toml``) names stages, a device (``devices/*.toml``) carries facts and a budget.
``plan`` turns both into a checked list of steps; ``build`` runs them, each taking immutable artifacts out of
a content-addressed store and putting one in; ``profile`` and ``targets`` yield measurements; ``judge``
compares those with the limits; ``report`` writes what they found. ``ARCHITECTURE.md`` has the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekd.api import BuildOptions, Plan, Report, build, plan, verify

__version__ = "0.1.0"
__all__ = ["BuildOptions", "Plan", "Report", "__version__", "build", "plan", "verify"]


def __getattr__(name: str) -> Any:
    """Import the Python API when it is first asked for: ``edgekd --help`` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module 'edgekd' has no attribute {name!r}")
    from edgekd import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
