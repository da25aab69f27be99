"""Commands that look at a table, with the options of a conversion, before there are shards."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence

from shardio.arguments import Parser, complete
from shardio.errors import OptionError, ShardioError, SizesError
from shardio.plain_text import plain_lines


def run_on_table(
    parser: Parser, argv: Sequence[str], work: Callable[[argparse.Namespace], int]
) -> int:
    """Parse the arguments and do the work; returns the exit code, also for errors, which it says.

    Images of several sizes are an error with the commands that would work.
    """
    complete(parser, skipped=1)
    arguments = parser.parse_intermixed_args(list(argv))
    try:
        return work(arguments)
    except OptionError as error:
        parser.error(str(error))
    except ShardioError as error:
        sys.stderr.write(f"{parser.prog}: {plain_lines(str(error))}\n")
        if isinstance(error, SizesError):
            for way, what in error.ways:
                sys.stderr.write(f"  {parser.prog} {shlex.join(argv)} {way}  # {what}\n")
        return 1
    except KeyboardInterrupt:
        return 130
