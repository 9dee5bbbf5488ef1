from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekd import toml_file
from edgekd.errors import BadInputError
from edgekd.objectives import OBJECTIVES
from edgekd.objectives.base import Available, Need
from edgekd.objectives.table import Losses, check, dump, needs, pairs, parse
from edgekd.toml_file import Frozen

LAYERS = {"encoder.layer.0": "encoder.layer.2"}
INNER = ("hidden", "attention", "relations")


class Holder(Frozen):
    losses: Losses


def table(use: str, **options: Any) -> dict[str, Any]:
    return {"use": use, **({"layers": LAYERS} if use in INNER else {}), **options}


def available(kind: Any = "logits", **changes: Any) -> Available:
    known = {"has_labels": True, "teacher_is_live_possible": True, "attention": True}
    return Available(kind, **(known | changes))


@pytest.mark.parametrize("use", sorted(OBJECTIVES))
def test_every_loss_has_defaults_and_survives_being_written_down(use: str) -> None:
    losses = parse([table(use)])
    assert parse(dump(losses)) == losses
    assert losses[0].weight_at(0.5) == 1.0
    assert losses[0].needs


def test_a_pipeline_says_what_it_wants() -> None:
    weight = {"from": 1.0, "to": 0.1, "shape": "cosine", "until": 0.5}
    first, second = parse([table("logits", weight=weight, temperature=4), table("labels", weight=0.1)])
    assert (first.use, second.use) == ("logits", "labels")
    assert first.weight_at(0.25) == pytest.approx(0.55)
    assert first.table() == {"use": "logits", "weight": weight, "temperature": 4.0}
    assert second.table() == {"use": "labels", "weight": 0.1, "smoothing": 0.0}


def test_a_field_reads_and_writes_the_same_tables() -> None:
    tables = [table("hidden", weight=2), table("cosine", widths=[32, 64], weight={"from": 0, "to": 1})]
    held = Holder.model_validate({"losses": tables})
    assert Holder.model_validate(held.model_dump()) == held
    assert Holder.model_validate_json(held.model_dump_json()) == held
    assert Holder(losses=held.losses) == held
    assert held.model_dump_json() == (
        '{"losses":[{"use":"hidden","weight":2.0,"layers":{"encoder.layer.0":"encoder.layer.2"}},'
        '{"use":"cosine","weight":{"from":0.0,"to":1.0,"shape":"linear","until":1.0},"widths":[32,64]}]}'
    )


