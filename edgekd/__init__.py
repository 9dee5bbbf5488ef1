"""edgekd: from a large teacher to a small INT8 model that provably fits a device.

A pipeline (``pipelines/*.toml``) names stages, a device (``devices/*.toml``) carries facts and a budget.
``plan`` turns both into a checked list of steps; ``build`` runs them, each taking immutable artifacts out of
a content-addressed store and putting one in; ``profile`` and ``targets`` yield measurements; ``judge``
compares those with the limits; ``report`` writes what they found. ``ARCHITECTURE.md`` has the picture.
"""

__version__ = "0.1.0"
