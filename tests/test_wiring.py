"""Which steps a build has, in which order, and what each of them takes."""

from __future__ import annotations

from pathlib import Path

import encoders
import pytest
from workshop import ONNX_ONLY, PIPELINE

from edgekd import device, pipeline
from edgekd.float_models import final_float, float_names
from edgekd.node import Node
from edgekd.stages import STAGES
from edgekd.wiring import Options, Wiring

MODEL = '[teacher]\nmodel = "tinynet:teacher"\nweights = "teacher.safetensors"\n'
STAGE = '[[stages]]\nuse = "export"'
FINETUNE = '[[stages]]\nuse = "finetune"\nepochs = 1\n\n'
QAT = '[[stages]]\nuse = "qat"\nepochs = 1\n\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "teacher.safetensors").touch()
    for name in ("teacher.onnx", "teacher.parquet", "teacher.keras"):
        (tmp_path / name).touch()
    return encoders.furnish(tmp_path)


def load(folder: Path, text: str) -> pipeline.Pipeline:
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    return pipeline.load(str(folder / "mine.toml"))


def wired(folder: Path, text: str, options: Options | None = None, formats: tuple[str, ...] = ("onnx",)) -> list[Node]:
    """The nodes, each of which comes after what it takes and has its stage's options."""
    made = list(Wiring(load(folder, text), device.load("pixel8"), options or Options(), formats).nodes())
    seen: set[str] = set()
    for node in made:
        assert set(node.inputs) <= seen, f"{node.name} comes before what it needs"
        assert node.name not in seen
        assert isinstance(node.config, STAGES[node.stage].Config)
        seen.add(node.name)
    return made


def inputs(made: list[Node]) -> dict[str, tuple[str, ...]]:
    return {node.name: node.inputs for node in made}


def before_files(made: list[Node]) -> list[str]:
    names = [node.name for node in made]
    return names[: names.index("calibration")]


def without(use: str, text: str) -> str:
    start = text.index(f'[[stages]]\nuse = "{use}"')
    return text[:start] + text[text.index("[[stages]]", start + 1) :]


def test_images_have_no_tokenizers_anywhere(folder: Path) -> None:
    assert not [node for node in wired(folder, PIPELINE) if "tokenizer" in (node.name, *node.inputs)]


def test_each_training_step_takes_the_model_before_it_and_the_teachers_outputs(folder: Path) -> None:
    text = PIPELINE.replace(STAGE, FINETUNE + STAGE)
    made = inputs(wired(folder, text))
    assert made["student_unpruned"] == ("student_start", "teacher_outputs")
    assert made["student_pruned"] == ("student_unpruned", "teacher_outputs")
    assert made["student_float"] == ("student_pruned",)
    assert made["onnx_float"] == ("student_float",)
    assert made["onnx_int8"] == ("onnx_float", "calibration")
    assert made["onnx_unpruned"] == ("student_unpruned",)
    assert made["evaluate onnx_int8"] == made["shift onnx_int8"] == made["profile onnx_int8"] == ("onnx_int8",)
    assert {f"evaluate {name}" for name in ("student_start", "student_unpruned", "student_pruned")} <= made.keys()


@pytest.mark.parametrize(
    ("left_out", "added", "names"),
    [
        ([], "", {"distill": "student_unpruned", "prune": "student_float"}),
        ([], FINETUNE, {"distill": "student_unpruned", "prune": "student_pruned", "finetune": "student_float"}),
        (["prune"], "", {"distill": "student_float"}),
        (["prune"], FINETUNE, {"distill": "student_distilled", "finetune": "student_float"}),
        (["distill"], FINETUNE, {"prune": "student_pruned", "finetune": "student_float"}),
        (["distill", "prune"], FINETUNE, {"finetune": "student_float"}),
        (
            ["prune"],
            FINETUNE + QAT,
            {"distill": "student_distilled", "finetune": "student_finetuned", "qat": "student_float"},
        ),
        (["distill", "prune"], QAT, {"qat": "student_float"}),
        (["distill", "prune"], "", {}),
    ],
)
def test_the_last_step_that_trains_gives_the_float_student(
    left_out: list[str], added: str, names: dict[str, str], folder: Path
) -> None:
    text = PIPELINE.replace(STAGE, added + STAGE)
    for use in left_out:
        text = without(use, text)
    loaded = load(folder, text)
    assert float_names(loaded) == names
    assert list(float_names(loaded)) == list(names)
    assert final_float(loaded) == ("student_float" if names else "teacher")
    made = inputs(wired(folder, text))
    assert ("teacher_outputs" in made) == bool({"distill", "prune", "qat"} & names.keys())
    assert made["onnx_float"] == (final_float(loaded),)
    first = next(iter(names.values()), None)
    if first is not None:
        assert made[first][0] == ("student_start" if "distill" in names else "teacher")
    assert ("onnx_unpruned" in made) == ({"distill", "prune"} <= names.keys())


