"""Every refusal of a step, a loss or a teacher that the rest of the pipeline can't do with: before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import encoders
import handmade
import numpy as np
import pytest
from workshop import ONNX_ONLY

from edgekd import pipeline
from edgekd.applicable import check_steps
from edgekd.errors import BadInputError
from edgekd.learnable import check_losses, check_teachers

MODEL = '[teacher]\nmodel = "tinynet:teacher"\nweights = "teacher.safetensors"\n'
DISTILL = '[[stages]]\nuse = "distill"\nepochs = 30\nbatch_size = 30\nlearning_rate = 0.1\n'
PRUNE = '[[stages]]\nuse = "prune"\nmacs_kept = 0.5\nepochs = 1\n'
FINETUNE = '[[stages]]\nuse = "finetune"\nepochs = 1\n'
QAT = '[[stages]]\nuse = "qat"\nepochs = 1\n'
EXPORT = '[[stages]]\nuse = "export"'
INSIDE = '{ use = "relations", layers = { "blocks.0" = "blocks.1" } }'
TEXT = encoders.PIPELINE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return encoders.furnish(tmp_path)


def check(folder: Path, text: str) -> None:
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    loaded = pipeline.load(str(folder / "mine.toml"))
    check_steps(loaded)
    check_teachers(loaded)
    check_losses(loaded)


def taught_by(losses: str, *, live: bool = False, text: str = TEXT) -> str:
    return text.replace("epochs = 1\n", f"epochs = 1\nlosses = [{losses}]\nlive = {str(live).lower()}\n", 1)


@pytest.mark.parametrize("text", [ONNX_ONLY, TEXT, taught_by(INSIDE, live=True), taught_by('{ use = "cosine" }')])
def test_what_fits_is_taken(text: str, folder: Path) -> None:
    check(folder, text)


def test_several_teachers_teach_similarities_whatever_their_widths(folder: Path) -> None:
    check(folder, taught_by('{ use = "similarity-mse" }, { use = "contrastive" }', text=SEVERAL))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            ONNX_ONLY.replace(MODEL, '[teacher]\nonnx = "t.onnx"\n').replace(DISTILL, ""),
            "found no stage 'distill' and a teacher that is no torch module (onnx), expected one to export",
            "add the stage 'distill' and a [student]",
        ),
        (
            ONNX_ONLY.replace(MODEL, 2 * MODEL.replace("[teacher]", "[[teachers]]")).replace(DISTILL, ""),
            "found no stage 'distill' and a teacher that is no torch module (model, model), expected one to export",
            "",
        ),
        (
            ONNX_ONLY.replace('model = "tinynet:student"', "layers = 2"),
            "found [student] layers, which are taken from a teacher given as encoder = '…'",
            "",
        ),
        (
            TEXT.replace(EXPORT, FINETUNE + EXPORT),
            "found the stage 'finetune' with text-embedding, which has no labels",
            "",
        ),
        (
            ONNX_ONLY.replace("max_drop = 0.05", 'method = "learned"'),
            "found quantize method = 'learned' without the stage qat, expected ranges that are learned",
            "add the stage 'qat' to a pipeline of convolutions, or leave method out",
        ),
        (
            TEXT.replace(EXPORT, QAT + EXPORT).replace('use = "quantize"\n', 'use = "quantize"\nmethod = "learned"\n'),
            "found quantize method = 'learned' with text-embedding, expected ranges that are learned",
            "add the stage 'qat' to a pipeline of convolutions, or leave method out",
        ),
        (
            ONNX_ONLY.replace(EXPORT, QAT + EXPORT).replace("max_drop = 0.05", 'mode = "weight-only"'),
            "found the stage 'qat' and quantize mode = 'weight-only', expected activations in INT8 too",
            "leave the stage 'qat' or the mode out",
        ),
        (
            ONNX_ONLY.replace(EXPORT, QAT + EXPORT).replace(
                "macs_kept = 0.75", "sparsity = 0.5\nacknowledge_no_speedup = true"
            ),
            "found the stage 'qat' after prune sparsity = 0.5, expected whole channels pruned",
            "",
        ),
        (
            TEXT.replace('use = "quantize"\n', 'use = "quantize"\ntemperature = true\n'),
            "found quantize temperature with text-embedding, which has no probabilities",
            "",
        ),
        (
            ONNX_ONLY.replace('model = "tinynet:student"', 'encoder = "alike"\noutput_width = 8'),
            "[student] output_width: found 8 with image-classification, expected none",
            "",
        ),
        (
            TEXT.replace("layers = 2", 'encoder = "alike"\noutput_width = 48'),
            "[student] output_width: found 48, expected at most 32, the width of the teacher's vectors",
            "",
        ),
        (
            TEXT.replace('use = "quantize"\n', 'use = "quantize"\nequalize = true\n'),
            "found quantize equalize = true with text-embedding, expected static INT8",
            "leave it out",
        ),
        (
            ONNX_ONLY.replace('use = "quantize"\n', 'use = "quantize"\nsmooth = true\n'),
            "found quantize smooth = true with image-classification, expected static or dynamic INT8 of texts",
            "leave it out",
        ),
        (
            TEXT.replace('use = "quantize"\n', 'use = "quantize"\nmode = "weight-only"\nsmooth = true\n'),
            "found quantize smooth = true with weight-only, expected static or dynamic INT8 of texts",
            "leave it out",
        ),
        (
            TEXT.replace('use = "quantize"\n', 'use = "quantize"\nmode = "static"\nio = "int8"\n'),
            "found quantize io = 'int8' with text-embedding, expected 'float': a text encoder takes token ids",
            "leave it out",
        ),
        (
            ONNX_ONLY.replace('use = "quantize"\n', 'use = "quantize"\nmode = "dynamic"\ncorrect_bias = true\n'),
            "found quantize correct_bias = true with dynamic, expected static INT8",
            "leave it out",
        ),
        (
            ONNX_ONLY.replace(MODEL, '[teacher]\noutputs = "t.parquet"\n'),
            "found [augment] views = 2 and a teacher given as outputs = '…', expected views = 1",
            "leave [augment] out",
        ),
        (
            ONNX_ONLY.replace(MODEL, '[teacher]\nonnx = "t.onnx"\nfinetune = { epochs = 1 }\n'),
            "[teacher.finetune]: found a teacher given as onnx = '…', expected a torch module",
            "",
        ),
        (
            TEXT.replace(encoders.TEACHER, f"{encoders.TEACHER}finetune = {{ epochs = 1 }}\n"),
            "[teacher.finetune]: found text-embedding, which has no labels",
            "",
        ),
        (
            ONNX_ONLY.replace(MODEL, f'{MODEL}finetune = {{ epochs = 1, losses = [{{ use = "logits" }}] }}\n'),
            "[teacher.finetune]: found losses that compare with a teacher, expected 'labels' alone",
            "",
        ),
    ],
)
def test_what_does_not_fit_the_task_the_teacher_or_the_student_is_refused(
    text: str, message: str, hint: str, folder: Path
) -> None:
    with pytest.raises(BadInputError) as caught:
        check(folder, text)
    place = f":{line_of(text, 'output_width')}" if "output_width" in message else ""
    assert caught.value.message.startswith(f"{folder / 'mine.toml'}{place}: {message}")
    assert caught.value.hint.startswith(hint)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize(
    ("table", "key", "message", "hint"),
    [
        (
            "[teacher_outputs]\ntop_k = 5\n",
            "top_k",
            "[teacher_outputs] top_k: found 5 with text-embedding, whose models give vectors, expected logits",
            "leave top_k out",
        ),
        (
            "[augment]\nviews = 2\n",
            "[augment]",
            "found [augment] with text-embedding, expected none: only images have views",
            "leave [augment] out",
        ),
    ],
)
def test_a_table_that_is_for_other_tasks_is_refused_with_its_line(
    table: str, key: str, message: str, hint: str, folder: Path
) -> None:
    text = TEXT.replace("[student]", f"{table}\n[student]")
    with pytest.raises(BadInputError) as caught:
        check(folder, text)
    assert caught.value.message.startswith(f"{folder / 'mine.toml'}:{line_of(text, key)}: {message}")
    assert caught.value.hint == hint
    check(folder, ONNX_ONLY.replace("[student]", "[teacher_outputs]\ntop_k = 2\n\n[student]"))


HEADS = TEXT.replace('encoder = "teacher"', 'encoder = "shared"')


@pytest.mark.parametrize(
    ("text", "option", "message"),
    [
        (TEXT, 'importance = "batch-norm"', "found importance = 'batch-norm' with text-embedding, expected magnitude"),
        (ONNX_ONLY, 'structures = ["heads"]', "found structures = ['heads'] with image-classification, expected none"),
        (HEADS, "", "found a model whose layers share one bias for each head, expected heads that stand alone"),
    ],
)
def test_pruning_of_what_the_student_does_not_have_is_refused_with_its_line(
    text: str, option: str, message: str, folder: Path
) -> None:
    encoders.describe(folder / "shared", model_type="mpnet")
    if '"prune"' not in text:
        text = text.replace(EXPORT, PRUNE + EXPORT)
    named = text.replace("macs_kept", f"{option}\nmacs_kept")
    with pytest.raises(BadInputError) as caught:
        check(folder, named)
    line = line_of(named, '[[stages]]\nuse = "prune"')
    assert caught.value.message.startswith(f"{folder / 'mine.toml'}:{line}: stage 'prune': {message}")
    check(folder, text.replace("macs_kept", 'structures = ["neurons"]\nmacs_kept') if text is not ONNX_ONLY else text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ONNX_ONLY.replace(DISTILL, ""), "no stage 'distill'"),
        (ONNX_ONLY.replace("macs_kept = 0.75", "sparsity = 0.5\nacknowledge_no_speedup = true"), "sparsity"),
    ],
)
def test_a_race_without_a_student_that_was_small_before_is_refused(text: str, found: str, folder: Path) -> None:
    check(folder, text)
    with pytest.raises(BadInputError, match=f"stage 'prune': found compare and {found}, expected a student"):
        check(folder, text.replace('use = "prune"\n', 'use = "prune"\ncompare = true\n'))


ONNX_TAUGHT = ONNX_ONLY.replace(MODEL, '[teacher]\nonnx = "t.onnx"\n')
ONNX_LIVE = ONNX_TAUGHT.replace("epochs = 30\n", "epochs = 30\nlive = true\n")
MAPS = '{ use = "attention", layers = { "a" = "b" } }'
ANOTHER = TEXT.replace(encoders.STUDENT, '[student]\nencoder = "NAME"\n')
ELSEWHERE = ANOTHER.replace("NAME", "alike").replace('encoder = "teacher"', "FORM")
ONE = "expected one [teacher]"
APART = "several have layers and tokens of their own, and only their outputs are combined"
ONCE = "several are asked once, each by what it reads, and what they give is cached; leave live out"
SEVERAL = ANOTHER.replace("NAME", "alike").replace(
    encoders.TEACHER, '[[teachers]]\nencoder = "teacher"\n\n[[teachers]]\nencoder = "wider"\n'
)


@pytest.mark.parametrize(
    ("text", "use", "message"),
    [
        (taught_by('{ use = "labels" }'), "distill", "losses[0] 'labels': found outputs that are vectors"),
        (taught_by('{ use = "logits" }'), "distill", "losses[0] 'logits': found outputs that are vectors"),
        (
            ONNX_ONLY.replace("epochs = 30\n", 'epochs = 30\nlosses = [{ use = "cosine" }]\n'),
            "distill",
            "losses[0] 'cosine': found outputs that are logits, expected vectors",
        ),
        (taught_by(INSIDE), "distill", "found losses that look inside the teacher, expected live = true"),
        (
            ONNX_ONLY.replace(EXPORT, f'{FINETUNE}losses = [{{ use = "logits" }}]\n{EXPORT}'),
            "finetune",
            "found losses that compare with a teacher, expected 'labels' alone: no teacher is there",
        ),
        (
            ONNX_LIVE,
            "distill",
            "found live = true and a teacher that is no torch module",
        ),
        (
            taught_by(INSIDE, live=True, text=ANOTHER.replace("NAME", "other")),
            "distill",
            "losses[0] 'relations': found a student and a teacher that read different inputs or tokens",
        ),
        (
            taught_by(MAPS, live=True, text=ANOTHER.replace("NAME", "wider")),
            "distill",
            "losses[0] 'attention': found no attention maps that can be compared",
        ),
        (
            taught_by(f'{{ use = "similarity-mse" }}, {INSIDE}', live=True, text=SEVERAL),
            "distill",
            f"found 2 [[teachers]] and losses that look inside the teacher ('relations'), {ONE}: {APART}",
        ),
        (
            taught_by(MAPS, text=SEVERAL),
            "distill",
            f"found 2 [[teachers]] and losses that look inside the teacher ('attention'), {ONE}: {APART}",
        ),
        (
            taught_by('{ use = "similarity-mse" }', live=True, text=SEVERAL),
            "distill",
            f"found live = true and 2 [[teachers]], {ONE}: {ONCE}",
        ),
        (
            SEVERAL,
            "distill",
            "losses[0] 'cosine': found a student with 32 dimensions and a teacher with 96, expected as many",
        ),
        (
            taught_by('{ use = "cosine" }', text=ANOTHER.replace("NAME", "wider")),
            "distill",
            "losses[0] 'cosine': found a student with 64 dimensions and a teacher with 32, expected as many",
        ),
        (
            ELSEWHERE.replace("FORM", 'outputs = "narrow.parquet"'),
            "distill",
            "losses[0] 'cosine': found a student with 32 dimensions and a teacher with 8, expected as many",
        ),
        (
            ELSEWHERE.replace("FORM", 'onnx = "narrow.onnx"\ntokenizer = "teacher"'),
            "distill",
            "losses[0] 'cosine': found a student with 32 dimensions and a teacher with 3, expected as many",
        ),
        (
            taught_by('{ use = "cosine", widths = [64] }', text=TEXT.replace("layers = 2", "layers = 2\nhidden = 16")),
            "distill",
            "losses[0] 'cosine': found the width 64 in 'widths', expected at most the 32 dimensions",
        ),
    ],
)
def test_a_loss_that_cannot_be_computed_is_refused_with_its_line(
    text: str, use: str, message: str, folder: Path, weights: Path
) -> None:
    handmade.write_onnx(folder / "narrow.onnx", weights)
    handmade.write_table(folder / "narrow.parquet", id=["train/0"], output=np.zeros((1, 8)))
    other = encoders.describe(folder / "other") / "tokenizer.json"
    saved = json.loads(other.read_text())
    saved["normalizer"]["lowercase"] = False
    other.write_text(json.dumps(saved))
    with pytest.raises(BadInputError) as caught:
        check(folder, text)
    line = line_of(text, f'[[stages]]\nuse = "{use}"')
    assert caught.value.message.startswith(f"{folder / 'mine.toml'}:{line}: stage {use!r}: {message}")
