"""The command line of the converter: arguments in, progress and a summary out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from converter.arguments import WITHOUT_BOX, build_parser
from converter.one_arena import use_one_arena
from converter.options import ConvertOptions, RejectLimit
from converter.run import NoProgress, convert
from converter.vocabulary import read_vocabulary
from shardio.errors import OptionError, ShardioError, StorageError
from shardio.format.transform import Transform


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    shorter = arguments.shorter_side
    crop = arguments.crop
    if crop is WITHOUT_BOX:
        crop = Transform().crop if shorter is None else None
    if arguments.pad and crop is None:
        parser.error("--pad needs a box: it does nothing with --crop none")
    try:
        words = read_vocabulary(arguments.vocabulary) if arguments.vocabulary else None
        options = ConvertOptions(
            Transform(crop, arguments.size, arguments.resample, arguments.pad, shorter),
            arguments.labels,
            arguments.classes,
            arguments.shards,
            arguments.shard_size,
            arguments.seed,
            arguments.strict_decode,
            arguments.encode,
            arguments.text_labels or words is not None,
            words,
            arguments.split,
        )
        RejectLimit.parse(arguments.max_rejects)
    except OptionError as error:
        parser.error(str(error))
    except StorageError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    use_one_arena()
    try:
        with _Bar() as bar:
            summary = convert(
                arguments.table,
                arguments.out,
                options,
                root=arguments.root,
                engine=arguments.engine,
                workers=arguments.workers,
                max_rejects=arguments.max_rejects,
                overwrite=arguments.overwrite,
                repair=arguments.repair,
                dry_run=arguments.dry_run,
                progress=bar,
            )
    except OptionError as error:
        parser.error(str(error))
    except ShardioError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"{parser.prog}: stopped. Finished shards are kept: give the same command again to "
            "go on",
            file=sys.stderr,
        )
        return 130
    # A name that the terminal's encoding lacks must not fail what has succeeded.
    encoding = sys.stdout.encoding or "utf-8"
    text = "\n".join(summary.lines())
    if arguments.json:
        text = json.dumps(summary.to_json(), indent=1)
    if summary.images or summary.dry_run:
        for warning in summary.warnings():
            print(f"{parser.prog}: warning: {warning}", file=sys.stderr)
    print(text.encode(encoding, "backslashreplace").decode(encoding))
    return 0


class _Bar(NoProgress):
    """A progress bar on the terminal; nothing is shown before the work begins."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._bytes = 0
        self._rejected = 0

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, rows: int, done: int, rejected: int) -> None:
        self._rejected = rejected
        self._bar = tqdm(
            total=rows,
            initial=done,
            unit=" images",
            dynamic_ncols=True,
            smoothing=0.1,
            # A log file gets a line every ten seconds, not ten a second.
            mininterval=0.1 if sys.stderr.isatty() else 10,
        )

    def advance(self, images: int, bytes_read: int, rejected: int) -> None:
        if self._bar is None or images == 0:
            return
        self._bytes += bytes_read
        self._rejected += rejected
        seconds = max(self._bar.format_dict["elapsed"], 1e-9)
        self._bar.set_postfix_str(
            f"{self._bytes / seconds / 1e6:,.1f} MB/s, {self._rejected} rejected", refresh=False
        )
        self._bar.update(images)
