"""Where every row of each split has gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shardio.errors import FormatError
from shardio.format.done import DoneRecord
from shardio.format.manifest import Manifest
from shardio.format.naming import ShardName
from shardio.format.plan import PlannedSplit
from shardio.grammar import counted


@dataclass
class SplitAccount:
    """The rows of a split: read, written and rejected."""

    split: str
    read: int
    written: int = 0
    rejected: int = 0


def accounts_of(
    splits: Sequence[PlannedSplit], finished: Mapping[ShardName, DoneRecord]
) -> list[SplitAccount]:
    """Return the account of each split; FormatError where one does not add up."""
    accounts = {split.split: SplitAccount(split.split, split.rows) for split in splits}
    shards = dict.fromkeys(accounts, 0)
    for name, done in finished.items():
        account = accounts[name.split]
        account.written += done.records
        account.rejected += len(done.rejects)
        shards[name.split] += 1
    for split in splits:
        account = accounts[split.split]
        if account.written + account.rejected != account.read or shards[split.split] < split.shards:
            raise FormatError(
                f"split {split.split}: {counted(account.read, 'row', 'was')} read, but "
                f"{account.written} "
                f"written and {account.rejected} rejected, in {shards[split.split]} of "
                f"{counted(split.shards, 'shard')}; start again with --overwrite"
            )
    return list(accounts.values())


def accounts_in(splits: Sequence[PlannedSplit], manifest: Manifest) -> list[SplitAccount]:
    """Return the accounts of a finished set."""
    accounts = []
    for split in splits:
        written = sum(shard.records for shard in manifest.shards if shard.split == split.split)
        accounts.append(SplitAccount(split.split, split.rows, written, split.rows - written))
    return accounts
