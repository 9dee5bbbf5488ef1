"""What the commands say that build nothing: whole outputs, exit codes, and what they never import."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import encoders
import linear
import pytest
from workshop import FRAMEWORKS, Workshop, imported

from edgekd import cli
from edgekd.objectives import OBJECTIVES

DEVICES = Path(__file__).parents[2] / "devices"
HELP = """\
Usage: edgekd [OPTIONS] COMMAND [ARGS]...

  Distil, prune and quantize a model, and prove that it fits a phone or board.

  edgekd build --device pixel8        the default pipeline for a Pixel 8
  edgekd plan --device host           what a build would do
  edgekd devices list                 which devices are known

Options:
  --version   Show the version and exit.
  -h, --help  Show this message and exit.

Commands:
  build    Build, measure and judge: the whole pipeline for one device or
           more.
  check    Judge the saved measurements of a finished run again.
  report   Write report.html of a finished run again.
  bundle   Bundle a finished run again, for an app team.
  init     Write a first pipeline for your data and teacher.
  compare  Compare two runs, or two bundles: what changed, and what got worse.
  plan     Show what a build would do, what is cached, and which limits apply.
  profile  Measure any .onnx or .tflite file on a device.
  doctor   Say what is installed and what is missing, and whether a device is
           reached.
  clean    Free the store of what no report needs.
  verify   Check a bundle: whole, signed, in agreement with itself, and its
           golden answers.
  devices  List devices, or show one with its facts and their sources.
  stages   List the stages of a pipeline, or show the options of one.
"""
STAGES = """\
distill    Train the student on the teacher's cached logits and on the labels.
prune      Take channels, neurons, heads or layers out, then recover by distillation (epochs and what follows are its).
finetune   Train on the labels alone, of the pipeline's data or of data of its own.
qat        Train with simulated INT8, as the last step that changes weights; the ranges learned are those exported.
export     Write the float student, and the teacher to compare with, in the formats that are shipped.
quantize   Make INT8 of each format with its own runtime's quantizer.
"""
METHODS = ["auto", "min-max", "percentile", "entropy", "mse", "learned", "dynamic", "smoothed", "weight-only"]
QUANTIZE = f"""\
[[stages]]
use = "quantize"
mode                 'auto' | 'static' | 'dynamic' | 'weight-only' default 'auto'
method               {" | ".join(map(repr, METHODS))} default 'auto'
max_drop             float                                        default 0.01
granularity          'per-channel' | 'per-tensor'                 default 'per-channel'
equalize             'auto' | True | False                        default 'auto'
correct_bias         'auto' | True | False                        default 'auto'
smooth               'auto' | True | False                        default 'auto'
keep_float           list of str                                  default []
io                   'float' | 'int8' | 'uint8'                   default 'float'
target_isa           'arm64' | 'x86-vnni' | 'x86'                 default none
calibration_samples  int                                          default 300
calibration_seed     int                                          default none
temperature          bool                                         default False
"""
FINETUNE = """\
[[stages]]
use = "finetune"
epochs               int                                          required
losses               list of losses, see below                    default [{'use': 'labels'}]
batch_size           int                                          default 32
learning_rate        float                                        default 0.1
weight_decay         float                                        default 0.0005
optimizer            'sgd' | 'adamw'                              default 'sgd'
precision            'float32' | 'bfloat16'                       default 'float32'
accumulate           int                                          default 1
freeze               list of str                                  default []
live                 False                                        default False
data                 table                                        default none

A loss is { use = NAME } with its options; docs/losses.md says which one is for what:
labels               cross-entropy to the labels                         weight, smoothing
"""
DEVICE = """\
title = "A board"
arch = "arm64"
runtimes = ["onnxruntime"]
notes = ["Needs a fan."]

[facts.clusters]
value = [{ core = "Cortex-A76", count = 4, clock = "2.4 GHz" }, { core = "Cortex-A55", count = 2, clock = "2 GHz" }]
source = "the box"

[facts.isa]
value = ["dotprod", "fp16"]
source = "the kernel"

