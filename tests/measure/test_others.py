"""What other programs take of the CPU."""

from __future__ import annotations

import subprocess
import sys

from shardio.measure.others import Others

# Says so once it has taken three tenths of a second of CPU time, and waits to be ended.
_BUSY = """
import time
while time.process_time() < 0.3: pass
print(flush=True)
input()
"""


def test_what_goes_on_after_the_block_is_of_others() -> None:
    command = [sys.executable, "-c", _BUSY]
    with Others() as others:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
    process.communicate(b"\n")
    assert 0 < others.share <= 1
