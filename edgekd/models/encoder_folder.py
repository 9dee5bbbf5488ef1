"""What a transformers or sentence-transformers model is, read from its JSON files alone: no torch, no weights."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgekd.data import tokenizer_folder
from edgekd.errors import BadInputError, MissingExtraError
from edgekd.models.families import FAMILIES

PACKAGE = "package:"
LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
WEIGHTS = ".safetensors"
HASHED = frozenset({".json", ".txt", ".model", ".py", WEIGHTS})


@dataclass(frozen=True, slots=True)
class EncoderFacts:
    """What the files say; ``max_length`` in tokens, ``width`` of the vectors (or the number of labels)."""

    folder: Path
    model_type: str
    hidden: int
    layers: int
    heads: int
    vocabulary: int
    max_length: int
    width: int
    pooling: str
    normalize: bool
    dense: tuple[Mapping[str, Any], ...]  # outputs, bias, activation, folder
    labels: tuple[str, ...]  # by class index; empty without a classification head
    remote_code: bool


def check(name: str | Path, *, trust_remote_code: bool = False) -> EncoderFacts:
    """Find the model and read its JSON files.

    Raises:
        BadInputError: no such model, parts that edgekd can't build, or code of its own that nobody has trusted.

    """
    folder = find(name, weights=False)
    root = tokenizer_folder.transformer_folder(folder)
    config = tokenizer_folder.read(root / "config.json")
    if "model_type" not in config:
        raise BadInputError(f"found no config.json with a model_type in {root}, expected a transformers model")
    remote = bool(config.get("auto_map"))
    if remote and not trust_remote_code:
        raise BadInputError(
            f"found {name}, whose config.json (auto_map) runs Python code that comes with the model",
            "read that code; if you trust it, write trust_remote_code = true beside the model's name",
        )
    return _facts(folder, config, remote=remote)


def find(name: str | Path, *, weights: bool = True) -> Path:
    """Return the folder of a model.

    ``name`` is a folder, 'package:NAME' for a folder in an installed Python package (found without importing it), or a
    hub id, which is taken from the local cache or downloaded; the environment's HF_HUB_OFFLINE=1 forbids the latter.

    Raises:
        BadInputError: nothing there.

    """
    text = str(name)
    if text.startswith(PACKAGE):
        return _in_package(text.removeprefix(PACKAGE))
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any((folder / marker).is_file() for marker in ("modules.json", "config.json")):
            raise BadInputError(f"found the folder {folder} without a config.json or modules.json in it")
        return folder
    if folder.is_absolute() or text.count("/") > 1 or text.startswith((".", "~")):
        raise BadInputError(f"found no folder {folder}")
    return _from_hub(text, weights=weights)


def digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of the files that decide what the model does; not over its README.

    For a model in the hub's cache it is over its name and commit, which decide all files: a first plan has no weights
    there yet, and its digest must be that of the build after it.
    """
    if folder.parent.name == "snapshots" and folder.parents[1].name.startswith("models--"):
        return hashlib.sha256(f"{folder.parents[1].name}\0{folder.name}".encode()).hexdigest()
    total = hashlib.sha256()
    for path in _files(folder):
        stat = path.stat()
        total.update(f"{path.relative_to(folder).as_posix()}\0{stat.st_size}\0".encode())
        total.update(_file_digest(path, (stat.st_size, stat.st_mtime_ns, stat.st_ino)))
    return total.hexdigest()


