"""dataset.json: the manifest, written last, so that a folder without it is not a dataset.

Parsing checks the file against itself (kinds, names, sums, the order of shards) and lists every
problem at once. Whether the shards are as it says is for the reader to check.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from shardio.cached_property import cached_property
from shardio.errors import ManifestError, OptionError
from shardio.format.encoding import RAW, Encoding
from shardio.format.fields import Fields, dump, load, refuse
from shardio.format.label import Label
from shardio.format.layout import RecordLayout
from shardio.format.naming import MANIFEST, ShardName
from shardio.format.transform import Transform
from shardio.grammar import counted

FORMAT = "shardio"
VERSION = 1
# Fields that say nothing of the records.
_BESIDE = ("metadata", "plan_sha256", "records")


@dataclass(frozen=True)
class ShardEntry:
    """What the manifest says of one shard.

    `first_crc` and `last_crc` are the masked CRCs at the end of its first and last record, None in
    an empty shard.
    """

    file: str
    split: str
    records: int
    bytes: int
    sha256: str
    first_crc: int | None
    last_crc: int | None


@dataclass(frozen=True)
class Versions:
    """The decoders that made the pixels; another version may give other pixels."""

    pillow: str
    libjpeg: str


@dataclass(frozen=True)
class Manifest:
    """All of dataset.json.

    `records` is the SHA-256 of records.parquet, None in sets that were made without one.
    """

    plan_sha256: str
    transform: Transform
    labels: tuple[Label, ...]
    seed: int
    versions: Versions
    rows_read: int
    rows_written: int
    rows_rejected: int
    shards: tuple[ShardEntry, ...]
    encoding: str = "raw"
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    records: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of every image."""
        return self.transform.shape

    @cached_property
    def layout(self) -> RecordLayout:
        """The layout of every record; of encoded images, that of their pixels."""
        height, width, channels = self.shape
        names = tuple(label.name for label in self.labels)
        return RecordLayout(
            height * width * channels, names, tuple(label.kind for label in self.labels)
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what the records are: which dataset this is, whatever is said about it."""
        fields = self._fields()
        return hashlib.sha256(dump({n: fields[n] for n in fields if n not in _BESIDE})).hexdigest()

    def to_json(self) -> bytes:
        """Return the bytes of dataset.json."""
        return dump(self._fields())

    def _fields(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            **({"metadata": dict(self.metadata)} if self.metadata else {}),
            "plan_sha256": self.plan_sha256,
            **({"records": self.records} if self.records else {}),
            "transform": self.transform.to_json(),
            "image": {
                "encoding": self.encoding,
                "shape": list(self.shape),
                "dtype": "uint8",
            },
            "labels": [label.to_json() for label in self.labels],
            "seed": self.seed,
            "versions": asdict(self.versions),
            "rows": {
                "read": self.rows_read,
                "written": self.rows_written,
                "rejected": self.rows_rejected,
            },
            # asdict would copy each value, which of 10,000 shards takes long.
            "shards": [dict(vars(shard)) for shard in self.shards],
        }

    @classmethod
    def from_json(cls, text: bytes, name: str = MANIFEST) -> Manifest:
        """Parse dataset.json; `name` stands in the error, which lists all problems."""
        top, problems = load(text, name)
        if top.text("format", (FORMAT,)) != FORMAT:
            raise ManifestError(f"{name} is not a shardio manifest: {problems[0]}")
        version = top.integer("version", 1)
        if version != VERSION:
            raise ManifestError(
                f"{name} has format version {version}; this shardio reads version {VERSION}"
            )
        metadata = top.texts_by_name("metadata") if top.has("metadata") else {}
        plan_sha256 = top.digest("plan_sha256")
        records = top.digest("records") if top.has("records") else None
        transform = Transform.from_fields(top.child("transform"), problems)
        image = top.child("image")
        encoding = image.text("encoding")
        try:
            if image.sound:
                Encoding(encoding)
        except OptionError:
            problems.append(
                "image.encoding must be raw, png, jpeg:1-100, webp:1-100 or webp:lossless, not "
                f"{encoding!r}"
            )
        shape = image.integers("shape", 3)
        image.text("dtype", ("uint8",))
        image.close()
        labels = tuple(Label.from_fields(fields) for fields in top.children("labels"))
        seed = top.integer("seed")
        versions_fields = top.child("versions")
        versions = Versions(versions_fields.text("pillow"), versions_fields.text("libjpeg"))
        versions_fields.close()
        rows = top.child("rows")
        read, written, rejected = (rows.integer(key) for key in ("read", "written", "rejected"))
        rows.close()
        shards = tuple(_shard(fields) for fields in top.children("shards"))
        top.close()
        refuse(problems, name)
        manifest = cls(
            plan_sha256,
            transform,
            labels,
            seed,
            versions,
            read,
            written,
            rejected,
            shards,
            encoding,
            metadata,
            records,
        )
        if shape != manifest.shape:
            problems.append(f"image.shape is {shape}, but transform.size gives {manifest.shape}")
        refuse(problems + list(_contradictions(manifest)), name)
        return manifest


def _shard(fields: Fields) -> ShardEntry:
    entry = ShardEntry(
        fields.text("file"),
        fields.text("split"),
        fields.integer("records"),
        fields.integer("bytes"),
        fields.digest("sha256"),
        fields.optional_crc("first_crc"),
        fields.optional_crc("last_crc"),
    )
    fields.close()
    return entry


def _contradictions(manifest: Manifest) -> list[str]:
    """Return what the manifest says against itself."""
    problems: list[str] = []
    stride: int | None = None
    try:
        raw = manifest.layout.stride
        stride = raw if manifest.encoding == RAW else None
    except OptionError as error:
        problems.append(f"labels: {error}")
    for label in manifest.labels:
        if label.vocabulary is not None and len(label.vocabulary) != label.classes:
            problems.append(
                f"label {label.name} has {counted(label.classes, 'class')}, but its vocabulary has "
                f"{len(label.vocabulary)}"
            )
    names: list[ShardName] = []
    for shard in manifest.shards:
        name = ShardName.parse(shard.file)
        if name is None or name.split != shard.split:
            problems.append(f"{shard.file!r} is not the name of a shard of split {shard.split!r}")
            continue
        names.append(name)
        if stride is not None and shard.bytes != shard.records * stride:
            problems.append(
                f"{shard.file} has {counted(shard.bytes, 'byte')}, but "
                f"{counted(shard.records, 'record')} of "
                f"{stride} bytes make {shard.records * stride}"
            )
        if (shard.first_crc is None) != (shard.records == 0) or (shard.last_crc is None) != (
            shard.records == 0
        ):
            problems.append(f"{shard.file}: CRCs must be there if and only if there are records")
    if names != sorted(set(names)):
        problems.append("shards are not in the order of split, then index, each once")
    else:
        counts: Counter[str] = Counter(name.split for name in names)
        for split, count in counts.items():
            said = {name.count for name in names if name.split == split}
            if said != {count}:
                problems.append(
                    f"split {split} lists {counted(count, 'shard')}, but their names say {said}"
                )
    written = sum(shard.records for shard in manifest.shards)
    if written != manifest.rows_written:
        problems.append(f"rows.written is {manifest.rows_written}, but shards hold {written}")
    if manifest.rows_written + manifest.rows_rejected != manifest.rows_read:
        problems.append(
            f"rows.read is {manifest.rows_read}, but {manifest.rows_written} were written and "
            f"{manifest.rows_rejected} rejected"
        )
    return problems
