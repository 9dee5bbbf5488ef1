"""Taking the steps of a plan: what is kept, and who is to blame when one fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from workshop import ONNX_ONLY

from edgekd import device, executor, pipeline, planning, units
from edgekd.artifact import Kind
from edgekd.errors import BadInputError, StageError
from edgekd.executor import StepTaken
from edgekd.planning import Plan
from edgekd.progress import Quiet
from edgekd.stages import STAGES
from edgekd.store import Product, Reading, Store


class Told(Quiet):
    """Remembers the lines of the finished steps, and that the end was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, bool]] = []
        self.ended = False

    def finished(self, step: StepTaken) -> None:
        assert step.seconds >= 0
        self.lines.append((step.name, str(step.artifact.facts["summary"]), step.cached))

    def closed(self) -> None:
        self.ended = True


@pytest.fixture
def first_step(tmp_path: Path) -> Plan:
    """The first step of the tiny pipeline alone."""
    (tmp_path / "teacher.safetensors").touch()
    (tmp_path / "mine.toml").write_text(ONNX_ONLY)
    whole = planning.make(pipeline.load(str(tmp_path / "mine.toml")), device.load("pixel8"), planning.Options())
    return planning.Plan(whole.pipeline, whole.device, whole.options, whole.nodes[:1], whole.limits, whole.data)


@pytest.fixture
def teacher_stage(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], Product]], None]:
    """Put other work in the place of the stage 'teacher'."""

    def put(work: Callable[[Path], Product]) -> None:
        def run(_inputs: object, _config: object, context: object) -> Product:
            return work(context.scratch)  # type: ignore[attr-defined]

        stage = SimpleNamespace(
            VERSION=1, PRODUCES=Kind.TORCH, LIBRARIES=("numpy", "nowhere"), READS_DATA=False, run=run
        )
        monkeypatch.setitem(STAGES, "teacher", stage)

    return put


def works(scratch: Path) -> Product:
    (scratch / "teacher.bin").write_bytes(b"weights")
    return Product(scratch / "teacher.bin", {"summary": "4 k weights"})


def test_a_step_is_taken_once_and_then_found(
    first_step: Plan, teacher_stage: Callable[..., None], tmp_path: Path
) -> None:
    teacher_stage(works)
    told, store = Told(), Store(tmp_path / "store")
    assert list(executor.cached_steps(first_step, Reading(store.root))) == [(first_step.nodes[0], False)]
    (made,) = executor.run(first_step, store, told)
    (found,) = executor.run(first_step, store, told)
    assert (made.cached, found.cached, made.artifact) == (False, True, found.artifact)
    assert told.lines == [("teacher", "4 k weights", False), ("teacher", "4 k weights", True)]
    assert list(executor.cached_steps(first_step, Reading(store.root))) == [(first_step.nodes[0], True)]


def test_the_place_of_the_weights_does_not_change_the_key_but_their_content_does(first_step: Plan) -> None:
    (node,) = first_step.nodes
    key = executor.recipe_of(node, first_step, {}).key
    elsewhere = node.config.model_copy(update={"weights": Path("/elsewhere")})
    other = node.config.model_copy(update={"weights_sha256": "0"})
    moved, changed = (planning.Node(node.name, node.stage, config) for config in (elsewhere, other))
    assert executor.recipe_of(moved, first_step, {}).key == key
    assert executor.recipe_of(changed, first_step, {}).key != key


def a_tool_breaks(_scratch: Path) -> Product:
    return Product(json.loads("no json"))


def we_break(_scratch: Path) -> Product:
    units.show(1.0, "parsec")
    raise AssertionError("a KeyError was to come first")


def it_is_refused(_scratch: Path) -> Product:
    raise BadInputError("no such class")


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (a_tool_breaks, StageError, "the step 'teacher' failed in a tool that it needs: JSONDecodeError: Expecting"),
        (we_break, KeyError, "parsec"),
        (it_is_refused, BadInputError, "no such class"),
    ],
)
def test_a_tool_that_fails_is_not_a_bug_in_edgekd(
    work: Callable[[Path], Product],
    error: type[Exception],
    message: str,
    first_step: Plan,
    teacher_stage: Callable[..., None],
    tmp_path: Path,
) -> None:
    teacher_stage(work)
    told = Told()
    with pytest.raises(error, match=message):
        executor.run(first_step, Store(tmp_path / "store"), told)
    assert told.ended
    assert told.lines == []
