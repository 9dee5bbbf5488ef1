import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from edgekd.data.columns import Column
from edgekd.data.text_sources import TextDataConfig, source
from edgekd.data.texts import Pairs, TextSet, TextTask
from edgekd.errors import BadInputError

CLASSIFY: TextTask = "text-classification"
EMBED: TextTask = "text-embedding"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "a folder"
    made.mkdir()
    (made / "train.csv").write_text("id,text,label\n1,hello there,ham\n2,buy now,spam\n3,see you,ham\n")
    (made / "test.jsonl").write_text('{"text": "win a prize", "label": "spam"}\n{"text": "hi", "label": "ham"}\n')
    (made / "more.tsv").write_text("text\nanother\nand another\n")
    (made / "pairs.csv").write_text("query,document,gallery,score\na,b,x,0.5\nc,d,y,1\ne,f,x,2\n")
    return made


def config(folder: Path, **keys: Any) -> TextDataConfig:
    values = {"use": "table", "train": "train.csv", "test": "test.jsonl", **keys}
    return TextDataConfig.model_validate({key: value for key, value in values.items() if value}).beside(folder)


def load(folder: Path, task: TextTask = CLASSIFY, **keys: Any) -> TextSet:
    found = source(config(folder, **keys), task)
    found.check()
    return found.load()


def refused(folder: Path, task: TextTask = CLASSIFY, **keys: Any) -> BadInputError:
    with pytest.raises(BadInputError) as caught:
        load(folder, task, **keys)
    return caught.value


def test_tables_become_a_labelled_set_whose_texts_stay_in_their_file(folder: Path) -> None:
    data = load(folder, unlabelled="more.tsv", out_of_domain=["more.tsv"])
    assert data.classes == ("ham", "spam")
    assert isinstance(data.train.texts, Column)
    assert list(data.train.texts) == ["hello there", "buy now", "see you"]
    assert data.train.labels is not None
    assert data.train.labels.tolist() == [0, 1, 0]
    assert list(data.train.ids or ()) == ["1", "2", "3"]
    assert not isinstance(data.test, Pairs)
    assert data.test.labels is not None
    assert (data.test.labels.tolist(), data.test.ids) == ([1, 0], None)
    assert data.unlabelled is not None
    assert data.out_of_domain is not None
    assert list(data.unlabelled.texts) == list(data.out_of_domain.texts) == ["another", "and another"]


def test_tables_become_pairs_for_embeddings(folder: Path) -> None:
    data = load(folder, EMBED, test="pairs.csv")
    assert isinstance(data.test, Pairs)
    assert (list(data.test.queries), list(data.test.documents)) == (["a", "c", "e"], ["b", "d", "f"])
    assert data.test.galleries.tolist() == [0, 1, 0]
    assert data.test.scores is not None
    assert data.test.scores.tolist() == [0.5, 1.0, 2.0]
    assert (data.classes, data.train.labels) == ((), None)
    (folder / "plain.csv").write_text("query,document\na,b\nc,d\n")
    plain = load(folder, EMBED, test="plain.csv").test
    assert isinstance(plain, Pairs)
    assert (plain.galleries.tolist(), plain.scores) == ([0, 0], None)


def test_columns_can_have_other_names_and_a_named_one_must_be_there(folder: Path) -> None:
    (folder / "sts.csv").write_text("s1,s2,sim\na,b,1\nc,d,2\n")
    columns = {"query": "s1", "document": "s2", "score": "sim"}
    pairs = load(folder, EMBED, test="sts.csv", columns=columns).test
    assert isinstance(pairs, Pairs)
    assert pairs.scores is not None
    error = refused(folder, EMBED, test="sts.csv", columns={**columns, "score": "simm"})
    assert "sts.csv: found no column 'simm', only 's1', 's2', 'sim'" in error.message
    assert error.hint.startswith("did you mean 'sim'?")


def test_texts_out_of_the_domain_of_vectors_are_refused_before_anything_is_read(folder: Path) -> None:
    with pytest.raises(BadInputError) as caught:
        source(config(folder, test="no-such.csv", out_of_domain="more.tsv"), EMBED)
    assert caught.value.message.startswith("[data] out_of_domain: found texts for text-embedding, expected them with ")
    assert caught.value.hint == "leave out_of_domain out; texts to learn from are unlabelled"


def test_a_score_that_is_no_number_is_refused(folder: Path) -> None:
    (folder / "pairs.csv").write_text("query,document,score\na,b,1\nc,d,high\n")
    assert refused(folder, EMBED, test="pairs.csv").message.endswith(
        "column 'score': found 'high' in row 1, expected a number"
    )
    (folder / "pairs.csv").write_text("query,document,score\na,b,1\nc,d,nan\n")
    assert "found a score of nan in row 1" in refused(folder, EMBED, test="pairs.csv").message


