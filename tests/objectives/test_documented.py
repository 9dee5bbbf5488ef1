"""docs/losses.md says what is there: every loss, its options, defaults and needs, and examples that are accepted."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from edgekd.objectives import OBJECTIVES
from edgekd.objectives.base import Available
from edgekd.objectives.table import check, parse

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LINES = re.findall(r"^(\| `([\w-]+)` .*)$", PAGE, re.MULTILINE)
ROWS = {name: [cell.strip() for cell in line.split("|")] for line, name in LINES}
ALL = {"has_labels": True, "teacher_is_live_possible": True, "attention": True}


def test_every_loss_has_a_row_in_the_order_of_the_registry() -> None:
    assert list(ROWS) == list(OBJECTIVES)


@pytest.mark.parametrize("use", sorted(OBJECTIVES))
def test_the_row_has_all_options_with_their_defaults(use: str) -> None:
    stated = dict(re.findall(r"`(\w+)`([^,]*)", ROWS[use][5]))
    fields = {name: field for name, field in OBJECTIVES[use].config.model_fields.items() if name != "weight"}
    expected = {name: "" if field.is_required() else str(field.default) for name, field in fields.items()}
    assert {name: default.strip() for name, default in stated.items()} == expected


@pytest.mark.parametrize("use", sorted(OBJECTIVES))
def test_the_row_has_what_it_needs(use: str) -> None:
    stated = {word for word in re.findall(r"\w+", ROWS[use][4]) if word not in {"of", "equal", "width"}}
    assert stated == {str(need) for need in OBJECTIVES[use].needs}
    unequal = Available("vectors", **ALL, student_width=128, teacher_width=384)
    if "equal width" in ROWS[use][4]:
        with pytest.raises(ValueError, match="expected as many"):
            check(parse([{"use": use}]), unequal)


def test_the_sources_are_those_of_the_code() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "edgekd/algorithms/losses").glob("*.py"))
    stated = re.findall(r"\((https://[^)]+)\)", PAGE)
    assert len(stated) > len(ROWS)
    assert all(re.search(rf"{re.escape(url)}\b", code) for url in stated)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_accepted_by_some_pipeline(text: str) -> None:
    losses = parse(tomllib.loads(text)["losses"])
    kind = "vectors" if any("vectors" in loss.needs for loss in losses) else "logits"
    check(losses, Available(kind, **ALL, student_width=384, teacher_width=384))
