"""Under what terms teacher, data and code may be used: as far as files and the pipeline tell, and 'unknown' beyond."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from edgekd.bundle.manifest import Licence, Place
from edgekd.errors import BadInputError
from edgekd.pipeline import ASSET, Pipeline
from edgekd.teachers import TeacherConfig
from edgekd.toml_file import PACKAGED

UNKNOWN = "unknown: ask who made it"
FASHION = ("Fashion-MNIST", "MIT", "https://github.com/zalandoresearch/fashion-mnist", "fashion-mnist-subset.LICENSE")
WORDNET = ("WordNet 3.0", "LicenseRef-WordNet-3.0", "https://wordnet.princeton.edu", "wordnet.LICENSE")
DATA = {"fashion-mnist-subset": FASHION, "fashion-mnist": FASHION, "wordnet": WORDNET}
TEACHER_FILE, DATA_FILE, CODE_FILE = "LICENCES/teacher.txt", "LICENCES/data.txt", "LICENCES/code.txt"
CODE = Licence(
    part="code", name="edgekd", terms="Apache-2.0", source="the package edgekd, which made the files", file=CODE_FILE
)
OURS = "teacher.LICENSE"
KNOWN = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause", "cc-by-4.0": "CC-BY-4.0"}


def told(pipeline: Pipeline) -> tuple[Licence, ...]:
    """The licences of teachers, data and edgekd's own code, as far as they are known before the data is read."""
    return (*(_teacher(each, pipeline) for each in pipeline.all_teachers), _data(pipeline), CODE)


def completed(licences: Sequence[Licence], of_data: str) -> tuple[Licence, ...]:
    """The same, where the data says its own terms, which nobody else did."""
    return tuple(
        each.model_copy(update={"terms": of_data}) if (each.part, each.terms) == ("data", UNKNOWN) and of_data else each
        for each in licences
    )


def files(licences: Sequence[Licence]) -> dict[Place, bytes]:
    """The texts that the licences name: those of what comes with edgekd."""
    return dict(_texts(licences))


def _texts(licences: Sequence[Licence]) -> Iterator[tuple[Place, bytes]]:
    for each in licences:
        if each.file == CODE_FILE:
            yield CODE_FILE, _own_text()
        elif each.file == TEACHER_FILE:
            yield TEACHER_FILE, (PACKAGED / "assets" / OURS).read_bytes()
        elif each.file == DATA_FILE:
            name = next(known[3] for known in DATA.values() if known[0] == each.name)
            yield DATA_FILE, (PACKAGED / "assets" / name).read_bytes()


def _data(pipeline: Pipeline) -> Licence:
    use = getattr(pipeline.data, "use", pipeline.task)
    given = pipeline.data.licence
    if use in DATA and not given:
        name, terms, source, _ = DATA[use]
        return Licence(part="data", name=name, terms=terms, source=source, file=DATA_FILE)
    return Licence(part="data", name=str(use), terms=given or UNKNOWN, source=f"[data] of {pipeline.path.name}")


def _teacher(teacher: TeacherConfig, pipeline: Pipeline) -> Licence:
    if (teacher.weights or "").startswith(ASSET) and not teacher.licence:
        return Licence(
            part="teacher", name=str(teacher.weights), terms="Apache-2.0", source="edgekd", file=TEACHER_FILE
        )
    name = str(teacher.weights or getattr(teacher, teacher.form))
    terms = teacher.licence or (_of_encoder(pipeline.folder(name)) if teacher.encoder else None) or UNKNOWN
    return Licence(part="teacher", name=Path(name).name, terms=terms, source=f"[teacher] of {pipeline.path.name}")


def _of_encoder(source: str) -> str | None:
    """What a model's README says in the lines between '---' at its top, as those of model hubs do."""
    from edgekd.models import encoder_folder

    try:
        text = (encoder_folder.find(source, weights=False) / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, BadInputError):
        return None
    head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license:\s*(\S+)\s*$", head[1], re.MULTILINE) if head else None
    return KNOWN.get(found[1].lower(), found[1]) if found else None


def _own_text() -> bytes:
    """The licence of edgekd: from its metadata where it is installed, else from the checkout."""
    try:
        for path in distribution("edgekd").files or ():
            if path.name == "LICENSE" and path.parent.name == "licenses":
                return Path(str(path.locate())).read_bytes()
    except (PackageNotFoundError, OSError):
        pass
    return (PACKAGED.parent / "LICENSE").read_bytes()
