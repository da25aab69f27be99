"""What makes Spark's next task in this process begin sooner."""

from __future__ import annotations

import gc
import sys
import zipimport


def freeze_imports() -> None:
    """Leave what was imported out of the garbage collection that Spark asks for after each task."""
    gc.freeze()


def forget_archives_of_modules() -> None:
    """Let archives with modules be opened again only for an import.

    Before each task Spark has the caches of all importers made new, and reads the directory of its
    own archive of 1,500 modules for that: 50 ms on each core, and nothing is imported after it.
    """
    cache = sys.path_importer_cache
    for path, finder in list(cache.items()):
        if isinstance(finder, zipimport.zipimporter):
            del cache[path]
