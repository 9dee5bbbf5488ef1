"""Several teachers of texts, each with a tokenizer of its own: built by the real command line, and checked by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import phrases
import pytest
import tinybert
import torch
from workshop import Workshop

from edgekd import pipeline
from edgekd.data.tokens import Tokenizer
from edgekd.models.encoder_source import from_folder
from edgekd.tasks import TaskData
from edgekd.tasks.texts import TextTask

Floats = npt.NDArray[Any]
SHARES = (0.75, 0.25)
SIMILAR = 'use = "distill"\nlosses = [{ use = "similarity-mse", weight = 20.0 }, { use = "similarity-kl" }]\n'


def taught_by(text: str, first: str, second: str, student: str) -> str:
    """The pipeline with these encoders as teachers, none of which is fine-tuned."""
    start, end = text.index("[teacher]"), text.index("[student]")
    both = "".join(
        f'[[teachers]]\nencoder = "{name}"\nweight = {weight}\n\n' for name, weight in ((first, 3), (second, 1))
    )
    return (text[:start] + both + text[end:]).replace("layers = 2", student)


EMBEDDING = taught_by(phrases.EMBEDDING, "words", "letters", 'encoder = "pupil"')
NARROW = 'encoder = "pupil"\noutput_width = 12\nvocabulary = "trimmed"'
SIMILARITIES = EMBEDDING.replace('use = "distill"\n', SIMILAR).replace('encoder = "pupil"', NARROW)
CLASSIFICATION = taught_by(
    phrases.CLASSIFICATION, "words about", "letters about", 'encoder = "pupil"\ntokenizer = "letters about"'
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Encoders of three widths with three vocabularies: 'letters' has no words in it, 'pupil' but three."""
    folder = phrases.furnish(tmp_path_factory.mktemp("several readers"))
    tinybert.save_sentence_model(folder / "words")
    tinybert.save_model(folder / "words about", labels=2)
    sizes = {"intermediate_size": 32, "num_hidden_layers": 2}
    for name, labels in (("letters", 0), ("letters about", 2)):
        tinybert.save_model(folder / name, labels=labels, hidden_size=24, **sizes)
        tinybert.word_piece(()).save(str(folder / name / "tokenizer.json"))
    tinybert.save_model(folder / "pupil", hidden_size=16, **sizes)
    tinybert.word_piece(("cat", "dog", "mat")).save(str(folder / "pupil" / "tokenizer.json"))
    return Workshop(folder)


def build(shop: Workshop, name: str, text: str) -> dict[str, Any]:
    options = ("--device", "pixel8", "--quick", "-o", f"{name} out", "--json", "-q", "--allow-inconclusive")
    ran = shop.run("build", shop.pipeline(name, text), *options)
    assert ran.code in (0, 1), ran.err
    report: dict[str, Any] = json.loads(ran.out)
    return report


def opened(shop: Workshop, name: str, scratch: Path) -> TextTask:
    """The pipeline's task, which reads nothing."""
    loaded = pipeline.load(str(shop.folder / f"{name}.toml"))
    task = TaskData(loaded.task, loaded.data).open(None, scratch)
    assert isinstance(task, TextTask)
    return task


def given(teacher: Path, texts: list[str], length: int) -> Floats:
    """What a teacher gives for texts as it reads them itself."""
    encoded = Tokenizer.from_folder(teacher, length).encode(texts)
    batch = encoded.batch(range(len(texts)))
    with torch.inference_mode():
        made: Floats = from_folder(teacher)[0](*(torch.from_numpy(each) for each in batch.values())).numpy()
    return made


def cached(shop: Workshop, name: str) -> Floats:
    """The teachers' outputs that the build kept."""
    (path,) = (shop.folder / f"{name} out" / ".store").glob("*/outputs.npy")
    return np.asarray(np.load(path), np.float32)


def fitted(task: TextTask) -> list[str]:
    """The training texts in the order in which their outputs are kept."""
    rows, texts = task.rows(seed=3), list(task.texts("train"))
    return [texts[row] for row in (*rows.fit, *rows.selection)]


def unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def learned(report: dict[str, Any]) -> bool:
    facts = next(row["facts"] for row in report["artifacts"] if row["kind"] == "student_float")
    return bool(facts["selection_quality"][-1] > facts["selection_quality"][0])


def tokenizers(report: dict[str, Any]) -> list[str]:
    return [step["name"] for step in report["steps"] if "tokenizer" in step["name"]]


def test_similarities_of_vectors_of_other_widths_and_tokens_are_averaged(shop: Workshop, tmp_path: Path) -> None:
    report = build(shop, "similarities", SIMILARITIES)
    assert tokenizers(report) == ["teacher_1_tokenizer", "teacher_2_tokenizer", "student_tokenizer", "tokenizer"]
    assert learned(report)
    facts = {row["kind"]: row["facts"] for row in report["artifacts"]}
    gone = (
        tinybert.word_piece().get_vocab_size() - facts["tokenizer"]["tokens"]
    )  # of its table, which has rows to spare
    whole = sum(each.numel() for each in from_folder(shop.folder / "pupil")[0].parameters())
    assert gone > 0
    assert facts["student_start"]["parameters"] == whole - 16 * gone + 12 * 16, "rows of the table, and the layer to 12"
    task, teachers = opened(shop, "similarities", tmp_path), [shop.folder / name for name in ("words", "letters")]
    each = [unit(given(teacher, fitted(task), 10)) for teacher in teachers]
    found = cached(shop, "similarities")
    assert found.shape[1] == 32 + 24
    expected = sum(share * made @ made.T for share, made in zip(SHARES, each, strict=True))
    np.testing.assert_allclose(found @ found.T, expected, atol=2e-3)  # float16
    both = [unit(given(teacher, list(task.texts("test")), 10)) for teacher in teachers]
    alike = sum(share * made[:40] @ made[40:].T for share, made in zip(SHARES, both, strict=True))
    ranks = 1 + (alike > np.diag(alike)[:, None]).sum(1)
    assert report["quality"]["teacher"]["value"] == pytest.approx((1 / ranks).mean(), abs=0.01)  # ties
    assert {row["model"] for row in report["shifts"]} >= {"teacher", "student_float"}


def test_logits_of_teachers_with_other_tokens_are_averaged(shop: Workshop, tmp_path: Path) -> None:
    report = build(shop, "logits", CLASSIFICATION)
    assert tokenizers(report) == ["teacher_1_tokenizer", "tokenizer"], "the student reads as the second teacher does"
    task = opened(shop, "logits", tmp_path)
    teachers = [shop.folder / name for name in ("words about", "letters about")]

    def mean(texts: list[str]) -> Floats:
        each = (share * given(teacher, texts, 12) for share, teacher in zip(SHARES, teachers, strict=True))
        return np.asarray(sum(each))

    np.testing.assert_allclose(cached(shop, "logits"), mean(fitted(task)), atol=5e-3)
    right = mean(list(task.texts("test"))).argmax(1) == task.data.test.labels  # type: ignore[union-attr]
    assert report["quality"]["teacher"]["value"] == pytest.approx(right.mean())
    notes = [note for note in report["notes"] if "texts were longer than 12 tokens" in note]
    assert len(notes) > 1, "letters make many more tokens than words"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            SIMILARITIES.replace("epochs = 10", "epochs = 10\nlive = true"),
            "found live = true and 2 [[teachers]], expected one [teacher]: several are asked once, each by what it ",
        ),
        (
            EMBEDDING.replace(
                'use = "distill"\n', 'use = "distill"\nlosses = [{ use = "hidden", layers = { a = "b" } }]\n'
            ),
            "found 2 [[teachers]] and losses that look inside the teacher ('hidden'), expected one [teacher]",
        ),
        (EMBEDDING, "losses[0] 'cosine': found a student with 16 dimensions and a teacher with 56, expected as many"),
    ],
)
def test_what_needs_one_tokenizer_or_one_width_is_refused_by_the_plan(text: str, reason: str, shop: Workshop) -> None:
    ran = shop.run("plan", shop.pipeline("refused", text), "--device", "pixel8")
    line = text[: text.index('[[stages]]\nuse = "distill"')].count("\n") + 1
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: refused.toml:{line}: stage 'distill': {reason}")
