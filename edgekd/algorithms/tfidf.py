"""The row that a neural text model has to beat: TF-IDF with logistic regression, and TF-IDF search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.retrieval import ranks_by

Labels = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]

PENALTIES = (1.0, 10.0, 100.0)  # logistic regression's C
FOLDS = 3
WORDS = (
    r"(?u)\b\w+\b"  # words of one letter or digit too: scikit-learn leaves them out, and '2' and 'u' are signs of spam
)
LEAST_LOG_PROBABILITY = -30.0


def classify(train_texts: Sequence[str], train_labels: Labels, test_texts: Sequence[str], classes: int) -> Floats:
    """Return log probabilities (N, classes) of the test texts, to be used as logits.

    TF-IDF of words and pairs of words with 1 + ln(tf), then logistic regression. Its C is the one of 1, 10 and 100
    with the best accuracy in 3 folds of the training texts, the least if several have; idf is learned without
    the fold that is tested. Nothing is below -30, which a class without training texts has everywhere.
    Source: Salton and Buckley 1988, https://doi.org/10.1016/0306-4573(88)90021-0

    >>> texts = ["cheap pills now", "win cheap pills", "meet me at noon", "lunch at noon then"]
    >>> classify(texts, np.array([1, 1, 0, 0]), ["cheap cheap", "noon"], classes=2).argmax(1).tolist()
    [1, 0]

    Raises:
        ValueError: not one label a text, a label that names no class, or labels of fewer than two classes.

    """
    _refuse_labels(train_texts, train_labels, classes)
    model = _model(_best_penalty(train_texts, train_labels))
    model.fit(train_texts, train_labels)
    shares = np.zeros((len(test_texts), classes))
    if len(test_texts):
        shares[:, model.classes_] = model.predict_proba(test_texts)
    return np.log(np.maximum(shares, math.exp(LEAST_LOG_PROBABILITY)))


class Index:
    """Documents that are searched by TF-IDF vectors of words with 1 + ln(tf).

    Words are counted in ``corpus``, for example the training texts, and in the documents: a search engine knows what it
    searches, but no query beforehand. Single words, because pairs did worse (WordNet's examples to glosses, 1,000 a
    gallery: MRR 0.080, not 0.084).
    """

    def __init__(self, documents: Sequence[str], corpus: Sequence[str]) -> None:
        self._words = _vectorizer(pairs=False).fit([*corpus, *documents])
        self._known = self._words.transform(documents)

    def ranks(self, queries: Sequence[str], galleries: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the rank of document i for query i in its gallery, as :func:`edgekd.algorithms.retrieval.ranks` does.

        >>> index = Index(["a bird of prey", "a tall tree", "a fast boat"], corpus=[])
        >>> index.ranks(["prey bird", "tree tree", "sails"], np.zeros(3, int)).tolist()
        [1, 1, 3]

        Raises:
            ValueError: not one document and one gallery a query.

        """
        asked = self._asked(queries)
        if len(galleries) != len(queries):
            raise ValueError(f"found {len(queries)} queries and {len(galleries)} galleries, expected as many")

        def cosines(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Floats:
            block: Floats = (asked[rows] @ self._known[columns].T).toarray()
            return block

        return ranks_by(cosines, self.cosines(queries), galleries)

    def cosines(self, queries: Sequence[str]) -> Floats:
        """Return the cosine (N,) of query i and document i.

        >>> Index(["a tall tree", "a bird"], corpus=[]).cosines(["a tall tree", "a boat"]).round(2).tolist()
        [1.0, 0.58]

        Raises:
            ValueError: not one document a query.

        """
        return np.asarray(self._asked(queries).multiply(self._known).sum(axis=1), np.float64).ravel()

    def _asked(self, queries: Sequence[str]) -> Any:
        if len(queries) != self._known.shape[0]:
            raise ValueError(f"found {len(queries)} queries and {self._known.shape[0]} documents, expected as many")
        return self._words.transform(queries)


def _vectorizer(*, pairs: bool) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2 if pairs else 1), sublinear_tf=True, token_pattern=WORDS)


def _model(penalty: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_vectorizer(pairs=True), LogisticRegression(C=penalty, max_iter=2000))


def _best_penalty(texts: Sequence[str], labels: Labels) -> float:
    """Return the C with the most right answers in folds; the middle one where no class has a text for each fold."""
    right = dict.fromkeys(PENALTIES, 0)
    folds = _folds(labels)
    if not (folds >= 0).any():
        return PENALTIES[len(PENALTIES) // 2]
    for fold in range(FOLDS):
        learned, tested = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        for penalty in PENALTIES:
            model = _model(penalty).fit([texts[row] for row in learned.tolist()], labels[learned])
            right[penalty] += int((model.predict([texts[row] for row in tested.tolist()]) == labels[tested]).sum())
    return max(PENALTIES, key=right.__getitem__)


def _folds(labels: Labels) -> npt.NDArray[np.int64]:
    """Return each row's fold, the classes in equal shares; -1, always learned from, for classes with too few rows."""
    folds = np.full(len(labels), -1)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) >= FOLDS:
            folds[rows] = np.arange(len(rows)) % FOLDS
    return folds


def _refuse_labels(texts: Sequence[str], labels: Labels, classes: int) -> None:
    known = np.unique(labels)
    if labels.shape != (len(texts),) or len(known) < 2 or not 0 <= known[0] <= known[-1] < classes:
        raise ValueError(
            f"found {len(texts)} texts with labels {labels.shape} of {len(known)} classes, "
            f"expected one label a text, from 0 to {classes - 1}, of at least two classes"
        )