def test_a_race_takes_the_pruned_student_and_two_that_are_trained_as_long(folder: Path) -> None:
    plain = {node.name: node for node in wired(folder, ONNX_ONLY)}
    raced = {node.name: node for node in wired(folder, ONNX_ONLY.replace("macs_kept", "compare = true\nmacs_kept"))}
    taken = {name: node.inputs for name, node in raced.items()}
    assert taken["race_pruned"] == taken["race_unpruned"] == ("student_unpruned", "teacher_outputs")
    assert taken["race_small_start"] == ("student_start", "race_pruned")
    assert taken["race_small_distilled"] == ("race_small_start", "teacher_outputs")
    assert taken["race_small"] == ("race_small_distilled", "teacher_outputs")
    assert taken["student_float"] == ("race_pruned", "race_unpruned", "race_small", "teacher_outputs")
    assert raced["race_pruned"].config == plain["student_float"].config
    assert raced["race_small_distilled"].config == plain["student_unpruned"].config
    assert raced["race_small"].config == raced["race_unpruned"].config
    assert set(raced) - set(plain) == {name for name in raced if name.startswith("race_")}


def test_latency_is_predicted_for_a_device_that_is_known_and_else_measured(folder: Path) -> None:
    loaded = load(folder, ONNX_ONLY.replace("macs_kept = 0.75", "latency_kept = 0.75"))
    configs = {}
    for name in ("pixel8", "host"):
        made = Wiring(loaded, device.load(name), Options(), ("onnx",)).nodes()
        configs[name] = next(node.config for node in made if node.name == "student_float").model_dump()
    assert configs["pixel8"]["device"]["title"] == "Google Pixel 8"
    assert configs["pixel8"]["device"]["path"] == Path("pixel8.toml"), "where it lies doesn't count"
    assert (configs["pixel8"]["machine"], configs["host"]["device"]) == ("", None)
    assert configs["host"]["machine"]


def test_learned_ranges_go_to_both_quantizers_and_their_weights_steps_to_the_training(folder: Path) -> None:
    text = PIPELINE.replace(STAGE, QAT + STAGE).replace("max_drop = 0.05", 'granularity = "per-tensor"')
    made = wired(folder, text, formats=("onnx", "tflite"))
    taken = inputs(made)
    assert taken["student_float"] == ("student_pruned", "teacher_outputs")
    assert taken["learned_ranges"] == ("student_float", "calibration")
    assert [taken[f"{form}_int8"][-1] for form in ("onnx", "tflite")] == ["learned_ranges"] * 2
    (qat,) = [node for node in made if node.stage == "qat"]
    assert qat.config.granularity == "per-tensor"  # type: ignore[attr-defined]


def test_a_transformer_has_no_ranges_to_hand_over(folder: Path) -> None:
    made = wired(folder, encoders.PIPELINE.replace(STAGE, QAT + STAGE))
    taken = inputs(made)
    assert taken["student_float"] == ("student_distilled", "teacher_outputs", "tokenizer")
    assert taken["onnx_int8"] == ("onnx_float", "calibration")
    (qat,) = [node for node in made if node.stage == "qat"]
    assert (qat.config.optimizer, qat.config.learning_rate) == ("adamw", 1e-4)  # type: ignore[attr-defined]


def test_the_control_has_labels_alone_whether_the_teacher_is_live_or_cached(folder: Path) -> None:
    for text in (ONNX_ONLY, ONNX_ONLY.replace("epochs = 30\n", "epochs = 30\nlive = true\n")):
        made = wired(folder, text, Options(control=True))
        (control,) = [node for node in made if node.name == "control"]
        assert [loss.use for loss in control.config.losses] == ["labels"]  # type: ignore[attr-defined]
        assert control.config.live is False  # type: ignore[attr-defined]
        assert "teacher" not in control.inputs
        assert inputs(made)["evaluate control"] == ("control",)


