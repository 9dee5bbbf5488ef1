"""The pages below docs/, and what README.md says of texts and teachers: examples load, and one page's are built."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import phrases
import pytest
import tiny
import tinybert
from PIL import Image
from workshop import Ran, Workshop

from edgekd import device, pipeline, planning
from edgekd.data import sources, text_sources
from edgekd.data.image_table import ImageColumns
from edgekd.data.tables import import_arrow
from edgekd.data.texts import Pairs, Texts, TextSet
from edgekd.models import outputs_table
from edgekd.pipeline import ParityConfig
from edgekd.targets.arm64_cores import CPUS
from edgekd.tasks import TASKS
from edgekd.tasks.base import Task
from edgekd.tasks.image_classification import ImageClassification
from edgekd.tasks.text_embedding import TextEmbedding
from edgekd.teachers import TEACHER_FORMS, TeacherConfig

ROOT = Path(__file__).parent.parent
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([\w./-]+)\)")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return [body for found, body in FENCED.findall(text_of(page)) if found == language]


def section(page: str, heading: str) -> str:
    """From a heading to the next one of any depth; a comment in a block of code is none."""
    rest = text_of(page).split(f"# {heading}\n", 1)[1]
    fenced = [range(*each.span()) for each in FENCED.finditer(rest)]
    ends = [each.start() for each in re.finditer(r"^#+ ", rest, re.MULTILINE)]
    return rest[: next((end for end in ends if not any(end in block for block in fenced)), None)]


def tables(text: str) -> list[dict[str, Any]]:
    return [tomllib.loads(body) for language, body in FENCED.findall(text) if language == "toml"]


def test_every_page_is_linked_from_the_readme() -> None:
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} <= set(LINK.findall(text_of("README.md")))


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))])
def test_a_link_leads_somewhere(page: str) -> None:
    assert [link for link in LINK.findall(text_of(page)) if not ((ROOT / page).parent / link).exists()] == []


def shown_commands() -> list[tuple[str, str]]:
    """Each line of a page in which edgekd is started, without settings before it, and the page."""
    found = []
    for page in ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))):
        lines = "".join(blocks(page, "console") + blocks(page, "sh")).splitlines()
        words = (re.fullmatch(r"(?:\$ )?(?:[A-Z_]+=\S+ )*edgekd (\w.*)", line) for line in lines)
        found += [(page, each[1]) for each in words if each]
    return found


def test_the_pages_show_commands() -> None:
    assert len({page for page, _ in shown_commands()}) > 10


@pytest.mark.parametrize(("page", "shown"), shown_commands())
def test_a_command_takes_the_options_that_are_shown(page: str, shown: str) -> None:
    name, *rest = shlex.split(shown, comments=True)
    command = import_module(f"edgekd.cli.{name}").command
    if isinstance(command, click.Group):
        command, rest = command.commands[rest[0]], rest[1:]
    given = command.make_context(page, rest)  # click refuses unknown options and values
    assert given.params.keys() == {each.name for each in command.params} - {"help"}


# docs/own-models.md


def test_the_pipeline_for_texts_can_be_planned(tmp_path: Path) -> None:
    (text,) = [body for language, body in FENCED.findall(section("docs/own-models.md", "Texts")) if language == "toml"]
    name = tomllib.loads(text)["teacher"]["encoder"]
    (tmp_path / name).parent.mkdir(parents=True)
    tinybert.save_sentence_model(tmp_path / name)  # in place of the hub's, which needs a network
    phrases.write_csv(tmp_path / "texts.csv", ["text"], [["the cat"], ["a dog"]])
    phrases.write_csv(tmp_path / "questions.csv", ["query", "document"], [("cat", "the cat sat")])
    (tmp_path / "search.toml").write_text(text)
    made = planning.make(pipeline.load(str(tmp_path / "search.toml")), device.load("pixel8"), planning.Options())
    assert {"tokenizer", "teacher", "onnx_int8", "tflite_int8", "evaluate tfidf"} <= {node.name for node in made.nodes}


def test_every_form_of_a_teacher_has_an_example() -> None:
    found = tables(section("docs/own-models.md", "Teachers"))
    alone = [TeacherConfig.model_validate(table["teacher"]) for table in found if "teacher" in table]
    assert sorted(each.form for each in alone) == sorted(TEACHER_FORMS)
    (several,) = [table["teachers"] for table in found if "teachers" in table]
    assert [TeacherConfig.model_validate(each).weight for each in several] == [2, 1]


# docs/data.md


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table below ``heading``, without its head."""
    lines = [line for line in section(page, heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the examples of docs/data.md name."""
    folder = tmp_path_factory.mktemp("shelves")
    for name, columns in {
        "texts-1.csv": ["text"],
        "texts-2.csv": ["text"],
        "questions.csv": ["question", "answer"],
        "more.csv": ["body"],
        "poems.csv": ["body"],
        "mails-of-ours.csv": ["body", "folder"],
        "photos.csv": ["file", "kind"],
        "photos-test.csv": ["file", "kind"],
        "other-photos.csv": ["file"],
    }.items():
        phrases.write_csv(folder / name, columns, [["a cat"] * len(columns)])
    for split in ("train", "test"):
        (folder / "birds" / split / "gull").mkdir(parents=True)
    phrases.write_jsonl(folder / "alike.jsonl", ["one", "other", "likeness"], [("a cat", "a dog", "0.5")])
    for name in ("mails.parquet", "mails-test.parquet"):
        write_parquet(folder / name, {"body": ["a cat", "a dog"], "folder": ["cats", "dogs"]})
    return folder


def write_parquet(path: Path, columns: dict[str, list[str]]) -> None:
    from pyarrow import parquet

    parquet.write_table(import_arrow().table(columns), path)


DATA = blocks("docs/data.md", "toml")


@pytest.mark.parametrize("text", DATA, ids=range(len(DATA)))
def test_a_data_table_names_a_source_that_takes_its_keys(text: str, shelves: Path) -> None:
    found = tomllib.loads(text)
    module = TASKS[found["task"]]
    table = found["data"] if "data" in found else found["stages"][0]["data"]
    config: Any = module.DataConfig.model_validate(table).beside(shelves)  # type: ignore[attr-defined]
    whole = module.source(config, None) if "data" in found else text_sources.training(config)
    whole.check()


def test_every_source_has_a_row_with_its_keys() -> None:
    always = {"use", "selection", "unlabelled", "out_of_domain"}
    keys: dict[str, set[str]] = {}
    for known in (sources.KEYS, text_sources.KEYS):
        for name, some in known.items():
            keys.setdefault(name, set()).update(set(some) - always)
    stated = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[3])) for row in rows("docs/data.md", "Sources")}
    assert stated == {**keys, "module:function": set()}


def test_the_columns_are_called_as_the_page_says() -> None:
    stated = {name for row in rows("docs/data.md", "Tables") for name in re.findall(r"`(\w+)`", row[2])} | {"id"}
    known = (text_sources.TextColumns, ImageColumns)
    assert stated == {str(field.default) for each in known for field in each.model_fields.values()}


# docs/own-task.md


def write_files(page: str, folder: Path) -> Path:
    """Write the page's files, whose names stand in their first lines."""
    for language in ("python", "toml"):
        for body in blocks(page, language):
            name = re.match(r"# (\S+\.(?:toml|py))\n", body)
            assert name, f"no file's name in the first line of {body!r}"
            (folder / name[1]).write_text(body, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The page's files in a folder, and the teacher's weights as its script makes them."""
    folder = write_files("docs/own-task.md", tmp_path_factory.mktemp("own task"))
    done = subprocess.run([sys.executable, "train_teacher.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Workshop(folder)


def commands(page: str = "docs/own-task.md") -> list[list[str]]:
    lines = [line for body in blocks(page, "console") for line in body.splitlines()]
    return [shlex.split(line.removeprefix("$ ")) for line in lines]


def run(own: Workshop, *words: str) -> dict[str, Any]:
    """Build as the page says, in a hurry, and return the report."""
    (command,) = [each for each in commands() if each[1:3] == list(words)]
    ran = own.run(*command[1:], "--quick", "-o", "out", "--json")
    assert ran.code == 0, ran.err + ran.out
    report: dict[str, Any] = json.loads(ran.out)
    return report


def test_a_task_of_ones_own_can_be_planned(own: Workshop) -> None:
    (command,) = [each for each in commands() if each[1] == "plan"]
    assert command[0] == "edgekd"
    assert own.run(*command[1:]).code == 0


def test_a_task_of_ones_own_is_distilled_and_scored_by_its_own_metric(own: Workshop) -> None:
    report = run(own, "build", "movements.toml")
    assert (report["metric"], report["item"], report["data"]) == ("balanced accuracy", "window", "simulated movements")
    assert {"teacher", "student_start", "control", "student_float", "onnx_int8"} == report["quality"].keys() - {
        "onnx_float"
    }
    assert report["quality"]["student_float"]["value"] > report["quality"]["student_start"]["value"] + 0.1
    recalls = [row["recall"] for row in report["class_changes"]]
    assert sum(recalls) / len(recalls) == pytest.approx(report["quality"]["onnx_int8"]["value"])
    assert report["shifts"] == []


def test_a_trained_module_goes_straight_to_int8(own: Workshop) -> None:
    report = run(own, "build", "movements-int8.toml")
    files = {f"{form}_{kind}" for form in ("onnx", "tflite") for kind in ("float", "int8")}
    assert report["quality"].keys() == {"teacher"} | files
    assert {row["path"] for row in report["artifacts"]} >= {"model.onnx", "model.tflite"}


def test_the_page_names_what_a_task_defines() -> None:
    named = {name for row in rows("docs/own-task.md", "The task") for name in re.findall(r"`(\w+)(?=[(`])", row[0])}
    assert named <= {*dir(Task), *Task.__annotations__}
    assert named >= Task.__abstractmethods__


# docs/teacher-outputs.md

ELSEWHERE = "docs/teacher-outputs.md"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The page's files after its scripts ran on mails and photos of shoes, and an encoder in place of the hub's."""
    folder = write_files(ELSEWHERE, tmp_path_factory.mktemp("elsewhere"))
    for name, count, seed in (("mails", 80, 1), ("mails-test", 30, 2)):
        numbered = ((f"{name}-{row}", *each) for row, each in enumerate(phrases.labelled(count, seed)))
        phrases.write_csv(folder / f"{name}.csv", ["id", "text", "label"], numbered)
    encoder = tomllib.loads((folder / "mails.toml").read_text())["student"]["encoder"]
    (folder / encoder).parent.mkdir(parents=True)
    tinybert.save_sentence_model(folder / encoder)
    for split, count in (("train", 12), ("test", 6)):
        for shade, name in ((60, "boot"), (190, "sandal")):
            (folder / "shoes" / split / name).mkdir(parents=True)
            for number in range(count):
                path = folder / "shoes" / split / name / f"{number:02}.png"
                Image.new("RGB", (16, 16), (shade + number,) * 3).save(path)
    for program, *words in commands(ELSEWHERE):
        if program == "python":
            done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    return Workshop(folder)


def edgekd(shop: Workshop, words: str, *more: str) -> Ran:
    """Run the command of the page that begins with these words."""
    (command,) = [each for each in commands(ELSEWHERE) if each[:3] == ["edgekd", *words.split()]]
    return shop.run(*command[1:], *more)


@pytest.mark.parametrize(
    ("name", "table", "train", "test"),
    [
        ("mails", "answers", ("mails-0", 80), ("mails-test-29", 30)),
        ("shoes", "shoes", ("train/0", 24), ("test/11", 12)),
    ],
)
def test_the_rows_that_are_listed_are_those_that_the_plan_looks_for(
    name: str, table: str, train: tuple[str, int], test: tuple[str, int], elsewhere: Workshop
) -> None:
    from pyarrow import parquet

    path = elsewhere.folder / f"{table}.parquet"
    whole = parquet.read_table(path)
    ids = whole.column("id").to_pylist()
    assert (ids[0], ids[-1], len(ids)) == (train[0], test[0], train[1] + test[1])
    ran = edgekd(elsewhere, f"plan {name}.toml")
    assert ran.code == 0, ran.err
    assert "evaluate teacher" in ran.out, "the test rows have outputs too"
    for change, message in (
        (whole.slice(1), f"found no output for 1 of {train[1]} train rows, for example {train[0]!r}"),
        (whole.slice(0, len(ids) - 1), f"found no output for 1 of {test[1]} test rows, for example {test[0]!r}"),
        (import_arrow().concat_tables([whole, whole.slice(0, 1)]), "found 1 rows whose id an earlier row has"),
    ):
        parquet.write_table(change, path)
        ran = edgekd(elsewhere, f"plan {name}.toml")
        assert (ran.code, ran.out) == (2, "")
        assert message in ran.err
    parquet.write_table(whole, path)


def test_a_teacher_that_ran_elsewhere_teaches(elsewhere: Workshop) -> None:
    ran = edgekd(elsewhere, "build mails.toml", "--quick", "-o", "out", "--json", "-q")
    assert ran.code in (0, 1, 4), ran.err
    quality = json.loads(ran.out)["quality"]
    assert quality["teacher"]["value"] > 0.9
    assert quality.keys() >= {"student_start", "student_float", "onnx_int8", "tflite_int8"}


def test_the_page_names_the_columns_and_the_rows_as_they_are() -> None:
    named = [row[0].strip("`") for row in rows(ELSEWHERE, "The table") if len(row) == 2]
    assert named == [outputs_table.ID, outputs_table.OUTPUT, outputs_table.PROBABILITIES]
    called = {row[0]: row[1:] for row in rows(ELSEWHERE, "The table") if len(row) == 3}
    assert {*TASKS} - {"image-classification"} <= called.keys()
    first = np.arange(2)
    for split, cell in zip(("train", "test"), called["images"], strict=True):
        task = ImageClassification(tiny.data(), 30)
        assert re.findall(r"`(\S+)`", cell) == task.ids(split, first)
    texts = Texts(["a cat", "a dog"], None, ["one", "two"])
    pairs = TextSet("pairs", (), texts, Pairs(["q", "r"], ["d", "e"], np.zeros(2, np.int64)))
    task = TextEmbedding(pairs, 1, None, Path())
    assert re.findall(r"`(\S+)`", called["text-embedding"][1]) == task.ids("test", np.array([0, 2]))
    assert task.ids("train", first) == ["one", "two"]


# docs/parity.md


def test_the_limits_of_parity_are_those_of_the_page() -> None:
    (stated,) = tables(text_of("docs/parity.md"))
    assert stated["parity"] == ParityConfig().model_dump()
    assert {
        row[0].strip("`") for row in rows("docs/parity.md", "Parity: whether all versions of a model say the same")
    } == {*ParityConfig.model_fields}


def test_the_emulated_cores_are_those_of_the_page() -> None:
    stated = [re.findall(r"`([^`]+)`", row[1])[0] for row in rows("docs/parity.md", "On Arm, without a board")]
    assert sorted(stated) == sorted(CPUS.values())


def test_the_build_on_an_emulated_core_can_be_planned(tmp_path: Path) -> None:
    (command,) = commands("docs/parity.md")
    assert command[:2] == ["edgekd", "build"]
    ran = Workshop(tmp_path).run("plan", *command[2:])
    assert ran.code == 0, ran.err
    assert "  arm64 " in ran.out
