import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import encoders
import pytest
from workshop import ONNX_ONLY, PIPELINE

from edgekd import device, executor, pipeline, planning
from edgekd.errors import BadInputError, MissingExtraError
from edgekd.limits import parse_option
from edgekd.planning import Options

DEVICES = Path(__file__).parents[1] / "devices"


def make(tmp_path: Path, text: str = PIPELINE, name: str = "pixel8", options: Options | None = None) -> planning.Plan:
    (tmp_path / "teacher.safetensors").touch()
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return planning.make(pipeline.load(str(path)), device.load(name), options or Options())


def names(made: planning.Plan) -> list[str]:
    return [node.name for node in made.nodes if " " not in node.name]


def test_the_steps_of_a_whole_pipeline(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert names(made) == [
        "teacher",
        "teacher_outputs",
        "student_start",
        "student_unpruned",
        "student_float",
        "calibration",
        "teacher_onnx",
        "onnx_float",
        "onnx_int8",
        "teacher_tflite",
        "tflite_float",
        "tflite_int8",
        "onnx_unpruned",
        "golden",
    ]
    seen: set[str] = set()
    for node in made.nodes:
        assert set(node.inputs) <= seen, f"{node.name} comes before what it needs"
        seen.add(node.name)


def test_the_control_is_the_same_student_taught_by_labels_alone(tmp_path: Path) -> None:
    made = make(tmp_path, options=Options(control=True))
    by_name = {node.name: node for node in made.nodes}
    control, distilled = by_name["control"], by_name["student_unpruned"]
    assert control.inputs == distilled.inputs
    losses = control.config.model_dump()["losses"]
    assert [loss["use"] for loss in losses] == ["labels"]
    assert control.config == distilled.config.model_copy(update={"losses": control.config.losses})
    assert [loss["use"] for loss in distilled.config.model_dump()["losses"]] == ["z-scored-logits", "labels"]
    assert "evaluate control" in by_name
    assert "control" not in names(make(tmp_path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (["prune"], ["teacher", "teacher_outputs", "student_start", "student_float"]),
        (["distill"], ["teacher", "teacher_outputs", "student_float"]),
        (["distill", "prune"], ["teacher"]),
    ],
)
def test_float_stages_can_be_left_out(text: list[str], expected: list[str], tmp_path: Path) -> None:
    whole = ONNX_ONLY
    for stage in text:
        start = whole.index(f'[[stages]]\nuse = "{stage}"')
        whole = whole[:start] + whole[whole.index("[[stages]]", start + 1) :]
    made = names(make(tmp_path, whole))
    assert made[: made.index("calibration")] == expected


TUNED = """\
[[stages]]
use = "finetune"
epochs = 1
data = { use = "tiny:swapped", selection = 30 }

"""


def test_fine_tuning_has_data_of_its_own_which_its_key_depends_on(tmp_path: Path) -> None:
    made = make(tmp_path, PIPELINE.replace('[[stages]]\nuse = "export"', TUNED + '[[stages]]\nuse = "export"'))
    (node,) = [node for node in made.nodes if made.data_of(node) is not made.data]
    assert (node.name, node.stage) == ("student_float", "finetune")
    assert made.tuning is not None
    recipe = executor.recipe_of(replace(node, inputs=()), made, {})
    assert recipe.data == made.tuning.digest == f"{made.data.digest}+{made.tuning.source.raw.own.digest()}:30"
    assert "tiny" not in recipe.config
    without = make(tmp_path, PIPELINE)
    assert without.tuning is None
    assert without.data.digest == made.data.digest


def test_data_of_its_own_with_a_task_of_ones_own_is_refused(tmp_path: Path) -> None:
    text = PIPELINE.replace('"image-classification"', '"tiny:task"').replace('use = "tiny:data"\n', "")
    text = text.replace('[[stages]]\nuse = "export"', TUNED + '[[stages]]\nuse = "export"')
    with pytest.raises(BadInputError) as caught:
        make(tmp_path, text)
    line = text[: text.index(TUNED)].count("\n") + 1
    assert caught.value.message == (
        f"{tmp_path / 'mine.toml'}:{line}: stage 'finetune': found data with tiny:task, "
        "expected it with image-classification or text-classification"
    )


def test_limits_come_from_the_device_then_the_pipeline_then_the_command_line(tmp_path: Path) -> None:
    budget = 'quality = ">= 90 % of teacher"\nsize = "< 3 MB"'
    text = PIPELINE.replace('quality = ">= 50 %"', budget)
    made = make(tmp_path, text, options=Options(limits=(parse_option("size<4MB"), parse_option("load_time<1s"))))
    assert [limit.text for limit in made.limits] == [
        "peak_memory <= 1.00 GB",
        "latency_p95 < 100 ms",
        "size < 4.00 MB",
        "energy <= 100 mJ",
        "quality >= 90.0 % of teacher",
        "load_time < 1.00 s",
    ]


def board(tmp_path: Path, old: str, new: str) -> str:
    text = (DEVICES / "raspberrypi5.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "board.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return str(path)


def test_a_budget_without_a_quality_floor_is_refused(tmp_path: Path) -> None:
    name = board(tmp_path, 'quality = ">= 94 % of teacher"\n', "")
    with pytest.raises(BadInputError, match=r"board\.toml: found no quality limit, expected one"):
        make(tmp_path, PIPELINE.replace('[budget]\nquality = ">= 50 %"\n', ""), name)


def test_a_format_that_the_device_cannot_run_is_refused(tmp_path: Path) -> None:
    name = board(tmp_path, '["onnxruntime", "tflite"]', '["onnxruntime"]')
    with pytest.raises(BadInputError, match="found the format 'tflite', which board can't run: its runtimes are onnx"):
        make(tmp_path, name=name)
    assert "tflite_int8" not in names(make(tmp_path, ONNX_ONLY, name))


def test_missing_weights_and_modules_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"\[teacher\] weights: found no file .*nowhere\.safetensors"):
        make(tmp_path, PIPELINE.replace("teacher.safetensors", "nowhere.safetensors"))
    for old in ("tinynet:teacher", "tinynet:student", "tiny:data"):
        with pytest.raises(BadInputError, match="found the module 'nowhere', which is neither installed nor in "):
            make(tmp_path, PIPELINE.replace(old, "nowhere:" + old.partition(":")[2]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('use = "foldr"', r"\[data\] use: found 'foldr'"),
        ('use = "folder"', r"\[data\]: found use = 'folder' and no path"),
        ('use = "folder"\npath = "none"', "none: found no folder 'train'"),
        ('use = "fashion-mnist"\npath = "none"', r"\[data\] path: found no file .*none"),
    ],
)
def test_data_that_is_not_there_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=message):
        make(tmp_path, PIPELINE.replace('use = "tiny:data"', text))


