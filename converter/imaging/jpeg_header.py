"""The header of a common JPEG file, read without Pillow, which takes longer for it than for a crop.

Common is: baseline or extended sequential, 8 bits, one scan, and nothing before the scan that would
change what the pixels are. All other files are Pillow's.

Rows are decoded from the top, so a crop needs no row below its bottom: the height in the frame's
header is lowered. libjpeg still reads the file to its end; of a large one it is given a part only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

# Where colours have half the rows, an odd row is made from its own colour row and the next one: it
# must not be the last that there is, which libjpeg would repeat. Where they have a third or a
# quarter, they are not smoothed.
_MARGIN = 2
# Rows that are decoded together anyway, in the commonest files.
BLOCK = 16
_START_OF_IMAGE = b"\xff\xd8"
END_OF_IMAGE = b"\xff\xd9"
_SEQUENTIAL = (0xC0, 0xC1)
_START_OF_SCAN = 0xDA
_RESTART_INTERVAL = 0xDD
_NOTES, _EXIF = 0xE1, b"Exif\0\0"
# Tables, application data, comments and the restart interval: what may stand before the scan.
_PLAIN = frozenset({0xC4, 0xDB, _RESTART_INTERVAL, 0xFE, *range(0xE0, 0xF0)})
# Application data that Pillow looks into, by marker, with the least that it needs: shorter ones it
# refuses. MPF makes another kind of file of it.
_JFIF, _ADOBE = (0xE0, b"JFIF", 14), (0xEE, b"Adobe", 12)
_MULTI_PICTURE = (0xE2, b"MPF\0")
_MAY_BE_ODD = frozenset(marker for marker, *_ in (_JFIF, _ADOBE, _MULTI_PICTURE))
# What is given of a large file: so many times the part that the rows have in the height, and so
# many bytes. Below this much nothing is won.
_PART, _MORE, _WORTH_BYTES = 1.5, 4096, 1 << 16


@dataclass(frozen=True)
class JpegHeader:
    """Size and number of components; where the height stands and where the scan begins."""

    kind: ClassVar[str] = "JPEG"

    width: int
    height: int
    components: int
    height_at: int
    scan_at: int
    # Whether it has blocks of at most two times eight rows, one after the other without marks,
    # and is grey where they are missing.
    is_plain: bool
    # Where EXIF and XMP stand, if they do: their first byte, and their length.
    notes: tuple[tuple[int, int], ...] = ()

    @property
    def mode(self) -> str:
        """Pillow's name for what is decoded."""
        return {1: "L", 3: "RGB", 4: "CMYK"}[self.components]

    @property
    def raw_mode(self) -> str:
        """Pillow's name for what libjpeg gives: four colours are inverted, as Adobe has them."""
        return "CMYK;I" if self.components == 4 else self.mode

    @classmethod
    def of(cls, data: bytes) -> JpegHeader | None:
        """Read the header of a file, None where it is not of the common kind."""
        if not data.startswith(_START_OF_IMAGE):
            return None
        frame = 0
        restarts = False
        notes: list[tuple[int, int]] = []
        at, end = 2, len(data)
        while at + 4 <= end and data[at] == 0xFF:
            marker = data[at + 1]
            size = int.from_bytes(data[at + 2 : at + 4], "big")
            body = at + 4
            if size < 2 or at + 2 + size > end:
                return None
            if marker == _START_OF_SCAN:
                # A scan of its own for each colour is read in another way.
                if not frame or data[body] != data[frame + 5]:
                    return None
                return cls._of_frame(data, frame, at, restarts, tuple(notes))
            if marker in _SEQUENTIAL:
                # The bits, the height, the width, and three bytes for each component.
                if frame or size < 11 or size != 8 + 3 * data[body + 5]:
                    return None
                frame = body
            elif marker not in _PLAIN or (
                marker in _MAY_BE_ODD and _is_odd(data, marker, body, size)
            ):
                return None
            elif marker == _RESTART_INTERVAL:
                restarts = True
            elif marker == _NOTES:
                notes.append((body, size - 2))
            at += 2 + size
        return None

    @classmethod
    def _of_frame(
        cls,
        data: bytes,
        frame: int,
        scan: int,
        restarts: bool,
        notes: tuple[tuple[int, int], ...],
    ) -> JpegHeader | None:
        height = int.from_bytes(data[frame + 1 : frame + 3], "big")
        width = int.from_bytes(data[frame + 3 : frame + 5], "big")
        components = data[frame + 5]
        if data[frame] != 8 or not height or not width or components not in (1, 3, 4):
            return None
        rows = [data[frame + 7 + 3 * number] & 15 for number in range(components)]
        plain = not restarts and components < 4 and max(rows) <= 2
        return cls(width, height, components, frame + 1, scan, plain, notes)

    def may_be_turned(self, data: bytes) -> bool:
        """Whether there is something that could say how the image is turned."""
        return bool(self.notes)

    def exif(self, data: bytes) -> bytes | None:
        """Return the EXIF data, where these are the only notes."""
        if len(self.notes) != 1:
            return None
        at, size = self.notes[0]
        found = data[at : at + size]
        return found[len(_EXIF) :] if found.startswith(_EXIF) else None

    def rows_for(self, bottom: int) -> int:
        """Return how many rows have to be decoded for those above `bottom`."""
        return min(self.height, -(-(max(1, bottom) + _MARGIN) // BLOCK) * BLOCK)

    def lowered(self, data: bytes, rows: int) -> bytes:
        """Return the file with fewer rows."""
        at = self.height_at
        return b"".join((data[:at], rows.to_bytes(2, "big"), data[at + 2 :]))

    def part(self, data: bytes, rows: int) -> bytes | None:
        """Return a part of a large file that should hold `rows` rows and one block more, and ends.

        None where that is not worth while. Where the part was too short, the block is grey.
        """
        scan = len(data) - self.scan_at
        rows += BLOCK
        length = int(_PART * scan * rows / self.height) + _MORE
        if not self.is_plain or rows >= self.height or scan - length < _WORTH_BYTES:
            return None
        at = self.height_at
        end = self.scan_at + length
        return b"".join((data[:at], rows.to_bytes(2, "big"), data[at + 2 : end], END_OF_IMAGE))


def _is_odd(data: bytes, marker: int, body: int, size: int) -> bool:
    """Whether application data make a file that is Pillow's."""
    for known, name, least in (_JFIF, _ADOBE):
        if marker == known and data.startswith(name, body) and size - 2 < least:
            return True
    known, name = _MULTI_PICTURE
    return marker == known and data.startswith(name, body)
