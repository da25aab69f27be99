"""What a file is, told by its first bytes: an image, and of what kind, or something else."""

from __future__ import annotations

import re

# A place in the file, the bytes that are there, and what has them.
_SIGNATURES = (
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"PK\x03\x04", "a zip archive, or an Office document"),
    (257, b"ustar", "a tar archive"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"icns", "an Apple icon (ICNS)"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"\xff\xd8\xff", "a damaged JPEG image"),
    (0, b"\x89PNG", "a damaged PNG image"),
    (0, b"GIF8", "a damaged GIF image"),
    (8, b"WEBP", "a WebP image"),
    (0, b"II*\0", "a TIFF image, or a camera's raw file"),
    (0, b"MM\0*", "a TIFF image, or a camera's raw file"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (128, b"DICM", "a DICOM image"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF\r\n", "an HDF5 file"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"RIFF", "a RIFF file (sound or video)"),
    (0, b"\x1aE\xdf\xa3", "a Matroska video"),
    (0, b"ID3", "an MP3 file"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a Windows program"),
    (0, b"version https://git-lfs", "a Git LFS pointer (git lfs pull fetches the image)"),
    (0, b"/annex/objects/", "a git-annex pointer (git annex get fetches the image)"),
)
_BRANDS = {
    b"avif": "an AVIF image",
    b"avis": "an AVIF image",
    b"heic": "a HEIC image",
    b"heix": "a HEIC image",
    b"hevc": "a HEIC image",
    b"hevx": "a HEIC image",
    b"heim": "a HEIC image",
    b"heis": "a HEIC image",
    b"mif1": "a HEIF image",
    b"msf1": "a HEIF image",
    b"crx ": "a camera's raw file",
}
_LOOKED_AT = 512
_HTML = re.compile(rb"<(!doctype html|html|head|body)\b", re.IGNORECASE)
_SVG = re.compile(rb"<svg\b")
_CONTROL = bytes({*range(32)} - {*b"\t\n\r\f"})


def is_common(data: bytes | memoryview) -> bool:
    """Whether data begin as a PNG, JPEG, WebP, GIF or BMP file does, which the reader decodes."""
    start = bytes(data[:12])
    if start.startswith(b"BM"):  # and says how long it is: pixels may begin so, too
        return int.from_bytes(data[2:6], "little") == len(data)
    return (
        start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"))
        or start[:4] + start[8:] == b"RIFFWEBP"
    )


def is_image(data: bytes | memoryview) -> bool:
    """Whether data begin as an image file of any kind does."""
    return is_common(data) or other_image(data) is not None


def other_image(data: bytes | memoryview) -> str | None:
    """Return which kind of image file, with its article, data begin as that is no common one."""
    kind = None if is_common(data) else kind_of(data)
    return kind if kind is not None and " image" in kind and "damaged" not in kind else None


def kind_of(data: bytes | memoryview) -> str | None:
    """Return what a file is that Pillow cannot read, with its article; None where not known."""
    start = bytes(data[:_LOOKED_AT])
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "a video (MP4 or QuickTime)")
    for at, signature, kind in _SIGNATURES:
        if start.startswith(signature, at):
            return kind
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _SVG.search(text):
        return "an SVG drawing"
    if _HTML.search(text):
        return "an HTML page"
    if text.startswith(b"<?xml"):
        return "an XML file"
    if text.startswith((b"{", b"[")):
        return "a JSON file"
    if not start.strip(b"\0"):
        return "a file of zeros"
    if start.translate(None, _CONTROL) == start:
        return "a text file"
    return None