[facts.ram]
value = "4 GB"
source = "the box"

[facts.memory_bandwidth]
value = "17.1 GB/s"
source = "a bench"

[facts.power]
low = "900 mW"
high = "5.4 W"
basis = "idle to full"
carried_over_from = "a sister"
source = "a plug"

[budget]
latency_p95 = "< 100 ms"
quality = ">= 94 % of teacher"
"""
DEVICE_SHOWN = """\
board: A board (board.toml)
  soc               unknown
  clusters          4x Cortex-A76 at 2.40 GHz, 2x Cortex-A55 at 2.00 GHz  [the
                    box]
  isa               dotprod, fp16  [the kernel]
  ram               4.00 GB  [the box]
  memory_bandwidth  17.1 GB/s  [a bench]
  battery           unknown
  os                unknown
  power             900 mW to 5.40 W (idle to full, carried over from a sister)
                    [a plug]
how well its latency is known
  int8   Cortex-A76   66 one-thread rows of the same core, on 6 chips
  int8   Cortex-A55   40 one-thread rows of the same core, on 3 chips
  float  Cortex-A76   178 one-thread rows of the same core, on 6 chips
  float  Cortex-A55   125 one-thread rows of the same core, on 3 chips
  anchors: none
  no published row is of A board with onnxruntime or LiteRT: intervals are those
    of unseen programs
  better with: edgekd devices calibrate board --from a report measured on the
    device
budget
  latency_p95 < 100 ms               board.toml:30
  quality >= 94.0 % of teacher       board.toml:31
note: Needs a fan.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option: str, folder: Workshop) -> None:
    ran = folder.run(option, COLUMNS="80")
    assert (ran.code, ran.out, ran.err) == (0, HELP, "")


def test_nothing_at_all_is_bad_usage_and_shows_the_help(folder: Workshop) -> None:
    ran = folder.run(COLUMNS="80")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.strip() == HELP.strip()


def test_version(folder: Workshop) -> None:
    ran = folder.run("--version")
    assert (ran.code, ran.out) == (0, f"edgekd, version {version('edgekd')}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["biuld"], "Error: found no command 'biuld': did you mean 'build' or 'bundle'?"),
        (["build", "--devise", "pixel8"], "No such option '--devise'"),
        (["build"], "Missing option '--device'"),
        (["plan", "--device", "pixel8", "--threads", "0"], "0 is not in the range 1<=x<=256"),
        (["build", "--device", "pixel8", "--require", "magic"], "'magic' is not one of 'on_device', 'predicted'"),
        (["devices", "shwo"], "No such command 'shwo'"),
    ],
)
def test_bad_usage_exits_with_2(arguments: list[str], message: str, folder: Workshop) -> None:
    ran = folder.run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message.lower() in ran.err.lower()
    assert "Traceback" not in ran.err


def test_every_option_of_build_is_explained(folder: Workshop) -> None:
    ran = folder.run("build", "--help")
    assert ran.code == 0
    for option in ("--device", "--limit", "--control", "--quick", "--require", "--allow-inconclusive", "--json", "-o"):
        assert f" {option}" in ran.out
    assert "0 every limit met, 1 a limit exceeded, 2 bad input, 3 a stage failed" in " ".join(ran.out.split())


def test_devices_are_listed_by_name(folder: Workshop) -> None:
    ran = folder.run("devices", "list")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in DEVICES.glob("*.toml"))
    assert "pixel8             Google Pixel 8               onnxruntime, tflite" in lines
    assert folder.run("devices").out == ran.out


def test_a_device_of_the_working_folder_is_listed_too(folder: Workshop) -> None:
    (folder.folder / "devices").mkdir()
    (folder.folder / "devices" / "board.toml").write_text(DEVICE)
    assert "board              A board                      onnxruntime\n" in folder.run("devices", "list").out


def test_a_device_is_shown_with_every_source(folder: Workshop) -> None:
    (folder.folder / "board.toml").write_text(DEVICE)
    ran = folder.run("devices", "show", "board.toml")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == DEVICE_SHOWN


