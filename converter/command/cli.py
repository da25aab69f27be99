"""The command line of the converter: arguments in, progress and a summary out."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import current_thread, main_thread

from converter.command.arguments import build_parser, parse
from converter.command.call import Call
from converter.command.doctor import DOCTOR, doctor
from converter.command.options import options_of
from converter.command.show import SHOW, show
from converter.engines.protocol import NoProgress
from converter.options import RejectLimit
from converter.report.progress import progress_on
from converter.run import convert
from shardio.arguments import complete, is_completed_after, of_names
from shardio.errors import OptionError, ShardioError, SizesError, StorageError
from shardio.heap import use_one_heap
from shardio.plain_text import plain_lines, plain_text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    call = Call(sys.argv[1:] if argv is None else argv)
    if call.words[:1] == [SHOW] or is_completed_after(SHOW):
        return show(call.words[1:])
    if call.words[:1] == [DOCTOR] or is_completed_after(DOCTOR):
        return doctor(call.words[1:])
    parser = build_parser()
    complete(parser)
    parser.hint = call.hint
    arguments = parse(parser, call.words)
    try:
        options = options_of(arguments, **of_names(arguments, "shards", "shard_size", "seed"))
        RejectLimit.parse(arguments.max_rejects)
    except OptionError as error:
        parser.error(str(error))
    except StorageError as error:
        print(f"{parser.prog}: {plain_lines(str(error))}{call.hint(str(error))}", file=sys.stderr)
        return 1
    use_one_heap()
    try:
        with _termination(), _progress(arguments.quiet) as progress:
            summary = convert(
                arguments.table,
                arguments.out,
                options,
                **of_names(arguments, "root", "engine", "workers", "max_rejects", "drop"),
                **of_names(arguments, "overwrite", "repair", "moved", "dry_run", "unique"),
                spark=_properties(arguments),
                metadata=None if arguments.metadata is None else dict(arguments.metadata),
                progress=progress,
            )
    except OptionError as error:
        parser.error(str(error))
    except ShardioError as error:
        print(f"{parser.prog}: {plain_lines(str(error))}{call.hint(str(error))}", file=sys.stderr)
        if isinstance(error, SizesError):
            for way, what in error.ways:
                print(f"  {call.with_options(way)}  # {what}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        but = ", without --overwrite," if arguments.overwrite else ""
        print(
            f"{parser.prog}: stopped. Finished shards are kept: give the same command again{but} "
            "to go on",
            file=sys.stderr,
        )
        return 128 + (signal.SIGTERM if isinstance(stop, _Terminated) else signal.SIGINT)
    # A name that the terminal's encoding lacks must not fail what has succeeded.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # it may be closed
    text = "\n".join(map(plain_text, summary.lines()))
    if arguments.json:
        text = json.dumps(summary.to_json(), indent=1)
    if summary.images or summary.dry_run:
        for warning in summary.warnings():
            print(f"{parser.prog}: warning: {plain_text(warning)}", file=sys.stderr)
    if arguments.json or not arguments.quiet:
        print(text.encode(encoding, "backslashreplace").decode(encoding))
    return 0


def _properties(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the properties of Spark that were given."""
    master = {} if arguments.master is None else {"spark.master": arguments.master}
    return {**dict(arguments.conf), **master}


def _progress(quiet: bool) -> AbstractContextManager[NoProgress]:
    return nullcontext(NoProgress()) if quiet else progress_on(sys.stderr)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which a cluster sends before it kills: it stops a run as Ctrl-C does."""


@contextmanager
def _termination() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _Terminated

    # Who ignores it, or is no main thread, is left alone.
    ours = current_thread() is main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
