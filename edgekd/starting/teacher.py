"""The teacher that somebody named, and a student that suits it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from edgekd import units
from edgekd.errors import BadInputError
from edgekd.starting.data import Found, quoted

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
WEIGHTS = (".safetensors", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class Teacher:
    """The [teacher] and [student] tables."""

    lines: tuple[str, ...]
    student: tuple[str, ...]
    said: str
    size: str = ""  # what the student will take in INT8, for a budget


def look(name: str | None, weights: Path | None, data: Found, root: Path) -> Teacher:
    """Find out what ``name`` is: an encoder's folder or hub id, an .onnx, .keras or .parquet file, 'module:function'.

    Raises:
        BadInputError: nothing of these, or one that doesn't suit the data.

    """
    texts = data.task.startswith("text")
    if name is None and not texts:
        raise BadInputError(
            "found images and no teacher, expected one that knows their classes",
            "name it: --teacher FILE.onnx, FILE.keras, or MODULE:FUNCTION with --weights FILE",
        )
    name = name or ENCODER
    path = Path(name)
    if path.is_file():
        return _file(path, data, root)
    if ":" in name and not name.startswith("package:"):
        return _module(name, weights, data, root)
    if texts:
        return _encoder(name, data, root)
    raise BadInputError(
        f"--teacher: found {name!r} for images, expected an .onnx or .keras file, or MODULE:FUNCTION",
        "encoders are for texts",
    )


def _encoder(name: str, data: Found, root: Path) -> Teacher:
    from edgekd.models import encoder_folder
    from edgekd.starting.data import relative

    facts = encoder_folder.check(name)
    lines = [f"encoder = {quoted(relative(Path(name), root) if Path(name).is_dir() else name)}"]
    if data.classes and len(facts.labels) != data.classes:
        lines += ["", "[teacher.finetune] # it has no classes yet: it learns them from the labels first"]
        lines += ["epochs = 3"]
    layers = max(1, facts.layers // 2)
    student = [f"layers = {layers} # of the teacher's {facts.layers}, evenly spaced; fewer are smaller and faster"]
    weights = facts.vocabulary * facts.hidden + layers * 12 * facts.hidden**2  # as a transformer has them, more or less
    said = f"{name}: {facts.model_type} of {facts.layers} layers, {facts.vocabulary:,} tokens, {facts.width} outputs"
    return Teacher(tuple(lines), tuple(student), said, _round_up(1.5 * weights + 1e6))


def _round_up(size_bytes: float) -> str:
    return units.show(float(-(-size_bytes // 5e6) * 5e6), "B").replace(".00", "").replace(".0", "")


def _file(path: Path, data: Found, root: Path) -> Teacher:
    from edgekd.starting.data import relative

    forms = {".onnx": "onnx", ".keras": "keras", ".parquet": "outputs"}
    form = forms.get(path.suffix.lower())
    if form is None:
        raise BadInputError(
            f"--teacher: found the file {path}, expected one ending in {', '.join(forms)}",
            "weights go with MODULE:FUNCTION: --teacher MODULE:FUNCTION --weights FILE",
        )
    lines = [f"{form} = {quoted(relative(path, root))}"]
    if data.task.startswith("text"):
        if form != "outputs" and (path.parent / "tokenizer.json").is_file():
            lines.append(f"tokenizer = {quoted(relative(path.parent, root))}")
        student = [f"encoder = {quoted(ENCODER)} # any smaller encoder"]
    else:
        student = _convnet(data)
    return Teacher(tuple(lines), tuple(student), f"{path}: a teacher as {form}")


def _module(name: str, weights: Path | None, data: Found, root: Path) -> Teacher:
    from edgekd.starting.data import relative

    module, _, function = name.partition(":")
    beside = Path(f"{module.replace('.', '/')}.py")
    found = weights or next((each for end in WEIGHTS if (each := beside.with_suffix(end)).is_file()), None)
    if found is None or not found.is_file():
        raise BadInputError(
            f"--teacher {name}: found no weights for it ({found or beside.with_suffix(WEIGHTS[0])})",
            "name them: --weights FILE, written by safetensors.torch.save_file(model.state_dict(), FILE)",
        )
    lines = [f"model = {quoted(name)}", f"weights = {quoted(relative(found, root))}"]
    if data.classes and "classes" in _arguments(beside, function):
        lines.append(f"options = {{ classes = {data.classes} }}")
    student = _convnet(data) if data.task == "image-classification" else [f"encoder = {quoted(ENCODER)}"]
    return Teacher(tuple(lines), tuple(student), f"{name} with the weights {found}")


def _arguments(path: Path, function: str) -> set[str]:
    """What the function takes, read and not run."""
    if not path.is_file():
        return set()
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: found no Python that can be read: {error}") from error
    functions = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == function]
    return {each.arg for found in functions for each in (*found.args.args, *found.args.kwonlyargs)}


def _convnet(data: Found) -> list[str]:
    return [
        'model = "edgekd.models.convnet:student"',
        f"options = {{ classes = {data.classes}, widths = [16, 32, 64], grid = 0 }} # wider is better and slower",
    ]