def test_there_is_no_control_where_there_are_no_labels(folder: Path) -> None:
    assert not [node for node in wired(folder, encoders.PIPELINE, Options(control=True)) if "control" in node.name]


def test_a_live_teacher_is_an_input_and_its_outputs_are_not_cached(folder: Path) -> None:
    text = without("prune", ONNX_ONLY).replace("epochs = 30\n", "epochs = 30\nlive = true\n")
    made = inputs(wired(folder, text))
    assert made["student_float"] == ("student_start", "teacher")
    assert "teacher_outputs" not in made


def test_a_live_step_and_a_cached_one_can_follow_each_other(folder: Path) -> None:
    made = inputs(wired(folder, ONNX_ONLY.replace("epochs = 30\n", "epochs = 30\nlive = true\n")))
    assert made["student_unpruned"] == ("student_start", "teacher")
    assert made["student_float"] == ("student_unpruned", "teacher_outputs")


def test_texts_are_read_by_one_tokenizer_where_the_student_is_made_of_the_teacher(folder: Path) -> None:
    made = wired(folder, encoders.PIPELINE)
    assert before_files(made) == ["tokenizer", "teacher", "teacher_outputs", "student_start", "student_float"]
    taken = inputs(made)
    assert taken["teacher_outputs"] == ("teacher", "tokenizer")
    assert taken["student_start"] == ("teacher", "tokenizer")
    assert taken["student_float"] == ("student_start", "teacher_outputs", "tokenizer")
    assert taken["calibration"] == ("tokenizer",)
    for name in ("teacher_onnx", "onnx_float", "evaluate teacher", "evaluate onnx_int8", "profile onnx_int8"):
        assert taken[name][-1] == "tokenizer"
    assert taken["evaluate tfidf"] == taken["shift tfidf"] == ()


def test_a_trimmed_student_reads_by_its_own_tokenizer_and_the_teacher_by_the_whole_one(folder: Path) -> None:
    text = encoders.PIPELINE.replace("layers = 2\n", 'layers = 2\nvocabulary = "trimmed"\n')
    taken = inputs(wired(folder, text))
    assert taken["tokenizer"] == ("teacher_tokenizer",)
    assert taken["teacher_outputs"] == ("teacher", "teacher_tokenizer")
    assert taken["student_float"] == ("student_start", "teacher_outputs", "tokenizer")
    for name in ("evaluate teacher", "teacher_onnx", "shift teacher"):
        assert taken[name] == ("teacher", "teacher_tokenizer")
    assert taken["profile teacher_onnx"] == ("teacher_onnx", "teacher_tokenizer")
    assert taken["evaluate onnx_int8"] == ("onnx_int8", "tokenizer")


def test_a_student_that_is_fitted_before_training_is_also_scored_as_it_was_cut(folder: Path) -> None:
    made = wired(folder, encoders.PIPELINE.replace("layers = 2\n", "layers = 2\nfit_texts = 8\n"))
    configs = {node.name: node.config for node in made}
    assert (configs["student_cut"].fit_texts, configs["student_start"].fit_texts) == (0, 8)
    assert configs["student_cut"] == configs["student_start"].model_copy(update={"fit_texts": 0})
    assert inputs(made)["evaluate student_cut"] == ("student_cut", "tokenizer")
    assert "student_cut" not in inputs(wired(folder, encoders.PIPELINE))


def test_a_live_teacher_that_reads_differently_comes_with_both_tokenizers_the_students_first(folder: Path) -> None:
    text = encoders.PIPELINE.replace("layers = 2\n", 'layers = 2\nvocabulary = "trimmed"\n')
    taken = inputs(wired(folder, text.replace("epochs = 1\n", "epochs = 1\nlive = true\n")))
    assert taken["student_float"] == ("student_start", "teacher", "tokenizer", "teacher_tokenizer")


@pytest.mark.parametrize("live", [False, True])
def test_a_narrower_student_starts_from_the_teachers_outputs(live: bool, folder: Path) -> None:  # noqa: FBT001
    text = encoders.PIPELINE.replace("layers = 2\n", "layers = 2\noutput_width = 8\n")
    text = text.replace("epochs = 1\n", f"epochs = 1\nlive = {str(live).lower()}\n")
    taken = inputs(wired(folder, text))
    assert taken["student_start"] == ("teacher", "tokenizer", "teacher_outputs")
    assert ("teacher_outputs" in taken["student_float"]) is not live