def test_a_label_that_only_the_test_split_has_is_refused(folder: Path) -> None:
    (folder / "test.jsonl").write_text('{"text": "win", "label": "phishing"}\n{"text": "hi", "label": "phishing"}\n')
    error = refused(folder)
    assert "found no training text of the class 'phishing', which 2 test texts have" in error.message
    assert error.hint.startswith("add such texts to the training split")


def test_empty_texts_are_refused_with_their_count(folder: Path) -> None:
    (folder / "train.csv").write_text("text,label\nhello,ham\n  ,spam\n,ham\n")
    assert "found no text in 2 of 3 rows, the first in row 1" in refused(folder).message


def test_texts_that_both_splits_have_leave_training_unless_they_are_kept(folder: Path) -> None:
    (folder / "train.csv").write_text("text,label\nHi,ham\nbuy,spam\nsee you,ham\n")
    dropped, kept = load(folder), load(folder, duplicates="keep")
    assert list(dropped.train.texts) == ["buy", "see you"]
    assert dropped.train.labels is not None
    assert dropped.train.labels.tolist() == [1, 0]
    assert dropped.problems == (
        (
            "1 of 2 test texts occur in training too (the first: test text 1, training text 0); "
            "1 training texts were left out for it"
        ),
    )
    assert (len(kept.train), len(kept.problems)) == (3, 1)


def test_a_class_whose_last_text_is_dropped_is_refused(folder: Path) -> None:
    (folder / "train.csv").write_text("text,label\nwin a prize,spam\nhello,ham\n")
    assert "found no training text of the class 'spam'" in refused(folder).message


def test_the_first_rows_can_be_asked_for(folder: Path) -> None:
    assert list(load(folder, rows=2).train.texts) == ["hello there", "buy now"]
    assert len(load(folder, rows=99).train) == 3


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"train": None}, "[data]: found use = 'table' and no train, expected train = a file"),
        ({"train": "tran.csv"}, "[data] train: found no file"),
        ({"train": "*.xlsx"}, "[data] train: found no file"),
        ({"use": "tabel"}, "[data] use: found 'tabel', expected a source for text-classification"),
        ({"use": "wordnet"}, "[data] test: found with use = 'wordnet', which takes "),
        ({"revision": "main"}, "[data] revision: found with use = 'table', which takes "),
        ({"use": "hub"}, "[data]: found use = 'hub' and no path, expected path = the data set's id or its folder"),
        ({"use": "hub", "path": "/a/folder/nowhere"}, "[data] path: found no folder /a/folder/nowhere"),
    ],
)
def test_what_a_pipeline_gets_wrong_is_refused(keys: dict[str, Any], message: str, folder: Path) -> None:
    assert refused(folder, **keys).message.startswith(message)


def test_the_digest_is_of_bytes_columns_and_what_is_made_of_them(folder: Path) -> None:
    found = {source(config(folder, **keys), CLASSIFY).digest() for keys in ({}, {"rows": 2}, {"duplicates": "keep"})}
    found.add(source(config(folder, columns={"text": "id"}), CLASSIFY).digest())
    found.add(source(config(folder, unlabelled="more.tsv"), CLASSIFY).digest())
    (folder / "train.csv").rename(folder / "moved.csv")
    before = source(config(folder, train="moved.csv"), CLASSIFY).digest()
    assert before in found
    assert len(found) == 5
    (folder / "moved.csv").write_text("text,label\nhello,ham\nbuy,spam\n")
    assert source(config(folder, train="moved.csv"), CLASSIFY).digest() not in found


def test_a_function_gives_a_set_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users_texts.py").write_text(
        "import numpy as np\nfrom edgekd.data.texts import Texts, TextSet\n"
        "def data():\n    labels = np.array([0, 1])\n"
        "    return TextSet('mine', ('a', 'b'), Texts(['x', 'y'], labels), Texts(['z', 'y'], labels))\n"
        "def wrong():\n    return 3\n"
        "def empty():\n    return TextSet('mine', (), Texts([]), Texts(['a']))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = source(TextDataConfig(use="users_texts:data", duplicates="keep"), CLASSIFY)
    found.check()
    assert found.load().problems[0].startswith("1 of 2 test texts")
    assert found.digest() == source(TextDataConfig(use="users_texts:data", duplicates="keep"), CLASSIFY).digest()
    with pytest.raises(BadInputError, match=r"returned a int, expected edgekd\.data\.texts\.TextSet"):
        source(TextDataConfig(use="users_texts:wrong"), CLASSIFY).load()
    with pytest.raises(BadInputError, match="split 'train': found no texts"):
        source(TextDataConfig(use="users_texts:empty"), CLASSIFY).digest()
    with pytest.raises(BadInputError, match="neither installed nor in"):
        source(TextDataConfig(use="nowhere:data"), CLASSIFY).check()


