"""The reason of a file that is no image names what it is."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile

import pytest

from converter.imaging.image_facts import facts_of
from converter.imaging.transformer import ImageTransformer
from shardio.format.transform import Transform
from shardio.imaging.bad_image import BadImageError
from shardio.imaging.file_kind import kind_of
from tests.converter.inputs import encoded, picture


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("a", b"a")
    return file.getvalue()


FILES = {
    "an HTML page": b"\n<!DOCTYPE html>\n<html><body>404</body></html>",
    "a HEIC image": b"\0\0\0\x18ftypheic" + bytes(99),
    "a JPEG XL image": b"\xff\x0a" + bytes(99),
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "a gzip file": gzip.compress(b"a"),
    "a zip archive": archive(),
    "a tar archive": tar(),
    "an SVG drawing": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "a PDF document": b"%PDF-1.7\n",
    "a video": b"\0\0\0\x18ftypisom" + bytes(99),
    "a JSON file": b'{"error": "not found"}',
    "a text file": "字 and more\n".encode(),
    "a file of zeros": bytes(1000),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_image_is_named(kind: str) -> None:
    transformer = ImageTransformer(Transform(size=(8, 8)))
    for read in (transformer.pixels, facts_of):
        with pytest.raises(BadImageError, match=f"not an image that Pillow can read: it is {kind}"):
            read(FILES[kind])


def test_of_other_bytes_nothing_is_said() -> None:
    assert kind_of(b"\x01\x02\xfe" + os.urandom(20)) is None
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF"):
        assert "image" in (kind_of(encoded(picture("RGB", 8, 8), kind)) or "")
