"""One image in, pixels out: the same as Pillow's, or a reason."""

from __future__ import annotations

import io
import resource
import subprocess
import warnings
from collections.abc import Callable

import numpy as np
import PIL
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, features

from converter.imaging.pillow import is_simd, versions
from converter.imaging.transformer import ImageTransformer
from shardio.errors import OptionError
from shardio.format.transform import MAX_PIXELS, RESAMPLINGS, Transform
from shardio.imaging.bad_image import BadImageError
from tests.converter.inputs import chunk, encoded, interlaced_png, picture, png_header, reference

Box = tuple[int, int, int, int]


def _palette_with_transparency(width: int, height: int, seed: int) -> bytes:
    return encoded(picture("P", width, height, seed), "PNG", transparency=bytes(range(100)))


def _one_transparent_colour(width: int, height: int, seed: int) -> bytes:
    return encoded(picture("RGB", width, height, seed), "PNG", transparency=(1, 2, 3))


def _of(mode: str, kind: str, **options: object) -> Callable[[int, int, int], bytes]:
    return lambda width, height, seed: encoded(picture(mode, width, height, seed), kind, **options)


# Every way in which a file of 8-bit pixels comes.
FILES: dict[str, Callable[[int, int, int], bytes]] = {
    "RGB PNG": _of("RGB", "PNG"),
    "RGBA PNG": _of("RGBA", "PNG"),
    "RGB PNG with tRNS": _one_transparent_colour,
    "interlaced RGB PNG": lambda *at: interlaced_png(picture("RGB", *at)),
    "interlaced RGBA PNG": lambda *at: interlaced_png(picture("RGBA", *at)),
    "JPEG": _of("RGB", "JPEG"),
    "JPEG 4:4:4": _of("RGB", "JPEG", quality=95, subsampling=0),
    "progressive JPEG": _of("RGB", "JPEG", progressive=True),
    "L JPEG": _of("L", "JPEG"),
    "CMYK JPEG": _of("CMYK", "JPEG"),
    "YCbCr JPEG": _of("YCbCr", "JPEG"),
    "CMYK TIFF": _of("CMYK", "TIFF"),
    "L PNG": _of("L", "PNG"),
    "LA PNG": _of("LA", "PNG"),
    "P PNG": _of("P", "PNG"),
    "P PNG with tRNS": _palette_with_transparency,
    "1 PNG": _of("1", "PNG"),
    "RGB BMP": _of("RGB", "BMP"),
    "P GIF": _of("P", "GIF"),
    "RGB PPM": _of("RGB", "PPM"),
}
if features.check("webp"):
    FILES["RGBA WebP"] = _of("RGBA", "WEBP", lossless=True)


def pixels(
    data: bytes,
    crop: Box | None = None,
    size: tuple[int, int] = (16, 8),
    resample: str = "bicubic",
    pad: bool = False,
) -> NDArray[np.uint8]:
    transformer = ImageTransformer(Transform(crop, size, resample, pad))
    packed = transformer.pixels(data)
    return np.frombuffer(packed, np.uint8).reshape(size[1], size[0], 3)


def reason(data: bytes, crop: Box | None = None) -> str:
    with pytest.raises(BadImageError) as caught:
        pixels(data, crop)
    return str(caught.value)


@st.composite
def boxes(draw: st.DrawFn, width: int, height: int) -> Box:
    left = draw(st.integers(0, width - 1))
    top = draw(st.integers(0, height - 1))
    return left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_pixels_equal_pillows_bit_for_bit(name: str, data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 50))
    file = FILES[name](width, height, data.draw(st.integers(0, 9)))
    crop = data.draw(st.none() | boxes(width, height))
    size = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    resample = data.draw(st.sampled_from(RESAMPLINGS))
    expected = reference(file, crop, size, resample)
    assert np.array_equal(pixels(file, crop, size, resample), expected)


@pytest.mark.parametrize("resample", RESAMPLINGS)
def test_every_resampling_is_the_one_of_its_name(resample: str) -> None:
    file = encoded(picture("RGBA", 300, 40), "PNG")
    box = (186, 0, 300, 30)
    expected = reference(file, box, (128, 32), resample)
    assert np.array_equal(pixels(file, box, (128, 32), resample), expected)


