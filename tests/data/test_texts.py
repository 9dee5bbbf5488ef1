from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekd.data import repeats
from edgekd.data.texts import Pairs, Texts, TextSet, check, digest
from edgekd.errors import BadInputError

TRAIN = Texts(["good film", "bad film", "fine film", "dull film"], np.array([1, 0, 1, -1]), ["a", "b", "c", "d"])
TEST = Texts(["a good one", "a bad one"], np.array([1, 0]))
REVIEWS = TextSet("reviews", ("bad", "good"), TRAIN, TEST)
PAIRS = Pairs(["q1", "q2", "q3"], ["d1", "d2", "d3"], np.array([0, 0, 1]))
SEARCH = TextSet("search", (), Texts(["one", "two"]), PAIRS)


def refused(data: TextSet, task: Any = "text-classification") -> str:
    with pytest.raises(BadInputError) as caught:
        check(data, task)
    return caught.value.message


def test_good_sets_are_handed_on() -> None:
    assert check(REVIEWS, "text-classification") is REVIEWS
    assert check(SEARCH, "text-embedding") is SEARCH
    check(replace(SEARCH, test=replace(PAIRS, scores=np.array([0.0, 5.0, 2.5]))), "text-embedding")


def test_rows_are_taken_in_their_order() -> None:
    assert TRAIN.take(np.array([2, 0])) == ["fine film", "good film"]
    chosen = TRAIN.select(np.array([3, 1]))
    assert (list(chosen.texts), list(chosen.ids or ()), len(chosen)) == (["dull film", "bad film"], ["d", "b"], 2)
    assert chosen.labels is not None
    assert chosen.labels.tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "found no texts, expected at least one"),
        (["a", "", "b", " \n\u3000"], "found no text in 2 of 4 rows, the first in row 1 (counted from 0)"),
        (["a", None], "found no text in 1 of 2 rows, the first in row 1"),
        (["a", 3.5], "found a float in row 1, expected text"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test", "unlabelled", "out_of_domain"])
def test_rows_without_text_are_refused(split: str, texts: Any, message: str) -> None:
    found = refused(replace(REVIEWS, **{split: Texts(texts)}))
    assert found.startswith(f"data set 'reviews', split '{split}': {message}")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "split 'train': found no labels, expected them for text-classification"),
        (np.array([0, 1, 1]), "split 'train': found 4 texts and 3 labels"),
        (np.array([0, 1, 1, 2]), "split 'train': found label 2 in row 3, expected -1 to 1 (2 classes)"),
        (np.array([0, -2, 1, 1]), "split 'train': found label -2 in row 1"),
        (np.array([0, 1, np.nan, 1]), "split 'train': found labels of shape (4,) and type float64"),
        (np.array(["0", "1", "1", "0"]), "split 'train': found labels of shape (4,) and type <U1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: Any, message: str) -> None:
    assert refused(replace(REVIEWS, train=replace(TRAIN, labels=labels))).startswith(f"data set 'reviews', {message}")


def test_a_class_that_only_the_test_split_has_is_refused() -> None:
    train = replace(TRAIN, labels=np.array([1, 1, 1, -1]))
    assert refused(replace(REVIEWS, train=train)) == (
        "data set 'reviews': found no training text of the class 'bad', which 1 test texts have"
    )
    assert "of the class 'new', which 0 test texts have" in refused(replace(REVIEWS, classes=("bad", "good", "new")))


def test_a_test_text_without_a_label_and_a_single_class_are_refused() -> None:
    message = "split 'test': found texts without labels"
    assert message in refused(replace(REVIEWS, test=replace(TEST, labels=np.array([1, -1]))))
    assert message in refused(replace(REVIEWS, test=replace(TEST, labels=None)))
    assert message in refused(replace(REVIEWS, test=PAIRS))
    single = TextSet("one", ("a",), Texts(["x"], np.array([0])), Texts(["y"], np.array([0])))
    assert refused(single) == "data set 'one': found the classes ('a',), expected at least two"


def test_ids_name_every_row() -> None:
    assert refused(replace(REVIEWS, train=replace(TRAIN, ids=["a"]))).endswith("found 4 texts and 1 ids")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"documents": ["d1", "", "d3"]}, "split 'test', documents: found no text in 1 of 3 rows, the first in row 1"),
        ({"queries": ["q1", None, "q3"]}, "split 'test', queries: found no text in 1 of 3 rows, the first in row 1"),
        ({"documents": ["d1"]}, "split 'test': found 3 queries, 1 documents, 3 galleries, expected as many of each"),
        ({"galleries": np.array([0.0, 1.0, 1.0])}, "split 'test': found galleries of type float64"),
        ({"scores": np.array([1, np.nan, 2])}, "split 'test': found a score of nan in row 1, expected a number"),
        ({"scores": np.array([1, 2, np.inf])}, "split 'test': found a score of inf in row 2, expected a number"),
    ],
)
def test_pairs_with_a_missing_side_or_score_are_refused(changed: dict[str, Any], message: str) -> None:
    found = refused(replace(SEARCH, test=replace(PAIRS, **changed)), "text-embedding")
    assert found.startswith(f"data set 'search', {message}")


