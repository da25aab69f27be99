"""The most memory that this process owns while a block runs: RssAnon, sampled."""

from __future__ import annotations

import threading
from types import TracebackType


class SampledMemory:
    """Looks at RssAnon each few milliseconds; `peak` is in kB."""

    def __init__(self) -> None:
        self.peak = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stopped.wait(0.003):
            for line in open("/proc/self/status"):  # noqa: SIM115
                if line.startswith("RssAnon"):
                    self.peak = max(self.peak, int(line.split()[1]))

    def __enter__(self) -> SampledMemory:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()
