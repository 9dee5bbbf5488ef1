"""edgekd init: from a table or images and a teacher to a pipeline that can be planned, and once to a bundle."""

from __future__ import annotations

import csv
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import phrases
import pytest
import tinybert
from adders import write_onnx
from PIL import Image
from workshop import Ran, Workshop

from edgekd import cli

Command = Callable[..., Ran]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def edgekd(capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*arguments: str) -> Ran:
        code = cli.run(list(arguments))
        return Ran(code, *capsys.readouterr())

    return command


def mails(path: Path, count: int = 120, columns: Sequence[str] = ("text", "label")) -> Path:
    phrases.write_csv(path, columns, phrases.labelled(count, seed=11))
    return path


def planned(edgekd: Command, ran: Ran) -> Ran:
    """What init says to type next."""
    assert ran.code == 0, ran.err
    (line,) = [line for line in ran.out.splitlines() if line.startswith("next: ")]
    again = edgekd(*shlex.split(line)[2:])
    assert again.code == 0, again.err
    return again


def test_three_commands_lead_from_a_csv_and_an_encoder_to_a_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "an empty folder, éà"
    folder.mkdir()
    shop = Workshop(folder)
    mails(folder / "our mails (all).csv", 200)
    tinybert.save_sentence_model(folder / "an encoder")
    ran = shop.run("init", "--data", "our mails (all).csv", "--teacher", "an encoder", "--device", "pixel8")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.out.splitlines()[-5:]] == ["wrote", "wrote", "wrote", "next:", "then:"]
    commands = [shlex.split(line)[2:] for line in ran.out.splitlines()[-2:]]
    assert shop.run(*commands[0]).code == 0
    built = shop.run(*commands[1], "--quick")
    assert built.code in (0, 1, 4), built.err
    verified = shop.run("verify", "artifacts/latest/bundle")
    assert verified.code == 0, verified.out
    bundle = folder / "artifacts/latest/bundle"
    assert {"model.onnx", "model.tflite", "manifest.json", "labels.json"} <= {each.name for each in bundle.iterdir()}
    assert json.loads((bundle / "labels.json").read_text()) == ["cat", "dog"]
    report = json.loads((folder / "artifacts/latest/report.json").read_text())
    assert report["quality"]["teacher"]["items"] == 40


def test_rows_set_aside_are_never_trained_on_and_are_the_same_again(edgekd: Command, folder: Path) -> None:
    mails(folder / "mails.csv")
    with (folder / "mails.csv").open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(phrases.labelled(40, seed=11))  # the same texts again
    tinybert.save_sentence_model(folder / "encoder")
    arguments = "init", "new", "--data", "mails.csv", "--teacher", "encoder"
    planned(edgekd, edgekd(*arguments))
    files = {name: (folder / "new" / name).read_bytes() for name in ("mails-train.csv", "mails-test.csv", "mails.toml")}
    train, test = (
        {row[0] for row in list(csv.reader(files[name].decode().splitlines()))[1:]} for name in list(files)[:2]
    )
    assert not train & test
    assert len(test) == 24
    assert edgekd(*arguments, "--force").code == 0
    assert {name: (folder / "new" / name).read_bytes() for name in files} == files


def test_nothing_is_overwritten_and_a_dry_run_writes_nothing(edgekd: Command, folder: Path) -> None:
    mails(folder / "mails.csv")
    tinybert.save_sentence_model(folder / "encoder")
    arguments = "init", "--data", "mails.csv", "--teacher", "encoder"
    ran = edgekd(*arguments, "--dry-run")
    assert ran.code == 0
    assert ran.out.startswith("# Written by edgekd init.")
    assert '[teacher]\nencoder = "encoder"\n\n[teacher.finetune]' in ran.out
    assert "mails.csv: 96 training texts; text = 'text', label = 'label'" in ran.err
    assert sorted(path.name for path in folder.iterdir()) == ["encoder", "mails.csv"]
    (folder / "mails-test.csv").write_text("mine\n")
    ran = edgekd(*arguments)
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "error: mails-test.csv: found a file there, which is not overwritten",
        "hint: --force, or another DIR",
    ]
    assert not (folder / "mails.toml").exists()


@pytest.mark.parametrize("columns", [("Review", "Sentiment"), ("said", "about")])
def test_columns_are_found_by_name_or_by_what_they_hold(
    edgekd: Command, folder: Path, columns: tuple[str, str]
) -> None:
    mails(folder / "mails.csv", columns=columns)
    tinybert.save_sentence_model(folder / "encoder")
    planned(edgekd, edgekd("init", "--data", "mails.csv", "--teacher", "encoder", "--device", "pixel8"))
    assert f'columns = {{ text = "{columns[0]}", label = "{columns[1]}" }}' in (folder / "mails.toml").read_text()


def test_a_test_table_beside_the_training_table_is_taken(edgekd: Command, folder: Path) -> None:
    for name, seed in (("train", 11), ("test", 21)):
        phrases.write_jsonl(folder / f"{name}.jsonl", ["said", "about"], phrases.labelled(80, seed))
    tinybert.save_sentence_model(folder / "encoder")
    shown = planned(edgekd, edgekd("init", "--data", "train.jsonl", "--teacher", "encoder"))
    assert "evaluate tfidf" in shown.out
    text = (folder / "pipeline.toml").read_text()
    assert 'train = "train.jsonl"\ntest = "test.jsonl"\n' in text
    assert not (folder / "pipeline-train.csv").exists()


