from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny

from edgekd.data import dataset
from edgekd.data.dataset import Split, check, digest
from edgekd.errors import BadInputError

GOOD = tiny.data()
IMAGES, LABELS = GOOD.test.images, GOOD.test.labels


def floats(value: float, row: int = 3) -> np.ndarray[Any, Any]:
    images = IMAGES.astype(np.float32)
    images[row, 0, 0, 0] = value
    return images


def labelled(value: int, row: int = 7) -> np.ndarray[Any, Any]:
    labels = LABELS.copy()
    labels[row] = value
    return labels


def test_a_good_set_is_handed_on() -> None:
    assert check(GOOD) is GOOD
    assert GOOD.shape() == (12, 12)
    check(replace(GOOD, test=Split(floats(255.0), LABELS)))


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:0], LABELS[:0], "found no images, expected at least one"),
        (IMAGES[..., 0], LABELS, "found images of shape (60, 12, 12), expected (count, height, width, 1 or 3)"),
        (np.repeat(IMAGES, 2, 3), LABELS, "found images of shape (60, 12, 12, 2), expected (count, height"),
        (IMAGES, LABELS[:-1], "found 60 images and 59 labels"),
        (IMAGES, LABELS[:, None], "found labels of shape (60, 1) and type int64, expected one whole number an image"),
        (IMAGES, LABELS.astype(float), "found labels of shape (60,) and type float64, expected one whole number"),
        (floats(np.nan), LABELS, "found NaN or infinite values in 1 of 60 images, the first in row 3"),
        (floats(-np.inf), LABELS, "found NaN or infinite values in 1 of 60 images, the first in row 3"),
        (floats(256.0), LABELS, "found pixel values from 0 to 256, expected 0 to 255"),
        (floats(-1.0), LABELS, "found pixel values from -1 to "),
        (IMAGES, labelled(3), "found label 3 in row 7, expected 0 to 2 (3 classes)"),
        (IMAGES, labelled(-1), "found label -1 in row 7, expected 0 to 2 (3 classes)"),
    ],
)
@pytest.mark.parametrize("name", ["train", "test"])
def test_what_cannot_be_trained_on_is_refused(name: str, images: Any, labels: Any, message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        check(replace(GOOD, **{name: Split(images, labels)}))
    assert caught.value.message.startswith(f"data set 'tiny bars', split '{name}': {message}")


def test_images_are_looked_at_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = digest(GOOD)
    monkeypatch.setattr(dataset, "ROWS_AT_ONCE", 7)
    assert digest(GOOD) == whole
    for value, message in ((np.nan, "in 1 of 60 images, the first in row 45"), (256.0, "from 0 to 256")):
        with pytest.raises(BadInputError, match=message):
            check(replace(GOOD, test=Split(floats(value, 45), LABELS)))


def test_both_splits_have_images_of_one_size() -> None:
    with pytest.raises(BadInputError) as caught:
        check(replace(GOOD, test=Split(IMAGES[:, :8], LABELS)))
    assert caught.value.message == (
        "data set 'tiny bars': found training images of (12, 12, 1) and test images of (8, 12, 1), "
        "expected the same height, width and channels"
    )


def test_images_out_of_the_domain_are_like_the_test_images() -> None:
    for images, message in (
        (IMAGES[:, :8], "found images out of the domain of (8, 12, 1) and test images of (12, 12, 1), expected the"),
        (IMAGES[:0], "found no images, expected at least one"),
        (floats(-1.0), "found pixel values from -1 to "),
    ):
        with pytest.raises(BadInputError) as caught:
            check(replace(GOOD, out_of_domain=images))
        assert caught.value.message.startswith("data set 'tiny bars'")
        assert message in caught.value.message


def test_the_digest_changes_with_everything_that_is_learned_from() -> None:
    changed = (
        GOOD,
        replace(GOOD, classes=("row", "column", "other")),
        replace(GOOD, test=Split(IMAGES, labelled(0, 1))),
        replace(GOOD, test=Split(IMAGES[::-1], LABELS)),
        replace(GOOD, out_of_domain=None),
        replace(GOOD, out_of_domain=IMAGES),
        replace(GOOD, train=Split(GOOD.train.images.reshape(240, 6, 24, 1), GOOD.train.labels)),
    )
    assert len({digest(data) for data in changed}) == len(changed)
    assert digest(tiny.data()) == digest(GOOD)


def test_the_title_decides_nothing() -> None:
    assert digest(replace(GOOD, title="other")) == digest(GOOD)