def test_another_encoder_is_a_student_with_its_own_tokenizer(folder: Path) -> None:
    made = wired(folder, encoders.PIPELINE.replace(encoders.STUDENT, '[student]\nencoder = "alike"\n'))
    taken = inputs(made)
    assert {node.name: node.stage for node in made}["student_start"] == "encoder"
    assert taken["student_start"] == ("tokenizer",)
    assert taken["teacher"] == ("teacher_tokenizer",)


@pytest.mark.parametrize(
    ("line", "stage", "names"),
    [
        ('onnx = "teacher.onnx"\n', "foreign_onnx", ("teacher_onnx",)),
        ('keras = "teacher.keras"\n', "foreign_keras", ("teacher",)),
        ('outputs = "teacher.parquet"\n', "foreign_table", ("teacher",)),
    ],
)
def test_a_teacher_that_is_no_torch_module_is_neither_exported_nor_measured_in_other_forms(
    line: str, stage: str, names: tuple[str, ...], folder: Path
) -> None:
    made = wired(folder, without("prune", ONNX_ONLY).replace(MODEL, f"[teacher]\n{line}"))
    taken = inputs(made)
    assert [node.name for node in made if node.stage == stage] == list(names)
    assert taken["teacher_outputs"] == taken["evaluate teacher"] == names
    assert not [node for node in made if node.stage == "export_onnx" and set(names) & set(node.inputs)]
    assert ("profile teacher_onnx" in taken) == (stage == "foreign_onnx")
    assert ("shift teacher" in taken) == (stage != "foreign_table")


def test_several_teachers_are_one_for_all_that_they_are_asked(folder: Path) -> None:
    several = "".join(MODEL.replace("[teacher]", f"[[teachers]]\nweight = {weight}") for weight in (3, 1))
    made = wired(folder, ONNX_ONLY.replace(MODEL, several))
    taken = inputs(made)
    assert {"teacher_1", "teacher_2"} <= taken.keys()
    for name in ("teacher_outputs", "evaluate teacher", "shift teacher"):
        (node,) = [node for node in made if node.name == name]
        assert node.inputs == ("teacher_1", "teacher_2")
        assert node.config.shares == (3.0, 1.0)  # type: ignore[attr-defined]
    assert "teacher_onnx" not in taken


def test_several_teachers_of_texts_are_each_followed_by_the_tokenizer_that_they_read_by(folder: Path) -> None:
    several = "".join(f'[[teachers]]\nencoder = "{name}"\n\n' for name in ("teacher", "wider"))
    text = encoders.PIPELINE.replace(encoders.TEACHER, several)
    made = wired(folder, text.replace(encoders.STUDENT, '[student]\nencoder = "alike"\n'))
    taken = inputs(made)
    readers = ["teacher_1_tokenizer", "teacher_2_tokenizer", "tokenizer"]
    assert [node.name for node in made if node.stage == "tokenizer"] == readers
    both = ("teacher_1", "teacher_1_tokenizer", "teacher_2", "teacher_2_tokenizer")
    assert taken["teacher_outputs"] == taken["evaluate teacher"] == taken["shift teacher"] == both
    assert taken["teacher_2"] == ("teacher_2_tokenizer",)
    assert taken["student_float"] == ("student_start", "teacher_outputs", "tokenizer")
    assert taken["evaluate onnx_int8"] == ("onnx_int8", "tokenizer")


def test_one_of_several_teachers_is_fine_tuned_with_the_tasks_defaults_by_its_own_tokenizer(folder: Path) -> None:
    several = "".join(
        f'[[teachers]]\nencoder = "{name}"\n{more}\n'
        for name, more in (("teacher", ""), ("wider", "finetune = { epochs = 2 }"))
    )
    text = encoders.PIPELINE.replace(encoders.TEACHER, several).replace("text-embedding", "text-classification")
    made = wired(folder, text.replace(encoders.STUDENT, '[student]\nencoder = "alike"\n'))
    (tuned,) = [node for node in made if node.stage == "finetune"]
    assert (tuned.name, tuned.inputs) == ("teacher_2", ("teacher_2_start", "teacher_2_tokenizer"))
    config = tuned.config.model_dump()
    assert (config["optimizer"], config["learning_rate"]) == ("adamw", 1e-4)


