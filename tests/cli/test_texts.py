"""Pipelines of embeddings through the command line: what they print, and what stands in their reports."""

from __future__ import annotations

import csv
import json
from typing import Any

import phrases
import pytest
from textshop import build, built, difference, figures
from tokenizers import Tokenizer
from workshop import Built, Workshop

from edgekd.bundle import golden, manifest

STUDENTS = ("student_start", "student_float", "onnx_int8", "tflite_int8")
SHIFTS = {"", "typos", "truncation", "upper case"}


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(phrases.furnish(tmp_path_factory.mktemp("a text shop")))


@pytest.fixture(scope="session")
def embedding(shop: Workshop) -> Built:
    """Half the teacher's layers, in both formats."""
    return built(shop, "embedding", phrases.EMBEDDING.replace('["onnx"]', '["onnx", "tflite"]'), "--control")


@pytest.fixture(scope="session")
def narrow(shop: Workshop) -> Built:
    """Layers, vectors and vocabulary cut, without a loss that compares coordinates; scored on given similarities."""
    losses = """\
losses = [
  { use = "similarity-kl", widths = [4] },
  { use = "similarity-mse", weight = { from = 5.0, to = 20.0 } },
]
"""
    text = phrases.EMBEDDING.replace("layers = 2", 'layers = { first = 2 }\noutput_width = 8\nvocabulary = "trimmed"')
    text = text.replace('"train.csv"', '"few.csv"').replace(
        '"pairs.csv"', '"scored.csv"\ncolumns = { query = "first", document = "second" }'
    )
    return built(
        shop, "narrow", text.replace('use = "distill"\n', f'use = "distill"\n{losses}'), "--allow-inconclusive"
    )


def said(made: Built) -> str:
    return " ".join(made.ran.out.split())


def test_an_embedding_is_scored_by_retrieval_beside_its_teacher_its_start_and_tfidf(embedding: Built) -> None:
    report = embedding.report
    assert (report["metric"], report["item"]) == ("MRR", "query")
    shipped = {f"{form}_{kind}" for form in ("onnx", "tflite") for kind in ("float", "int8")}
    assert report["quality"].keys() == {"teacher", "student_start", "student_float", "tfidf"} | shipped
    assert all(
        row["items"] == 40 and row["lower"] <= row["value"] <= row["upper"] for row in report["quality"].values()
    )
    for model in ("teacher", "student_float", "onnx_int8", "tflite_int8", "tfidf"):
        found = figures(embedding, model)
        assert 0 < found["R@1"] <= report["quality"][model]["value"] <= found["R@10"]
        assert found["R@1"] < found["nDCG@10"] <= 1


def test_the_bundles_texts_become_its_tensors_by_its_tokenizer(embedding: Built) -> None:
    bundle = embedding.workshop.folder / embedding.run_folder / "bundle"
    facts = manifest.read(bundle / "manifest.json").preprocessing
    assert isinstance(facts, manifest.TextPreprocessing)
    tokenizer = Tokenizer.from_file(str(bundle / facts.tokenizer))
    vocabulary = (bundle / str(facts.vocabulary)).read_text().splitlines()
    assert {token: place for place, token in enumerate(vocabulary)} == tokenizer.get_vocab()
    index = golden.GoldenIndex.model_validate_json((bundle / golden.INDEX).read_bytes())
    assert len(index.items) == 16
    for item in index.items:
        ids = tokenizer.encode((bundle / str(item.raw)).read_text()).ids
        for name, length in facts.pad_to.items():
            padded = ids + [facts.pad_id] * ((length or len(ids)) - len(ids))
            given = {each.name: golden.load(bundle, each)[0].tolist() for each in item.models[name].inputs}
            assert given.pop("input_ids") == padded
            assert given.pop("attention_mask") == [1] * len(ids) + [0] * (len(padded) - len(ids))
            assert given == ({"token_type_ids": [0] * len(padded)} if length else {})  # which MediaPipe asks for
    assert facts.pad_to == {"model.onnx": None, "model.tflite": facts.max_length}
    assert all(limit.cosine and not limit.top1 for limits in index.tolerances.values() for limit in limits)


def test_distilling_brings_an_embedding_nearer_to_the_teachers(embedding: Built) -> None:
    figure = "mean cosine to the teacher"
    cosine = {row["model"]: row["value"] for row in embedding.report["figures"] if row["figure"] == figure}
    assert cosine.keys() == embedding.report["quality"].keys() - {"teacher", "tfidf"}
    assert cosine["student_float"] > cosine["student_start"]
    for form in ("onnx", "tflite"):
        assert cosine[f"{form}_int8"] == pytest.approx(cosine["student_float"], abs=0.02)


