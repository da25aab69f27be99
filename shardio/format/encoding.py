"""How the images of a set are stored: as pixels, or as PNG, JPEG or WebP files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shardio.errors import OptionError

RAW = "raw"
_TEXT = re.compile(r"raw|png|(jpeg|webp):([1-9][0-9]?|100)|webp:lossless")


@dataclass(frozen=True)
class Encoding:
    """An encoding, by its name: `raw`, `png`, `jpeg:95`, `webp:90`, `webp:lossless`."""

    name: str = RAW

    def __post_init__(self) -> None:
        if not _TEXT.fullmatch(self.name):
            raise OptionError(
                "the encoding must be raw, png, jpeg:1 to jpeg:100, webp:1 to webp:100 or "
                f"webp:lossless, not {self.name!r}"
            )

    @property
    def is_raw(self) -> bool:
        """Whether pixels are stored, and every record has the same size."""
        return self.name == RAW

    @property
    def kind(self) -> str:
        """The kind of file: RAW, PNG, JPEG or WEBP."""
        return self.name.partition(":")[0].upper()

    @property
    def quality(self) -> int | None:
        """The quality of a lossy encoding, 1 to 100; None for a lossless one."""
        quality = self.name.partition(":")[2]
        return int(quality) if quality.isdigit() else None