def test_resamplings_differ() -> None:
    file = encoded(picture("RGB", 300, 40), "PNG")
    found = {pixels(file, (186, 0, 300, 30), (64, 24), name).tobytes() for name in RESAMPLINGS}
    assert len(found) == len(RESAMPLINGS)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["PNG", "TIFF"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 99),
)
def test_16_bit_grey_keeps_the_high_byte(kind: str, width: int, height: int, seed: int) -> None:
    image = picture("I;16", width, height, seed)
    high = (np.asarray(image) >> 8).astype(np.uint8)
    expected = reference(encoded(Image.fromarray(high), "PNG"), None, (16, 8), "bicubic")
    assert np.array_equal(pixels(encoded(image, kind)), expected)


def test_all_16_bit_values_keep_their_high_byte() -> None:
    values = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    found = pixels(encoded(Image.fromarray(values), "PNG"), size=(256, 256), resample="nearest")
    assert np.array_equal(found, np.repeat((values >> 8)[..., None], 3, axis=2))


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(["RGB PNG", "RGBA PNG", "JPEG", "P PNG"]))
def test_padding_equals_pillows_black_around_what_is_left_of_the_image(
    data: st.DataObject, name: str
) -> None:
    width, height = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    left, top = data.draw(st.integers(-30, 60)), data.draw(st.integers(-30, 60))
    crop = left, top, left + data.draw(st.integers(1, 60)), top + data.draw(st.integers(1, 60))
    file = FILES[name](width, height, 1)
    if left >= width or top >= height or crop[2] <= 0 or crop[3] <= 0:
        with pytest.raises(BadImageError, match=f"no pixel of the image of {width}x{height}"):
            pixels(file, crop, (16, 8), "bilinear", pad=True)
        return
    expected = reference(file, crop, (16, 8), "bilinear")
    assert np.array_equal(pixels(file, crop, (16, 8), "bilinear", pad=True), expected)


def test_padding_is_black() -> None:
    white = encoded(Image.new("RGB", (8, 8), "white"), "PNG")
    found = pixels(white, (0, 0, 16, 8), (16, 8), "nearest", pad=True)
    assert found[:, :8].min() == 255
    assert found[:, 8:].max() == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 70), st.integers(1, 70))
def test_a_box_outside_the_image_is_rejected_with_both_sizes(
    width: int, height: int, right: int, bottom: int
) -> None:
    file = encoded(picture("RGB", width, height), "PNG")
    if right <= width and bottom <= height:
        assert pixels(file, (0, 0, right, bottom)).shape == (8, 16, 3)
        return
    text = reason(file, (0, 0, right, bottom))
    assert f"0,0,{right},{bottom}" in text
    assert f"{width}x{height}" in text


def test_the_box_is_held_against_the_size_that_an_icon_turns_out_to_have() -> None:
    icon = bytearray(encoded(picture("RGBA", 16, 16), "ICO", sizes=[(16, 16)]))
    icon[6] = icon[7] = 64  # width and height of the directory; the PNG inside has 16x16
    assert "16x16" in reason(bytes(icon), (0, 0, 40, 40))


