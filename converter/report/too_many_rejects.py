"""The errors of a conversion that ends because too many rows were rejected, or all."""

from __future__ import annotations

from converter.options import RejectLimit
from converter.report.reasons import reasons
from converter.report.summary import Summary
from converter.table.paths.locations import NO_FILE
from converter.table.table import Table
from shardio.errors import RejectsError
from shardio.format.done import Reject
from shardio.grammar import agreeing, counted


def check_rejects(
    rejects: list[Reject], records: int, summary: Summary, limit: RejectLimit, table: Table
) -> None:
    """Raise RejectsError for more rejects than the limit allows, or if there is no record."""
    if len(rejects) > limit.rows(summary.rows - summary.dropped):
        raise _too_many(rejects, summary, limit, table)
    if rejects and not records:
        raise _no_records(rejects, summary, table)


def _too_many(
    rejects: list[Reject], summary: Summary, limit: RejectLimit, table: Table
) -> RejectsError:
    """Return the error, which says why rows were rejected, and how to go on."""
    seen = summary.looked_at
    looked_at = f" ({seen:,} {agreeing(seen, 'was')} now)" if seen else ""
    return RejectsError(
        f"{counted(len(rejects), 'row', 'was')} rejected so far, and --max-rejects {limit} allows "
        f"{limit.rows(summary.rows - summary.dropped):,} of "
        f"{counted(summary.rows - summary.dropped, 'row')}:\n  "
        + "\n  ".join(reasons(rejects))
        + _where(rejects, table)
        + f"\nThose of the finished shards are in {summary.folder}/rejects.csv. Mend the files "
        "or give a higher --max-rejects, and the same command goes on from here: it opens "
        f"rejected images again{looked_at}. Another --root may need --overwrite, another --crop "
        "does"
    )


def _no_records(rejects: list[Reject], summary: Summary, table: Table) -> RejectsError:
    return RejectsError(
        f"none of the {counted(len(rejects), 'image')} can be used, and a set without a record is "
        "none, whatever --max-rejects allows:\n  "
        + "\n  ".join(reasons(rejects))
        + _where(rejects, table)
        + f"\nAll of them are in {summary.folder}/rejects.csv. Mend the files, or give --root, "
        "--crop or whatever the reasons name, with --overwrite where that is another one"
    )


def _where(rejects: list[Reject], table: Table) -> str:
    """Say where files were looked for, if some are not there."""
    if table.has_images or not any(reject.reason.startswith(NO_FILE) for reject in rejects):
        return ""
    return f"\nRelative paths were looked for below {table.root} (--root names another folder)."