@pytest.mark.parametrize(
    ("line", "distributions"),
    [
        (MODEL.partition("\n")[2], ("torch",)),
        ('onnx = "teacher.onnx"\n', ("onnxruntime",)),
        ('keras = "teacher.keras"\n', ("keras", "tensorflow")),
        ('outputs = "teacher.parquet"\n', ("pyarrow",)),
    ],
)
def test_what_a_teacher_gives_counts_by_what_runs_its_form(
    line: str, distributions: tuple[str, ...], folder: Path
) -> None:
    made = wired(folder, without("prune", ONNX_ONLY).replace(MODEL, f"[teacher]\n{line}"))
    found = {node.name: getattr(node.config, "runtimes", ()) for node in made}
    asked = {name for name in ("teacher_outputs", "evaluate teacher", "shift teacher") if name in found}
    assert asked >= {"teacher_outputs", "evaluate teacher"}
    for name in asked:
        assert tuple(each.partition("==")[0] for each in found[name]) == distributions
    assert found["evaluate onnx_int8"] == ()


def test_a_teacher_can_be_fine_tuned_first(folder: Path) -> None:
    made = inputs(wired(folder, ONNX_ONLY.replace(MODEL, f"{MODEL}finetune = {{ epochs = 2 }}\n")))
    assert made["teacher"] == ("teacher_start",)
    assert made["teacher_outputs"] == ("teacher",)


SHIFTED = {"shift teacher", "shift student_start", "shift student_float", "shift onnx_int8"}


@pytest.mark.parametrize("items", [0, 40])
def test_shift_is_scored_on_as_many_items_as_the_pipeline_says(items: int, folder: Path) -> None:
    made = wired(folder, ONNX_ONLY.replace("[parity]", f"[proof]\nshift_items = {items}\n\n[parity]"))
    configs = {node.name: node.config for node in made if node.stage == "shift"}
    assert set(configs) == (SHIFTED if items else set())
    assert {config.items for config in configs.values()} <= {items}  # type: ignore[attr-defined]


def test_the_tfidf_row_can_be_left_out(folder: Path) -> None:
    left = inputs(wired(folder, encoders.PIPELINE + "\n[proof]\ntfidf = false\n"))
    assert not {"evaluate tfidf", "shift tfidf"} & left.keys()
    assert "shift tfidf" not in inputs(wired(folder, encoders.PIPELINE + "\n[proof]\nshift_items = 0\n"))


def test_a_temperature_is_fitted_to_the_shipped_files_alone(folder: Path) -> None:
    text = ONNX_ONLY.replace("calibration_samples = 60", "calibration_samples = 60\ntemperature = true")
    fitted = {node.name for node in wired(folder, text) if getattr(node.config, "temperature", False)}
    assert fitted == {"evaluate onnx_int8", "golden"}  # which hands it over


@pytest.mark.parametrize("live", [False, True])
def test_every_training_sees_the_pipelines_views(live: bool, folder: Path) -> None:  # noqa: FBT001
    text = ONNX_ONLY.replace(STAGE, FINETUNE + STAGE).replace(MODEL, f"{MODEL}finetune = {{ epochs = 2 }}\n")
    text = text.replace("epochs = 30\n", f"epochs = 30\nlive = {str(live).lower()}\n")
    made = {node.name: node.config for node in wired(folder, text, Options(control=True))}
    trained = {name: config.augment.views for name, config in made.items() if hasattr(config, "epochs")}  # type: ignore[attr-defined]
    assert trained == dict.fromkeys(("teacher", "student_unpruned", "control", "student_pruned", "student_float"), 2)


def test_the_views_and_how_outputs_are_kept_come_from_the_pipeline(folder: Path) -> None:
    text = ONNX_ONLY.replace("[parity]", '[teacher_outputs]\nprecision = "float32"\nshard_rows = 7\n\n[parity]')
    (node,) = [node for node in wired(folder, text) if node.name == "teacher_outputs"]
    config = node.config.model_dump()
    assert (config["precision"], config["shard_rows"], config["augment"]["views"]) == ("float32", 7, 2)
