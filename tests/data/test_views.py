import numpy as np
import tiny

from edgekd.data.views import AugmentConfig, shifted, view

IMAGES = tiny.bars(40, 6).images
ROWS = np.arange(40)
BOTH = AugmentConfig(views=4, flip=True, shift_pixels=2)


def test_view_0_is_the_image_itself() -> None:
    assert np.array_equal(view(IMAGES, ROWS, 0, BOTH), IMAGES)


def test_a_view_does_not_depend_on_the_batch_or_the_time() -> None:
    whole = view(IMAGES, ROWS, 2, BOTH)
    assert np.array_equal(whole, view(IMAGES, ROWS, 2, BOTH))
    some = np.array([31, 4, 17])
    assert np.array_equal(view(IMAGES, some, 2, BOTH), whole[some])


def test_views_differ_from_each_other() -> None:
    views = [view(IMAGES, ROWS, index, BOTH).tobytes() for index in range(4)]
    assert len(set(views)) == 4


def test_flipping_mirrors_about_half_of_the_images_and_touches_no_other() -> None:
    seen = view(IMAGES, ROWS, 1, AugmentConfig(views=2, flip=True))
    mirrored = [np.array_equal(a, b[:, ::-1]) and not np.array_equal(a, b) for a, b in zip(seen, IMAGES, strict=True)]
    kept = [np.array_equal(a, b) for a, b in zip(seen, IMAGES, strict=True)]
    assert all(m or k for m, k in zip(mirrored, kept, strict=True))
    assert 10 < sum(mirrored) < 30


def test_images_move_by_their_own_pixels_and_zeros_come_in() -> None:
    image = np.arange(1, 10).reshape(1, 3, 3, 1)
    moved = shifted(np.repeat(image, 3, 0), np.array([1, 0, -2]), np.array([0, -1, 2]), 2)[..., 0]
    assert moved[0].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    assert moved[1].tolist() == [[2, 3, 0], [5, 6, 0], [8, 9, 0]]
    assert moved[2].tolist() == [[0, 0, 7], [0, 0, 0], [0, 0, 0]]


def test_without_options_every_view_is_the_image() -> None:
    assert np.array_equal(view(IMAGES, ROWS, 3, AugmentConfig(views=4)), IMAGES)
