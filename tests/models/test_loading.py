import pickle
from pathlib import Path
from typing import Any

import pytest
import tinynet
import torch
from safetensors.torch import save_file

from edgekd.errors import BadInputError
from edgekd.models.loading import ModelSpec, build, load, load_into, read_weights, save


class Trap:
    """Unpickling this runs code: it would make the file ``touched``."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.touched,)


def refused(path: Path) -> BadInputError:
    with pytest.raises(BadInputError) as caught:
        read_weights(path, "[teacher] weights")
    return caught.value


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    spec = ModelSpec("tinynet:student", {"width": 16})
    module = tinynet.student(width=16).eval()
    loaded, found = load(save(module, spec, tmp_path / "m.safetensors"))
    assert found == spec
    assert not loaded.training
    images = torch.ones(1, 3, 12, 12)
    torch.testing.assert_close(loaded(images), module(images))


def test_a_file_of_torch_is_read_if_it_holds_tensors_alone(tmp_path: Path) -> None:
    torch.save(tinynet.student().state_dict(), tmp_path / "m.pt")
    state = read_weights(tmp_path / "m.pt", "here")
    assert state.keys() == tinynet.student().state_dict().keys()


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    """The files' digests are in the keys of all that is made from them."""
    spec, module = ModelSpec("tinynet:student", {"width": 16, "classes": 3}), tinynet.student(width=16)
    files = {save(module, spec, tmp_path / f"{number}.safetensors").read_bytes() for number in range(20)}
    assert len(files) == 1


@pytest.mark.parametrize("content", [b"", b"no weights", b"\xff" * 100])
@pytest.mark.parametrize("name", ["m.safetensors", "m.pt"])
def test_a_corrupt_file_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert str(tmp_path / name) in refused(tmp_path / name).message
    assert refused(tmp_path / name).message.startswith("[teacher] weights: found ")


@pytest.mark.parametrize("name", ["m.safetensors", "m.pt"])
def test_a_cut_off_file_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    state = tinynet.student().state_dict()
    save_file(state, path) if name.endswith("tensors") else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-200])
    assert str(path) in refused(path).message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "found no readable weights in" in refused(tmp_path / "none.safetensors").message
    assert "found no readable weights in" in refused(tmp_path / "none.pt").message


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_never_run(*, zipped: bool, tmp_path: Path) -> None:
    touched, path = tmp_path / "touched", tmp_path / "evil.pt"
    if zipped:
        torch.save({"weight": Trap(touched)}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": Trap(touched)}))
    error = refused(path)
    assert not touched.exists()
    assert f"found {path}, which is corrupt or needs code to be unpickled" in error.message
    assert "safetensors.torch.save_file" in error.hint
    torch.load(path, weights_only=False) if zipped else pickle.loads(path.read_bytes())  # noqa: S301 (it is a trap)
    assert touched.exists()


@pytest.mark.parametrize("value", [[1, 2], {"epoch": 3}, torch.ones(2)])
def test_a_file_without_a_state_dict_is_refused(value: Any, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "m.pt")
    assert "which holds no state dict (names and tensors)" in refused(tmp_path / "m.pt").message


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "Missing key"),
        ({**tinynet.student().state_dict(), "other.weight": torch.ones(1)}, "Unexpected key"),
        (tinynet.student(classes=5).state_dict(), "size mismatch"),  # never shrunk to what the file holds
        ({f"module.{name}": value for name, value in tinynet.student().state_dict().items()}, "Missing key"),
    ],
)
def test_weights_that_do_not_fit_are_refused(state: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(BadInputError, match=r"\[teacher\] weights: the weights don't fit the module: .*" + message):
        load_into(tinynet.student(), state, "[teacher] weights")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tinynet:student", {"widht": 3}, "refused the options {'widht': 3}: TypeError: "),
        ("tinynet:studnt", {}, "found no function 'studnt' in tinynet"),
        ("tinynet", {}, "found 'tinynet', expected 'module:function'"),
        ("nowhere:student", {}, "found the module 'nowhere', which is neither installed nor in"),
        ("collections:OrderedDict", {}, "returned a OrderedDict, expected a torch.nn.Module"),
        ("fractions:Fraction", {"numerator": 1, "denominator": 0}, "ZeroDivisionError"),
    ],
)
def test_a_factory_that_makes_no_module_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        build(ModelSpec(name, options), "[student] model")
    assert caught.value.message.startswith("[student] model: ")
    assert message in caught.value.message


def test_the_nearest_function_is_offered() -> None:
    with pytest.raises(BadInputError) as caught:
        build(ModelSpec("tinynet:studnt"), "[student] model")
    assert caught.value.hint == "did you mean 'student'?"
