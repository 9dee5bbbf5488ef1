"""Text classification through the command line: what stands in the reports, beside what the store's outputs give."""

from __future__ import annotations

import json
from typing import Any

import hubcache
import numpy as np
import phrases
import pytest
import tinybert
from scipy.special import softmax
from sklearn.metrics import f1_score, roc_auc_score
from textshop import built, difference, figures
from workshop import Built, Workshop

from edgekd.algorithms.confidence import expected_calibration_error

DOMAIN = [*phrases.labelled(40, seed=51), *phrases.labelled(60, seed=21)[:2]]  # the last two are test texts


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(phrases.furnish(tmp_path_factory.mktemp("a shop of classes")))


@pytest.fixture(scope="module")
def classification(shop: Workshop) -> Built:
    """A teacher that is fine-tuned in the same build, and a student that is, on other texts, then trained in INT8."""
    phrases.write_jsonl(shop.folder / "domain.jsonl", ["about", "about what"], DOMAIN)
    columns = 'columns = { text = "about", label = "about what" }'
    data = f'data = {{ use = "table", train = "domain.jsonl", {columns}, selection = 10 }}'
    text = phrases.CLASSIFICATION.replace('use = "finetune"\n', f'use = "finetune"\n{data}\n')
    export = '[[stages]]\nuse = "export"'
    qat = '[[stages]]\nuse = "qat"\nepochs = 2\nbatch_size = 20\n\n'
    return built(shop, "classification", text.replace(export, qat + export), "--control")


@pytest.fixture(scope="module")
def undistilled(shop: Workshop) -> Built:
    """A classifier with a hub id, out of the local cache, straight to INT8."""
    classifier = tinybert.save_model(shop.folder / "not beside the pipeline" / "classifier", labels=2)
    environment = hubcache.keep(shop.folder / "home", "someone/classifier", classifier)
    start, end = phrases.CLASSIFICATION.index("[teacher]"), phrases.CLASSIFICATION.index('[[stages]]\nuse = "export"')
    teacher = '[teacher]\nencoder = "someone/classifier"\n\n'
    text = phrases.CLASSIFICATION[:start] + teacher + phrases.CLASSIFICATION[end:]
    return built(shop, "undistilled", text, **environment)


@pytest.mark.parametrize("name", ["report.json", "report.md", "report.html"])
def test_operators_that_no_published_row_holds_are_named(classification: Built, name: str) -> None:
    (run,) = (classification.output / "classification" / "pixel8").glob("2*")
    text = (run / name).read_text(encoding="utf-8").replace("\\_", "_")
    assert "onnx_int8: no published row holds " in text


def scored(made: Built, model: str) -> dict[str, Any]:
    """What a model gave for the test items, out of the store."""
    kept = {path.parent: json.loads(path.read_text()) for path in (made.output / ".store").glob("*/manifest.json")}
    digests = {row["kind"]: row["sha256"] for row in made.report["artifacts"]}
    (cached,) = [each for each in kept.values() if each["made_by"].startswith("teacher_outputs ")]
    digests["teacher"] = cached["inputs"][0]
    for folder, manifest in kept.items():
        if manifest["made_by"].startswith("evaluate ") and manifest["inputs"][0] == digests[model]:
            return dict(np.load(folder / manifest["file"]))
    pytest.fail(f"found no outputs of {model}")


def test_a_teacher_is_fine_tuned_before_it_teaches(classification: Built) -> None:
    steps = [step["name"] for step in classification.report["steps"]]
    assert steps.index("teacher_start") < steps.index("teacher") < steps.index("teacher_outputs")
    quality = classification.report["quality"]
    assert quality["teacher"]["value"] > 0.8
    assert quality["onnx_int8"]["value"] > quality["student_start"]["value"]


def test_a_classifier_is_scored_beside_its_control_and_every_stage_of_its_making(classification: Built) -> None:
    report = classification.report
    assert (report["metric"], report["item"]) == ("accuracy", "text")
    students = {"student_start", "student_distilled", "student_finetuned", "student_float"}
    made = {*students, "control", "onnx_float", "onnx_int8"}
    assert report["quality"].keys() == {"teacher", "tfidf"} | made
    row = difference(classification, "student_distilled", "control")
    taught, control = (report["quality"][name]["value"] for name in ("student_distilled", "control"))
    assert row["difference"] == pytest.approx(taught - control)
    assert row["lower"] <= row["difference"] <= row["upper"]


