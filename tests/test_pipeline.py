from pathlib import Path

import pytest
from workshop import PIPELINE

from edgekd.errors import BadInputError
from edgekd.pipeline import Pipeline, load


def read(tmp_path: Path, text: str) -> Pipeline:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load(str(path))


def test_a_pipeline_is_named_after_its_file_and_finds_its_files_beside_it(tmp_path: Path) -> None:
    pipeline = read(tmp_path, PIPELINE.replace('use = "tiny:data"', 'use = "folder"\npath = "images"'))
    assert (pipeline.name, pipeline.seed, pipeline.data.path) == ("mine", 5, tmp_path / "images")
    (tmp_path / "teacher.safetensors").touch()
    assert pipeline.teacher is not None
    assert pipeline.file(str(pipeline.teacher.weights), "weights") == tmp_path / "teacher.safetensors"
    assert [(step.use, step.line) for step in pipeline.stages] == [
        ("distill", 21),
        ("prune", 27),
        ("export", 34),
        ("quantize", 38),
    ]
    assert [limit.origin for limit in pipeline.limits] == [f"{tmp_path / 'mine.toml'}:51"]


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    text = 'task = "image-classification"\n[data]\nuse = "tiny:data"\n[teacher]\nmodel = "m:f"\nweights = "w"\n'
    pipeline = read(tmp_path, text + '[[stages]]\nuse = "export"\n[[stages]]\nuse = "quantize"\n')
    assert pipeline.step("export").formats == ("onnx", "tflite")
    assert (pipeline.step("distill"), pipeline.student, pipeline.seed) == (None, None, 0)


def test_the_default_pipeline_loads_and_has_its_teacher() -> None:
    pipeline = load("default")
    assert [step.use for step in pipeline.stages] == ["distill", "prune", "export", "quantize"]
    (teacher,) = pipeline.all_teachers
    weights = pipeline.file(str(teacher.weights), "weights")
    assert weights.suffix == ".safetensors"
    assert weights.stat().st_size < 5_000_000


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("seed = 5", "sed = 5", "found the unknown key 'sed'", "did you mean 'seed'"),
        ("task =", "taks =", "found the unknown key 'taks'", "did you mean 'task'"),
        ("[augment]", "[augmnt]", "found the unknown key 'augmnt'", "did you mean 'augment'"),
        ("flip = true", "flop = true", "found the unknown key 'augment.flop'", "did you mean 'flip'?"),
        ("epochs = 30", "epoch = 30", "found the unknown key 'stages.0.epoch'", "did you mean 'epochs'?"),
        ("macs_kept", "macs_keep", "found the unknown key 'stages.1.macs_keep'", "did you mean 'macs_kept'"),
        ('"distill"', '"distil"', "found the stage 'distil'", "did you mean 'distill'?"),
        ('"image-classification"', '"image-clasification"', "found the task 'image-clasif", "'image-classification'"),
        ("macs_kept = 0.75", "macs_kept = 1.5", "stages.1.macs_kept: found 1.5: Input should be less than 1", ""),
        ("epochs = 30", "epochs = 0", "stages.0.epochs: found 0: Input should be greater than or equal to 1", ""),
        ("epochs = 30", "epochs = 1.5", "stages.0.epochs: found 1.5: Input should be a valid integer", ""),
        ("seed = 5", "seed = -1", "seed: found -1: Input should be greater than or equal to 0", ""),
        ("views = 2", "views = 65", "augment.views: found 65: Input should be less than or equal to 64", ""),
        ("selection = 30", "selection = 0", "data.selection: found 0: Input should be greater", ""),
        ('["onnx", "tflite"]', "[]", "stages.2.formats: found []: Tuple should have at least 1 item", ""),
        ('["onnx", "tflite"]', '["onnx", "onnx"]', "stages.2.formats: found ['onnx', 'onnx']: expected each", ""),
        ('["onnx", "tflite"]', '["coreml"]', "stages.2.formats.0: found 'coreml': Input should be 'onnx' or", ""),
        ("int8_top1 = 0.8", "int8_top1 = 80", "parity.int8_top1: found 80: Input should be less than", ""),
        ('">= 50 %"', '">= 50"', "quality: found no unit in '50'", "'94 %'"),
    ],
)
def test_a_bad_key_or_value_is_refused_with_file_line_and_nearest_key(
    old: str, new: str, message: str, hint: str, tmp_path: Path
) -> None:
    assert old in PIPELINE
    text = PIPELINE.replace(old, new, 1)
    line = text[: text.index(new)].count("\n") + 1
    with pytest.raises(BadInputError) as caught:
        read(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'mine.toml'}:{line}: {message}")
    assert hint in caught.value.hint


def without(stage: str) -> str:
    head, *tables = PIPELINE.split("[[stages]]\n")
    last, tail = tables[-1].split("\n[parity]")
    kept = [table for table in [*tables[:-1], last] if f'use = "{stage}"' not in table]
    return "[[stages]]\n".join([head, *kept]) + "\n[parity]" + tail