def test_embeddings_are_scored_on_pairs() -> None:
    assert "found no pairs, expected queries and documents" in refused(REVIEWS, "text-embedding")


def test_texts_out_of_the_domain_are_refused_where_nothing_tells_them_from_others() -> None:
    message = refused(replace(SEARCH, out_of_domain=Texts(["more"])), "text-embedding")
    assert message == (
        "data set 'search', split 'out_of_domain': found texts for text-embedding, expected them with "
        "text-classification alone: they are told from test texts by a model's confidence, and vectors have none"
    )


def test_the_digest_changes_with_everything_that_is_learned_from() -> None:
    changed = (
        REVIEWS,
        SEARCH,
        replace(REVIEWS, classes=("poor", "good")),
        replace(REVIEWS, train=replace(TRAIN, labels=np.array([1, 0, 1, 0]))),
        replace(REVIEWS, train=replace(TRAIN, texts=["good film", "bad film", "fine filmd", "ull film"])),
        replace(REVIEWS, unlabelled=Texts(["more"])),
        replace(REVIEWS, out_of_domain=Texts(["more"])),
        replace(SEARCH, test=replace(PAIRS, galleries=np.array([0, 1, 1]))),
        replace(SEARCH, test=replace(PAIRS, scores=np.array([0.0, 1.0, 1.0]))),
    )
    assert len({digest(data) for data in changed}) == len(changed)
    assert digest(replace(REVIEWS, title="other", problems=("a",))) == digest(REVIEWS)


def test_repeated_texts_are_left_out_of_training_and_counted() -> None:
    data = replace(
        REVIEWS,
        train=replace(TRAIN, texts=["good film", "A  good\none", "a good one", "dull film"]),
        unlabelled=Texts(["more", "A BAD ONE"]),
    )
    settled = repeats.settle(data, "drop")
    assert list(settled.train.texts) == ["good film", "dull film"]
    assert list(settled.train.ids or ()) == ["a", "d"]
    assert settled.unlabelled is not None
    assert list(settled.unlabelled.texts) == ["more"]
    assert settled.test is data.test
    assert settled.problems == (
        (
            "2 of 2 test texts occur in training too (the first: test text 0, training text 1); "
            "3 training texts were left out for it"
        ),
    )
    kept = repeats.settle(data, "keep")
    assert kept.train is data.train
    assert kept.problems[0].endswith("(the first: test text 0, training text 1); they were kept (duplicates = 'keep')")


def test_without_repeated_texts_nothing_is_said() -> None:
    assert repeats.settle(REVIEWS, "drop") is REVIEWS
    assert repeats.note_documents(SEARCH) is SEARCH


def test_both_sides_of_pairs_are_looked_for() -> None:
    settled = repeats.settle(replace(SEARCH, train=Texts(["D2", "q3", "else"]), unlabelled=Texts(["q1"])), "drop")
    assert (list(settled.train.texts), settled.unlabelled) == (["else"], None)
    assert settled.problems[0].startswith("3 of 6 test texts")


def test_training_on_the_test_split_alone_is_refused() -> None:
    with pytest.raises(BadInputError, match="found every training text in the test split too"):
        repeats.settle(replace(REVIEWS, train=TEST), "drop")


def test_documents_that_stand_in_a_gallery_twice_are_counted() -> None:
    data = replace(SEARCH, test=Pairs(list("abcd"), ["x", "x", "y", "x"], np.array([0, 0, 0, 1])))
    assert repeats.note_documents(data).problems == (
        "2 of 4 documents stand in their gallery more than once; each counts as one answer, the one in its query's row",
    )
    scored = replace(data, test=replace(data.test, scores=np.ones(4)))
    assert repeats.note_documents(scored) is scored
