import doctest
import re

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from edgekd.algorithms import shift
from edgekd.algorithms.shift import IMAGE_SHIFTS, NEIGHBOURS, TEXT_SHIFTS, mistyped, shifted

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 32, 40, 3), np.uint8)
TEXTS = [
    "The quick brown fox jumps over the lazy dog, 24 times a day.",
    "  Größe: 東京 is big!",
    "a",
    "",
    "no  no\nno",
] * 8


def test_worked_examples() -> None:
    found = doctest.testmod(shift)
    assert found.failed == 0
    assert found.attempted >= 6


@pytest.mark.parametrize(
    ("kind", "level"), [(kind, level) for kind in TEXT_SHIFTS for level in TEXT_SHIFTS[kind].levels]
)
def test_every_text_shift_changes_texts_and_repeats_itself(kind: str, level: float) -> None:
    found = shifted(kind, level, TEXTS, seed=5)
    assert found == shifted(kind, level, TEXTS, seed=5)
    assert len(found) == len(TEXTS)
    assert found != TEXTS
    assert shifted(kind, level, TEXTS[:3], seed=5) == found[:3]  # whatever comes after a row


@pytest.mark.parametrize(
    ("kind", "level"), [(kind, level) for kind in IMAGE_SHIFTS for level in IMAGE_SHIFTS[kind].levels]
)
def test_every_image_shift_changes_images_and_repeats_itself(kind: str, level: float) -> None:
    found = shifted(kind, level, IMAGES, seed=5)
    np.testing.assert_array_equal(found, shifted(kind, level, IMAGES, seed=5))
    assert (found.shape, found.dtype) == (IMAGES.shape, IMAGES.dtype)
    assert all((after != before).mean() > 0.1 for after, before in zip(found, IMAGES, strict=True))
    np.testing.assert_array_equal(shifted(kind, level, IMAGES[:2], seed=5), found[:2])


@pytest.mark.parametrize("kind", ["typos", "upper case", "noise", "blur", "brightness"])
def test_no_dose_does_nothing(kind: str) -> None:
    if kind in TEXT_SHIFTS:
        assert shifted(kind, 0.0, TEXTS) == TEXTS
    else:
        np.testing.assert_array_equal(shifted(kind, 0.0, IMAGES), IMAGES)


@pytest.mark.parametrize("kind", ["truncation", "darkness"])
def test_all_that_is_left_is_everything(kind: str) -> None:
    if kind in TEXT_SHIFTS:
        assert shifted(kind, 1.0, TEXTS) == TEXTS
    else:
        np.testing.assert_array_equal(shifted(kind, 1.0, IMAGES), IMAGES)


@pytest.mark.parametrize("kind", ["typos", "upper case"])
def test_seed_and_row_decide_on_texts(kind: str) -> None:
    same = [TEXTS[0]] * 5
    assert len(set(shifted(kind, 0.4, same))) > 1
    assert shifted(kind, 0.4, same, seed=1) != shifted(kind, 0.4, same, seed=2)


def test_seed_and_row_decide_on_noise() -> None:
    same = np.repeat(IMAGES[:1], 2, axis=0)
    found = shifted("noise", 0.1, same)
    assert (found[0] != found[1]).any()
    assert (shifted("noise", 0.1, same, seed=1) != shifted("noise", 0.1, same, seed=2)).any()


def edits(first: str, second: str) -> int:
    """Least number of insertions, deletions, replacements and swaps of neighbours between two words."""
    table = [[max(i, j) for j in range(len(second) + 1)] for i in range(len(first) + 1)]
    for i in range(1, len(first) + 1):
        for j in range(1, len(second) + 1):
            replaced = table[i - 1][j - 1] + (first[i - 1] != second[j - 1])
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, replaced)
            if first[max(0, i - 2) : i] == second[max(0, j - 2) : j][::-1] and i > 1 < j:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


@pytest.mark.parametrize("level", TEXT_SHIFTS["typos"].levels)
def test_the_share_of_typos_is_the_level(level: float) -> None:
    text = "black quartz, vow"
    letters = sum(character.isalnum() for character in text)
    found = shifted("typos", level, [text] * 1500)
    made = sum(edits(text, changed) for changed in found) / 1500
    assert made == pytest.approx(level * letters, rel=0.1)  # a swap also takes the next letter's turn


def test_all_four_mistakes_are_made_and_each_is_the_one_it_says() -> None:
    found = {mistyped("word", 0.3, np.random.default_rng(seed)) for seed in range(3000)}
    near = "".join(NEIGHBOURS["o"])
    swapped, left_out = {"wrod"}, {"wrd"}
    added, replaced = {f"wo{key}rd" for key in near}, {f"w{key}rd" for key in near}
    for mistake in (swapped, left_out, added, replaced):
        assert mistake <= found
    far = set("zmqx") - set(near)
    assert not found & {f"w{key}rd" for key in far}


def test_the_mistakes_are_equally_likely() -> None:
    found = [mistyped("ab", 1.0, np.random.default_rng(seed)) for seed in range(4000)]
    swapped = np.mean([text == "ba" for text in found])
    assert swapped == pytest.approx(0.25, abs=0.025)  # as the first letter is hit for sure


@pytest.mark.parametrize("level", [0.1, 1.0])
def test_typos_leave_words_and_signs_alone(level: float) -> None:
    text = "It's 5 o'clock - e-mail me, please: x@y.z!"
    for seed in range(200):
        changed = mistyped(text, level, np.random.default_rng(seed))
        assert re.sub(r"\w", "", changed) == re.sub(r"\w", "", text)  # every space and sign is still there
        assert len(re.findall(r"\w+", changed)) == len(re.findall(r"\w+", text))  # no word is gone