def test_repeated_texts_in_the_data_of_the_fine_tuning_are_counted(classification: Built) -> None:
    tested = {text for text, _ in phrases.labelled(60, seed=21)}
    count = len({text for text, _ in DOMAIN} & tested)
    notes = [note for note in classification.report["notes"] if note.startswith("data of the stage 'finetune': ")]
    (note,) = [note for note in notes if "occur in training too" in note]
    assert count >= 2
    assert f": {count} of 60 test texts occur in training too (the first: " in note
    assert note.endswith(f"; {count} training texts were left out for it")


def test_a_classifiers_confidence_is_that_of_its_outputs(classification: Built) -> None:
    taught = scored(classification, "teacher")["outputs"].argmax(1)
    for model in ("teacher", "student_float", "onnx_int8"):
        arrays, found = scored(classification, model), figures(classification, model)
        logits, labels = arrays["outputs"], arrays["labels"]
        assert len(labels) == 60
        assert found["macro-F1"] == pytest.approx(f1_score(labels, logits.argmax(1), average="macro"))
        assert found["ECE"] == pytest.approx(expected_calibration_error(logits, labels))
        sure = [softmax(each, axis=1).max(1) for each in (logits, arrays["out_of_domain"])]
        inside = np.repeat([1, 0], [60, 5])
        assert found["AUROC of confidence"] == pytest.approx(roc_auc_score(inside, np.concatenate(sure)))
        if model != "teacher":
            assert found["agreement with the teacher"] == pytest.approx((logits.argmax(1) == taught).mean())
    assert "agreement with the teacher" not in figures(classification, "teacher")


def test_tfidf_classifies_under_shift_what_the_models_do(classification: Built) -> None:
    doses: dict[str, dict[tuple[str, float], float]] = {"tfidf": {}, "onnx_int8": {}}
    for row in classification.report["shifts"]:
        if row["model"] in doses:
            doses[row["model"]][row["kind"], row["level"]] = row["value"]
    found = doses["tfidf"]
    assert found.keys() == doses["onnx_int8"].keys()
    assert found["", 0] == found["upper case", 1.0] > 0.9, "the class's word stands in each text"
    assert found["truncation", 0.25] < found["", 0]


def test_a_transformer_learns_with_dynamic_int8_and_has_no_ranges_to_hand_over(classification: Built) -> None:
    steps = {step["name"] for step in classification.report["steps"]}
    assert {"student_finetuned", "student_float"} <= steps
    assert "learned_ranges" not in steps
    candidates = {row["name"] for row in classification.report["candidates"]}
    assert {"smoothed", "dynamic", "min-max, smoothed"} <= candidates
    assert "learned" not in candidates
    assert "in simulated INT8, 2 epochs\n" in classification.ran.err


def test_a_temperature_is_fitted_after_quantization_alone(classification: Built) -> None:
    found, arrays = figures(classification, "onnx_int8"), scored(classification, "onnx_int8")
    error = expected_calibration_error(arrays["outputs"] / found["fitted temperature"], arrays["labels"])
    assert found["fitted temperature"] != 1
    assert found["ECE at that temperature"] == pytest.approx(error)
    assert "fitted temperature" not in figures(classification, "student_float")


def test_what_int8_changes_to_single_classes_is_reported(classification: Built) -> None:
    rows, labels = classification.report["class_changes"], scored(classification, "teacher")["labels"]
    assert [(row["model"], row["name"], row["items"]) for row in rows] == [
        ("onnx_int8", name, 30) for name in phrases.CLASSES
    ]
    for label, row in enumerate(rows):
        recalls = [
            (scored(classification, model)["outputs"].argmax(1) == label)[labels == label].mean()
            for model in ("teacher", "onnx_int8")
        ]
        assert (row["teacher_recall"], row["recall"]) == (pytest.approx(recalls[0]), pytest.approx(recalls[1]))
        assert row["p_adjusted"] == 1 or recalls[0] != recalls[1]


def test_unlabelled_texts_are_taught_by_the_teacher_alone(classification: Built) -> None:
    rows = 120 + 40 - 20  # of which 20 are kept for choosing
    line = next(line for line in classification.ran.err.splitlines() if line.startswith("teacher_outputs"))
    assert f"1 views of {rows} texts" in line or f"1 view of {rows} texts" in line


def test_an_encoder_with_a_hub_id_goes_straight_to_int8(undistilled: Built) -> None:
    report = undistilled.report
    assert report["quality"].keys() == {"teacher", "tfidf", "onnx_float", "onnx_int8"}
    steps = {step["name"] for step in report["steps"]}
    assert not steps & {"teacher_outputs", "student_start", "student_float"}
    assert figures(undistilled, "onnx_int8")["fitted temperature"] > 0
    assert (undistilled.workshop.folder / undistilled.run_folder / "model.onnx").is_file()