@lru_cache(maxsize=256)
def _file_digest(path: Path, _stat: tuple[int, int, int]) -> bytes:
    """SHA-256 of a file, read once in a process unless it changed: a tokenizer and a teacher share a folder."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _files(folder: Path) -> list[Path]:
    roots = {folder, *(folder / part["path"] for part in tokenizer_folder.modules(folder))}
    files = {path for root in roots for path in root.glob("*") if path.is_file()}
    hashed = {path for path in files if path.suffix in HASHED}
    for root in roots:  # the pickled weights count where there are no others
        if not any(path.parent == root and path.suffix == WEIGHTS for path in hashed):
            hashed |= {path for path in files if path.parent == root and path.suffix == ".bin"}
    return sorted(hashed)


def _in_package(package: str) -> Path:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    roots = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    if not roots:
        raise BadInputError(
            f"found no installed package {package!r}", f"pip install {package.replace('_', '-')}, or correct the name"
        )
    for marker in ("modules.json", "config.json"):
        found = sorted(path.parent for root in roots for path in root.rglob(marker))
        if found:
            return min(found, key=lambda path: len(path.parts))
    raise BadInputError(f"found the package {package!r} without a model (modules.json or config.json) in it")


def _from_hub(name: str, *, weights: bool) -> Path:
    try:
        import huggingface_hub
    except ImportError:
        raise MissingExtraError("huggingface_hub", "build", f"the model {name!r}, which is no folder,") from None
    wanted = [f"*{suffix}" for suffix in sorted(HASHED) if weights or suffix != WEIGHTS]
    skipped = ["onnx/*", "openvino/*"]
    try:
        folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=wanted, ignore_patterns=skipped))
        if weights and not list(folder.rglob(f"*{WEIGHTS}")):
            huggingface_hub.snapshot_download(name, allow_patterns=["pytorch_model*.bin", "*/pytorch_model.bin"])
    except Exception as error:  # its HTTP client's, its cache's and its own errors share no base class
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise BadInputError(
            f"found no folder {name!r}, and no such model in the hub's local cache or on the hub: {reason}",
            "correct the name, or download the model and give its folder; HF_HUB_OFFLINE=1 allows the cache alone",
        ) from error
    return folder


def _facts(folder: Path, config: Mapping[str, Any], *, remote: bool) -> EncoderFacts:
    root = tokenizer_folder.transformer_folder(folder)
    known = FAMILIES.get(config["model_type"], FAMILIES["bert"])  # most others use BERT's names
    hidden = int(config.get(known.sizes["hidden"], config.get("hidden_size", 0)))
    pooling, normalize, dense = _parts(folder)
    labels = _labels(config)
    return EncoderFacts(
        folder=folder,
        model_type=config["model_type"],
        hidden=hidden,
        layers=int(config.get(known.sizes["layers"], config.get("num_hidden_layers", 0))),
        heads=int(config.get(known.sizes["heads"], config.get("num_attention_heads", 0))),
        vocabulary=int(config.get("vocab_size", 0)),
        max_length=tokenizer_folder.max_length(root),
        width=len(labels) or (int(dense[-1]["outputs"]) if dense else hidden),
        pooling=pooling,
        normalize=normalize,
        dense=dense,
        labels=labels,
        remote_code=remote,
    )


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    if not any(str(each).endswith("ForSequenceClassification") for each in config.get("architectures") or ()):
        return ()
    names = config.get("id2label") or {str(index): f"LABEL_{index}" for index in range(config.get("num_labels", 2))}
    return tuple(str(names[key]) for key in sorted(names, key=int))


def _parts(folder: Path) -> tuple[str, bool, tuple[Mapping[str, Any], ...]]:
    """Pooling, normalisation and dense layers; a model without modules.json is pooled by its mean, as is usual."""
    parts = tokenizer_folder.modules(folder)
    if not parts:
        return "mean", False, ()
    kinds = [str(part["type"]).rsplit(".", 1)[-1] for part in parts]
    middle = kinds[2:-1] if kinds[-1] == "Normalize" else kinds[2:]
    if kinds[:2] != ["Transformer", "Pooling"] or set(middle) - {"Dense"}:
        raise BadInputError(
            f"{folder / 'modules.json'}: found {', '.join(kinds)}, expected Transformer, Pooling, any number of Dense, "
            "and Normalize or not"
        )
    dense = [_dense(folder / part["path"]) for part, kind in zip(parts, kinds, strict=True) if kind == "Dense"]
    return _pooling(folder / parts[1]["path"] / "config.json"), kinds[-1] == "Normalize", tuple(dense)


def _pooling(path: Path) -> str:
    table = tokenizer_folder.read(path)
    old = [name for key, name in LEGACY_POOLING.items() if table.get(key)]
    mode = table.get("pooling_mode") or old or "mean"
    names = [mode] if isinstance(mode, str) else list(mode)
    if len(names) != 1 or names[0] not in LEGACY_POOLING.values() or table.get("include_prompt") is False:
        raise BadInputError(
            f"{path}: found pooling {' + '.join(names)} with include_prompt = {table.get('include_prompt', True)}, "
            f"expected one of {', '.join(LEGACY_POOLING.values())}, over all tokens"
        )
    return names[0]


def _dense(folder: Path) -> Mapping[str, Any]:
    table = tokenizer_folder.read(folder / "config.json")
    if table.get("use_residual") or table.get("module_input_name", "sentence_embedding") != "sentence_embedding":
        raise BadInputError(f"{folder}: found a Dense layer with a residual or on token states, expected a plain one")
    name = str(table.get("activation_function", "torch.nn.modules.activation.Tanh")).rsplit(".", 1)[-1].lower()
    return {
        "outputs": int(table["out_features"]),
        "bias": bool(table.get("bias", True)),
        "activation": name,
        "folder": folder.name,
    }
