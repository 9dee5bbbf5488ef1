"""Every stage is a module with the same names, an option model that refuses nonsense, and a line in the manual."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from edgekd.artifact import Kind
from edgekd.pipeline import STEPS
from edgekd.stages import STAGES
from edgekd.stages.base import NoConfig, Stage
from edgekd.toml_file import Frozen

TEACHING: dict[str, Any] = {"epochs": 3}
FILE: dict[str, Any] = {"weights": "w", "weights_sha256": "0"}
SOURCE: dict[str, Any] = {"source": "s", "sha256": "0"}
# For each stage, options that are right, and one more or another one that is not.
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "teacher": (
        {"model": "m:f", "options": {}, "weights": "w", "weights_sha256": "0", "code_sha256": "0"},
        {"model": 3},
    ),
    "encoder": ({**SOURCE, "output_width": 8}, {"output_width": 0}),
    "tokenizer": ({**SOURCE, "max_length": 8}, {"max_length": 0}),
    "trim_vocabulary": ({}, {"tokens": 100}),
    "foreign_onnx": (FILE, {"weights": 3}),
    "foreign_keras": (FILE, {"weights": 3}),
    "foreign_table": (FILE, {"weights": 3}),
    "teacher_outputs": ({"augment": {"views": 2}, "top_k": 5}, {"precision": "float8"}),
    "student": ({"model": "m:f", "options": {}, "code_sha256": "0"}, {"options": "wide"}),
    "smaller": ({"layers": [0, 2], "hidden": 64}, {"layers": "few"}),
    "distill": (TEACHING, {"losses": [{"use": "logits", "weight": -1}]}),
    "prune": ({**TEACHING, "macs_kept": 0.5}, {"macs_kept": 1.0}),
    "small_start": ({"round_to": 4}, {"structures": ["channels"]}),
    "race": ({"keep_winner": True, "machine": "m"}, {"max_drop": 2}),
    "finetune": ({**TEACHING, "losses": [{"use": "labels"}]}, {"losses": [{"use": "labls"}]}),
    "qat": ({**TEACHING, "granularity": "per-tensor"}, {"precision": "bfloat16"}),
    "learned_ranges": ({}, {"rows": 4}),
    "export_onnx": ({}, {"opset": 18}),
    "export_tflite": ({}, {"opset": 18}),
    "calibration": ({"samples": 16}, {"samples": 15}),
    "quantize_onnx": ({"isa": "arm64", "machine": "m"}, {"method": "magic"}),
    "quantize_tflite": ({"isa": "x86", "machine": "m"}, {"isa": "mips"}),
    "evaluate": ({"shares": [1, 2], "temperature": True}, {"temperature": 1.5}),
    "shift": ({"items": 10}, {"items": 0}),
    "tfidf": ({}, {"items": 3}),
    "tfidf_shift": ({"items": 10}, {"items": 0}),
    "profile": (
        {"artifact": "a", "threads": 1, "min_runs": 1, "min_seconds": 0, "machine": "m", "device_file": "d"},
        {"min_seconds": -1},
    ),
    "golden": (
        {"name": "n", "device": "d", "task": "t", "isa": "x86", "licences": [], "machine": "m", "items": 20},
        {"items": 0},
    ),
    "arm64": ({"cpu": "max"}, {"cpu": 3}),
}


@pytest.fixture(params=STAGES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stage(name: str) -> Stage:
    return STAGES[name]


def test_a_stage_says_what_it_does_and_what_decides_its_result(stage: Stage) -> None:
    assert stage.__doc__
    assert stage.run.__doc__
    assert stage.VERSION >= 1
    assert isinstance(stage.PRODUCES, Kind)
    assert all(isinstance(kind, Kind) for kinds in stage.CONSUMES for kind in kinds)
    assert isinstance(stage.READS_DATA, bool)


def test_the_libraries_are_distributions_whose_version_can_be_told(stage: Stage) -> None:
    assert all(version(library) for library in stage.LIBRARIES)


def test_its_options_are_frozen_and_described(stage: Stage) -> None:
    assert issubclass(stage.Config, Frozen)
    assert stage.Config.model_config["frozen"]
    assert stage.Config.model_config["extra"] == "forbid"
    assert stage.Config.__doc__


def test_good_options_are_taken_and_bad_ones_refused(name: str, stage: Stage) -> None:
    good, bad = OPTIONS[name]
    config = stage.Config(**good)
    with pytest.raises(ValidationError, match=next(iter(bad))):
        stage.Config(**{**good, **bad})
    with pytest.raises(ValidationError, match="nonsense"):
        stage.Config(**good, nonsense=1)
    if stage.Config is not NoConfig:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(config, next(iter(stage.Config.model_fields)), 1)


@pytest.mark.parametrize(("step", "config"), STEPS.items())
def test_every_step_of_a_pipeline_is_in_the_manual(step: str, config: type[BaseModel]) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "edgekd", "stages", "show", step], capture_output=True, text=True, check=True
    ).stdout
    shown = shown.partition("\n\n")[0].splitlines()  # below it are the losses
    assert shown[:2] == ["[[stages]]", f'use = "{step}"']
    assert [line.split()[0] for line in shown[2:]] == list(config.model_fields)
    for line, field in zip(shown[2:], config.model_fields.values(), strict=True):
        assert line.endswith("required") == field.is_required()
        assert "PydanticUndefined" not in line