@pytest.mark.parametrize(
    ("module", "extra"),
    [("torch", "build"), ("torch_pruning", "build"), ("safetensors", "build"), ("litert_torch", "tflite")],
)
def test_a_missing_extra_is_named(module: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = planning.find_spec
    monkeypatch.setattr(planning, "find_spec", lambda name: None if name == module else real(name))
    with pytest.raises(MissingExtraError, match="which is not installed") as caught:
        make(tmp_path)
    assert f"edgekd[{extra}]" in caught.value.hint
    if extra == "tflite":
        make(tmp_path, ONNX_ONLY)


def test_a_missing_package_is_called_as_pip_calls_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoders.furnish(tmp_path)
    real = planning.find_spec
    monkeypatch.setattr(planning, "find_spec", lambda name: None if name == "sklearn" else real(name))
    with pytest.raises(MissingExtraError) as caught:
        make(tmp_path, encoders.PIPELINE)
    assert caught.value.message == "edgekd build needs the package 'scikit-learn', which is not installed"
    assert caught.value.hint == "install it with: pip install 'edgekd[build]'"


def test_the_int8_files_are_made_for_the_device(tmp_path: Path) -> None:
    laptop = board(tmp_path, 'arch = "arm64"', 'arch = "x86_64"')
    for name, isa in (("pixel8", "arm64"), (laptop, "x86")):
        made = make(tmp_path, name=name)
        assert {node.config.isa for node in made.nodes if node.name.endswith("_int8") and " " not in node.name} == {isa}


@pytest.mark.parametrize(("name", "seconds"), [("host", 60.0), ("pixel8", 5.0)])
def test_what_is_judged_by_measuring_is_measured_for_a_minute(name: str, seconds: float, tmp_path: Path) -> None:
    made = make(tmp_path, name=name)
    profiles = {node.name: node.config for node in made.nodes if node.stage == "profile"}
    assert profiles["profile onnx_int8"].min_seconds == seconds
    assert profiles["profile onnx_float"].min_seconds == 5.0
    assert {config.min_runs for config in profiles.values()} == {1024}


def test_quick_measures_less(tmp_path: Path) -> None:
    made = make(tmp_path, name="host", options=Options(quick=True))
    profiles = [node.config for node in made.nodes if node.stage == "profile"]
    assert all(config.min_runs < 1024 and config.min_seconds < 1 for config in profiles)


def test_planning_does_not_import_what_it_only_looks_for(tmp_path: Path) -> None:
    code = (
        "import sys; from edgekd import device, pipeline, planning;"
        "planning.make(pipeline.load('default'), device.load('pixel8'), planning.Options());"
        "print({'litert_torch', 'torch', 'onnxruntime', 'transformers'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert found.stdout == "set()\n"


def test_only_shipped_files_are_strained_and_watched(tmp_path: Path) -> None:
    made = make(tmp_path, name="host", options=Options(sustained=True, load=2))
    profiles = {node.name.removeprefix("profile "): node.config for node in made.nodes if node.stage == "profile"}
    asked = {name: (each.sustained, each.load, each.observe, each.min_seconds) for name, each in profiles.items()}  # type: ignore[attr-defined]
    assert {name for name, each in asked.items() if each == (True, 2, True, 600.0)} == {"onnx_int8", "tflite_int8"}
    assert {each[:3] for name, each in asked.items() if not name.endswith("_int8")} == {(False, 0, False)}


@pytest.mark.parametrize("options", [Options(sustained=True), Options(load=1)])
def test_a_device_that_is_only_predicted_is_not_strained(options: Options, tmp_path: Path) -> None:
    with pytest.raises(
        BadInputError, match=r"found --sustained or --load, expected a device that is measured"
    ) as caught:
        make(tmp_path, options=options)
    assert "[reach]" in caught.value.hint
