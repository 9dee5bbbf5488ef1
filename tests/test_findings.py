from __future__ import annotations

import pytest

from edgekd.findings import exit_code
from edgekd.judge import Verdict


@pytest.mark.parametrize(
    ("verdict", "allowed", "code"),
    [
        (Verdict.PASS, False, 0),
        (Verdict.PASS, True, 0),
        (Verdict.FAIL, False, 1),
        (Verdict.FAIL, True, 1),
        (Verdict.INCONCLUSIVE, False, 4),
        (Verdict.INCONCLUSIVE, True, 0),
    ],
)
def test_the_exit_code_of_a_finished_build(verdict: Verdict, allowed: bool, code: int) -> None:  # noqa: FBT001
    assert exit_code(verdict, allow_inconclusive=allowed) == code
