"""A workshop with tables of texts, in which pipelines are built through the command line, and their reports."""

from __future__ import annotations

from typing import Any

from workshop import Built, Ran, Workshop


def build(shop: Workshop, name: str, *options: str, **environment: str) -> Ran:
    return shop.run("build", f"{name}.toml", "--device", "pixel8", "--quick", "-o", "out", *options, **environment)


def built(shop: Workshop, name: str, text: str, *options: str, **environment: str) -> Built:
    shop.pipeline(name, text)
    made = Built(shop, build(shop, name, *options, **environment))
    assert made.ran.code == 0, made.ran.err + made.ran.out
    return made


def figures(made: Built, model: str) -> dict[str, float]:
    return {row["figure"]: row["value"] for row in made.report["figures"] if row["model"] == model}


def difference(made: Built, first: str, second: str) -> dict[str, Any]:
    (found,) = [row for row in made.report["differences"] if (row["first"], row["second"]) == (first, second)]
    return dict(found)
