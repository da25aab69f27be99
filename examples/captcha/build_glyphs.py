"""Build unifont-cjk.xz from GNU Unifont's unifont.hex.

The bundle is part of the repository, so this is needed only to move to another version of
Unifont. On Debian, without installing the package:

    apt-get download unifont
    dpkg -x unifont_*.deb unifont
    python build_glyphs.py unifont/usr/share/unifont/unifont.hex

Update the version and the copyright notice in unifont-cjk.LICENSE.txt accordingly.
"""

from __future__ import annotations

import argparse
import lzma
from pathlib import Path

from glyphs import BUNDLE, BYTES_PER_GLYPH, COUNT, FIRST_CODE_POINT

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


def read_hex(path: Path) -> bytes:
    """Return the bitmaps of U+4E00..U+9FA5, 32 bytes each, from a file of `CODE:BITMAP` lines."""
    bitmaps: dict[int, bytes] = {}
    with path.open(encoding="ascii") as lines:
        for line in lines:
            code_point, bitmap = line.strip().split(":")
            bitmaps[int(code_point, 16)] = bytes.fromhex(bitmap)
    wanted = [bitmaps.get(FIRST_CODE_POINT + i, b"") for i in range(COUNT)]
    for i, bitmap_bytes in enumerate(wanted):
        if len(bitmap_bytes) != BYTES_PER_GLYPH:
            raise ValueError(f"{path} has no 16x16 bitmap for U+{FIRST_CODE_POINT + i:04X}")
    return b"".join(wanted)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("hex", type=Path, help="unifont.hex of GNU Unifont")
    parser.add_argument("--out", type=Path, default=BUNDLE, help="file to write (%(default)s)")
    arguments = parser.parse_args()
    packed = lzma.compress(read_hex(arguments.hex), check=lzma.CHECK_CRC32, filters=FILTERS)
    arguments.out.write_bytes(packed)
    print(f"{arguments.out}: {len(packed)} bytes")


if __name__ == "__main__":
    main()