def test_an_unknown_device_is_refused_with_the_nearest(folder: Workshop) -> None:
    ran = folder.run("devices", "show", "pixel65")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: found no device 'pixel65': neither a file nor a name\n"
        "hint: did you mean 'pixel6' or 'pixel9' or 'pixel8'?\n"
    )


def test_stages_are_listed_in_their_order(folder: Workshop) -> None:
    ran = folder.run("stages", "list")
    assert (ran.code, ran.out, ran.err) == (0, STAGES, "")
    assert folder.run("stages").out == STAGES


def test_a_stage_is_shown_with_its_options(folder: Workshop) -> None:
    for name, shown in (("quantize", QUANTIZE), ("finetune", FINETUNE)):
        ran = folder.run("stages", "show", name)
        assert (ran.code, ran.out, ran.err) == (0, shown, "")
        assert folder.run("stages", name) == ran


@pytest.mark.parametrize("name", ["distill", "prune"])
def test_a_stage_that_learns_from_a_teacher_shows_every_loss_with_its_options(name: str, folder: Workshop) -> None:
    _, _, shown = folder.run("stages", "show", name).out.partition("\n\n")
    lines = {line.split()[0]: line for line in shown.splitlines()[1:]}
    assert lines.keys() == OBJECTIVES.keys()
    for loss, objective in OBJECTIVES.items():
        assert objective.summary in lines[loss]
        assert lines[loss].endswith(f"  {', '.join(objective.config.model_fields)}")


def test_an_unknown_stage_is_refused_with_the_nearest(folder: Workshop) -> None:
    ran = folder.run("stages", "quantise")
    assert (ran.code, ran.err) == (2, "error: found no stage 'quantise'\nhint: did you mean 'quantize' or 'qat'?\n")


@pytest.mark.parametrize(
    ("typed", "completions"),
    [
        ("st", {"stages"}),
        ("", {*cli.COMMANDS}),
        ("compare --f", {"--fail-on-regression"}),
        ("init --dr", {"--dry-run"}),
    ],
)
def test_a_shell_completes_commands_and_options(typed: str, completions: set[str], folder: Workshop) -> None:
    words = ["edgekd", *typed.split(" ")]
    done = subprocess.run(
        [sys.executable, "-c", "from edgekd.cli import entry; entry()"],
        cwd=folder.folder,
        env=os.environ
        | {"_EDGEKD_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == completions


def test_the_script_that_a_shell_reads_is_printed(folder: Workshop) -> None:
    ran = folder.run(_EDGEKD_COMPLETE="bash_source")
    assert ran.code == 0
    assert "complete -o nosort -F _edgekd_completion edgekd" in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["build", "--help"],
        ["devices", "list"],
        ["devices", "show", "pixel8"],
        ["stages", "show", "distill"],
        ["plan", "--device", "pixel8"],
        ["plan", "--device", "host"],
    ],
    ids=" ".join,
)
def test_heavy_packages_are_not_imported(arguments: list[str], tmp_path: Path) -> None:
    heavy = {"torch", "onnx", "onnxruntime", "ai_edge_litert", "litert_torch", "tensorflow", "safetensors"}
    if arguments == ["--help"]:
        heavy |= {"numpy", "pydantic", "rich"}
    code, found = imported(tmp_path, *arguments)
    assert code == 0
    assert heavy.isdisjoint(found)


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "bundle"],
        ["verify", "bundle", "--json"],
        ["verify", "--help"],
        ["check", "--help"],
        ["devices", "show", "host"],
        ["devices", "new", "mine", "--from", "host"],
        ["plan", "texts.toml", "--device", "pixel8"],
    ],
    ids=" ".join,
)
def test_what_reads_files_that_are_there_needs_no_framework(arguments: list[str], tmp_path: Path) -> None:
    linear.write_bundle(tmp_path / "bundle")
    (encoders.furnish(tmp_path) / "texts.toml").write_text(encoders.PIPELINE, encoding="utf-8")
    code, found = imported(tmp_path, *arguments)
    assert code == 0
    assert FRAMEWORKS.isdisjoint(found)
