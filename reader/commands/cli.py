"""The command line of the reader."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from types import ModuleType

from reader.commands import (
    bench,
    browse,
    cache,
    croissant,
    doctor,
    export,
    index,
    info,
    mount,
    report,
    show,
    stage,
    unmount,
    verify,
)
from shardio.arguments import Parser, add_quiet, complete
from shardio.errors import OptionError, ShardioError
from shardio.plain_text import PlainStream, plain_lines
from shardio.version import __version__

_COMMANDS: dict[str, ModuleType] = {
    "bench": bench,
    "browse": browse,
    "cache": cache,
    "croissant": croissant,
    "doctor": doctor,
    "export": export,
    "index": index,
    "info": info,
    "mount": mount,
    "report": report,
    "show": show,
    "stage": stage,
    "unmount": unmount,
    "verify": verify,
}
# Those that take long, or tell what they have done.
_TELLING = ("croissant", "export", "index", "report", "show", "stage", "verify")


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="shardio-read", description="Look at shards.")
    parser.add_argument("--version", action="version", version=f"shardio {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        text = (module.__doc__ or "").strip()
        sentence = f"{text[:1].upper()}{text[1:]}."
        command = commands.add_parser(name, help=text, description=sentence)
        module.add_arguments(command)
        command.set_defaults(parser=command)
        if name in _TELLING:
            add_quiet(command)
    return parser


def _output(command: str, *, is_quiet: bool) -> AbstractContextManager[object]:
    """Redirect what a command prints: nowhere, or as plain lines where it holds no pictures."""
    if is_quiet:
        return redirect_stdout(io.StringIO())
    return nullcontext() if command == "show" else redirect_stdout(PlainStream(sys.stdout))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = build_parser()
    complete(parser)
    arguments = parser.parse_args(argv)
    # What was asked for by --json is no talk.
    is_quiet = getattr(arguments, "quiet", False) and not getattr(arguments, "json", False)
    try:
        with _output(arguments.command, is_quiet=is_quiet):
            return int(_COMMANDS[arguments.command].run(arguments))
    except OptionError as error:
        # That of the command, whose help says what it takes.
        command: Parser = arguments.parser
        command.error(str(error))
    except ShardioError as error:
        print(f"{parser.prog}: {plain_lines(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
