"""What loads the user's models: which digests it keeps, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import encoders
import pytest
from workshop import ONNX_ONLY

from edgekd import pipeline
from edgekd.errors import BadInputError
from edgekd.origins import Origins

READ = 'onnx = "mine.onnx"\ntokenizer = "teacher"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "teacher.safetensors").write_bytes(b"weights")
    return encoders.furnish(tmp_path)


def origins(folder: Path, text: str) -> Origins:
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    return Origins(pipeline.load(str(folder / "mine.toml")))


def configs(found: Origins) -> dict[str, dict[str, object]]:
    return {node.name: node.config.model_dump() for node in found.steps()}


def test_a_module_counts_by_its_code_and_its_weights(folder: Path) -> None:
    found = configs(origins(folder, ONNX_ONLY))["teacher"]
    assert found["weights"] == folder / "teacher.safetensors"
    assert found["weights_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert found["code_sha256"]
    (folder / "teacher.safetensors").write_bytes(b"other weights")
    changed = configs(origins(folder, ONNX_ONLY))["teacher"]
    assert [key for key in found if found[key] != changed[key]] == ["weights_sha256"]


def test_an_encoder_counts_by_its_files(folder: Path) -> None:
    first = configs(origins(folder, encoders.PIPELINE))
    assert first["teacher"]["source"] == first["tokenizer"]["source"] == str(folder / "teacher")
    assert first["tokenizer"]["max_length"] == 16
    config = json.loads((folder / "teacher" / "config.json").read_text())
    (folder / "teacher" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    changed = configs(origins(folder, encoders.PIPELINE))
    for name in ("teacher", "tokenizer"):
        assert [key for key in first[name] if first[name][key] != changed[name][key]] == ["sha256"]


def test_a_file_counts_by_its_bytes_and_by_what_runs_it(folder: Path) -> None:
    (folder / "mine.onnx").write_bytes(b"a graph")
    found = configs(origins(folder, encoders.PIPELINE.replace('encoder = "teacher"', READ)))["teacher_onnx"]
    assert found["weights_sha256"] == hashlib.sha256(b"a graph").hexdigest()
    assert found["runtimes"] == (f"onnxruntime=={version('onnxruntime')}",)


def test_a_file_that_is_not_there_is_named_with_its_key(folder: Path) -> None:
    text = encoders.PIPELINE.replace('encoder = "teacher"', 'onnx = "nowhere.onnx"\ntokenizer = "teacher"')
    with pytest.raises(BadInputError, match=r"mine\.toml: \[teacher\] onnx: found no file .*nowhere\.onnx"):
        list(origins(folder, text).steps())


def test_an_encoder_that_is_not_there_is_named(folder: Path) -> None:
    text = encoders.PIPELINE.replace('"teacher"', '"../nowhere"')
    with pytest.raises(BadInputError, match=r"found no folder .*nowhere"):
        list(origins(folder, text).steps())


def test_a_models_own_code_is_trusted_only_in_as_many_words(folder: Path) -> None:
    config = json.loads((folder / "teacher" / "config.json").read_text())
    (folder / "teacher" / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "mine.Model"}}))
    with pytest.raises(BadInputError, match="runs Python code that comes with the model") as caught:
        list(origins(folder, encoders.PIPELINE).steps())
    assert "trust_remote_code = true" in caught.value.hint
    text = encoders.PIPELINE.replace(encoders.TEACHER, f"{encoders.TEACHER}trust_remote_code = true\n")
    made = configs(origins(folder, text))
    assert made["teacher"]["trust_remote_code"] is True
    assert "trust_remote_code" not in made["tokenizer"]


def test_trust_in_the_teacher_is_none_in_the_student(folder: Path) -> None:
    config = json.loads((folder / "alike" / "config.json").read_text())
    (folder / "alike" / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "mine.Model"}}))
    text = encoders.PIPELINE.replace(encoders.TEACHER, f"{encoders.TEACHER}trust_remote_code = true\n")
    text = text.replace(encoders.STUDENT, '[student]\nencoder = "alike"\n')
    with pytest.raises(BadInputError, match="runs Python code that comes with the model"):
        origins(folder, text).student()


def test_a_student_of_its_own_counts_by_its_code(folder: Path) -> None:
    node = origins(folder, ONNX_ONLY).student()
    assert (node.name, node.stage, node.inputs) == ("student_start", "student", ())
    assert node.config.model_dump()["code_sha256"]
