import os
import subprocess
import sys
from pathlib import Path

import hubcache
import huggingface_hub
import pytest
import tinybert

from edgekd.errors import BadInputError
from edgekd.models.encoder_folder import check, digest, find
from edgekd.models.encoder_source import from_folder


def test_facts_are_read_without_torch(tmp_path: Path) -> None:
    folder = tinybert.save_sentence_model(tmp_path / "model", "distilbert", "cls", dense=20)
    code = "\n".join(
        (
            "import sys",
            "from edgekd.models.encoder_folder import check",
            f"facts = check({str(folder)!r})",
            "print(facts.model_type, facts.hidden, facts.layers, facts.width, facts.max_length, facts.pooling)",
            "print(facts.normalize, facts.labels, 'torch' in sys.modules, 'transformers' in sys.modules)",
        )
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["distilbert 32 4 20 24 cls", "True () False False"]


def test_labels_stand_in_the_order_of_their_classes(tmp_path: Path) -> None:
    names = {index: f"class {index}" for index in range(12)}  # as text, 10 sorts before 2
    folder = tinybert.save_model(tmp_path / "model", labels=12, id2label=names)
    facts = check(folder)
    assert facts.labels == tuple(names.values())
    assert facts.width == 12
    assert check(tinybert.save_model(tmp_path / "bare")).labels == ()


def test_positions_that_a_family_counts_from_its_padding_are_left_out(tmp_path: Path) -> None:
    folder = tinybert.save_model(tmp_path / "model", "roberta")
    (folder / "tokenizer_config.json").unlink()
    assert check(folder).max_length == 40 - 2


@pytest.mark.parametrize("mode", ["median", ["mean", "max"]])
def test_pooling_that_edgekd_lacks_is_refused(tmp_path: Path, mode: object) -> None:
    folder = tinybert.save_sentence_model(tmp_path / "model")
    tinybert.write(folder / "1_Pooling" / "config.json", {"pooling_mode": mode})
    with pytest.raises(BadInputError, match=r"found pooling (median|mean . max)"):
        check(folder)


def test_old_names_of_pooling_are_read(tmp_path: Path) -> None:
    folder = tinybert.save_sentence_model(tmp_path / "model")
    old = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True}
    tinybert.write(folder / "1_Pooling" / "config.json", old)
    assert check(folder).pooling == "lasttoken"


def test_parts_that_edgekd_lacks_are_refused(tmp_path: Path) -> None:
    folder = tinybert.save_sentence_model(tmp_path / "model")
    parts = [{"idx": i, "path": "", "type": kind} for i, kind in enumerate(("a.Transformer", "a.Pooling", "a.LSTM"))]
    tinybert.write(folder / "modules.json", parts)
    with pytest.raises(BadInputError, match="found Transformer, Pooling, LSTM, expected"):
        check(folder)


def test_code_that_comes_with_a_model_is_never_run_unasked(tmp_path: Path) -> None:
    folder, ran = tmp_path / "model", tmp_path / "ran"
    tinybert.save_model(folder)
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    tinybert.write(folder / "config.json", {**config, "max_position_embeddings": 40})
    for look in (check, from_folder):
        with pytest.raises(BadInputError, match=r"runs Python code that comes with the model") as caught:
            look(folder)
        assert "trust_remote_code = true" in caught.value.hint
    assert not ran.exists()
    assert check(folder, trust_remote_code=True).remote_code


def test_a_model_inside_an_installed_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "packaged_model"
    tinybert.save_sentence_model(package / "deep" / "model")
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find("package:packaged_model") == package / "deep" / "model"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("package:no_such_package_anywhere", "found no installed package"),
        ("package:json", r"found the package 'json' without a model"),
        ("/no/such/folder", "found no folder"),
    ],
)
def test_what_is_not_there_is_refused(name: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        find(name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"without a config.json"):
        check(tmp_path)


def test_a_hub_id_that_can_not_be_had_is_refused(tmp_path: Path) -> None:
    code = "from edgekd.models.encoder_folder import check; check('nobody/nothing')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert "BadInputError: found no folder 'nobody/nothing', and no such model in the hub's local cache" in ran.stderr


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hub's library finds its cache, while there is no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    return tmp_path / "home"


def test_a_model_of_the_hub_is_found_in_its_cache_and_counts_by_its_commit(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, name = tinybert.save_sentence_model(tmp_path / "model", dense=20), "someone/encoder"
    hubcache.keep(home, name, folder, weights=False)  # as a plan leaves it
    planned = check(name)
    assert (planned.width, planned.max_length, planned.pooling) == (20, 24, "mean")
    before = digest(planned.folder)
    hubcache.keep(home, name, folder)
    found = find(name)
    assert found == planned.folder
    assert (found / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert digest(found) == before, "a plan and the builds before and after it agree on the key"
    monkeypatch.setattr(hubcache, "COMMIT", "f" * 40)
    hubcache.keep(home, name, folder)
    assert digest(find(name)) != before


def test_a_cache_without_what_edgekd_has_no_use_for_is_whole(home: Path, tmp_path: Path) -> None:
    """The hub's library keeps a list of a commit's files, and refuses a cache without one that was asked for."""
    trees = pytest.importorskip("huggingface_hub._tree_cache")
    folder, name = tinybert.save_model(tmp_path / "model"), "someone/encoder"
    hubcache.keep(home, name, folder)
    listed = [path.name for path in folder.iterdir()] + ["README.md", "picture.png", "pytorch_model.bin", "onnx/a.json"]
    entries = {path: trees.TreeCacheEntry(9, "0" * 40) for path in listed}
    trees.write_tree_cache(str(home / "hub" / "models--someone--encoder"), hubcache.COMMIT, entries)
    weights = find(name) / "model.safetensors"
    weights.unlink()
    assert find(name, weights=False) == weights.parent
    with pytest.raises(BadInputError, match=r"is incomplete: 1 file\(s\) are missing \(model\.safetensors\)"):
        find(name)


def test_the_digest_is_of_what_the_model_does(tmp_path: Path) -> None:
    folder = tinybert.save_sentence_model(tmp_path / "model", dense=20)
    first = digest(folder)
    (folder / "README.md").write_text("words")
    assert digest(folder) == first
    tinybert.save_dense(folder / "2_Dense", 20)
    second = digest(folder)
    tinybert.write(folder / "1_Pooling" / "config.json", {"pooling_mode": "cls"})
    assert len({first, second, digest(folder)}) == 3