def test_letters_that_the_keyboard_has_not_are_swapped_or_left_out() -> None:
    found = {mistyped("東京", 0.5, np.random.default_rng(seed)) for seed in range(300)}
    assert found == {"東京", "京東", "東", "京"}
    assert mistyped("東", 1.0, np.random.default_rng(0)) == "東"


def test_a_capital_stays_one() -> None:
    found = {mistyped("A", 1.0, np.random.default_rng(seed)) for seed in range(300)}
    assert found == {"Q", "W", "S", "Z", "AQ", "AW", "AS", "AZ"}


def test_neighbours_are_those_of_the_keyboard() -> None:
    assert {key: set(NEIGHBOURS[key]) for key in "gqp5"} == {
        "g": set("tyfhvb"),
        "q": set("12wa"),
        "p": set("0ol"),
        "5": set("46rt"),
    }
    assert all(key in NEIGHBOURS[other] for key, near in NEIGHBOURS.items() for other in near)


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0.75, " one two\nthree  four"), (0.5, " one two\nthree"), (0.25, " one two"), (0.0, " one")],
)
def test_truncation_keeps_the_first_words_and_their_spaces(level: float, expected: str) -> None:
    assert shifted("truncation", level, [" one two\nthree  four five "]) == [expected]


def test_truncation_neither_adds_a_word_by_rounding_nor_empties_a_text() -> None:
    words = " ".join(str(number) for number in range(30))
    for tenth in range(1, 10):
        assert len(shifted("truncation", tenth / 10, [words])[0].split()) == 3 * tenth
    assert len(shifted("truncation", 0.07, ["word " * 100])[0].split()) == 7  # 0.07 * 100 > 7 in floats
    assert shifted("truncation", 0.25, ["one", "", "  "]) == ["one", "", "  "]


def test_upper_case_takes_whole_words() -> None:
    assert shifted("upper case", 1.0, ["Straße  am\nSee"]) == ["STRASSE  AM\nSEE"]
    words = shifted("upper case", 0.5, ["word " * 2000])[0].split()
    assert set(words) == {"word", "WORD"}
    assert words.count("WORD") == pytest.approx(1000, abs=100)


@pytest.mark.parametrize("level", IMAGE_SHIFTS["noise"].levels)
def test_noise_has_its_standard_deviation(level: float) -> None:
    grey = np.full((20, 16, 16, 3), 127.5, np.float32)
    noise = shifted("noise", level, grey) - grey
    assert noise.dtype == np.float32
    assert noise.std() == pytest.approx(level * 255, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=1.5)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.05  # each channel has its own


@pytest.mark.parametrize("level", [0.02, *IMAGE_SHIFTS["blur"].levels, 0.2])
def test_blur_is_that_of_scipy(level: float) -> None:
    images = RNG.random((2, 40, 64, 3)) * 255
    expected = [gaussian_filter(image, (level * 40, level * 40, 0), mode="nearest") for image in images]
    np.testing.assert_allclose(shifted("blur", level, images), expected, rtol=1e-9)


def test_a_blur_below_reach_leaves_the_image_as_it_is() -> None:
    np.testing.assert_array_equal(shifted("blur", 0.0035, IMAGES), IMAGES)


def test_brightness_and_darkness_by_hand() -> None:
    values = np.array([0, 10, 200, 255], np.uint8).reshape(1, 2, 2, 1)
    assert shifted("brightness", 0.3, values).ravel().tolist() == [76, 86, 255, 255]  # 76.5 is rounded to even
    assert shifted("darkness", 0.25, values).ravel().tolist() == [0, 2, 50, 64]
    assert shifted("darkness", 0.25, values.astype(np.float64)).ravel().tolist() == [0, 2.5, 50, 63.75]


def test_nothing_leaves_the_range() -> None:
    for kind, image_shift in IMAGE_SHIFTS.items():
        found = shifted(kind, max(image_shift.levels), IMAGES.astype(np.float32))
        assert 0 <= found.min() <= found.max() <= 255
    assert shifted("noise", 0.18, np.zeros((1, 9, 9, 1), np.uint8)).max() < 250  # and bytes don't wrap around


def test_levels_are_in_order_and_few() -> None:
    for table in (TEXT_SHIFTS, IMAGE_SHIFTS):
        for described in table.values():
            assert 2 <= len(described.levels) <= 3
            assert described.unit.startswith("of ")
            assert list(described.levels) in (sorted(described.levels), sorted(described.levels)[::-1])


@pytest.mark.parametrize(
    ("kind", "level", "items", "text"),
    [
        ("typo", 0.1, ["a"], "found a shift 'typo', expected one of typos, truncation, upper case"),
        ("typos", 0.1, IMAGES, "expected one of noise, blur, brightness, darkness"),
        ("noise", 0.1, ["a"], "expected one of typos"),
        ("noise", 0.1, IMAGES[0], "expected \\(N, H, W, C\\)"),
        ("noise", 1.1, IMAGES, "found noise at level 1.1, expected 0 to 1"),
        ("typos", -0.1, ["a"], "found typos at level -0.1, expected 0 to 1"),
    ],
)
def test_unknown_shifts_are_refused(kind: str, level: float, items, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        shifted(kind, level, items)
