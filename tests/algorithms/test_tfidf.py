import doctest

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline

from edgekd.algorithms import tfidf
from edgekd.algorithms.tfidf import LEAST_LOG_PROBABILITY, Index, classify

SPAM = [
    "win a cheap prize",
    "cheap pills today",
    "claim your prize today",
    "free prize pills",
    "win free pills u",
    "2 u",
]
HAM = [
    "lunch at noon",
    "see you at home",
    "the meeting is at noon",
    "are you home",
    "lunch with the team",
    "meeting moved",
]
TEXTS = [*SPAM, *HAM]
LABELS = np.array([1] * 6 + [0] * 6)


def test_worked_examples() -> None:
    found = doctest.testmod(tfidf)
    assert found.failed == 0
    assert found.attempted >= 4


def test_what_it_learned_it_finds_again() -> None:
    found = classify(TEXTS, LABELS, ["a cheap prize", "home at noon", "u"], 2)
    assert found.argmax(1).tolist() == [1, 0, 1]  # by a word of one letter, too
    np.testing.assert_allclose(np.exp(found).sum(1), 1)
    np.testing.assert_array_equal(found, classify(TEXTS, LABELS, ["a cheap prize", "home at noon", "u"], 2))


def test_pairs_of_words_count() -> None:
    texts = ["good not bad", "bad not good"] * 6  # the same words
    found = classify(texts, np.array([1, 0] * 6), ["good not bad", "bad not good"], 2)
    assert found.argmax(1).tolist() == [1, 0]


def test_classes_stand_in_their_columns() -> None:
    texts = [*TEXTS, *["rain and wind", "sun and wind", "rain or sun"]]
    labels = np.concatenate([LABELS * 2 + 1, np.full(3, 4)])  # 1, 3 and 4 of six
    found = classify(texts, labels, ["cheap prize", "lunch at home", "wind and rain"], 6)
    assert found.shape == (3, 6)
    assert found.argmax(1).tolist() == [3, 1, 4]
    assert (found[:, [0, 2, 5]] == LEAST_LOG_PROBABILITY).all()
    assert (found[:, [1, 3, 4]] > -10).all()


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, 0, 1, 1], [0, 0, 0, 1]])
def test_a_handful_of_texts_is_enough(labels: list[int]) -> None:
    texts = ["red apple", "red pear", "blue sea", "green grass"]
    found = classify(texts, np.array(labels), texts, 4)
    for label in set(labels):  # each class is likeliest in a text of its own
        assert labels[int(found[:, label].argmax())] == label


def noisy_texts(seed: int, labels: np.ndarray) -> list[str]:
    """Texts of twelve words, of which class 1 has a few more of the upper ones."""
    rng = np.random.default_rng(seed)
    return [" ".join(f"w{word}" for word in rng.binomial(40, 0.4 + 0.12 * label, 12)) for label in labels]


@pytest.mark.parametrize(("seed", "penalty"), [(0, 1.0), (1, 1.0), (10, 10.0), (22, 10.0)])
def test_the_penalty_is_the_one_that_a_grid_search_takes(seed: int, penalty: float) -> None:
    labels = np.arange(60) % 2
    texts = noisy_texts(seed, labels)
    search = GridSearchCV(
        make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(max_iter=2000)),
        {"logisticregression__C": tfidf.PENALTIES},
        scoring="accuracy",
        cv=PredefinedSplit(np.arange(60) // 2 % 3),
    ).fit(texts, labels)
    assert tfidf._best_penalty(texts, labels) == search.best_params_["logisticregression__C"] == penalty
    model = search.best_estimator_
    found = classify(texts, labels, texts[:9], 2)
    np.testing.assert_allclose(found, model.predict_log_proba(texts[:9]), rtol=1e-6)


def test_the_least_penalty_of_equals_and_the_middle_one_without_folds() -> None:
    assert tfidf._best_penalty(["red", "blue"] * 6, np.array([0, 1] * 6)) == 1.0
    assert tfidf._best_penalty(["red", "blue"], np.array([0, 1])) == 10.0


def test_folds_share_each_class_and_leave_out_rare_ones() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
    assert tfidf._folds(labels).tolist() == [0, 1, 2, 0, -1, -1, 0, 1, 2]


def test_no_texts_to_classify() -> None:
    assert classify(TEXTS, LABELS, [], 2).shape == (0, 2)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([0, 1], "found 12 texts with labels \\(2,\\)"),
        ([0] * 12, "of 1 classes"),
        ([0, 2] * 6, "from 0 to 1"),
        ([0, -1] * 6, "from 0 to 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: list[int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        classify(TEXTS, np.array(labels), TEXTS, 2)


def test_ranks_by_hand() -> None:
    index = Index(["red kite", "red red red kite bird", "blue sea"], [])
    # the first is 'red' and 'kite' in equal parts; so is its query, which finds it first
    assert index.ranks(["kite red", "bird", "kite"], np.zeros(3, int)).tolist() == [1, 1, 3]
    assert index.ranks(["kite red", "bird", "kite"], np.array([0, 0, 1])).tolist() == [1, 1, 1]


def test_a_query_without_a_known_word_finds_nothing() -> None:
    index = Index(["red kite", "blue sea"], ["unseen"])
    assert index.ranks(["unseen", "sea"], np.zeros(2, int)).tolist() == [2, 1]


def test_words_that_are_frequent_in_the_corpus_count_less() -> None:
    for frequent, rank in (("red", 1), ("kite", 2)):
        assert Index(["kite", "red"], [frequent] * 9).ranks(["red kite", "x"], np.zeros(2, int))[0] == rank


def test_one_document_and_one_gallery_a_query() -> None:
    with pytest.raises(ValueError, match="found 2 queries and 1 documents"):
        Index(["a bird"], []).cosines(["a", "b"])
    with pytest.raises(ValueError, match="found 1 queries and 2 galleries"):
        Index(["a bird"], []).ranks(["a"], np.zeros(2, int))
