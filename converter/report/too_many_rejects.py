"""The error of a conversion that ends because too many rows were rejected."""

from __future__ import annotations

from converter.options import RejectLimit
from converter.report.summary import Summary, reasons
from shardio.errors import RejectsError
from shardio.format.done import Reject


def too_many_rejects(rejects: list[Reject], summary: Summary, limit: RejectLimit) -> RejectsError:
    """Return the error, which says why rows were rejected, and how to go on."""
    return RejectsError(
        f"{len(rejects):,} rows were rejected so far, and of {summary.rows:,} rows at most "
        f"{limit.rows(summary.rows):,} ({limit}) may be:\n  "
        + "\n  ".join(reasons(rejects))
        + f"\nThose of the finished shards are in {summary.folder}/rejects.csv. Mend the files "
        "or give a higher --max-rejects, and the same command goes on from here: rejected "
        f"images are looked at again ({summary.looked_at:,} were now). Another --root may need "
        "--overwrite, another --crop does"
    )
