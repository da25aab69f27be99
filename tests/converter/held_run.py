"""A run of the converter that waits for its test, so that nothing but the test decides its end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.converter.inputs import command, environment

_HELD = Path(__file__).with_name("held")


class HeldRun:
    """The environment of a run in which each process that makes shards waits before an image.

    It is the one with number `image` of those that the process takes; so nothing that comes before
    depends on time. They go on when the run is `released`.
    """

    def __init__(self, folder: Path, image: int) -> None:
        self._released = folder / "released"
        self.settings = {
            "PYTHONPATH": os.pathsep.join([str(_HELD), environment()["PYTHONPATH"]]),
            "HELD_AT": str(image),
            "HELD_UNTIL": str(self._released),
        }

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start the converter as the leader of a new process group."""
        return subprocess.Popen(
            command(*arguments),
            env={**os.environ, **self.settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def release(self) -> None:
        """Let the run go on to its end."""
        self._released.touch()
