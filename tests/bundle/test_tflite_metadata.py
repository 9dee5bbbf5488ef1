"""TFLite files say what they are: written, read back, and not taken from damaged files; outputs stay bit for bit."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from modelfiles import LABELS, Given, image_facts, labels, tokens, vocabulary

from edgekd.bundle.tflite_metadata import read_metadata, with_metadata
from edgekd.errors import BadInputError
from edgekd.runtimes.tflite import Runner, describe
from edgekd.tasks.image_classification import prepare

TEXTS = ["the cat sat", "a dog on the mat", "running"]


def finished(given: Given) -> bytes:
    return with_metadata(given.model, given.facts, given.assets)


def outputs(folder: Path, model: bytes, rows: dict[str, np.ndarray]) -> np.ndarray:
    path = folder / "model.tflite"
    path.write_bytes(model)
    return Runner(path, 1).run([rows])


@pytest.mark.parametrize("ends", ["float", "uint8", "int8"])
def test_an_image_file_says_all_and_answers_the_same(image_files: dict[str, Given], ends: str, tmp_path: Path) -> None:
    given = image_files[ends]
    model = finished(given)
    found = read_metadata(model)
    assert found is not None
    (image,), (logits,) = found.inputs, found.outputs
    assert (found.name, found.licence, found.min_parser_version) == ("bars", "MIT", "1.0.0")
    assert (image.name, image.mean, image.std) == ("image", (127.5,), (127.5,))
    bounds = {"float": (-1.0, 1.0), "uint8": (0.0, 255.0), "int8": (-128.0, 127.0)}[ends]
    assert (*image.minimum, *image.maximum) == bounds
    assert (logits.name, logits.labels) == ("logits", LABELS)
    assert "softmax(logits / 1.5)" in logits.description
    rows = {"image": prepare(tiny.data().test.images[:20])}
    assert np.array_equal(outputs(tmp_path, model, rows), outputs(tmp_path, given.model, rows))


@pytest.mark.parametrize("kind", ["vectors", "classes"])
def test_a_text_file_gets_a_third_input_that_changes_nothing(
    text_files: dict[str, Given], kind: str, tmp_path: Path
) -> None:
    given = text_files[kind]
    model = finished(given)
    found = read_metadata(model)
    assert found is not None
    assert [each.name for each in found.inputs] == ["ids", "segment_ids", "mask"]
    assert (found.vocabulary, found.files["vocab.txt"]) == ("vocab.txt", vocabulary())
    assert found.min_parser_version == "1.1.0"
    assert np.array_equal(outputs(tmp_path, model, tokens(TEXTS)), outputs(tmp_path, given.model, tokens(TEXTS)))
    (tmp_path / "model.tflite").write_bytes(model)
    graph = describe(tmp_path / "model.tflite")
    assert [each.name for each in graph.inputs] == ["input_ids", "token_type_ids", "attention_mask"]
    assert [each.op_type for each in graph.operators] == [each.op_type for each in describe(given.path).operators]


def test_signatures_have_the_same_names_as_tensors(text_files: dict[str, Given]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_content=finished(text_files["classes"]), num_threads=1).get_signature_runner()
    fed = {name: rows[:1].astype(np.int32) for name, rows in tokens(TEXTS).items()}
    plain = run(**fed, token_type_ids=np.zeros_like(fed["input_ids"]))["logits"]
    odd = run(**fed, token_type_ids=np.ones_like(fed["input_ids"]))["logits"]
    assert np.array_equal(plain, odd)


def outside(model: bytes) -> bytes:
    """The file with its weights behind the FlatBuffer, as litert-quantizer writes large ones."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    moved = [(each, bytes(each.data)) for each in parsed.buffers if each.data is not None and len(each.data) > 64]
    packed, size = b"", 1 << 20  # offsets have one width, so the first packing has the length of the second
    for _ in range(2):
        behind = b""
        for buffer, content in moved:
            buffer.data, buffer.offset, buffer.size = None, size + len(behind), len(content)
            behind += content + bytes(-len(content) % 16)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(parsed.Pack(builder), b"TFL3")
        packed = bytes(builder.Output())
        packed += bytes(-len(packed) % 16)
        size = len(packed)
    return packed + behind