def test_a_shipped_file_is_compared_with_the_teacher_item_by_item(embedding: Built) -> None:
    quality = embedding.report["quality"]
    for name in ("onnx_int8", "tflite_int8"):
        row = difference(embedding, name, "teacher")
        assert row["items"] == 40
        assert row["ratio"] == pytest.approx(quality[name]["value"] / quality["teacher"]["value"])
        assert row["ratio_lower"] < row["ratio"] < row["ratio_upper"]
        assert row["lower"] < row["difference"] < row["upper"]
    gained = difference(embedding, "student_float", "student_start")
    expected = quality["student_float"]["value"] - quality["student_start"]["value"]
    assert gained["difference"] == pytest.approx(expected)


def test_an_embedding_is_scored_under_shift(embedding: Built) -> None:
    rows = embedding.report["shifts"]
    assert {row["model"] for row in rows} == {"teacher", *STUDENTS, "tfidf"}
    assert {row["kind"] for row in rows} == SHIFTS
    assert {row["items"] for row in rows} == {10}
    upper = {row["level"]: row["value"] for row in rows if (row["model"], row["kind"]) == ("teacher", "upper case")}
    plain = next(row["value"] for row in rows if (row["model"], row["kind"]) == ("teacher", ""))
    assert upper == {0.5: plain, 1.0: plain}, "this tokenizer lowers the case"
    searched = {(row["kind"], row["level"]): row["value"] for row in rows if row["model"] == "tfidf"}
    assert searched["upper case", 1.0] == searched["", 0] > searched["truncation", 0.25]


def test_without_labels_there_is_no_control_and_the_report_says_so(embedding: Built) -> None:
    assert "control" not in embedding.report["quality"]
    note = "no control: text-embedding has no labels that a student could be trained on alone"
    assert note in embedding.report["notes"]


def test_repeated_and_cut_texts_are_counted_in_the_notes(embedding: Built) -> None:
    notes = embedding.report["notes"]
    (repeated,) = [note for note in notes if "occur in training too" in note]
    assert repeated.startswith("3 of 80 test texts occur in training too (the first: test ")
    assert repeated.endswith("; 3 training texts were left out for it")
    cut = [note for note in notes if "were longer than 10 tokens" in note]
    assert [note.split(" texts ")[0].split()[-1] for note in cut] == ["train", "test"]
    assert all(" of 150 train " in note or " of 80 test " in note for note in cut)


def test_a_report_without_examples_quotes_no_text(embedding: Built) -> None:
    shop = embedding.workshop
    ran = build(shop, "embedding", "--control", "--no-examples")
    assert ran.code == 0, ran.err
    run = (shop.folder / ran.out.splitlines()[-1]).parent
    with (shop.folder / "pairs.csv").open(newline="") as file:
        texts = {text for row in csv.reader(file) for text in row}
    said = [run / name for name in ("report.json", "report.html", "report.md", "junit.xml", "details.json")]
    assert not [(path.name, text) for path in said for text in texts if len(text) > 12 and text in path.read_text()]


def test_a_missed_limit_is_told_what_shorter_texts_would_give(embedding: Built) -> None:
    run = str(embedding.run_folder)
    ran = embedding.workshop.run("check", run, "--limit", "latency_p95<=1ns", "--json")
    tried = {row["artifact"]: row["tries"] for row in json.loads(ran.out)["checks"] if row["metric"] == "latency_p95"}
    assert ran.code == 1, ran.err
    (shorter,) = [each for each in tried["onnx_int8"] if each["text"].startswith("texts of at most ")]
    assert shorter["text"] == "texts of at most 5 tokens instead of 10 (max_length)"
    assert shorter["provenance"] == "predicted"
    assert not [each for rows in tried.values() for each in rows if "images" in each["text"]]


def test_the_terminal_shows_the_proof_of_an_embedding(embedding: Built) -> None:
    text = said(embedding)
    assert "MRR on 40 test queries of the train.csv, tested on pairs.csv" in text.replace(
        f"{embedding.workshop.folder}/", ""
    )
    for part in ("besides, on the same items R@1: teacher", "under shift, on 10 queries as they are: teacher"):
        assert part in text


