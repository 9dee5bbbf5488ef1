"""Where edgekd keeps what outlives a project."""

from pathlib import Path

import pytest

from edgekd.user_cache import user_cache


@pytest.mark.parametrize("given", [None, "", "relative/cache"])
def test_it_is_below_the_home_folder_unless_xdg_names_another(
    given: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if given is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert user_cache("a", "b") == tmp_path / ".cache" / "edgekd" / "a" / "b"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert user_cache() == tmp_path / "mine" / "edgekd"
