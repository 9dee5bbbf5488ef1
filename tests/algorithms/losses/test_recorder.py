from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from edgekd.algorithms.losses import states
from edgekd.algorithms.losses.recorder import Recorder
from edgekd.errors import BadInputError

IDS = torch.tensor([[3, 4, 5], [6, 7, 0]])
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])


class Pair(nn.Module):
    """Gives (output, something else), as blocks of transformers may."""

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, None]:
        return 2 * rows, None


class First(nn.Module):
    """Hands on the first of a tuple."""

    def forward(self, pair: tuple[torch.Tensor, None]) -> torch.Tensor:
        return pair[0]


class Model(nn.Module):
    """A body of nested blocks, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), Pair(), First())
        self.head = nn.Linear(3, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.head(self.body(rows))
        return output


def encoder(attention: str) -> Any:
    """A BERT of two tiny layers with random weights."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"vocab_size": 10, "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2}
    config = transformers.BertConfig(num_hidden_layers=2, attn_implementation=attention, **sizes)
    return transformers.BertModel(config).eval()


def test_outputs_are_recorded_by_name_with_their_gradients() -> None:
    model, rows = Model(), torch.ones(4, 2)
    with Recorder(model, states=["body.0", "body.1"]) as recorder:
        model(rows)
    torch.testing.assert_close(recorder.states["body.0"], model.body[0](rows))
    torch.testing.assert_close(recorder.states["body.1"], 2 * model.body[0](rows))
    recorder.states["body.1"].sum().backward()
    assert model.get_parameter("body.0.weight").grad is not None


def test_the_latest_run_counts_and_nothing_is_recorded_after_the_block() -> None:
    model = Model()
    with Recorder(model, states=["head"]) as recorder:
        model(torch.ones(4, 2))
        last = model(torch.zeros(1, 2))
    model(torch.ones(9, 2))
    assert recorder.states["head"] is last


def test_the_hooks_go_even_where_the_model_fails() -> None:
    model = Model()
    recorder = Recorder(model, states=["head"])
    with pytest.raises(RuntimeError), recorder:
        model(torch.ones(4, 5))
    model(torch.ones(4, 2))
    assert recorder.states == {}


def test_the_nearest_name_is_proposed() -> None:
    with pytest.raises(BadInputError, match=r"no layer 'body\.O' in the model") as caught:
        Recorder(Model(), states=["body.O"])
    assert "'body.0'" in caught.value.hint
    with pytest.raises(BadInputError, match="no layer ''"):
        Recorder(Model(), maps=[""])


def test_hidden_states_and_attention_maps_of_a_transformer() -> None:
    model = encoder("eager")
    with Recorder(model, states=["encoder.layer.1"], maps=["encoder.layer.0.attention.self"]) as recorder:
        outputs = model(IDS, MASK, output_attentions=True, output_hidden_states=True)
    torch.testing.assert_close(recorder.states["encoder.layer.1"], outputs.hidden_states[2])
    torch.testing.assert_close(recorder.maps["encoder.layer.0.attention.self"], outputs.attentions[0])


class OnRequest(nn.Module):
    """Attention as MPNet's, or as an older one that is asked by position."""

    def forward(
        self,
        rows: torch.Tensor,
        output_attentions: bool = False,  # noqa: FBT001, FBT002 (transformers' signature)
        **_: Any,
    ) -> tuple[torch.Tensor, ...]:
        return (rows, rows.softmax(-1)) if output_attentions else (rows,)


@pytest.mark.parametrize(
    ("given", "named"), [((), {}), ((False,), {}), ((), {"output_attentions": False}), ((), {"other": 1})]
)
def test_maps_that_are_given_on_request_are_asked_for(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    model, rows = nn.ModuleDict({"attention": OnRequest()}), torch.randn(2, 3)
    with Recorder(model, maps=["attention"]) as recorder:
        model["attention"](rows, *given, **named)
    torch.testing.assert_close(recorder.maps["attention"], rows.softmax(-1))
    assert len(model["attention"](rows)) == 1, "nobody asks after the block"


def test_what_stands_for_a_tuple_in_transformers_is_read_too() -> None:
    model = encoder("eager")
    with Recorder(model, states=["encoder"]) as recorder:
        outputs = model(IDS, MASK)
    assert recorder.states["encoder"] is outputs.last_hidden_state


def test_projections_of_a_transformer_can_be_related() -> None:
    model = encoder("eager")
    first, second = (f"encoder.layer.{layer}.attention.self.query" for layer in (0, 1))
    with Recorder(model, states=[first, second]) as recorder:
        model(IDS, MASK)
    assert recorder.states[first].shape == (2, 3, 8)
    assert states.relations(recorder.states[first], recorder.states[second], 4, MASK) > 0


def test_attention_without_weights_says_how_to_load_the_model() -> None:
    model = encoder("sdpa")
    with (
        pytest.raises(
            BadInputError, match=r"gives \(Tensor, NoneType\), expected \(output, attention weights\)"
        ) as caught,
        Recorder(model, maps=["encoder.layer.0.attention.self"]),
    ):
        model(IDS, MASK)
    assert "attn_implementation='eager'" in caught.value.hint


def test_a_module_that_gives_no_tensor_is_refused() -> None:
    class Named(nn.Module):
        def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"rows": rows}

    model = nn.Sequential(Named())
    with pytest.raises(BadInputError, match="layer '0': found a module that gives dict"), Recorder(model, states=["0"]):
        model(torch.ones(1, 2))
