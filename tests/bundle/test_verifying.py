"""What `edgekd verify` says of a bundle that is as it was made, and of many that are not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import linear
import numpy as np
import onnx
import pytest
from keypairs import write_pair

from edgekd.bundle import (
    archive,
    checksums,
    facts,
    manifest,
    metadata_schema,
    onnx_metadata,
    running,
    signing,
    unpacking,
    verifying,
)
from edgekd.bundle.flatbuffer_tables import encode
from edgekd.bundle.tflite_file import TfliteFile
from edgekd.bundle.verification import Check, Verification
from edgekd.bundle.verifying import Asked, verify
from edgekd.errors import BadInputError

FLIPS = 1_000
COMPILED = "samples/python/__pycache__/edgekd_sample.cpython-311.pyc"


def checks(found: Verification) -> dict[str, str]:
    return {check.name: check.state for check in found.checks}


def failed(path: Path, asked: Asked | None = None) -> Check:
    """The one check that fails."""
    found = verify(path, asked)
    assert found.exit_code == 1
    (only,) = (check for check in found.checks if check.state == "fail")
    return only


def used(compiled: Path) -> None:
    compiled.parent.mkdir(parents=True)
    compiled.write_bytes(b"compiled")


def zipped(bundle: Path) -> Path:
    target = bundle.with_name("bundle.zip")
    target.write_bytes(archive.packed(unpacking.read_folder(bundle)))
    return target


def signed(bundle: Path) -> Path:
    """Sign it; return the public key."""
    write_pair(bundle.parent)
    sums = (bundle / checksums.NAME).read_bytes()
    (bundle / checksums.SIGNATURE).write_bytes(signing.sign(sums, bundle.parent / "key.pem"))
    return bundle.parent / "key.pub.pem"


def test_a_whole_bundle_passes_on_every_runtime_that_is_here(whole: Path) -> None:
    found = verify(whole)
    assert found.exit_code == 0
    assert set(checks(found).values()) == {"pass"}
    assert {name.split()[2] for name in checks(found) if " on " in name} == {"onnxruntime", "ai-edge-litert"}


def test_a_zip_says_the_same_as_its_folder(bundle: Path) -> None:
    found = verify(zipped(bundle))
    assert checks(found) == checks(verify(bundle))
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["bundle", "bundle.zip"]


def test_a_zip_that_was_packed_again_is_told_by_its_files(bundle: Path) -> None:
    again = Path(shutil.make_archive(str(bundle.parent / "again"), "zip", bundle))
    found = verify(again)
    assert found.exit_code == 0
    assert checks(found)["zip"] == "note"


def test_a_signature_is_checked_where_a_key_is_given(bundle: Path) -> None:
    key = signed(bundle)
    assert checks(verify(bundle, Asked(key)))["signature"] == "pass"
    assert checks(verify(bundle))["signature"] == "unchecked"
    write_pair(bundle.parent, "other")
    assert "is not by the pair of other.pub.pem" in failed(bundle, Asked(bundle.parent / "other.pub.pem")).text


def test_a_bundle_without_a_signature_fails_where_a_key_is_given(bundle: Path) -> None:
    write_pair(bundle.parent)
    assert "the bundle is not signed" in failed(bundle, Asked(bundle.parent / "key.pub.pem")).text


def test_what_was_changed_and_summed_again_is_still_not_what_was_signed(bundle: Path) -> None:
    key = signed(bundle)
    (bundle / "labels.json").write_text('["x", "y", "z"]')
    linear.seal(bundle)
    found = failed(bundle, Asked(key))
    assert (found.name, found.text) == (
        "signature",
        "SHA256SUMS.sig is not by the pair of key.pub.pem, or of other sums",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "labels.json").unlink(), "labels.json: it is missing"),
        (lambda root: (root / "more.txt").write_text("x"), "more.txt: it is not in SHA256SUMS"),
        (
            lambda root: used(root / COMPILED),
            f"{COMPILED}: it is not in SHA256SUMS; using a sample there left it: remove it",
        ),
        (lambda root: (root / "labels.json").write_text("[]"), "labels.json: its bytes are not those that were summed"),
    ],
)
def test_a_file_too_few_too_many_or_changed(bundle: Path, change: Any, message: str) -> None:
    change(bundle)
    found = failed(bundle)
    assert (found.name, found.details) == ("checksums", (message,))
    assert not any(" on " in name for name in checks(verify(bundle)))  # nothing of it was run


def noticed(path: Path, files: unpacking.Files, key: Path | None) -> bool:
    return any(check.state in ("fail", "note") for check in verifying.intact(path, files, key))


def noticed_when_read(path: Path, key: Path | None) -> bool:
    try:
        return noticed(path, unpacking.read(path), key)
    except (BadInputError, KeyError):  # a zip that is refused, or that has lost its sums' name
        return True


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_each_of_a_thousand_flipped_bits_is_noticed_in_a_folder(bundle: Path) -> None:
    key = signed(bundle)
    files = unpacking.read(bundle)
    assert not noticed(bundle, files, key)
    generator = np.random.default_rng(5)
    for number in range(FLIPS):
        place = sorted(files)[number % len(files)]  # each file again and again, the small ones too
        changed = flipped(files[place], int(generator.integers(8 * len(files[place]))))
        assert noticed(bundle, {**files, place: changed}, key), (place, number)
        if number % 50 == 0:
            (bundle / place).write_bytes(changed)
            assert verify(bundle, Asked(key)).exit_code == 1
            (bundle / place).write_bytes(files[place])


def test_each_of_a_thousand_flipped_bits_is_noticed_in_a_zip(bundle: Path) -> None:
    shutil.rmtree(bundle / "golden")  # a small one: nothing of it is run here
    path = zipped(linear.seal(bundle))
    content = path.read_bytes()
    assert not noticed_when_read(path, None)
    generator = np.random.default_rng(6)
    for bit in map(int, generator.integers(8 * len(content), size=FLIPS)):
        path.write_bytes(flipped(content, bit))
        assert noticed_when_read(path, None), bit


def test_a_manifest_of_another_form_fails(bundle: Path) -> None:
    found = failed(linear.change(bundle, "manifest.json", "models", 0, "format", to="pickle"))
    assert (found.name, found.text) == (
        "manifest",
        "manifest.json: models.0.format: Input should be 'onnx' or 'tflite'",
    )


@pytest.mark.parametrize(
    ("keys", "to", "message"),
    [
        (("inputs", 0, "shape"), [1, 5], "input 'x': the manifest says shape [1, 5], the file [None, 4]"),
        (("inputs", 0, "dtype"), "int8", "input 'x': the manifest says type int8, the file float32"),
        (("outputs", 0, "name"), "chances", "outputs: the manifest says chances, the file scores"),
        (("size_bytes",), 1, "the manifest has the SHA-256 or size of another file"),
        (("sha256",), "0" * 64, "the manifest has the SHA-256 or size of another file"),
        (("format",), "tflite", "the manifest calls it tflite, its name ends in .onnx"),
        (("minimum", 0, "version"), "1.10.0", "the manifest says onnxruntime 1.10.0 is enough; the file needs 1.18.0"),
        (
            ("minimum", 0, "version"),
            "newest",
            "the manifest says onnxruntime newest is enough; the file needs 1.18.0",
        ),
        (("minimum",), [], "the manifest says no least version of onnxruntime; the file needs 1.18.0"),
        (
            ("minimum", 0, "runtime"),
            "torch",
            "the manifest says no least version of onnxruntime; the file needs 1.18.0",
        ),
    ],
)
def test_a_manifest_that_lies_about_a_file_fails(bundle: Path, keys: Any, to: Any, message: str) -> None:
    linear.change(bundle, "manifest.json", "models", 0, *keys, to=to)
    found = next(check for check in verify(bundle).checks if check.name == "model.onnx")
    assert found.state == "fail"
    assert found.details[0] == message
    assert verify(bundle).exit_code == 1


def telling(bundle: Path) -> bytes:
    """The ONNX file with what it is inside it."""
    told = manifest.read(bundle / "manifest.json")
    labels = {"labels.json": (bundle / "labels.json").read_bytes()}
    return onnx_metadata.with_metadata((bundle / "model.onnx").read_bytes(), facts.of(told, "model.onnx"), labels)


def of_another_type(bundle: Path) -> bytes:
    model = onnx.load(bundle / "model.onnx")
    model.graph.output[0].type.tensor_type.elem_type = 99
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("damage", "detail"),
    [
        (telling, ""),
        (
            lambda root: telling(root).replace(b"edgekd.author", b"edgekd.auth\xffr"),
            "its metadata: found ONNX metadata that can't be read (KeyError: 'author')",
        ),
        (
            lambda root: (root / "model.onnx").read_bytes().replace(b"scores", b"sc\xffres"),
            "outputs: the manifest says scores, the file sc\N{REPLACEMENT CHARACTER}res",
        ),
        (of_another_type, "output 'scores': the manifest says type float32, the file type 99"),
    ],
    ids=["whole", "metadata", "names", "types"],
)
def test_a_damaged_onnx_file_that_was_summed_fails_and_crashes_nothing(bundle: Path, damage: Any, detail: str) -> None:
    found = verify(linear.put(bundle, 0, damage(bundle)))
    (model,) = (check for check in found.checks if check.name == "model.onnx")
    assert model.details == ((detail,) if detail else ())
    assert found.exit_code == bool(detail)


def test_labels_that_are_none_are_held_against_metadata_too(bundle: Path) -> None:
    linear.put(bundle, 0, telling(bundle))
    (bundle / "labels.json").write_text("5")
    found = verify(linear.seal(bundle))
    details = {check.name: check.details for check in found.checks if check.state == "fail"}
    reason = "labels.json: found no list of texts: Input should be a valid array"
    assert details == {"manifest": (reason,), "model.onnx": (f"its metadata: {reason}",)}


def test_tflite_metadata_without_tensors_are_told(bundle: Path) -> None:
    file = TfliteFile((bundle / "model.tflite").read_bytes())
    empty = encode(metadata_schema.SCHEMA, "ModelMetadata", {"subgraph_metadata": [{}]}, metadata_schema.IDENTIFIER)
    file.attach(metadata_schema.BUFFER, empty)
    assert failed(linear.put(bundle, 1, file.packed())).details[-1] == "its metadata: found no input or no output"


def test_a_tflite_file_without_operators_is_told(bundle: Path) -> None:
    file = TfliteFile((bundle / "model.tflite").read_bytes())
    file.subgraph.operators = []
    (detail,) = failed(linear.put(bundle, 1, file.packed())).details
    assert detail.endswith("found a file that is not a TFLite model: it has no operators")


def test_a_golden_output_that_is_no_number_is_no_answer(bundle: Path) -> None:
    path = bundle / "golden/tensors/003-scores.bin"
    path.write_bytes(np.full(3, np.nan, np.float32).tobytes())
    found = verify(linear.seal(bundle))
    details = [check.details[0] for check in found.checks if check.state == "fail"]
    assert details == ["vector 3, output 'scores': nan off, at most 0.0001 is allowed"] * 2


def test_a_golden_vector_of_nothing_is_none(bundle: Path) -> None:
    for end, shape in (("inputs", [0, 4]), ("outputs", [0, 3])):
        for file in ("model.onnx", "model.tflite"):
            linear.change(bundle, "golden/golden.json", "items", 0, "models", file, end, 0, "shape", to=shape)
    for name in ("x", "scores"):
        (bundle / f"golden/tensors/000-{name}.bin").write_bytes(b"")
    found = failed(linear.seal(bundle))
    assert found.details[0] == "vector 0: model.onnx, input 'x': found the shape [0, 4], which holds nothing"


def test_a_manifest_that_claims_more_than_is_needed_passes(bundle: Path) -> None:
    linear.change(bundle, "manifest.json", "models", 0, "minimum", 0, "version", to="1.20.0")
    assert verify(bundle).exit_code == 0


def test_a_model_swapped_for_another_of_the_same_form_fails_by_its_answers(bundle: Path) -> None:
    import hashlib

    content = (bundle / "model.onnx").read_bytes().replace(linear.BIAS.tobytes(), (linear.BIAS + 1).tobytes())
    (bundle / "model.onnx").write_bytes(content)
    linear.change(bundle, "manifest.json", "models", 0, "sha256", to=hashlib.sha256(content).hexdigest())
    found = failed(bundle)
    assert found.name.startswith("model.onnx on onnxruntime")
    assert found.details[0] == "vector 0, output 'scores': 1 off, at most 0.0001 is allowed"
    assert checks(verify(bundle))["model.tflite"] == "pass"


def test_a_golden_output_of_another_answer_is_named(bundle: Path) -> None:
    path = bundle / "golden/tensors/007-scores.bin"
    path.write_bytes(np.frombuffer(path.read_bytes(), np.float32)[::-1].tobytes())
    linear.seal(bundle)
    found = verify(bundle)
    details = [detail for check in found.checks if check.state == "fail" for detail in check.details]
    assert {detail.split(",")[0] for detail in details} == {"vector 7"}
    assert any("expected" in detail for detail in details)


@pytest.mark.parametrize(
    ("place", "keys", "to", "message"),
    [
        ("manifest.json", ("golden", "count"), 17, "found 16 vectors, and the manifest says 17"),
        ("golden/golden.json", ("items", 3, "raw"), "golden/raw/x.txt", "vector 3: golden/raw/x.txt is not there"),
        ("golden/golden.json", ("items", 2, "models", "model.onnx", "inputs", 0, "shape"), [1, 9], "vector 2:"),
        ("golden/golden.json", ("items", 2, "models", "model.onnx", "inputs", 0, "dtype"), "int8", "vector 2:"),
        ("golden/golden.json", ("items", 2, "models", "model.onnx", "inputs", 0, "name"), "y", "vector 2:"),
        ("golden/golden.json", ("items", 2, "models"), {}, "vector 2: there is none for model.onnx"),
        ("manifest.json", ("postprocessing", "labels"), "other.json", "other.json: the manifest names it"),
        ("manifest.json", ("postprocessing", "temperatures"), {"a.onnx": 1}, "temperatures: found the model 'a.onnx'"),
    ],
)
def test_parts_that_do_not_fit_each_other_fail(bundle: Path, place: str, keys: Any, to: Any, message: str) -> None:
    found = failed(linear.change(bundle, place, *keys, to=to))
    assert found.details[0].startswith(message)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ('["a"]', "labels.json: found 1 labels, and model.onnx gives 3 numbers"),
        ("[1, 2, 3]", "labels.json: found no list of texts: Input should be a valid string"),
        ("a,b,c", "labels.json: found no list of texts: Invalid JSON: expected value at line 1 column 1"),
        ("5", "labels.json: found no list of texts: Input should be a valid array"),
        ("[" * 100_000, "labels.json: found no list of texts: Invalid JSON: recursion limit exceeded"),
    ],
)
def test_labels_that_do_not_fit_fail(bundle: Path, labels: str, message: str) -> None:
    (bundle / "labels.json").write_text(labels)
    assert failed(linear.seal(bundle)).details[0].startswith(message)


def test_an_index_that_is_missing_or_of_another_form_fails(bundle: Path) -> None:
    linear.change(bundle, "golden/golden.json", "items", to=[])
    assert failed(bundle).text.startswith("golden/golden.json: items: Tuple should have at least 1 item")
    linear.change(bundle, "manifest.json", "golden", "index", to="golden/none.json")
    assert "golden/none.json: the manifest names it, and it is not there" in failed(bundle).text


def test_without_a_runtime_for_any_file_it_says_which_to_install(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "find_spec", lambda _: None)
    found = verify(whole)
    assert found.exit_code == 3
    assert [check.text for check in found.checks if check.state == "unchecked"] == [
        "found no runtime for it here: pip install onnxruntime",
        "found no runtime for it here: pip install ai-edge-litert",
    ]


def test_a_runtime_that_is_missing_beside_one_that_is_there_is_said(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "find_spec", lambda name: object() if name == "onnxruntime" else None)
    found = verify(whole)
    assert found.exit_code == 0
    assert "6 checks met, 1 not checked (see above)" in " ".join("\n".join(found.lines()).split())


def test_no_tolerance_for_this_machine_is_no_pass(bundle: Path) -> None:
    for name in ("model.onnx", "model.tflite"):
        linear.change(bundle, "golden/golden.json", "tolerances", name, 0, "isa", to="wasm")
    assert verify(bundle).exit_code == 3


def test_a_file_that_its_runtime_refuses_fails_with_the_reason(tmp_path: Path) -> None:
    root = tmp_path / "bundle"
    root.mkdir()
    broken = linear.write_onnx(tmp_path / "model.onnx")
    broken.write_bytes(broken.read_bytes().replace(b"Gemm", b"Gimm"))
    shutil.rmtree(root)
    models = (tmp_path / "model.onnx",)
    linear.write_bundle(root, *models)
    shutil.copy(broken, root)
    found = failed(linear.seal(root))
    assert found.text.startswith("it can't load the file:")


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS"])
def test_what_has_no_manifest_or_sums_is_no_bundle(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BadInputError, match=f"found no {name}, expected a bundle"):
        verify(bundle)


def test_lines_fit_80_columns_and_the_rest_is_counted(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (bundle / "golden/tensors").iterdir():
        path.write_bytes(b"x")
    monkeypatch.chdir(bundle.parent)  # a path isn't broken, and the whole one may be longer than a line
    lines = list(verify(Path(bundle.name)).lines())
    assert max(map(len, lines)) <= 80
    assert "            and 27 more (--json has them all)" in lines
    assert " ".join("\n".join(lines).split()).endswith("1 failed, 1 not checked (see above) (exit code 1)")


def test_nothing_heavy_is_imported(whole: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from edgekd.bundle.verifying import verify
assert verify(Path({str(whole)!r})).exit_code == 0
heavy = {{"torch", "transformers", "PIL", "tokenizers", "ai_edge_litert", "cryptography", "sklearn", "pyarrow"}}
print(sorted(heavy & set(sys.modules)))
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert ran.stdout == "[]\n", ran.stderr
