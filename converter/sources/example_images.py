"""Images in records of TFRecord files."""

from __future__ import annotations

from shardio.errors import FormatError, UnusableFileError
from shardio.examples.example import bytes_in, parse_example
from shardio.format.framing import FOOTER_BYTES, masked_crc


def image_of_record(record: bytes | bytearray, feature: str, location: str) -> bytes:
    """Return the image of a record, which is given with its CRC; UnusableFileError for damage."""
    data = memoryview(record)[:-FOOTER_BYTES]
    if masked_crc(data) != int.from_bytes(record[-FOOTER_BYTES:], "little"):
        raise UnusableFileError(f"{location}: damaged: the CRC of the record does not match")
    try:
        image = bytes_in(parse_example(data, {feature}), feature)
    except FormatError as error:
        raise UnusableFileError(f"{location}: damaged: {error}") from error
    if image is None:
        raise UnusableFileError(f"{location}: the sample has no image")
    return bytes(image)
