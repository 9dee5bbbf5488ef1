"""The [teacher] and [student] tables: five forms of a teacher, three of a student."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edgekd.stages.finetune import LabelsConfig as FinetuneConfig
from edgekd.toml_file import Frozen

Positive = Annotated[int, Field(ge=1)]
TEACHER_FORMS = ("model", "encoder", "onnx", "keras", "outputs")


class TeacherConfig(Frozen):
    """The [teacher] table: exactly one of ``model``, ``encoder``, ``onnx``, ``keras`` and ``outputs``."""

    model: str | None = None  # 'module:function' that returns a torch module
    options: dict[str, Any] = {}
    weights: str | None = None  # of ``model``: a file beside the pipeline, or 'edgekd:NAME' for one of ours
    encoder: str | None = None  # a transformers or sentence-transformers folder, hub id, or 'package:NAME'
    trust_remote_code: bool = False  # run the code that comes with ``encoder``
    onnx: str | None = None  # a file that onnxruntime runs, whatever made it
    keras: str | None = None  # a .keras file
    outputs: str | None = None  # a Parquet table of outputs by row id, made elsewhere
    tokenizer: str | None = None  # the folder of the tokenizer, where ``encoder`` doesn't say it
    licence: str = ""  # under what terms it may be used, for the bundle
    weight: Annotated[float, Field(gt=0)] = 1.0  # among several teachers
    finetune: FinetuneConfig | None = None  # train it on the labels before it teaches

    @model_validator(mode="after")
    def _one_form(self) -> TeacherConfig:
        given = [name for name in TEACHER_FORMS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"found {found}, expected one of {', '.join(TEACHER_FORMS)}")
        if (self.model is None) != (self.weights is None):
            raise ValueError("expected model = 'module:function' together with weights = 'FILE'")
        return self

    @property
    def form(self) -> str:
        """Which of the five forms it has."""
        return next(name for name in TEACHER_FORMS if getattr(self, name) is not None)


class FirstLayers(Frozen):
    """``layers = { first = 3 }``."""

    first: Positive


class StudentConfig(Frozen):
    """The [student] table: a module of its own, an encoder, or layers of the teacher."""

    model: str | None = None  # 'module:function' that returns a torch module
    options: dict[str, Any] = {}
    encoder: str | None = None  # any smaller encoder: a folder, hub id, or 'package:NAME'
    layers: Positive | tuple[Annotated[int, Field(ge=0)], ...] | FirstLayers | None = None  # of the teacher's encoder
    hidden: Positive | None = None  # width, cut to the channels that matter most
    feed_forward: Positive | tuple[Positive, ...] | None = None  # neurons of each layer, or of one after the other
    heads: Positive | tuple[Positive, ...] | None = None  # attention heads, likewise
    fit_texts: Annotated[int, Field(ge=0)] = 0  # texts on which blocks that are cut, or before a gap, are fitted
    output_width: Positive | None = None  # by a linear layer, which starts with the teacher's principal components
    # trimmed: the tokens that the training texts use, others fall apart; merged: others share the row of the nearest
    vocabulary: Literal["whole", "trimmed", "merged"] = "whole"
    token_min_count: Positive = 1  # how often they must use a token for it to keep a row of its own
    tokenizer: str | None = None  # the folder of the tokenizer, where ``encoder`` doesn't say it

    @model_validator(mode="after")
    def _one_form(self) -> StudentConfig:
        given = [name for name in ("model", "encoder", "layers") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"found {' and '.join(given) or 'none of them'}, expected one of model, encoder, layers")
        if self.layers is None and any((self.hidden, self.feed_forward, self.heads, self.fit_texts)):
            raise ValueError("hidden, feed_forward, heads and fit_texts go with layers: they cut what the teacher has")
        if self.model is not None and (self.output_width or self.vocabulary != "whole"):
            raise ValueError(
                "output_width and vocabulary go with layers or encoder: a module has what its function says"
            )
        if self.layers is None and self.vocabulary == "merged":
            raise ValueError("vocabulary = 'merged' goes with layers: its rows are the teacher's; there is 'trimmed'")
        return self
