"""The error tree is as it is drawn, and an error survives the way between processes."""

from __future__ import annotations

import builtins
import inspect
import pickle
import re

import pytest

from shardio import errors

TREE = [value for _, value in inspect.getmembers(errors, inspect.isclass)]


def drawn() -> dict[str, tuple[str, str | None]]:
    """Return the parent and the built-in of each error of the docstring's tree."""
    found: dict[str, tuple[str, str | None]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([│├└─ ]*)(\w+Error)(?: \((\w+)\))?", line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        path[depth:] = [match[2]]
        found[match[2]] = (path[depth - 1] if depth else "Exception", match[3])
    return found


def test_the_tree_is_as_it_is_drawn() -> None:
    assert set(drawn()) == {error.__name__ for error in TREE}
    for error in TREE:
        parent, builtin = drawn()[error.__name__]
        assert error.__bases__[0].__name__ == parent
        if builtin is not None:
            assert issubclass(error, getattr(builtins, builtin))


@pytest.mark.parametrize("error", TREE)
def test_every_error_is_one_of_ours_and_a_built_in(error: type[errors.ShardioError]) -> None:
    assert issubclass(error, errors.ShardioError)
    assert issubclass(error, ValueError | RuntimeError | ImportError | OSError) or (
        error is errors.ShardioError
    )


@pytest.mark.parametrize("error", TREE)
def test_an_error_can_be_pickled_with_its_message(error: type[errors.ShardioError]) -> None:
    message = "标签.png: broken at byte 5\n  and more"
    again = pickle.loads(pickle.dumps(error(message)))
    assert type(again) is error
    assert str(again) == str(error(message)) == message
    assert again.args == (message,)
