"""Facts: what both kinds of model files say of themselves, besides their tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekd.bundle.manifest import Manifest, Place, Postprocessing, Preprocessing


@dataclass(frozen=True, slots=True)
class Facts:
    """As manifest.json has them. Files that they name (labels, vocabulary) are handed over beside them."""

    name: str
    description: str
    version: str  # of the model
    author: str
    licence: str
    preprocessing: Preprocessing
    postprocessing: Postprocessing


def of(manifest: Manifest, file: Place) -> Facts:
    """What the model file ``file`` is to say of itself."""
    post = manifest.postprocessing
    temperature = post.temperatures.get(file, post.temperature)
    return Facts(
        name=manifest.name,
        description=f"{manifest.task}, made for {manifest.device}",
        version=manifest.edgekd_version,
        author=f"edgekd {manifest.edgekd_version}",
        licence="; ".join(f"{each.part}: {each.terms}" for each in manifest.licences),
        preprocessing=_of_file(manifest.preprocessing, file),
        postprocessing=post.model_copy(update={"temperature": temperature, "temperatures": {}}),
    )


def _of_file(preprocessing: Preprocessing, file: Place) -> Preprocessing:
    """Without what it says of other files: a file is the same whichever others are shipped beside it."""
    own: dict[str, Any] = {
        name: {file: value[file]} if file in value else {}
        for name in ("layouts", "pad_to")
        if (value := getattr(preprocessing, name, None)) is not None
    }
    in_graph = getattr(preprocessing, "in_graph", None)
    if in_graph is not None:
        own["in_graph"] = tuple(each for each in in_graph if each == file)
    return preprocessing.model_copy(update=own)