def test_weights_lie_inside_and_aligned(image_files: dict[str, Given], tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    given = image_files["float"]
    moved = outside(given.model)
    model = with_metadata(moved, given.facts, given.assets)
    packed = schema.Model.GetRootAs(model)
    buffers = [packed.Buffers(index) for index in range(packed.BuffersLength())]
    assert not any(each.Offset() or each.Size() for each in buffers)
    starts = [each._tab.Vector(each._tab.Offset(4)) for each in buffers if not each.DataIsNone()]
    assert len(starts) > 5
    assert all(start % 16 == 0 for start in starts)
    rows = {"image": prepare(tiny.data().test.images[:20])}
    assert np.array_equal(outputs(tmp_path, model, rows), outputs(tmp_path, moved, rows))
    with pytest.raises(BadInputError, match="ends before its weights do"):
        with_metadata(moved[:-1000], given.facts, given.assets)


def test_the_same_bytes_again_and_from_itself(text_files: dict[str, Given]) -> None:
    given = text_files["vectors"]
    model = finished(given)
    assert model == finished(given)
    again = read_metadata(with_metadata(model, given.facts, given.assets))
    assert again == read_metadata(model)


@pytest.mark.parametrize(
    "names",
    [
        tuple(f"class {index}, with a comma" for index in range(10_000)),
        ("emoji 🧥", "« guillemets »", " spaces ", "back\\slash", "\\n"),
        ("two\nlines", "re\rturn", "back\\slash", "\\n", ""),
    ],
    ids=["10,000", "odd", "line ends"],
)
def test_no_label_is_lost(image_files: dict[str, Given], names: tuple[str, ...]) -> None:
    given = image_files["float"]
    found = read_metadata(with_metadata(given.model, given.facts, labels(names)))
    assert found is not None
    assert found.outputs[0].labels == names
    assert len(found.files["labels.txt"].splitlines()) == len(names)
    escaped = any(set(name) & set("\n\r") for name in names)
    with zipfile.ZipFile(io.BytesIO(with_metadata(given.model, given.facts, labels(names)))) as archive:
        assert archive.namelist() == ["labels.txt"]
    assert (b"two\\nlines\n" in found.files["labels.txt"]) == escaped


def test_channels_of_their_own_keep_three_values(image_files: dict[str, Given]) -> None:
    given = image_files["float"]
    facts = image_facts(mean=(123.675, 116.28, 103.53), scale=(58.395, 57.12, 57.375))
    found = read_metadata(with_metadata(given.model, facts, given.assets))
    assert found is not None
    assert found.inputs[0].mean == pytest.approx((123.675, 116.28, 103.53))
    assert found.inputs[0].maximum == pytest.approx((2.2489, 2.4286, 2.64), rel=1e-4)


def test_a_file_without_metadata_has_none(image_files: dict[str, Given]) -> None:
    assert read_metadata(image_files["float"].model) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x05\x06" + bytes(18), b"\x09\0\0\0TFL3", bytes(4) + b"TFL3" + b"\xff" * 90],
    ids=["empty", "zip", "short", "ones"],
)
def test_what_is_no_tflite_file_is_refused(content: bytes) -> None:
    with pytest.raises(BadInputError):
        read_metadata(content)
    with pytest.raises(BadInputError):
        with_metadata(content, image_facts(), labels())


def test_a_damaged_file_is_read_or_refused(text_files: dict[str, Given]) -> None:
    """No other error, whatever bit of the file is wrong."""
    model = bytearray(finished(text_files["vectors"]))
    metadata = bytes(model).index(b"M001") - 4
    places = np.random.default_rng(0).integers(0, 600, 300) + metadata
    tail = np.random.default_rng(1).integers(len(model) - 600, len(model), 100)
    refused = 0
    for place in (*range(60), *places, *tail):
        hurt = bytearray(model)
        hurt[place] ^= 1 << (int(place) % 8)
        try:
            read_metadata(bytes(hurt))
        except BadInputError:
            refused += 1
    assert refused > 50


def test_no_vocabulary_gives_no_tokenizer(text_files: dict[str, Given]) -> None:
    given = text_files["vectors"]
    facts = replace(given.facts, preprocessing=given.facts.preprocessing.model_copy(update={"vocabulary": None}))
    found = read_metadata(with_metadata(given.model, facts, {}))
    assert found is not None
    assert (found.vocabulary, found.files, found.min_parser_version) == (None, {}, "1.0.0")
