"""What a Python that has this folder on its path imports first: `HeldRun` says what it is for."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class Holding:
    """Lets whatever makes shards wait in this process before one of its images."""

    makes = False  # a shard: a run that goes on reads some images to compare them, too
    taken = 0

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "converter.shards.shard":
            return None
        spec = PathFinder.find_spec(name, path)
        assert spec is not None
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_and_change(module: Any) -> None:
            execute(module)
            module.ImageFiles = self.holding(module.ImageFiles)
            module.convert_shard = self.making(module.convert_shard)

        loader.exec_module = execute_and_change
        return spec

    def holding(self, files: Any) -> Any:
        image, released = int(os.environ["HELD_AT"]), os.environ["HELD_UNTIL"]

        def take(one: Any) -> Any:
            while self.makes and self.taken >= image and not os.path.exists(released):
                one._paused(0.01)  # which raises when the run is stopped
            self.taken += self.makes
            return files._take(one)

        return type("HeldFiles", (files,), {"_take": take})

    def making(self, convert_shard: Any) -> Any:
        def convert(*arguments: Any) -> Any:
            self.makes = True
            try:
                return convert_shard(*arguments)
            finally:
                self.makes = False

        return convert


sys.meta_path.insert(0, Holding())