def test_what_is_written_does_not_depend_on_how_it_was_said() -> None:
    said = [{"use": "dkd", "weight": 1, "beta": 8.0}, {"beta": 8, "use": "dkd"}]
    assert len({Holder.model_validate({"losses": [each]}).model_dump_json() for each in said}) == 1


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([{"use": "logit"}], r"losses\[0\] use: found 'logit', did you mean .*'logits'"),
        ([{"use": "labels"}, {"use": 3}], r"losses\[1\] use: found 3, known: attention,"),
        ([{"weight": 1}], r"losses\[0\]: found no 'use', which names the loss; known: labels,"),
        ([table("logits", temprature=2)], r"losses\[0\] 'logits': .*unknown key 'temprature', did you mean 'temp"),
        ([table("logits", weight={"form": 1, "to": 0})], r"unknown key 'weight.form', did you mean 'from'"),
        ([table("logits", weight={"from": 1})], r"losses\[0\] 'logits': found no 'weight.to', which is required"),
        ([table("logits", weight=-1)], r"losses\[0\] 'logits' weight: found -1: expected a number that isn't negative"),
        ([table("dist", temperature=0)], r"'dist' temperature: found 0: expected a number from 0.001 to 1000"),
        ([table("labels", smoothing=1)], r"'labels' smoothing: found 1: Input should be less than 1"),
        ([table("cosine", widths=[32, 32])], r"'cosine' widths: .*expected each width once"),
        ([table("cosine", widths=[0])], r"'cosine' widths.0: found 0: Input should be greater than or equal to 1"),
        ([{"use": "hidden"}], r"losses\[0\] 'hidden': found no 'layers', which is required"),
        ([{"use": "hidden", "layers": {}}], r"'hidden' layers: found {}: .*at least 1 item"),
        ([{"use": "hidden", "layers": {"encoder": {"layer": "a"}}}], "under 'encoder'.*stands in quotes"),
        ([table("relations", relation_heads=0)], "'relations' relation_heads: found 0"),
        ([table("labels"), table("labels", weight=2)], r"losses\[1\]: found 'labels' a second time"),
        ([table("labels", weight=0)], "no loss with a weight above 0"),
        ([], r"found \[\], expected a list of tables"),
        ("logits", "found 'logits', expected a list of tables"),
        (["logits"], r"losses\[0\]: found 'logits', expected a table"),
    ],
)
def test_mistakes_are_explained(tables: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(tables)


def test_a_mistake_in_a_file_is_told_with_its_line() -> None:
    text = 'name = "x"\nlosses = [{ use = "logitz" }]\n'
    with pytest.raises(BadInputError, match=r"p.toml:2: losses: .*losses\[0\] use: found 'logitz', did you mean"):
        toml_file.validate(Holder, {"losses": [{"use": "logitz"}]}, Path("p.toml"), text)


def test_needs_and_layers_of_several_losses() -> None:
    losses = parse([table("hidden"), table("attention", layers={"a": "b"}), table("labels")])
    assert needs(losses) == {Need.STATES, Need.ATTENTION, Need.LABELS}
    assert pairs(losses, Need.STATES) == (("encoder.layer.0", "encoder.layer.2"),)
    assert pairs(losses, Need.ATTENTION) == (("a", "b"),)
    assert pairs(parse([table("hidden"), table("relations")]), Need.STATES) == tuple(LAYERS.items())


@pytest.mark.parametrize("use", sorted(OBJECTIVES))
def test_each_is_accepted_where_all_that_it_needs_is_there(use: str) -> None:
    kind = "vectors" if Need.VECTORS in OBJECTIVES[use].needs else "logits"
    check(parse([table(use)]), available(kind, student_width=10, teacher_width=10))
    check(parse([table(use)]), available(kind))  # widths that aren't known yet are no reason


def test_exactly_these_are_refused_where_something_is_missing() -> None:
    def refused(known: Available) -> set[str]:
        found = set()
        for use in OBJECTIVES:
            try:
                check(parse([table(use)]), known)
            except ValueError:
                found.add(use)
        return found

    of_logits, of_vectors = {"logits", "z-scored-logits", "dist", "dkd"}, set(OBJECTIVES_OF_VECTORS)
    assert refused(available("logits")) == of_vectors
    assert refused(available("vectors")) == of_logits | {"labels"}
    assert refused(available("logits", has_labels=False)) == of_vectors | {"labels", "dkd"}
    assert refused(available("logits", teacher_is_live_possible=False)) == of_vectors | set(INNER)
    assert refused(available("logits", same_inputs=False)) == of_vectors | set(INNER)
    assert refused(available("logits", attention=False)) == of_vectors | {"attention"}
    assert refused(available("logits", student_width=10, teacher_width=1000)) == of_vectors | of_logits
    assert refused(available("vectors", student_width=128, teacher_width=384)) == (
        of_logits | {"labels", "mse", "cosine"}
    )


OBJECTIVES_OF_VECTORS = ("mse", "cosine", "similarity-mse", "similarity-kl", "neighbours", "contrastive")


@pytest.mark.parametrize(
    ("one", "known", "reason"),
    [
        (table("labels"), available(has_labels=False), "data without labels"),
        (table("labels"), available("vectors"), "expected logits, for which there can be labels"),
        (table("dkd"), available(student_width=2, teacher_width=3), "2 classes and a teacher with 3"),
        (table("logits"), available("vectors"), "found outputs that are vectors, expected logits"),
        (table("mse"), available("logits"), "found outputs that are logits, expected vectors"),
        (table("mse"), available("vectors", student_width=2, teacher_width=3), "'similarity-mse'.*both widths"),
        (table("neighbours", widths=[8, 64]), available("vectors", student_width=32), "width 64.*at most the 32"),
        (table("cosine", widths=[64]), available("vectors", student_width=32, teacher_width=32), "width 64"),
        (table("hidden"), available(teacher_is_live_possible=False), "outputs only, expected a torch module"),
        (table("relations"), available(same_inputs=False), "different inputs or tokens"),
        (table("attention"), available(attention=False), "no attention maps that can be compared.*'relations'"),
    ],
)
def test_a_refusal_has_its_reason_and_says_which_loss(one: dict[str, Any], known: Available, reason: str) -> None:
    fine = table("similarity-mse" if known.kind == "vectors" else "attention")
    tables = (
        [fine, one] if one["use"] != "attention" and known.teacher_is_live_possible and known.same_inputs else [one]
    )
    with pytest.raises(ValueError, match=rf"losses\[{len(tables) - 1}\] '{one['use']}': .*{reason}"):
        check(parse(tables), known)


def test_reading_losses_does_not_import_torch() -> None:
    code = "import sys; from edgekd.objectives import table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
