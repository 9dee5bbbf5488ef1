import doctest

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score
from sklearn.metrics.pairwise import cosine_similarity

from edgekd.algorithms import retrieval
from edgekd.algorithms.retrieval import ndcg_at, ranks, ranks_by, recall_at, reciprocal_rank, spearman

RNG = np.random.default_rng(0)
DOCUMENTS = RNG.normal(size=(60, 8)).astype(np.float32)
QUERIES = (DOCUMENTS + 1.5 * RNG.normal(size=(60, 8))).astype(np.float32)
ONE_GALLERY = np.zeros(60, int)


def test_worked_examples() -> None:
    found = doctest.testmod(retrieval)
    assert found.failed == 0
    assert found.attempted >= 11


def test_ranks_are_those_of_a_sorted_table() -> None:
    table = cosine_similarity(QUERIES, DOCUMENTS)
    by_hand = [1 + int((row > row[i]).sum()) for i, row in enumerate(table)]
    assert ranks(QUERIES, DOCUMENTS, ONE_GALLERY).tolist() == by_hand
    assert len(set(by_hand)) > 5  # neither all found nor all lost


@pytest.mark.parametrize("block", [1, 7, 59, 1000])
def test_the_size_of_the_blocks_changes_nothing(block: int) -> None:
    galleries = np.arange(60) % 3
    assert ranks(QUERIES, DOCUMENTS, galleries, block).tolist() == ranks(QUERIES, DOCUMENTS, galleries).tolist()


def test_only_the_own_gallery_counts() -> None:
    galleries = np.array([5, -1, 5] * 20)  # neither sorted nor from 0
    found = ranks(QUERIES, DOCUMENTS, galleries)
    for gallery in (5, -1):
        rows = galleries == gallery
        alone = ranks(QUERIES[rows], DOCUMENTS[rows], np.zeros(int(rows.sum()), int))
        assert found[rows].tolist() == alone.tolist()
    assert (found <= ranks(QUERIES, DOCUMENTS, ONE_GALLERY)).all()


def test_length_does_not_count() -> None:
    stretched = DOCUMENTS * np.linspace(0.01, 100, 60, dtype=np.float32)[:, None]
    assert ranks(QUERIES, stretched, ONE_GALLERY).tolist() == ranks(QUERIES, DOCUMENTS, ONE_GALLERY).tolist()


@pytest.mark.parametrize("block", [3, 1000])
def test_ties_stand_against_the_query(block: int) -> None:
    assert ranks(np.ones((9, 4)), np.ones((9, 4)), np.zeros(9, int), block).tolist() == [9] * 9
    assert ranks(np.zeros((3, 2)), np.ones((3, 2)), np.zeros(3, int), block).tolist() == [3] * 3
    doubled = np.concatenate([DOCUMENTS, DOCUMENTS])
    found = ranks(doubled, doubled, np.zeros(120, int), block)
    assert found.tolist() == [2] * 120  # every document has one copy, wherever it lies in a block


def test_any_similarity_can_be_ranked() -> None:
    table = RNG.normal(size=(30, 30))
    galleries = np.arange(30) // 10
    found = ranks_by(lambda rows, columns: table[np.ix_(rows, columns)], table.diagonal(), galleries, block=2)
    by_hand = [1 + int((table[i, galleries == galleries[i]] > table[i, i]).sum()) for i in range(30)]
    assert found.tolist() == by_hand


@pytest.mark.parametrize(
    ("queries", "documents", "galleries", "text"),
    [
        (np.ones((2, 3)), np.ones((3, 3)), np.zeros(2, int), "expected \\(N, D\\) twice"),
        (np.ones(3), np.ones(3), np.zeros(3, int), "expected \\(N, D\\) twice"),
        (np.array([[np.nan, 1.0]]), np.ones((1, 2)), np.zeros(1, int), "not finite"),
        (np.ones((1, 2)), np.array([[np.inf, 1.0]]), np.zeros(1, int), "not finite"),
        (np.ones((2, 3)), np.ones((2, 3)), np.zeros(1, int), "expected \\(2,\\) integers"),
        (np.ones((2, 3)), np.ones((2, 3)), np.zeros(2), "found galleries .* of type float64"),
    ],
)
def test_what_does_not_fit_is_refused(
    queries: np.ndarray, documents: np.ndarray, galleries: np.ndarray, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        ranks(queries, documents, galleries)


def test_figures_are_those_of_scikit_learn() -> None:
    table, relevant = cosine_similarity(QUERIES, DOCUMENTS), np.eye(60)
    found = ranks(QUERIES, DOCUMENTS, ONE_GALLERY)
    # with one relevant document the average precision is the reciprocal rank
    assert reciprocal_rank(found).mean() == pytest.approx(label_ranking_average_precision_score(relevant, table))
    for k in (1, 10, 60):
        assert ndcg_at(found, k).mean() == pytest.approx(ndcg_score(relevant, table, k=k))
    first_ten = np.argsort(-table, axis=1)[:, :10]
    assert recall_at(found, 10).tolist() == [float(i in first_ten[i]) for i in range(60)]


def test_the_last_place_that_counts_counts() -> None:
    assert recall_at(np.array([10, 11]), 10).tolist() == [1.0, 0.0]
    assert ndcg_at(np.array([10, 11]), 10).tolist() == [pytest.approx(0.28906, abs=1e-5), 0.0]


@pytest.mark.parametrize("decimals", [0, 8])
def test_spearman_is_that_of_scipy_with_and_without_ties(decimals: int) -> None:
    given = np.round(RNG.normal(size=200), decimals)
    predicted = np.round(given + RNG.normal(size=200), decimals)
    assert spearman(predicted, given) == pytest.approx(spearmanr(predicted, given).statistic, abs=1e-12)


def test_spearman_sees_the_order_alone() -> None:
    given = RNG.normal(size=50)
    assert spearman(np.exp(given), given) == pytest.approx(1.0)
    assert spearman(-(given**3), given) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("predicted", "given", "text"),
    [
        ([1.0, 2.0], [1.0], "expected \\(N,\\) twice"),
        ([1.0, 1.0], [1.0, 2.0], "2 scores that are all the same"),
        ([1.0, 2.0], [3.0, 3.0], "2 scores that are all the same"),
        ([1.0, np.nan], [1.0, 2.0], "not finite"),
    ],
)
def test_spearman_refuses_what_has_no_order(predicted: list[float], given: list[float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        spearman(np.array(predicted), np.array(given))
