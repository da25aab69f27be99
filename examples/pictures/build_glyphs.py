"""Build the bundles of glyphs in shardio/pictures from GNU Unifont's unifont.hex.

The bundles are part of the repository, so this is needed only to move to another version of
Unifont. On Debian, without installing the package:

    apt-get download unifont
    dpkg -x unifont_*.deb unifont
    python build_glyphs.py unifont/usr/share/unifont/unifont.hex

Update the version and the copyright notice in unifont.LICENSE.txt accordingly.
"""

from __future__ import annotations

import argparse
import lzma
from pathlib import Path

from shardio.pictures.glyphs import (
    BYTES_PER_GLYPH,
    CJK_BUNDLE,
    CODE_POINTS,
    COUNT,
    FIRST_CODE_POINT,
    OTHER_BUNDLE,
    SIDE,
)

# A literal context of 0 and positions of 2 bytes suit rows of 2 bytes; this takes 3 % off
# the size that the preset alone gives.
FILTERS = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "lc": 0,
        "lp": 1,
        "pb": 1,
    }
]
# What labels are written with, besides ideographs: no rare ones, no private use.
OTHERS = (range(0x20, 0x3400), range(0xA000, 0xD7B0), range(0xF900, CODE_POINTS))


def read_hex(path: Path) -> dict[int, bytes]:
    """Return the bitmap of each code point, from a file of `CODE:BITMAP` lines."""
    with path.open(encoding="ascii") as lines:
        pairs = (line.strip().split(":") for line in lines)
        return {int(code_point, 16): bytes.fromhex(bitmap) for code_point, bitmap in pairs}


def ideographs(bitmaps: dict[int, bytes], path: Path) -> bytes:
    """Return the bitmaps of U+4E00..U+9FA5."""
    wanted = [bitmaps.get(FIRST_CODE_POINT + i, b"") for i in range(COUNT)]
    for i, bitmap in enumerate(wanted):
        if len(bitmap) != BYTES_PER_GLYPH:
            raise ValueError(f"{path} has no 16x16 bitmap for U+{FIRST_CODE_POINT + i:04X}")
    return b"".join(wanted)


def others(bitmaps: dict[int, bytes]) -> bytes:
    """Return the widths of all code points, then the bitmaps of the others."""
    kept = {code: bitmaps[code] for codes in OTHERS for code in codes if code in bitmaps}
    widths = bytearray(CODE_POINTS)
    for code, bitmap in kept.items():
        widths[code] = len(bitmap) // SIDE
    return bytes(widths) + b"".join(kept[code] for code in sorted(kept))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("hex", type=Path, help="unifont.hex of GNU Unifont")
    arguments = parser.parse_args()
    bitmaps = read_hex(arguments.hex)
    for bundle, raw in (
        (CJK_BUNDLE, ideographs(bitmaps, arguments.hex)),
        (OTHER_BUNDLE, others(bitmaps)),
    ):
        packed = lzma.compress(raw, check=lzma.CHECK_CRC32, filters=FILTERS)
        bundle.write_bytes(packed)
        print(f"{bundle}: {len(packed)} bytes")


if __name__ == "__main__":
    main()