def declared(path: Path, texts: list[str], labels: list[int]) -> None:
    """A Parquet file whose labels have names, as the ``datasets`` library writes it."""
    feature = {"names": ["spam", "ham"], "_type": "ClassLabel"}
    info = {"info": {"features": {"label": feature, "text": {"dtype": "string", "_type": "Value"}}}}
    table = pa.table({"text": texts, "label": labels})
    parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), path)


def test_names_of_labels_that_a_file_declares_are_used(folder: Path) -> None:
    declared(folder / "train.parquet", ["a", "b"], [1, 0])
    data = load(folder, train="train.parquet")
    assert data.classes == ("spam", "ham")
    assert data.train.labels is not None
    assert data.train.labels.tolist() == [1, 0]
    declared(folder / "train.parquet", ["a", "b"], [1, -1])
    assert "found -1 in row 1" in refused(folder, train="train.parquet").message


def test_a_folder_of_the_hubs_form_is_loaded_without_a_network(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hub = folder / "hub"
    hub.mkdir()
    declared(hub / "train.parquet", ["a", "b", "c"], [1, 0, 1])
    declared(hub / "test.parquet", ["d", "e"], [1, 0])
    keys = {"use": "hub", "path": "hub", "train": "train", "test": "test"}
    data = load(folder, **keys)
    assert list(data.train.texts) == ["a", "b", "c"]
    assert data.classes == ("spam", "ham")
    first = source(config(folder, **keys), CLASSIFY, folder / "kept").digest()
    assert list((folder / "kept").iterdir())
    assert source(config(folder, **keys), CLASSIFY).digest() == first
    assert "found no column 'texts', only 'text', 'label'" in refused(folder, **keys, columns={"text": "texts"}).message
    assert "can't be loaded: ValueError: Unknown split" in refused(folder, **{**keys, "train": "training"}).message
    declared(hub / "train.parquet", ["a", "b", "x"], [1, 0, 1])
    assert source(config(folder, **keys), CLASSIFY).digest() != first
    assert capfd.readouterr() == ("", "")


def test_a_hub_that_cannot_be_reached_is_one_clear_error(tmp_path: Path) -> None:
    code = (
        "from edgekd.data.text_sources import TextDataConfig, source\n"
        "config = TextDataConfig(use='hub', path='nobody/nothing', train='train', test='test')\n"
        "try:\n    source(config, 'text-classification').load()\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    expected = "BadInputError [data] path: the data set 'nobody/nothing', split 'train', can't be loaded: "
    assert ran.stdout.startswith(expected)
    assert ran.stdout.count("\n") == 1
    assert ran.stderr == ""


CACHED = """
import sys
from pathlib import Path

from datasets.packaged_modules.parquet.parquet import Parquet

from edgekd.data.text_sources import TextDataConfig, source

folder, kept = map(Path, sys.argv[1:])
# What load_dataset does once the hub has told it which files a data set has. An owner's name goes before the set's.
files = {split: [str(folder / f"{split}.parquet")] for split in ("train", "test")}
named = {"dataset_name": "texts", "config_name": "default", "config_id": "default", "hash": "0123abcd"}
Parquet(cache_dir=str(kept), data_files=files, **named).download_and_prepare()
(kept / "texts").rename(kept / "someone___texts")
config = TextDataConfig(use="hub", path="someone/texts", train="train", test="test")
for cache in (kept, folder / "empty"):
    found = source(config, "text-classification", cache)
    found.check()
    print(list(found.load().train.texts), found.load().classes, found.digest())
"""


def test_a_data_set_of_the_hub_is_loaded_from_its_cache_without_a_network(tmp_path: Path) -> None:
    declared(tmp_path / "train.parquet", ["a", "b", "c"], [1, 0, 1])
    declared(tmp_path / "test.parquet", ["d", "e"], [1, 0])
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    environment["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"  # which making the cache here would print
    command = [sys.executable, "-c", CACHED, str(tmp_path), str(tmp_path / "datasets")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    first, second = ran.stdout.splitlines()
    assert first.startswith("['a', 'b', 'c'] ('spam', 'ham') ")
    assert second == first


def test_planning_imports_no_heavy_library(folder: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom edgekd.data.text_sources import TextDataConfig, source\n"
        f"config = TextDataConfig(use='table', train='train.csv', test='test.jsonl').beside(Path({str(folder)!r}))\n"
        "found = source(config, 'text-classification')\nfound.check()\nfound.digest()\n"
        "print({'torch', 'datasets', 'pandas', 'pyarrow', 'PIL'} & set(sys.modules))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
