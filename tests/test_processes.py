"""One build by two processes: the same artifacts, one voice, and Ctrl-C in the middle of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import phrases
import pytest
from workshop import Ran, Workshop

from edgekd import processes
from edgekd.errors import BadInputError

LAUNCH = ("--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no")
PORT = ("--dynamo_backend", "no", "--main_process_port", "0")  # 0: any that is free
BUILD = ("build", "tiny.toml", "--device", "pixel8", "--quick")
PIPELINE = phrases.EMBEDDING.replace("shift_items = 10", "shift_items = 0\ntfidf = false")
SHARDED = PIPELINE.replace("[student]", "[teacher_outputs]\nshard_rows = 25\n\n[student]")
PAGE = Path(__file__).parent.parent / "docs" / "several-processes.md"
VARIABLES = (*processes.WORLD, *processes.RANK, "ACCELERATE_USE_CPU", "MASTER_ADDR")
# Imported by Python before anything else: notes each file that a process opens for writing, moves, makes or removes.
WATCH = """
import os
import sys

log = os.open(f"{os.environ['WATCHED']}-{os.environ.get('RANK', '')}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def seen(event, arguments):
    if event in ("os.mkdir", "os.remove") or (event == "open" and arguments[2] & WRITING):
        path = arguments[0]
    elif event == "os.rename":
        path = arguments[1]
    else:
        return
    if isinstance(path, str) and not os.path.isdir(path):  # an unnamed file that probes a folder opens that folder
        os.write(log, f"{os.path.abspath(path)}\\n".encode())


sys.addaudithook(seen)
"""
# Steps of training by plain gradient descent, of two batches and of one in turn, then failures. What each process says
# of them is one line of JSON.
TOGETHER = """
import json
import sys
from datetime import timedelta

import torch

from edgekd import processes
from edgekd.algorithms import training


class Both(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = torch.nn.Linear(3, 2)

    def forward(self, batch, progress):
        outputs = processes.gather(self.inner(batch))
        return (outputs @ outputs.T).square().mean()


def batches(epoch):
    rows = torch.arange(24.0).reshape(8, 3) / 24
    for shift in range(3):
        yield rows.roll(shift, 1)[processes.rank() :: processes.world()]


model, saved = Both(), __import__("pathlib").Path(sys.argv[1])
schedule = training.Schedule(epochs=3, batch_size=8, learning_rate=0.1, weight_decay=0.0, warmup=0.5, accumulate=2)
course = training.Course(batches, 3, lambda: 0.0, saved, lambda *_: None)
record = training.fit(model, schedule, course)
said = {"rank": processes.rank(), "losses": record.losses, "weights": model.inner.weight.flatten().tolist()}
said["share"] = list(processes.share(range(5)))
said["said"] = processes.said(processes.is_main())
processes.LEAVING = timedelta(seconds=1)
if processes.rank() == 1:
    said["alone"] = processes.left_to_main()
processes.wait()
said["both"] = processes.left_to_main()
processes.wait()
sys.stdout.write(json.dumps(said) + "\\n")
processes.leave()
"""


def start(folder: Path, *module: str) -> subprocess.Popen[str]:
    """Start two processes whose writing is noted in the files 'written-RANK' in ``folder``."""
    watch = folder / "watch"
    watch.mkdir(exist_ok=True)
    (watch / "sitecustomize.py").write_text(WATCH)
    paths = os.pathsep.join(filter(None, (str(watch), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", "accelerate.commands.launch", *LAUNCH, *PORT, *module],
        cwd=folder,
        env=os.environ
        | {"COLUMNS": "100", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "WATCHED": str(folder / "written")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def launch(folder: Path, *module: str) -> Ran:
    with start(folder, *module) as process:
        out, err = process.communicate(timeout=600)
    return Ran(process.returncode, out, err)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    made = Workshop(phrases.furnish(tmp_path_factory.mktemp("a shop for two")))
    made.pipeline("tiny", SHARDED)
    return made


@pytest.fixture(scope="module")
def alone(shop: Workshop) -> Ran:
    ran = shop.run(*BUILD, "-o", "alone")
    assert ran.code == 0, ran.err + ran.out
    return ran


@pytest.fixture(scope="module")
def interrupted(shop: Workshop) -> Ran:
    """Ctrl-C while two processes train: the launcher hands it to both of them."""
    with start(shop.folder, "-m", "edgekd", *BUILD, "-o", "both") as process:
        while process.poll() is None and not list((shop.folder / "both/.store/partial").glob("*/checkpoint.pt")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    return Ran(process.returncode, out, err)


@pytest.fixture(scope="module")
def resumed(shop: Workshop, interrupted: Ran) -> Ran:
    assert interrupted.code != 0
    return launch(shop.folder, "-m", "edgekd", *BUILD, "-o", "both")


def manifests(shop: Workshop, output: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (shop.folder / output / ".store").glob("*/manifest.json")]


def made_by(shop: Workshop, output: str, stage: str) -> dict[str, Any]:
    (found,) = [each for each in manifests(shop, output) if each["made_by"].split()[0] == stage]
    return found


def written(shop: Workshop, rank: int, output: str) -> set[str]:
    """What a process wrote below the folder ``output``, relative to it."""
    root = shop.folder / output
    lines = map(Path, (shop.folder / f"written-{rank}").read_text().splitlines())
    return {path.relative_to(root).as_posix() for path in lines if path.is_relative_to(root)}


def steps(err: str) -> list[str]:
    """The names in the lines of finished steps."""
    return re.findall(r"^(\w[\w ]*?) +(?:cached|[\d.]+ s)  ", err, re.MULTILINE)


@pytest.mark.slow
def test_an_interruption_ends_both_and_keeps_the_last_epoch(shop: Workshop, interrupted: Ran) -> None:
    assert interrupted.code != 0
    assert interrupted.out == ""
    assert interrupted.err.count("interrupted: finished steps are kept") == 1
    assert steps(interrupted.err) == ["tokenizer", "teacher", "teacher_outputs", "student_start"]
    assert not (shop.folder / "both" / "tiny").exists()


@pytest.mark.slow
def test_two_processes_resume_and_make_what_one_makes(shop: Workshop, alone: Ran, resumed: Ran) -> None:
    assert resumed.code == 0, resumed.err + resumed.out
    outputs = [made_by(shop, output, "teacher_outputs") for output in ("alone", "both")]
    assert outputs[0]["sha256"] == outputs[1]["sha256"]
    losses = [made_by(shop, output, "distill")["facts"]["epoch_losses"] for output in ("alone", "both")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[0][-1] < 0.9 * losses[0][0]
    left = [path.name for path in (shop.folder / "both" / ".store" / "partial").rglob("*")]
    assert left == []
    assert steps(resumed.err) == steps(alone.err)


@pytest.mark.slow
def test_only_the_first_process_keeps_artifacts(shop: Workshop, resumed: Ran) -> None:
    """The second one leaves its share of the teacher's outputs to the first, and nothing else."""
    assert resumed.code == 0
    first, second = (written(shop, rank, "both") for rank in (0, 1))
    assert any(path.endswith("/manifest.json") for path in first)
    assert any(path.endswith("/report.json") for path in first)
    shards = {path for path in second if re.fullmatch(r"\.store/partial/\w+/shards/[\w.]+", path)}
    assert len([path for path in shards if path.endswith(".json")]) == 3, "half of them"
    assert second - shards <= {str(folder) for path in shards for folder in Path(path).parents}


@pytest.mark.slow
def test_only_the_first_process_speaks(resumed: Ran) -> None:
    assert len(steps(resumed.err)) == len(resumed.err.splitlines()), resumed.err
    assert resumed.out.count("MRR on 40 test queries") == 1
    assert len(re.findall(r"report\.json$", resumed.out, re.MULTILINE)) == 1


@pytest.mark.slow
def test_a_refusal_is_said_once(shop: Workshop) -> None:
    shop.pipeline("odd", PIPELINE.replace("batch_size = 20", "batch_size = 21"))
    ran = launch(shop.folder, "-m", "edgekd", "build", "odd.toml", "--device", "pixel8", "-o", "odd")
    assert ran.code == 1  # the launcher's: ours was 2
    assert re.search(r"exitcode *: 2", ran.err)
    lines = [line for line in ran.err.splitlines() if line.startswith(("error", "hint"))]
    found = "error: odd.toml: distill: found batch_size = 21 and 2 processes, "
    hint = "hint: batch_size = 20, or another number of processes"
    assert lines == [f"{found}expected a multiple of 2: a batch is shared among them", hint]
    assert manifests(shop, "odd") == []


def test_two_processes_take_the_same_steps_as_one(tmp_path: Path) -> None:
    (tmp_path / "together.py").write_text(TOGETHER)
    one = subprocess.run(
        [sys.executable, "together.py", "one.pt"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    ran = launch(tmp_path, "together.py", "two.pt")
    assert ran.code == 0, ran.err
    expected = json.loads(one.stdout)
    first, second = sorted(map(json.loads, ran.out.splitlines()), key=lambda said: said["rank"])
    for said in (first, second):
        assert said["losses"] == pytest.approx(expected["losses"], rel=1e-5)
        assert said["weights"] == pytest.approx(expected["weights"], rel=1e-5)
    assert expected["losses"][2] < expected["losses"][0]
    assert (first["share"], second["share"], expected["share"]) == ([0, 2, 4], [1, 3], [0, 1, 2, 3, 4])
    assert (first["said"], second["said"]) == (True, True)  # the first one's word counts
    assert (second["alone"], first["both"], second["both"], expected["both"]) == (False, False, True, False)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (1, 0)),
        ({"WORLD_SIZE": "4", "RANK": "3"}, (4, 3)),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, (2, 1)),
        ({"ACCELERATE_USE_CPU": "True"}, (1, 0)),
    ],
)
def test_the_launcher_says_how_many(
    variables: dict[str, str], expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    launched(variables, monkeypatch)
    processes.check()
    assert (processes.world(), processes.rank()) == expected
    assert processes.is_main() == (expected[1] == 0)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2"}, "found WORLD_SIZE=2 in the environment and no RANK"),
        ({"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1"}, "found one process, though accelerate launch"),
    ],
)
def test_a_launch_that_would_not_work_is_refused(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched(variables, monkeypatch)
    with pytest.raises(BadInputError, match=message) as caught:
        processes.check()
    assert "accelerate launch" in caught.value.hint


def launched(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_the_page_has_commands_that_the_launcher_and_edgekd_take() -> None:
    from accelerate.commands.launch import launch_command_parser

    from edgekd.cli import main

    commands = [shlex.split(line) for line in re.findall(r"^\$ (.*)$", PAGE.read_text(), re.MULTILINE)]
    assert len(commands) == 2
    for program, action, *words in commands:
        assert (program, action) == ("accelerate", "launch")
        given = launch_command_parser().parse_args(words)
        assert (given.module, given.training_script, given.multi_gpu) == (True, "edgekd", True)
        name, *options = given.training_script_args
        command = main.get_command(main.make_context("edgekd", [name]), name)
        assert command is not None
        assert command.make_context(name, options).params["devices"] == ("pixel8",)
    assert set(LAUNCH) <= set(commands[0])
