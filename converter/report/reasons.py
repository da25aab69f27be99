"""Why rows were rejected: the commonest reasons."""

from __future__ import annotations

from shardio.format.done import Reject
from shardio.grammar import counted


def reasons(rejects: list[Reject], most: int = 5) -> list[str]:
    """Return the commonest reasons, each with its count and one row as an example."""
    groups: dict[str, list[Reject]] = {}
    for reject in rejects:
        groups.setdefault(reject.reason, []).append(reject)
    ranked = sorted(groups.items(), key=lambda group: (-len(group[1]), group[1][0].row))
    lines = [
        f"{len(found):,} x {reason} (for example row {found[0].row}, {found[0].path})"
        for reason, found in ranked[:most]
    ]
    if len(ranked) > most:
        lines.append(f"and {counted(len(ranked) - most, 'other reason')}")
    return lines
