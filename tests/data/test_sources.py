from pathlib import Path

import pytest

from edgekd.data.sources import DataConfig, source
from edgekd.errors import BadInputError


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def data(): return 3", "[data] use: {0}:data returned a int, expected edgekd.data.dataset.DataSet"),
        ("def data(): return {}['x']", "[data] use: {0}:data raised KeyError: 'x'"),
        ("def load(): pass", "[data] use: found no function 'data' in {0}"),
        ("data = 3", "[data] use: found no function 'data' in {0}"),
        ("1 / 0", "[data] use: found '{0}:data', whose module can't be imported: ZeroDivisionError"),
        ("def (", "[data] use: found '{0}:data', whose module can't be imported: SyntaxError"),
        ("import nowhere", "[data] use: found '{0}:data', whose module can't be imported: ModuleNotFoundError"),
    ],
)
def test_a_users_module_that_fails_is_bad_input(
    code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    name = f"users_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BadInputError) as caught:
        source(DataConfig(use=f"{name}:data")).digest()
    assert caught.value.message.startswith(message.format(name))


@pytest.mark.parametrize(
    ("use", "message", "hint"),
    [
        ("fashion-mnits", "[data] use: found 'fashion-mnits'", "did you mean 'fashion-mnist'"),
        ("folder", "[data]: found use = 'folder' and no path, expected path = 'FOLDER'", ""),
        ("", "[data] use: found ''", "known: fashion-mnist, fashion-mnist-subset, folder"),
    ],
)
def test_an_unknown_source_is_refused(use: str, message: str, hint: str) -> None:
    with pytest.raises(BadInputError) as caught:
        source(DataConfig(use=use))
    assert caught.value.message == message
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["nowhere:data", "sys:data", ":data", "tiny.data:x"])
def test_a_module_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(BadInputError, match="which is neither installed nor in"):
        source(DataConfig(use=name)).check()
