"""[teacher] and [student]: one form each, and options only where they mean something."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edgekd.teachers import TEACHER_FORMS, StudentConfig, TeacherConfig

FORMS: dict[str, dict[str, Any]] = {
    "model": {"model": "m:f", "weights": "w.safetensors"},
    "encoder": {"encoder": "some/encoder"},
    "onnx": {"onnx": "t.onnx"},
    "keras": {"keras": "t.keras"},
    "outputs": {"outputs": "t.parquet"},
}


@pytest.mark.parametrize("form", TEACHER_FORMS)
def test_a_teacher_has_one_of_five_forms(form: str) -> None:
    assert TeacherConfig(**FORMS[form]).form == form


@pytest.mark.parametrize(
    ("first", "second"), [(a, b) for i, a in enumerate(TEACHER_FORMS) for b in TEACHER_FORMS[i + 1 :]]
)
def test_two_forms_at_once_are_refused(first: str, second: str) -> None:
    with pytest.raises(ValidationError, match=f"found {first} and {second}, expected one of model, encoder, onnx"):
        TeacherConfig(**FORMS[first], **FORMS[second])


def test_no_form_is_refused() -> None:
    with pytest.raises(ValidationError, match="found none of them, expected one of model, encoder, onnx"):
        TeacherConfig(weight=2)


@pytest.mark.parametrize("given", [{"model": "m:f"}, {"encoder": "e", "weights": "w"}])
def test_weights_go_with_a_module_and_a_module_with_weights(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="expected model = 'module:function' together with weights = 'FILE'"):
        TeacherConfig(**given)


@pytest.mark.parametrize("weight", [0, -1])
def test_a_teachers_weight_is_above_zero(weight: float) -> None:
    with pytest.raises(ValidationError, match="weight"):
        TeacherConfig(**FORMS["onnx"], weight=weight)


@pytest.mark.parametrize(
    "given",
    [
        {"model": "m:f", "options": {"width": 3}},
        {"encoder": "some/encoder", "tokenizer": "elsewhere"},
        {"encoder": "some/encoder", "output_width": 16, "vocabulary": "trimmed"},
        {"layers": 3, "hidden": 64, "feed_forward": 128, "output_width": 16, "vocabulary": "trimmed"},
        {"layers": [0, 2]},
        {"layers": {"first": 2}},
    ],
)
def test_a_student_has_one_of_three_forms(given: dict[str, Any]) -> None:
    assert StudentConfig.model_validate(given)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "none of them"),
        ({"model": "m:f", "encoder": "e"}, "model and encoder"),
        ({"encoder": "e", "layers": 2}, "encoder and layers"),
        ({"model": "m:f", "layers": 2}, "model and layers"),
    ],
)
def test_a_student_in_no_form_or_in_two_is_refused(given: dict[str, Any], found: str) -> None:
    with pytest.raises(ValidationError, match=f"found {found}, expected one of model, encoder, layers"):
        StudentConfig(**given)


@pytest.mark.parametrize("cut", [{"hidden": 64}, {"feed_forward": 64}, {"heads": 2}, {"fit_texts": 9}])
@pytest.mark.parametrize("form", [{"model": "m:f"}, {"encoder": "e"}])
def test_what_cuts_the_teacher_goes_with_its_layers(form: dict[str, Any], cut: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="go with layers: they cut what the teacher has"):
        StudentConfig(**form, **cut)


@pytest.mark.parametrize("cut", [{"output_width": 16}, {"vocabulary": "trimmed"}])
def test_a_module_has_the_width_and_the_tokens_that_its_function_says(cut: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="output_width and vocabulary go with layers or encoder"):
        StudentConfig(model="m:f", **cut)


@pytest.mark.parametrize("layers", [0, -1, {"last": 2}, {"first": 0}, [-1], "few"])
def test_layers_that_there_cannot_be_are_refused(layers: Any) -> None:
    with pytest.raises(ValidationError, match="layers"):
        StudentConfig(layers=layers)


def test_fine_tuning_a_teacher_is_by_labels_unless_it_says_otherwise() -> None:
    tuned = TeacherConfig(**FORMS["encoder"], finetune={"epochs": 2}).finetune
    assert tuned is not None
    assert [loss.use for loss in tuned.losses] == ["labels"]