def test_the_order_of_the_stages_is_checked(tmp_path: Path) -> None:
    text = PIPELINE.replace('"distill"', '"X"').replace('"quantize"', '"distill"\nepochs = 3')
    text = text.replace('"X"\nepochs = 30\nbatch_size = 30\nlearning_rate = 0.1', '"quantize"')
    text = text.replace("calibration_samples = 60\nmax_drop = 0.05", "")
    with pytest.raises(BadInputError) as caught:
        read(tmp_path, text)
    assert caught.value.message == (
        f"{tmp_path / 'mine.toml'}:20: found the stages quantize, prune, export, distill, "
        "expected each at most once and in this order: distill, prune, finetune, qat, export, quantize"
    )


def test_nothing_changes_weights_after_quantization_aware_distillation(tmp_path: Path) -> None:
    stages = '[[stages]]\nuse = "qat"\nepochs = 1\n\n[[stages]]\nuse = "finetune"\nepochs = 1\n\n'
    with pytest.raises(BadInputError, match="found the stages distill, prune, qat, finetune, export") as caught:
        read(tmp_path, PIPELINE.replace('[[stages]]\nuse = "export"', stages + '[[stages]]\nuse = "export"'))
    assert caught.value.hint == "'qat' is the last that changes weights"


@pytest.mark.parametrize("stage", ["export", "quantize"])
def test_without_int8_files_there_is_nothing_to_ship(stage: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=f"found no stage '{stage}', expected it: INT8 files are what is shipped"):
        read(tmp_path, without(stage))


def test_distilling_needs_a_student(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"found the stage 'distill' and no \[student\]"):
        read(tmp_path, PIPELINE.replace('[student]\nmodel = "tinynet:student"\n', ""))


@pytest.mark.parametrize("stages", ["", 'stages = "export"\n', "stages = []\n", "stages = [1]\n"])
def test_a_pipeline_without_stages_is_refused(stages: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"mine\.toml: found no \[\[stages\]\], expected at least export"):
        read(tmp_path, stages + 'task = "image-classification"\n')


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"mine\.toml: \[teacher\] weights: found no file .*teacher\.safetensors"):
        read(tmp_path, PIPELINE).file("teacher.safetensors", "weights")


def test_a_pipeline_needs_a_task(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"mine\.toml:1: found no 'task', which is required"):
        read(tmp_path, PIPELINE.replace('task = "image-classification"\n', ""))


TEACHER = '[teacher]\nmodel = "tinynet:teacher"\nweights = "teacher.safetensors"\n'


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("", "found 0 [[teachers]], expected [teacher] or [[teachers]]"),
        (TEACHER + TEACHER.replace("[teacher]", "[[teachers]]"), "found 1 [[teachers]], expected [teacher] or"),
    ],
)
def test_there_is_one_teacher_or_a_list_of_them(new: str, message: str, tmp_path: Path) -> None:
    assert TEACHER in PIPELINE
    with pytest.raises(BadInputError) as caught:
        read(tmp_path, PIPELINE.replace(TEACHER, new))
    assert caught.value.message.startswith(f"{tmp_path / 'mine.toml'}: {message}")


def test_several_teachers_are_read_in_their_order(tmp_path: Path) -> None:
    two = TEACHER.replace("[teacher]", "[[teachers]]\nweight = {0}")
    found = read(tmp_path, PIPELINE.replace(TEACHER, two.format(3) + two.format(1)))
    assert found.teacher is None
    assert [each.weight for each in found.all_teachers] == [3, 1]


def test_the_teachers_fine_tuning_has_the_tasks_defaults_for_that_step(tmp_path: Path) -> None:
    teacher = '[teacher]\nencoder = "some/encoder"\nfinetune = { epochs = 2, batch_size = 16 }\n'
    text = PIPELINE.replace(TEACHER, teacher).replace('use = "tiny:data"', 'use = "tiny:data"\n')
    image = read(tmp_path, text).all_teachers[0].finetune
    text = text.replace("image-classification", "text-classification")
    words = read(tmp_path, text).all_teachers[0].finetune
    assert image is not None
    assert words is not None
    assert (image.optimizer, image.learning_rate, image.batch_size) == ("sgd", 0.1, 16)
    assert (words.optimizer, words.learning_rate, words.batch_size) == ("adamw", 1e-4, 16)
    assert [loss.use for loss in words.losses] == [loss.use for loss in image.losses] == ["labels"]


def test_a_task_has_defaults_of_its_own_for_a_step_and_the_file_overrides_them(tmp_path: Path) -> None:
    text = PIPELINE.replace("image-classification", "text-embedding")
    step = read(tmp_path, text).step("distill")
    assert [loss.use for loss in step.losses] == ["cosine", "similarity-mse"]
    assert (step.optimizer, step.learning_rate, step.batch_size) == ("adamw", 0.1, 30)


def test_a_model_beside_the_pipeline_is_found_there_and_any_other_name_is_left(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    pipeline = read(tmp_path, PIPELINE)
    assert pipeline.folder("encoder") == str(tmp_path / "encoder")
    assert pipeline.folder("some/encoder") == "some/encoder"
    assert pipeline.file("edgekd:teacher.json", "weights").is_file()
