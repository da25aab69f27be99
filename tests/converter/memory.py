"""The memory of a converter in a process of its own."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from pathlib import Path

from tests.converter.inputs import command, environment


def peak_memory(*arguments: object) -> float:
    """Run the converter; returns the most MB of memory that the process owned."""
    most = 0
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command(*arguments), env=environment(), stdout=subprocess.DEVNULL, stderr=errors
        )
        with process:
            while process.poll() is None:
                text = Path(f"/proc/{process.pid}/status").read_text()
                if found := re.search(r"RssAnon:\s+(\d+) kB", text):
                    most = max(most, int(found[1]))
                time.sleep(0.002)
        errors.seek(0)
        assert process.returncode == 0, errors.read()
    return most / 1e3
