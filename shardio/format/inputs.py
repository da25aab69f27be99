"""inputs.json: where the images of an unfinished conversion lie.

It is compared at a restart as the plan is, but is no part of it: the bytes of a dataset do not
depend on the folder that its images are in.
"""

from __future__ import annotations

import builtins
import os
from dataclasses import asdict, dataclass

from shardio.format.fields import dump, load, refuse


@dataclass(frozen=True)
class ConversionInputs:
    """All of inputs.json. `root` is what paths are relative to, None where no image is a file."""

    root: str | None

    @classmethod
    def below(cls, root: str, *, is_url: bool) -> ConversionInputs:
        """Describe images below a folder, which becomes absolute, or below a URL."""
        root = (root.rstrip("/") or root) if is_url else os.path.abspath(root)
        # JSON holds no bytes that are no text.
        return cls(root.encode(errors="backslashreplace").decode())

    def to_json(self) -> builtins.bytes:
        """Return the bytes of inputs.json."""
        return dump(asdict(self))

    @classmethod
    def from_json(cls, text: builtins.bytes, name: str) -> ConversionInputs:
        """Parse inputs.json; `name` stands in the error, which lists all problems."""
        top, problems = load(text, name)
        root = top.optional_text("root")
        top.close()
        refuse(problems, name)
        return cls(root)