def test_the_second_build_of_texts_finds_everything_in_the_store(embedding: Built) -> None:
    ran = build(embedding.workshop, "embedding", "--control", "--json")
    report = json.loads(ran.out)
    assert ran.code == 0
    assert all(step["cached"] for step in report["steps"])
    assert report["quality"] == embedding.report["quality"]
    assert report["notes"] == embedding.report["notes"]


def test_a_narrow_embedding_is_scored_on_given_similarities(narrow: Built) -> None:
    report = narrow.report
    assert (report["metric"], report["item"]) == ("Spearman correlation", "pair")
    assert all(-1 <= row["value"] <= 1 and row["items"] == 40 for row in report["quality"].values())
    assert report["quality"]["student_start"]["lower"] < 0, "a correlation can be negative"
    assert report["quality"]["tfidf"]["value"] > 0.5, "the given similarities are shares of common words"


def test_a_narrow_embedding_learns_which_texts_are_alike_to_the_teacher(narrow: Built) -> None:
    assert "mean cosine to the teacher" not in figures(narrow, "student_float"), "the widths differ"
    qualities = _facts(narrow, "student_float")["selection_quality"]
    assert qualities[-1] > 0.5
    assert qualities[-1] > qualities[0]


def test_vectors_and_vocabulary_are_as_narrow_as_asked_for(narrow: Built, embedding: Built) -> None:
    facts = {row["kind"]: row["facts"] for row in narrow.report["artifacts"]}
    assert facts["tokenizer"]["tokens"] < facts["tokenizer"]["tokens_before"]
    dropped = facts["tokenizer"]["tokens_before"] - facts["tokenizer"]["tokens"]
    whole = _facts(embedding, "student_start")["parameters"]
    assert facts["student_start"]["parameters"] == whole - 32 * dropped + 32 * 8, (
        "rows of the table, and the layer to 8"
    )
    assert _outputs(narrow)["onnx_int8"] == 8
    assert _outputs(embedding)["onnx_int8"] == 32


def _facts(made: Built, kind: str) -> dict[str, Any]:
    return next(dict(row["facts"]) for row in made.report["artifacts"] if row["kind"] == kind)


def _outputs(made: Built) -> dict[str, int]:
    """The width of each ONNX file's output."""
    import onnx

    folder = made.workshop.folder / made.run_folder
    paths = {row["kind"]: folder / row["path"] for row in made.report["artifacts"] if row["path"].endswith(".onnx")}
    shapes = {kind: onnx.load(path).graph.output[0].type.tensor_type.shape.dim for kind, path in paths.items()}
    return {kind: dims[-1].dim_value for kind, dims in shapes.items()}


def test_a_drop_that_no_candidate_meets_fails_and_shows_the_best(shop: Workshop, embedding: Built) -> None:
    text = (shop.folder / "embedding.toml").read_text()
    shop.pipeline("strict", text.replace("max_drop = 0.2", 'max_drop = 0\nmode = "dynamic"'))
    strict = Built(shop, build(shop, "strict"))
    assert strict.ran.code == 1, strict.ran.err
    (row,) = [row for row in strict.report["checks"] if (row["artifact"], row["metric"]) == ("onnx_int8", "drop")]
    candidates = [each for each in strict.report["candidates"] if each["artifact"] == "onnx_int8"]
    assert row["verdict"] == "fail"
    assert row["point"] == min(each["drop"] for each in candidates) > 0
    (chosen,) = [each for each in candidates if each["chosen"]]
    assert chosen["drop"] == row["point"]
    assert f"no candidate met max_drop: {chosen['name']} lost least" in strict.ran.out
    first, second, *reverted = [each["name"] for each in candidates]
    assert (first, second) == ("smoothed", "dynamic")
    assert reverted
    assert all(name.endswith("in float") for name in reverted)
    assert not [each for each in embedding.report["checks"] if each["metric"] == "drop" and each["verdict"] != "pass"]


def test_the_terminal_lists_what_was_tried(embedding: Built) -> None:
    lines = embedding.ran.out.splitlines()
    start = lines.index("INT8 candidates, on training rows kept for choosing")
    shown = [line.split()[:2] for line in lines[start + 1 : start + 9]]
    assert shown[0] == ["onnx_int8"]
    assert sum(first == "*" for first, *_ in shown) == 2  # one for each format
    assert all(len(line) <= 80 for line in lines[start : start + 9])
