"""The parser of both command lines: a usage error is one line, and names what was meant."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from shardio.plain_text import plain_text

_CHOICE = re.compile(r"^argument (.*?): invalid choice: '(.*?)' \(choose from (.*)\)$", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """Like argparse's; its errors take one line, and propose the option or command that is near.

    `hint` returns what is to be added to a message.
    """

    hint: Callable[[str], str] = staticmethod(lambda message: "")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse arguments; options that are not known are told first of all."""
        return super().parse_known_args(self._checked(args), namespace)

    def parse_known_intermixed_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse arguments likewise: that of Python 3.14 does not call `parse_known_args`."""
        return super().parse_known_intermixed_args(self._checked(args), namespace)

    def _checked(self, args: Sequence[str] | None) -> list[str]:
        """Return the arguments, by default those of the process; refuse unknown options."""
        given = list(sys.argv[1:] if args is None else args)
        commands = any(isinstance(action, argparse._SubParsersAction) for action in self._actions)
        for word in given:
            if word == "--" or (commands and not word.startswith("-")):
                break
            name = word.partition("=")[0]
            # What begins with two dashes is never the value of another option.
            if re.match("--.", word) and not any(
                known.startswith(name) for known in self._option_string_actions
            ):
                near = did_you_mean(name, self._option_string_actions)
                self.error(f"there is no option {name}{near}")
        return given

    def error(self, message: str) -> NoReturn:
        """Print the message in one line, and exit with code 2."""
        if (match := _CHOICE.match(message)) is not None:
            where, value, choices = match.groups()
            names = re.findall(r"[^\s,']+", choices)
            near = did_you_mean(value, names) or f"; choose from {', '.join(names)}"
            message = f"there is no {where} {value!r}{near}"
        said = f"{plain_text(' '.join(message.split()))}; see {self.prog} --help"
        self.exit(2, f"{self.prog}: error: {said}{self.hint(message)}\n")


def positive(text: str) -> int:
    """Parse the value of an option that is a number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return number


def of_names(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return some arguments, for parameters that have the same names."""
    return {name: getattr(arguments, name) for name in names}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question that names what is nearest to a word, or nothing."""
    found = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


def add_quiet(parser: argparse._ActionsContainer) -> None:
    """Add `--quiet`."""
    parser.add_argument(
        "--quiet", action="store_true", help="print nothing but warnings and errors"
    )


def complete(parser: argparse.ArgumentParser, *, skipped: int = 0) -> None:
    """Answer a shell that asks how a command line goes on, and exit; else do nothing.

    `skipped` words after the name of the program are not the parser's. Without argcomplete, the
    extra [completion], there is no answer.
    """
    if "_ARGCOMPLETE" not in os.environ:
        return
    try:
        import argcomplete
    except ImportError:
        sys.exit(1)
    os.environ["_ARGCOMPLETE"] = str(int(os.environ["_ARGCOMPLETE"]) + skipped)
    argcomplete.autocomplete(parser)


def is_completed_after(word: str) -> bool:
    """Whether a shell asks how a command line goes on whose first argument is `word`."""
    return os.environ.get("COMP_LINE", "").split()[1:2] == [word] and "_ARGCOMPLETE" in os.environ
