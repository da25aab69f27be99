"""What a survey says of a set, held against NumPy on the whole of it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from reader import open_shards
from reader.look.alike import NEAR_BITS, identical_groups, near_pairs
from reader.look.label_counts import LabelCounts
from reader.look.pixel_facts import (
    bit_counts,
    brightness_and_contrast,
    difference_hashes,
    exact_hashes,
    have_one_colour,
    luminance,
)
from reader.look.survey import Survey, survey
from shardio.errors import CorruptRecordError
from shardio.format.label import INT, Label, LabelKind
from tests.reader.datasets import CLASSES, OTHER_KINDS, Made, write_dataset
from tests.reader.sets_of_images import write_images_set


def surveyed(made: Made) -> Survey:
    return survey(open_shards(made.folder), lambda count: None)


def images(*pictures: Image.Image) -> NDArray[np.uint8]:
    return np.stack([np.asarray(image) for image in pictures])


def test_labels_are_counted_as_numpy_does(tmp_path: Path) -> None:
    made = write_dataset(tmp_path, (400, 0, 77), more=OTHER_KINDS)
    found = surveyed(made)
    for column, name in enumerate(("y0", "y1")):
        counts = found.classes[name]
        values = made.labels[:, column]
        assert counts.total.tolist() == np.bincount(values, minlength=CLASSES[column]).tolist()
        for number in counts.seen.tolist():
            assert int(counts.first[number]) == int(np.flatnonzero(values == number)[0])
        assert sorted(counts.seen.tolist() + counts.never.tolist()) == list(range(CLASSES[column]))
        assert (np.diff(counts.total[counts.seen]) <= 0).all()
    assert found.classes["ids"].total.sum() == 477 * 3
    scores = made.labels[:, 5].astype("<u4").view("<f4")
    assert found.floats["score"].least[0] == scores.min()
    assert found.floats["score"].most[0] == scores.max()
    assert found.floats["score"].mean[0] == pytest.approx(scores.mean(dtype=np.float64))


def test_brightness_is_that_of_pillow(tmp_path: Path) -> None:
    made = write_dataset(tmp_path)
    found = surveyed(made)
    assert not found.is_sampled
    grey = [np.asarray(Image.fromarray(image).convert("L"), np.float64) for image in made.images]
    assert np.allclose(found.brightness, [image.mean() for image in grey], atol=0.6)
    assert np.allclose(found.contrast, [image.std() for image in grey], atol=0.6)


def test_pixels_of_a_large_set_come_from_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_dataset(tmp_path)
    monkeypatch.setattr("reader.look.records._MOST", 2)  # some pieces have none of the sample
    found = survey(open_shards(made.folder), lambda count: None, sampled=10)
    assert found.is_sampled
    whole = surveyed(made)
    assert found.brightness.tolist() == whole.brightness[found.sampled].tolist()
    assert found.classes["y0"].total.tolist() == whole.classes["y0"].total.tolist()


def test_progress_is_told_of_every_record(tmp_path: Path) -> None:
    made = write_dataset(tmp_path)
    told: list[int] = []
    survey(open_shards(made.folder), told.append)
    assert sum(told) == 37


def test_blank_and_identical_images_are_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (30, 12, 20, 3), dtype=np.uint8)
    pixels[[3, 17]] = (9, 8, 7)
    pixels[22] = pixels[5]
    pixels[[11, 28]] = pixels[2]
    labels = np.arange(30) % 7
    labels[22] = labels[5]
    write_images_set(tmp_path, {"train": 20, "val": 10}, pixels, labels)
    found = survey(open_shards(tmp_path, "*"), lambda count: None)
    assert found.blank.tolist() == [3, 17]
    assert [group.tolist() for group in found.identical.largest(9)] == [[2, 11, 28], [5, 22]]
    assert found.identical.too_many == 3
    assert (found.differing, found.crossing) == (1, 2)
    assert found.splits == ["train", "val"]
    assert found.classes["y0"].counts.sum(axis=1).tolist() == [20, 10]


def copies(image: Image.Image) -> list[Image.Image]:
    """Return what people make of an image by accident."""
    data = BytesIO()
    image.save(data, "JPEG", quality=80)
    array = np.asarray(image)
    return [
        Image.open(data).convert("RGB"),
        Image.fromarray((array * 0.9 + 12).astype(np.uint8)),
        image.resize((160, 120), Image.Resampling.BICUBIC).resize(image.size),
    ]


def test_copies_are_alike_and_other_images_are_not(tmp_path: Path) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (12, 8, 12, 3), dtype=np.uint8)
    smooth = [Image.fromarray(i).resize((96, 64), Image.Resampling.BICUBIC) for i in coarse]
    pixels = images(*smooth, *copies(smooth[4]))
    write_images_set(tmp_path, {"train": len(pixels)}, pixels, np.zeros(len(pixels), np.int64))
    near = survey(open_shards(tmp_path), lambda count: None).near
    assert near is not None
    assert near.are_all
    assert {4, 12, 13, 14} == set(near.pairs.reshape(-1).tolist())


def test_a_set_of_one_colour_has_no_group_of_identical_images(tmp_path: Path) -> None:
    pixels = np.full((40, 8, 8, 3), 200, np.uint8)
    write_images_set(tmp_path, {"train": 40}, pixels, np.zeros(40, np.int64))
    found = survey(open_shards(tmp_path), lambda count: None)
    assert len(found.blank) == 40
    assert len(found.identical) == 0


def test_a_damaged_record_ends_a_survey(tmp_path: Path) -> None:
    made = write_dataset(tmp_path)
    data = bytearray(made.shard(4).read_bytes())
    data[made.layout.stride * 2 + 60] ^= 1
    made.shard(4).write_bytes(data)
    with pytest.raises(CorruptRecordError, match="record 2"):
        surveyed(made)


def test_images_that_share_a_quick_hash_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_dataset(tmp_path)
    monkeypatch.setattr("reader.look.survey.quick_hashes", lambda images: np.zeros(len(images)))
    assert len(surveyed(made).identical) == 0


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.data())
def test_near_pairs_are_those_that_a_comparison_of_all_finds(
    values: list[int], data: st.DataObject
) -> None:
    for value in values[:10]:
        bits = data.draw(st.lists(st.integers(0, 63), max_size=4))
        values.append(value ^ sum({1 << bit for bit in bits}))
    hashes = np.array(values, dtype=np.uint64)
    numbers = np.arange(len(values)) * 3
    expected = {
        (3 * i, 3 * j)
        for i in range(len(values))
        for j in range(i)
        if (values[i] ^ values[j]).bit_count() <= NEAR_BITS
    }
    found = near_pairs(hashes, numbers)
    assert found.are_all
    assert {(b, a) for a, b in found.pairs.tolist()} == expected
    assert len(found.pairs) == len(expected)


def test_a_comparison_that_would_take_too_long_is_said_to_be_a_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reader.look.alike._MOST_COMPARED", 100)
    same = 5 << 30
    hashes = np.array([same + 3, same + 1, *(n << 44 for n in range(1, 40))], dtype=np.uint64)
    found = near_pairs(hashes, np.arange(41))
    assert not found.are_all
    assert [0, 1] in found.pairs.tolist()


@given(st.lists(st.integers(0, 6), max_size=50), st.integers(0, 2**32))
def test_groups_are_those_of_a_dictionary(values: list[int], seed: int) -> None:
    hashes = np.array(values, dtype=np.uint64)
    kept = np.flatnonzero(np.random.default_rng(seed).integers(0, 4, len(values)))
    expected: dict[int, list[int]] = {}
    for number in kept.tolist():
        expected.setdefault(values[number], []).append(number)
    groups = [group for group in expected.values() if len(group) > 1]
    found = identical_groups(hashes, kept)
    assert sorted(group.tolist() for group in found.largest(99)) == sorted(groups)
    assert len(found) == len(groups)
    assert found.too_many == sum(map(len, groups)) - len(groups)
    parity = np.arange(len(values)) % 2
    assert found.varied(parity) == sum(len({n % 2 for n in group}) > 1 for group in groups)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (8, 9), (9, 8), (32, 128), (300, 7)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_any_shape_have_hashes(shape: tuple[int, int], channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, *shape, channels), dtype=np.uint8)
    grey = luminance(pixels)
    assert grey.shape == (5, *shape)
    assert difference_hashes(pixels).shape == (5,)
    assert len(set(exact_hashes(pixels).tolist())) == (
        5 if grey.size > 5 else len(np.unique(pixels, axis=0))
    )
    means, deviations = brightness_and_contrast(grey)
    assert means.shape == deviations.shape == (5,)
    assert have_one_colour(pixels).all() == (shape == (1, 1))


def test_a_difference_hash_says_where_an_image_gets_brighter() -> None:
    rising = np.tile(np.arange(90, dtype=np.uint8), (1, 16, 1))[..., None]
    falling = rising[:, :, ::-1]
    assert difference_hashes(rising).tolist() == [2**64 - 1]
    assert difference_hashes(falling).tolist() == [0]
    half = np.concatenate([rising[:, :8], falling[:, 8:]], axis=1)
    for channels in (1, 3):
        assert difference_hashes(half.repeat(channels, -1)).tolist() == [0xFFFFFFFF00000000]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
@settings(max_examples=20)
def test_bits_are_counted(values: list[int]) -> None:
    assert bit_counts(np.array(values, np.uint64)).tolist() == [v.bit_count() for v in values]


def test_one_odd_pixel_makes_an_image_of_two_colours() -> None:
    pixels = np.full((1, 9, 9, 3), 4, np.uint8)
    assert have_one_colour(pixels).tolist() == [True]
    for y, x in np.ndindex(9, 9):
        odd = pixels.copy()
        odd[0, y, x, 2] = 5
        assert have_one_colour(odd).tolist() == [False]


def test_the_end_of_a_sequence_is_no_class() -> None:
    label = Label("text", 4, ("", "a", "b", "c"), LabelKind(INT, 3))
    counts = LabelCounts(label, 1)
    counts.add(np.array([7, 8]), np.array([0, 0]), np.array([[1, 2, 0], [1, 0, 0]]))
    assert counts.total.tolist() == [0, 2, 1, 0]
    assert counts.seen.tolist() == [1, 2]
    assert counts.never.tolist() == [3]
    assert counts.first.tolist()[1:] == [7, 7, -1]


def test_classes_that_nobody_has_counted_are_found() -> None:
    counts = LabelCounts(Label("y", 0), 2)
    counts.add(np.array([0, 1]), np.array([0, 1]), np.array([[5], [900]]))
    counts.add(np.array([2]), np.array([0]), np.array([[5]]))
    assert counts.seen.tolist() == [5, 900]
    assert counts.never.tolist() == []
    counts.add(np.array([3]), np.array([0]), np.array([[2**31 - 1]]))
    assert not counts.are_classes
