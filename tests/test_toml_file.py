from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from edgekd.errors import BadInputError
from edgekd.toml_file import Frozen, line_of, read, resolve, validate


class Wheel(Frozen):
    spokes: Annotated[int, Field(ge=3)] = 8


class Cart(Frozen):
    name: str
    wheel: Wheel | None = None
    wheels: tuple[Wheel, ...] = ()


def refusal(text: str, tmp_path: Path) -> BadInputError:
    path = tmp_path / "cart.toml"
    path.write_text(text, encoding="utf-8")
    values, text = read(path)
    with pytest.raises(BadInputError) as caught:
        validate(Cart, values, path, text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ('name = "a"\n\n[whel]\nspokes = 4\n', 3, "found the unknown key 'whel'", "did you mean 'wheel' or 'wheels'?"),
        ('name = "a"\n[wheel]\nspoke = 4\n', 3, "found the unknown key 'wheel.spoke'", "did you mean 'spokes'?"),
        ('name = "a"\n[wheel]\nspokes = 2\n', 3, "wheel.spokes: found 2: Input should be greater than or equal", ""),
        ('# no name\nwheels = [{ spokes = "x" }]\nname = "a"\n', 2, "wheels.0.spokes: found 'x': Input should be", ""),
        ('name = "a"\n[[wheels]]\n[[wheels]]\nspokes = 1\n', 4, "wheels.1.spokes: found 1", ""),
        ("[wheel]\nspokes = 4\n", 1, "found no 'name', which is required", ""),
        ("name = 3\n", 1, "name: found 3: Input should be a valid string", ""),
    ],
)
def test_an_error_names_file_line_what_was_found_and_the_nearest_key(
    text: str, line: int, message: str, hint: str, tmp_path: Path
) -> None:
    error = refusal(text, tmp_path)
    assert error.message.startswith(f"{tmp_path / 'cart.toml'}:{line}: {message}")
    assert error.hint == hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name = \n", "not valid TOML: Invalid value (at line 1, column 8)"),
        (b"\xff\xfe", "found a file that can't be read as UTF-8 text"),
    ],
)
def test_a_file_that_is_no_toml_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(BadInputError) as caught:
        read(tmp_path / "bad.toml")
    assert f"{tmp_path / 'bad.toml'}: {message}" in caught.value.message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"none\.toml: found a file that can't be read"):
        read(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("keys", "line"),
    [(["a"], 1), (["b"], 2), (["b", "c"], 3), (["b", "none"], 2), (["d", 0, "x"], 5), (["d", 1], 6), (["e", "f"], 9)],
)
def test_lines_are_found_by_key(keys: list[str | int], line: int) -> None:
    text = 'a = 1\n[b]\n"c" = 2\n[[d]]\nx = 1\n[[ d ]]\nx = 2\n# e.f = 0\ne.f = 3\n'
    # line 9 stands in the last [[d]] table, as TOML reads it
    wanted = ["d", 1, *keys] if keys[0] == "e" else keys
    assert line_of(text, wanted) == line


def test_a_file_in_the_working_folder_comes_before_the_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve("pixel8", "devices", "device").name == "pixel8.toml"
    assert resolve("pixel8", "devices", "device").is_absolute()
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "pixel8.toml").write_text("")
    assert resolve("pixel8", "devices", "device") == Path("devices/pixel8.toml")
    (tmp_path / "pixel8").write_text("")
    assert resolve("pixel8", "devices", "device") == Path("pixel8")


def test_an_unknown_name_lists_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError) as caught:
        resolve("pixle8", "devices", "device")
    assert caught.value.message == "found no device 'pixle8': neither a file nor a name"
    assert caught.value.hint == "did you mean 'pixel8' or 'pixel9' or 'pixel8pro'?"


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Wheel().spokes = 9  # type: ignore[misc]
