"""Decoding the upper rows only gives the pixels of decoding them all."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from converter.imaging.jpeg_header import JpegHeader
from converter.imaging.png_tile import keep_upper_rows
from converter.imaging.transformer import ImageTransformer
from shardio.format.transform import RESAMPLINGS, Transform
from shardio.imaging.bad_image import BadImageError
from tests.converter.inputs import encoded, interlaced_png, picture, reference

Box = tuple[int, int, int, int]


def kept(data: bytes, bottom: int) -> int:
    """Return how many rows are kept."""
    header = JpegHeader.of(data)
    if header is not None:
        return header.rows_for(bottom)
    image = Image.open(io.BytesIO(data))
    keep_upper_rows(image, data, bottom)
    return image.size[1]


def pixels(data: bytes, box: Box, size: tuple[int, int], resample: str, **options: bool) -> bytes:
    return ImageTransformer(Transform(box, size, resample), **options).pixels(data)


@st.composite
def jpegs(draw: st.DrawFn) -> tuple[bytes, int, int]:
    width, height = draw(st.integers(1, 120)), draw(st.integers(1, 200))
    mode = draw(st.sampled_from(["RGB", "RGB", "L", "CMYK"]))
    options: dict[str, Any] = {"quality": draw(st.integers(1, 100))}
    if mode == "RGB":
        options["subsampling"] = draw(st.integers(0, 2))
    options |= draw(
        st.sampled_from(
            [
                {},
                {"optimize": True},
                {"progressive": True},
                {"restart_marker_blocks": 1},
                {"restart_marker_blocks": 7},
                {"restart_marker_rows": 1},
                {"restart_marker_rows": 3},
                {"comment": b"\xff\xc0\0\x11\x08\0\x01\0\x01"},
                {"dpi": (72, 72), "icc_profile": bytes(range(256)) * 400},
                {"exif": b"Exif\0\0" + encoded(picture("RGB", 16, 16), "JPEG")},
                {"keep_rgb": True, "subsampling": 0} if mode == "RGB" else {},
            ]
        )
    )
    return encoded(picture(mode, width, height, draw(st.integers(0, 9))), "JPEG", **options), *(
        (width, height)
    )


@st.composite
def pngs(draw: st.DrawFn) -> tuple[bytes, int, int]:
    width, height = draw(st.integers(1, 60)), draw(st.integers(1, 120))
    mode = draw(st.sampled_from(["RGB", "RGBA", "L", "LA", "P", "1", "I;16"]))
    image = picture(mode, width, height, draw(st.integers(0, 9)))
    if mode in ("RGB", "RGBA") and draw(st.booleans()):
        return interlaced_png(image), width, height
    options: dict[str, Any] = {"compress_level": draw(st.integers(0, 9))}
    if mode == "P" and draw(st.booleans()):
        options["transparency"] = bytes(range(100))
        if draw(st.booleans()):
            options["bits"] = 8
    if mode == "RGB" and draw(st.booleans()):
        options["transparency"] = (1, 2, 3)
    if mode == "RGBA" and draw(st.booleans()):
        others = [picture(mode, width, height, seed) for seed in (11, 12)]
        options |= {"save_all": True, "append_images": others}
    return encoded(image, "PNG", **options), width, height


@pytest.mark.parametrize("files", [jpegs(), pngs()], ids=["JPEG", "PNG"])
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_the_pixels_are_those_of_the_whole_image(
    files: st.SearchStrategy[tuple[bytes, int, int]], data: st.DataObject
) -> None:
    file, width, height = data.draw(files)
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right = data.draw(st.integers(left + 1, width))
    bottom = min(height, top + data.draw(st.integers(1, 40)))
    box = (left, top, right, bottom)
    resample = data.draw(st.sampled_from(RESAMPLINGS))
    size = (right - left, bottom - top) if data.draw(st.booleans()) else (13, 9)
    with Image.open(io.BytesIO(file)) as image:
        sixteen = image.mode.startswith("I")
    strict = pixels(file, box, size, resample, strict=True)
    assert pixels(file, box, size, resample) == strict
    if not sixteen:
        assert strict == reference(file, box, size, resample).tobytes()


@settings(
    max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.one_of(jpegs(), pngs()),
    st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0, 1.5]),
    st.integers(0, 40),
    st.integers(1, 200),
)
def test_a_part_of_a_file_that_is_too_short_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
    file: tuple[bytes, int, int],
    part: float,
    more: int,
    bottom: int,
) -> None:
    """Of whatever length the part is, and wherever in a block or a code it ends."""
    monkeypatch.setattr("converter.imaging.jpeg_header._WORTH_BYTES", 0)
    monkeypatch.setattr("converter.imaging.jpeg_header._PART", part)
    monkeypatch.setattr("converter.imaging.jpeg_header._MORE", more)
    monkeypatch.setattr("converter.imaging.png_header._PART", part)
    monkeypatch.setattr("converter.imaging.png_header._MORE", more)
    data, width, height = file
    box = (0, 0, width, min(bottom, height))
    strict = pixels(data, box, box[2:], "box", strict=True)
    assert pixels(data, box, box[2:], "box") == strict


@pytest.mark.parametrize("grey", [True, False])
def test_of_large_files_a_part_is_decoded(monkeypatch: pytest.MonkeyPatch, grey: bool) -> None:
    image = picture("RGB", 1600, 1200, 3)
    if grey:  # so is what libjpeg fills up with: it cannot be told from a part that is too short
        image.paste((128, 128, 128), (0, 32, 1600, 1200))
        image.paste(picture("RGB", 1600, 800, 4), (0, 400))
    data = encoded(image, "JPEG", quality=95)
    given = []
    real = Image.frombytes

    def frombytes(mode: str, size: tuple[int, int], file: bytes, *more: Any) -> Image.Image:
        given.append((size[1], len(file)))
        return real(mode, size, file, *more)

    monkeypatch.setattr(Image, "frombytes", frombytes)
    box = (0, 0, 1600, 30)
    found = pixels(data, box, (64, 8), "bicubic")
    assert given[0][0] == 48
    assert given[0][1] < len(data) // 5
    assert given[1:] == ([(32, len(data))] if grey else [])
    assert found == pixels(data, box, (64, 8), "bicubic", strict=True)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_of_common_png_files_a_part_is_decoded(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    image = picture(mode, 300, 400, 3)
    data = encoded(image, "PNG", dpi=(72, 72))
    given = []
    real = Image.frombytes

    def frombytes(mode: str, size: tuple[int, int], file: bytes, *more: Any) -> Image.Image:
        given.append((size, len(file)))
        return real(mode, size, file, *more)

    monkeypatch.setattr(Image, "frombytes", frombytes)
    monkeypatch.setattr("converter.imaging.png_header._MORE", 100)
    box = (0, 0, 300, 30)
    found = pixels(data, box, (64, 8), "bicubic")
    assert [size for size, _ in given] == [(300, 30)]
    assert given[0][1] < len(data) // 5
    assert found == pixels(data, box, (64, 8), "bicubic", strict=True)


@pytest.mark.parametrize("kind", [b"IHDR", b"pHYs"])
def test_a_damaged_header_of_a_png_file_is_seen(kind: bytes) -> None:
    data = bytearray(encoded(picture("RGB", 300, 400, 3), "PNG", dpi=(72, 72)))
    data[data.index(kind) + 7] ^= 1
    for strict in (True, False):
        with pytest.raises(BadImageError):
            pixels(bytes(data), (0, 0, 100, 30), (64, 8), "bicubic", strict=strict)


BOX = (10, 0, 90, 30)
COMMON: dict[str, bytes] = {
    **{
        f"JPEG {name}": encoded(picture(mode, 100, 300), "JPEG", **options)
        for name, mode, options in (
            ("4:4:4", "RGB", {"subsampling": 0}),
            ("4:2:2", "RGB", {"subsampling": 1}),
            ("4:2:0", "RGB", {"subsampling": 2}),
            ("grey", "L", {}),
            ("CMYK", "CMYK", {}),
            ("with restarts", "RGB", {"restart_marker_rows": 1}),
            ("with a thumbnail", "RGB", {"exif": b"Exif\0\0" + b"\xff\xc0\0\x0b\x08" * 9}),
        )
    },
    **{
        f"{mode} PNG": encoded(picture(mode, 100, 300), "PNG")
        for mode in ("RGB", "RGBA", "L", "LA", "P", "1")
    },
}
OTHER: dict[str, bytes] = {
    "progressive JPEG": encoded(picture("RGB", 100, 300), "JPEG", progressive=True),
    "interlaced PNG": interlaced_png(picture("RGB", 100, 300)),
    "16-bit PNG": encoded(picture("I;16", 100, 300), "PNG"),
    "APNG": encoded(
        picture("RGB", 100, 300), "PNG", save_all=True, append_images=[picture("RGB", 100, 300, 1)]
    ),
    "BMP": encoded(picture("RGB", 100, 300), "BMP"),
}


@pytest.mark.parametrize("name", COMMON)
def test_of_common_files_the_lower_rows_are_not_decoded(name: str) -> None:
    assert kept(COMMON[name], 30) == (32 if name.startswith("JPEG") else 30)
    assert kept(COMMON[name], 299) == (300 if name.startswith("JPEG") else 299)
    assert kept(COMMON[name], 300) == 300


@pytest.mark.parametrize("name", OTHER)
def test_other_files_are_decoded_whole(name: str) -> None:
    assert kept(OTHER[name], 30) == 300


def _at(data: bytes, marker: int) -> int:
    return data.index(bytes([0xFF, marker])) + 4


def test_scans_of_single_colours_and_odd_frames_are_decoded_whole() -> None:
    data = COMMON["JPEG 4:4:4"]
    for marker, at, value in ((0xDA, 0, 1), (0xC0, 0, 12), (0xC0, 5, 2)):
        changed = bytearray(data)
        changed[_at(data, marker) + at] = value
        assert JpegHeader.of(bytes(changed)) is None


@pytest.mark.parametrize("name", COMMON)
def test_damage_below_the_box_is_seen_only_when_it_is_asked_for(name: str) -> None:
    data = COMMON[name]
    cut = data[: len(data) * 3 // 4]
    whole = pixels(data, BOX, (16, 8), "bicubic")
    with pytest.raises(BadImageError):
        pixels(cut, BOX, (16, 8), "bicubic", strict=True)
    try:
        found = pixels(cut, BOX, (16, 8), "bicubic")
    except BadImageError:  # where the decoder misses the end of the file
        return
    assert found == whole


@pytest.mark.parametrize("name", [*COMMON, *OTHER])
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_gives_pixels_or_a_reason(name: str, data: st.DataObject) -> None:
    file = bytearray({**COMMON, **OTHER}[name])
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(file) - 1) | st.integers(0, 800))
        file[min(place, len(file) - 1)] ^= data.draw(st.integers(1, 255))
    cut = bytes(file[: data.draw(st.integers(0, len(file)))])
    for candidate in (bytes(file), cut):
        try:
            found = pixels(candidate, BOX, (16, 8), "bicubic")
        except BadImageError:
            continue
        assert len(found) == 16 * 8 * 3


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90))
def test_the_box_is_held_against_the_size_of_the_whole_image(width: int, height: int) -> None:
    for kind in ("JPEG", "PNG"):
        file = encoded(picture("RGB", width, height), kind)
        if width >= 90 and height >= 30:
            assert np.frombuffer(pixels(file, BOX, (4, 4), "box"), np.uint8).size == 48
        else:
            with pytest.raises(BadImageError, match=f"outside the image of {width}x{height}"):
                pixels(file, BOX, (4, 4), "box")
