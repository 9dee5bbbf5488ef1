"""A limit on memory holds: by a control group where one can be made, else by the address space."""

import subprocess
import sys
from pathlib import Path

import pytest

from edgekd.profile.busy import busy
from edgekd.profile.confining import Confinement, confined

MANY = [sys.executable, "-c", "held = bytearray(300_000_000); print(len(held))"]
NONE = Path("/nonexistent")


def run(confinement: Confinement, command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(confinement.around(command), capture_output=True, text=True, check=False)


def test_without_a_limit_nothing_changes() -> None:
    with confined(None) as confinement:
        assert confinement.around(["a", "b"]) == ["a", "b"]
        assert not confinement.exceeded()


def test_the_address_space_is_limited_where_no_group_can_be_made() -> None:
    with confined(100_000_000, NONE, NONE) as confinement:
        assert confinement.how.startswith("address space")
        assert "MemoryError" in run(confinement, MANY).stderr
    with confined(900_000_000, NONE, NONE) as confinement:
        assert run(confinement, MANY).stdout == "300000000\n"


@pytest.mark.system
def test_a_group_ends_what_takes_more_and_is_removed() -> None:
    with confined(100_000_000) as confinement:
        if confinement.group is None:
            pytest.skip("no control group can be made here")
        assert run(confinement, MANY).returncode == -9
        assert confinement.exceeded()
        assert confinement.group.is_dir()
    assert not confinement.group.exists()
    with confined(900_000_000) as confinement:
        assert run(confinement, MANY).stdout == "300000000\n"
        assert not confinement.exceeded()


def test_a_group_of_version_2_has_its_own_files(tmp_path: Path) -> None:
    """A kernel has one version or the other; here is what would be written to the other one's files."""
    (tmp_path / "own").write_text("0::/user\n")
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "cgroup.subtree_control").write_text("cpu\n")  # memory isn't handed down there
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    with confined(5_000_000, tmp_path, tmp_path / "own") as confinement:
        assert confinement.how == "control group, version 2"
        assert confinement.group is not None
        assert confinement.group.parent == tmp_path
        assert (confinement.group / "memory.max").read_text() == "5000000"
        assert (confinement.group / "memory.swap.max").read_text() == "0"
        (confinement.group / "memory.events").write_text("oom 3\noom_kill 1\n")
        assert confinement.exceeded()


def test_busy_cores_are_free_again_afterwards() -> None:
    import psutil

    own = psutil.Process()
    before = set(own.children())
    with busy(1):
        (worker,) = set(own.children()) - before
        assert worker.is_running()
    assert not worker.is_running()