def survive(data: bytes) -> bool:
    """Whether there are pixels; anything but BadImageError fails the test, also a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return pixels(data).shape == (8, 16, 3)
        except BadImageError as error:
            text = str(error)
    assert text
    assert "\n" not in text
    return False


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_image_are_rejected(data: bytes) -> None:
    survive(data)


MAGIC = [
    *(b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*"),
    *(b"RIFF\0\0\0\0WEBP", b"P6 ", b"P5\n", b"\0\0\1\0\1\0", b"\x0a\x05\x01\x08", b"qoif"),
    *(b"DDS ", b"\x01\xda", b"\0\0\0\x0cjP  \r\n\x87\n", b"\0\0\0 ftypavif", b"#define"),
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MAGIC), st.binary(max_size=120))
def test_bytes_that_start_like_an_image_are_rejected(magic: bytes, data: bytes) -> None:
    survive(magic + data)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_damaged_files_give_pixels_or_a_reason(name: str, data: st.DataObject) -> None:
    file = bytearray(FILES[name](40, 30, 3))
    for _ in range(data.draw(st.integers(0, 5))):
        file[data.draw(st.integers(0, len(file) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(file)))
    survive(bytes(file[:cut]))


@pytest.mark.parametrize("name", ["JPEG", "progressive JPEG", "RGB PNG", "RGBA PNG", "P PNG"])
def test_a_file_cut_in_half_is_rejected(name: str) -> None:
    file = FILES[name](60, 50, 1)
    assert reason(file[: len(file) // 2])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "empty"),
        (b"no image at all", "not an image"),
        (b"<html><body>404</body></html>", "not an image"),
        (encoded(picture("RGB", 20, 20), "PNG")[:60], "broken image"),
        (encoded(picture("RGB", 20, 20), "JPEG")[:-200], "broken image"),
    ],
)
def test_the_reason_says_what_is_wrong(data: bytes, text: str) -> None:
    assert text in reason(data)


@pytest.mark.parametrize("side", [50_000, 13_000, 9_500])
def test_a_bomb_is_rejected_before_its_pixels_are_made(side: int) -> None:
    bomb = png_header(side, side) + chunk(b"IDAT", b"\x78\x9c\x03") + chunk(b"IEND", b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert f"limit of {MAX_PIXELS}" in reason(bomb)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000  # in kB; the smallest of them would be 270 MB


def test_the_limit_of_pixels_is_exact() -> None:
    # All are cut short, so none gives pixels; the question is which check speaks.
    assert 7919 * 11299 <= MAX_PIXELS < 7919 * 11300
    assert "limit" not in reason(png_header(7919, 11299) + chunk(b"IDAT", b""), (0, 0, 9, 1))
    assert "limit" in reason(png_header(7919, 11300) + chunk(b"IDAT", b""))
    assert "limit" in reason(png_header(1_000_001, 1) + chunk(b"IDAT", b""))


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 30\n%%EndComments\nshowpage\n%%EOF\n"


def test_postscript_is_refused_and_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    Image.init()
    with Image.open(io.BytesIO(EPS)) as image:  # Pillow would take it
        assert image.format == "EPS"
    assert "not an image" in reason(EPS)


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=1, max_size=60))
def test_no_warning_leaks(junk: bytes) -> None:
    # Pillow warns of a damaged EXIF block, and of a palette with transparency in bytes.
    exif = Image.Exif()
    exif[0x010E] = "text"
    file = encoded(picture("RGB", 20, 20), "JPEG", exif=exif.tobytes() + junk)
    tiff = encoded(picture("RGB", 20, 20), "TIFF")
    assume(len(junk) < len(tiff))
    assert survive(_palette_with_transparency(20, 20, 1))
    for data in (file, tiff[: -len(junk)]):
        survive(data)


def test_the_orientation_of_exif_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = encoded(picture("RGB", 30, 20), "JPEG", exif=exif)
    assert np.array_equal(pixels(file, size=(30, 20)), reference(file, None, (30, 20), "bicubic"))


def test_time_is_kept() -> None:
    transformer = ImageTransformer(Transform(None, (16, 8)))
    transformer.pixels(encoded(picture("RGB", 300, 200), "JPEG"))
    assert transformer.times.decoding > 0
    assert transformer.times.resizing > 0


def test_the_decoders_are_named() -> None:
    found = versions()
    assert found.pillow == PIL.__version__
    assert found.libjpeg.startswith("libjpeg")
    assert is_simd() == (".post" in PIL.__version__)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(4, 40),
    st.sampled_from(["RGB PNG", "RGBA PNG", "JPEG", "P PNG"]),
)
def test_the_centre_of_a_shorter_side_is_the_one_that_torchvision_cuts(
    width: int, height: int, shorter: int, name: str
) -> None:
    file = FILES[name](width, height, 2)
    size = max(1, shorter - 3), max(1, shorter // 2)
    packed = ImageTransformer(Transform(None, size, "bilinear", shorter=shorter)).pixels(file)
    # torchvision.transforms.functional: resize to an int, then center_crop.
    long, short = max(width, height), min(width, height)
    longer = int(shorter * long / short)
    whole = (shorter, longer) if width <= height else (longer, shorter)
    image = reference(file, None, whole, "bilinear")
    top = round((whole[1] - size[1]) / 2.0)
    left = round((whole[0] - size[0]) / 2.0)
    wanted = image[top : top + size[1], left : left + size[0]]
    assert packed == wanted.tobytes()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_without_resizing_pixels_are_kept_and_other_sizes_rejected(width: int, height: int) -> None:
    file = encoded(picture("RGB", width, height), "PNG")
    found = ImageTransformer(Transform(None, (width, height), "none")).pixels(file)
    assert found == picture("RGB", width, height).tobytes()
    other = ImageTransformer(Transform(None, (width + 1, height), "none"))
    with pytest.raises(BadImageError, match=f"{width}x{height} pixels, not {width + 1}x{height}"):
        other.pixels(file)


@pytest.mark.parametrize(
    "options",
    [
        {"crop": (0, 0, 5, 5)},
        {"crop": None, "resample": "none"},
        {"crop": None, "size": (60, 9)},
        {"crop": None, "shorter": 70_000},
    ],
)
def test_a_shorter_side_is_for_whole_images_that_hold_the_size(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="shorter side"):
        Transform(**{"size": (9, 9), "shorter": 50, **options})  # type: ignore[arg-type]
