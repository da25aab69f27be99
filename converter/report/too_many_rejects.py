"""The error of a conversion that ends because too many rows were rejected."""

from __future__ import annotations

from converter.options import RejectLimit
from converter.report.reasons import reasons
from converter.report.summary import Summary
from converter.table.paths.locations import NO_FILE
from converter.table.table import Table
from shardio.errors import RejectsError
from shardio.format.done import Reject
from shardio.grammar import agreeing, counted


def too_many_rejects(
    rejects: list[Reject], summary: Summary, limit: RejectLimit, table: Table
) -> RejectsError:
    """Return the error, which says why rows were rejected, and how to go on."""
    return RejectsError(
        f"{counted(len(rejects), 'row', 'was')} rejected so far, and of "
        f"{counted(summary.rows - summary.dropped, 'row')} at most "
        f"{limit.rows(summary.rows - summary.dropped):,} ({limit}) may be:\n  "
        + "\n  ".join(reasons(rejects))
        + _where(rejects, table)
        + f"\nThose of the finished shards are in {summary.folder}/rejects.csv. Mend the files "
        "or give a higher --max-rejects, and the same command goes on from here: rejected "
        f"images are looked at again ({summary.looked_at:,} "
        f"{agreeing(summary.looked_at, 'was')} now). Another --root may need "
        "--overwrite, another --crop does"
    )


def _where(rejects: list[Reject], table: Table) -> str:
    """Say where files were looked for, if some are not there."""
    if table.has_images or not any(reject.reason.startswith(NO_FILE) for reject in rejects):
        return ""
    return f"\nRelative paths were looked for below {table.root} (--root names another folder)."