@pytest.mark.parametrize("apart", [False, True])
def test_queries_and_documents_make_a_search(edgekd: Command, folder: Path, apart: bool) -> None:  # noqa: FBT001
    tinybert.save_sentence_model(folder / "encoder")
    if apart:
        phrases.write_csv(folder / "texts.csv", ["text"], [[text] for text in phrases.sentences(80, seed=1)])
        phrases.write_csv(folder / "asked.csv", ["question", "answer"], phrases.pairs(40, seed=7))
        ran = edgekd("init", "--data", "texts.csv", "--test", "asked.csv", "--teacher", "encoder")
    else:
        phrases.write_csv(folder / "asked.csv", ["question", "answer"], phrases.pairs(60, seed=7))
        ran = edgekd("init", "--data", "asked.csv", "--teacher", "encoder")
    planned(edgekd, ran)
    text = (folder / f"{'texts' if apart else 'asked'}.toml").read_text()
    assert 'task = "text-embedding"' in text
    assert 'columns = { query = "question", document = "answer" }' in text
    assert "[teacher.finetune]" not in text


def test_images_and_a_function(edgekd: Command, folder: Path, weights: Path) -> None:
    for split in ("train", "test"):
        for shade, name in enumerate(("boot", "sandal")):
            (folder / "shoes" / split / name).mkdir(parents=True)
            for number in range(20):
                Image.new("RGB", (16, 16), (shade * 90 + number,) * 3).save(
                    folder / f"shoes/{split}/{name}/{number}.png"
                )
    (folder / "my_teacher.py").write_text("def build(classes: int):\n    raise RuntimeError('it must not be run')\n")
    (folder / "my_teacher.safetensors").write_bytes(weights.read_bytes())
    ran = edgekd("init", "--data", "shoes", "--teacher", "my_teacher:build")
    assert ran.code == 0, ran.err
    text = (folder / "shoes.toml").read_text()
    assert 'model = "my_teacher:build"\nweights = "my_teacher.safetensors"\noptions = { classes = 2 }\n' in text
    assert "image_size = 16" in text
    write_onnx(folder / "teacher.onnx", batch=1)
    ran = edgekd("init", "--data", "shoes", "--teacher", "teacher.onnx", "--device", "pixel8", "--force")
    assert "evaluate teacher" in planned(edgekd, ran).out
    assert '[teacher]\nonnx = "teacher.onnx"\n' in (folder / "shoes.toml").read_text()


def test_hostile_names_stay_texts(edgekd: Command, folder: Path) -> None:
    name = 'te"xt] = {\\'
    mails(folder / "mails.csv", columns=(name, "label"))
    tinybert.save_sentence_model(folder / "encoder")
    planned(edgekd, edgekd("init", "--data", "mails.csv", "--teacher", "encoder"))
    written = tomllib.loads((folder / "mails.toml").read_text(encoding="utf-8"))
    assert written["data"]["columns"] == {"text": name}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nothing.csv"], "--data: found no file or folder nothing.csv"),
        (["--data", "few.csv"], "found 1 training rows of the rarest class, expected more"),
        (["--data", "numbers.csv"], "numbers.csv: found the columns a, b, none of which looks like text"),
        (["--data", "texts.csv"], "texts.csv: found no test data: its texts have no labels"),
        (["--data", "mails.csv", "--column", "label=no"], "--column label=no: found no such column in mails.csv"),
        (["--data", "mails.csv", "--column", "x=no"], "--column: found 'x=no', expected ROLE=NAME"),
        (["--data", "mails.csv", "--test", "texts.csv"], "texts.csv: found no column 'label', which mails.csv has"),
        (["--data", "mails.csv", "--teacher", "./nowhere"], "found no folder nowhere"),
        (["--data", "mails.csv", "--teacher", "mails.csv"], "--teacher: found the file mails.csv, expected one ending"),
        (
            ["--data", "mails.csv", "--teacher", "mine:f"],
            "mine:f: found no weights for it (mine.safetensors)",
        ),
        (["--data", "mails.csv", "--device", "pixel99"], "found no device 'pixel99'"),
        (["--data", "empty"], "empty: found nothing in it, expected train/CLASS/ and test/CLASS/"),
        (["--data", "bad.csv"], "bad.csv:2: "),
    ],
)
def test_bad_input(edgekd: Command, folder: Path, arguments: list[str], message: str) -> None:
    mails(folder / "mails.csv")
    mails(folder / "few.csv", 4)
    tinybert.write(folder / "x" / "config.json", {})
    phrases.write_csv(folder / "numbers.csv", ["a", "b"], [("1", "2")] * 4)
    phrases.write_csv(folder / "texts.csv", ["text"], [[text] for text in phrases.sentences(80, seed=1)])
    (folder / "bad.csv").write_bytes(b"text,label\n\xff\xfe,1\n")
    (folder / "empty").mkdir()
    if "--teacher" not in arguments:
        tinybert.save_sentence_model(folder / "encoder")
        arguments = [*arguments, "--teacher", "encoder"]
    ran = edgekd("init", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert re.search(re.escape(message), ran.err), ran.err
    assert not list(folder.glob("*.toml"))


def test_the_commands_of_the_page_run(edgekd: Command, folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    block = page.split("## A first pipeline", 1)[1].split("```")[1]
    lines = [shlex.split(line)[2:] for line in block.splitlines()[1:]]
    assert [line[0] for line in lines] == ["init", "plan", "build"]
    mails(folder / "mails.csv")
    tinybert.save_sentence_model(folder / "my-encoder")
    for line in lines[:2]:
        ran = edgekd(*line)
        assert ran.code == 0, ran.err
    assert lines[2][1:] == lines[1][1:]
