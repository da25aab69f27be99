"""Grey and RGBA: the pixels that Pillow gives, from the file to the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, features

from converter import ConvertOptions, convert
from converter.command.cli import main
from converter.imaging.transformer import ImageTransformer
from reader import ShardSet, open_shards
from reader.commands.describe import info
from reader.commands.verification import verify
from reader.opening.sound_parts import SoundParts
from shardio.errors import OptionError
from shardio.format.encoding import Encoding
from shardio.format.transform import MODES, RESAMPLINGS, Transform
from shardio.imaging.bad_image import BadImageError
from tests.converter.imaging.test_colours import KINDS, transparent
from tests.converter.imaging.test_imaging import FILES
from tests.converter.inputs import encoded, picture, reference, write_csv

SIZE = (12, 7)


def pixels(data: bytes, transform: Transform) -> NDArray[np.uint8]:
    packed = ImageTransformer(transform).pixels(data)
    return np.frombuffer(packed, np.uint8).reshape(transform.shape)


@pytest.mark.parametrize("name", [*FILES, *KINDS])
@pytest.mark.parametrize("channels", [1, 4])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_pixels_equal_pillows_bit_for_bit(name: str, channels: int, data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 40))
    seed = data.draw(st.integers(0, 9))
    file = (
        transparent(name, width, height, seed)
        if name in KINDS
        else FILES[name](width, height, seed)
    )
    left, top = data.draw(st.integers(-9, width - 1)), data.draw(st.integers(-9, height - 1))
    right, bottom = (data.draw(st.integers(max(at, 0) + 1, at + 70)) for at in (left, top))
    crop = data.draw(st.none() | st.just((left, top, right, bottom)))
    size = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    resample = data.draw(st.sampled_from(RESAMPLINGS))
    found = pixels(file, Transform(crop, size, resample, pad=crop is not None, channels=channels))
    expected = reference(file, crop, size, resample, MODES[channels])
    assert np.array_equal(found, expected.reshape(found.shape))


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_of_16_bits_keeps_its_high_byte(channels: int) -> None:
    values = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    transform = Transform(None, (256, 256), "nearest", channels=channels)
    found = pixels(encoded(Image.fromarray(values), "PNG"), transform)
    grey = np.repeat((values >> 8)[..., None], channels, axis=2).astype(np.uint8)
    if channels == 4:
        grey[..., 3] = 255
    assert np.array_equal(found, grey)


def test_a_transparent_colour_of_16_bits_is_not_guessed() -> None:
    image = picture("I;16", 8, 8)
    file = encoded(image, "PNG", transparency=300)
    assert pixels(file, Transform(None, (8, 8), channels=1)).shape == (8, 8, 1)
    with pytest.raises(BadImageError, match="transparent colour that is not of 8 bits"):
        pixels(file, Transform(None, (8, 8), channels=4))


@pytest.mark.parametrize("channels", [1, 4])
def test_what_is_lost_is_counted(channels: int) -> None:
    transformer = ImageTransformer(Transform(None, SIZE, channels=channels))
    transformer.pixels(encoded(picture("RGBA", 20, 20), "PNG"))
    transformer.pixels(encoded(Image.new("RGBA", (9, 9), (5, 5, 5, 255)), "PNG"))
    assert transformer.counts.transparent == (channels == 1)
    assert transformer.counts.one_colour == 1


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(OptionError, match="channels must be 1, 3 or 4"):
        Transform(None, SIZE, channels=2)
    with pytest.raises(OptionError, match="a background goes with grey or RGB"):
        Transform(None, SIZE, channels=4, background=(0, 0, 0))
    with pytest.raises(OptionError, match="jpeg:95 holds no alpha"):
        ConvertOptions(transform=Transform(None, SIZE, channels=4), encoding=Encoding("jpeg:95"))


def made(folder: Path, channels: int, encoding: str = "raw") -> tuple[ShardSet, NDArray[np.uint8]]:
    """A set of RGBA images, and what its records must be, by row."""
    files = [encoded(picture("RGBA", 20, 12, n), "PNG") for n in range(9)]
    for n, file in enumerate(files):
        (folder / f"{n}.png").write_bytes(file)
    table = write_csv(folder / "t.csv", ["path", "y0"], [[f"{n}.png", n] for n in range(9)])
    transform = Transform(None, SIZE, channels=channels)
    options = ConvertOptions(transform=transform, encoding=Encoding(encoding), shards=2)
    convert(str(table), str(folder / "out"), options, engine="inline")
    wanted = [reference(file, None, SIZE, "bicubic", MODES[channels]) for file in files]
    return open_shards(folder / "out"), np.stack(wanted).reshape(9, *transform.shape)


ENCODINGS = ["raw", "png", *(["webp:lossless"] if features.check("webp") else [])]


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_sets_hold_them(tmp_path: Path, channels: int, encoding: str) -> None:
    shards, wanted = made(tmp_path, channels, encoding)
    assert shards.shape == (7, 12, channels)
    ((x, y, rows),) = shards.batches(9, dtype="uint8", rows=True)
    assert np.array_equal(x, wanted[rows])
    assert np.array_equal(y, rows)
    ((x, _, rows),) = shards.batches(9, rows=True)
    assert np.array_equal(x, wanted[rows] / np.float32(255))
    image, label = shards[4]
    assert np.array_equal(image, wanted[label])
    assert verify(SoundParts.of(shards), lambda count: None).faults == []
    assert f"images    12x7 {'grey' if channels == 1 else 'RGBA'}, uint8" in "\n".join(info(shards))


@pytest.mark.parametrize("channels", [1, 4])
def test_every_face_gives_them(tmp_path: Path, channels: int) -> None:
    shards, wanted = made(tmp_path, channels)
    options: dict[str, Any] = {"dtype": "uint8", "shuffle": "none"}
    ((x, y),) = shards.to_tf_dataset(9, **options)
    assert np.array_equal(x.numpy(), wanted[y.numpy()])
    x, y = shards.to_keras(9, **options)[0]
    assert np.array_equal(x, wanted[y])
    pytest.importorskip("torch", reason="PyTorch is not installed")
    ((x, y),) = shards.to_torch(9, channels_first=True, **options)
    assert np.array_equal(x.permute(0, 2, 3, 1).numpy(), wanted[y.numpy()])


def test_without_a_manifest_the_shape_says_it(tmp_path: Path) -> None:
    shards, _ = made(tmp_path, 1)
    (tmp_path / "out" / "dataset.json").unlink()
    bare = open_shards(tmp_path / "out", shape=(7, 12, 1))
    assert np.array_equal(bare[3][0], shards[3][0])
    for wrong in ((7, 4, 3), (21, 1, 4)):
        open_shards(tmp_path / "out", shape=wrong)  # as many bytes; nothing says that it is wrong
    with pytest.raises(OptionError, match="channels are 1, 3 or 4"):
        open_shards(tmp_path / "out", shape=(7, 6, 2))


def test_the_command_line_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, 4)
    arguments = [str(tmp_path / "t.csv"), str(tmp_path / "grey"), "--crop=none", "--size=12x7"]
    assert main([*arguments, "--channels=1", "--engine=inline"]) == 0
    assert open_shards(tmp_path / "grey").shape == (7, 12, 1)
    assert "grey -> whole image" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*arguments, "--channels=2"])
