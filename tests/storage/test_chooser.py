"""Which storage a path belongs to, and how names are joined to a folder."""

from __future__ import annotations

import pickle

import pytest

from shardio.errors import MissingExtraError, ShardioError, StorageError, UnknownStorageError
from shardio.storage import storage_for
from shardio.storage.local import LocalStorage
from shardio.storage.paths import join, scheme_of
from shardio.storage.remote import FsspecStorage


@pytest.mark.parametrize(
    ("path", "scheme"),
    [
        ("/data/a", None),
        ("a", None),
        ("", None),
        ("a:b", None),
        ("a/b://c", None),
        ("memory://a", "memory"),
        ("S3://bucket/a", "s3"),
        ("gs://bucket", "gs"),
        ("abfs+x.y-z://a", "abfs+x.y-z"),
        ("1a://b", None),
    ],
)
def test_a_scheme_is_what_stands_before_two_slashes(path: str, scheme: str | None) -> None:
    assert scheme_of(path) == scheme
    expected = LocalStorage if scheme is None else FsspecStorage
    assert isinstance(storage_for(path), expected)


@pytest.mark.parametrize("scheme", ["ftp", "sftp", "ssh", "smb", "https", "FTP"])
@pytest.mark.parametrize("login", ["me:secret@", "me:se%2Fcret@", ":secret@", "me:secret"])
def test_passwords_are_refused_and_not_repeated(scheme: str, login: str) -> None:
    """Also one with a slash in it, of which a part is left."""
    with pytest.raises(UnknownStorageError, match=f"FSSPEC_{scheme.upper()}") as caught:
        storage_for(f"{scheme}://{login}{'host' if '@' in login else ''}/secret/a.png")
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["ftp://me@host/a", "ftp://host:21/a", "http://[::1]:80/a", "http://[::1]/a", "memory://a:b/c",
     "github://org:name@branch/a", "sftp://me@host:22/a", "abfs://box@account.net/a"],
)  # fmt: skip
def test_names_and_ports_are_no_passwords(url: str) -> None:
    assert isinstance(storage_for(url), FsspecStorage)


@pytest.mark.parametrize(
    ("folder", "joined"),
    [
        ("", "a/b"),
        (".", "./a/b"),
        ("/", "/a/b"),
        ("x", "x/a/b"),
        ("x/", "x/a/b"),
        ("/x//", "/x/a/b"),
        ("memory://", "memory://a/b"),
        ("memory://x", "memory://x/a/b"),
        ("memory://x/", "memory://x/a/b"),
        ("hdfs:///", "hdfs:///a/b"),
        ("hdfs:///x/", "hdfs:///x/a/b"),
        ("hdfs://host:8020/x", "hdfs://host:8020/x/a/b"),
    ],
)
def test_names_are_joined_below_the_folder(folder: str, joined: str) -> None:
    assert join(folder, "a", "b") == joined


def test_the_root_of_a_storage_is_a_folder() -> None:
    storage = storage_for("memory://")
    path = "memory://a-file-of-the-root"
    try:
        with storage.publish(path, attempt="1") as file:
            file.write(b"abc")
        assert path in [info.path for info in storage.list("memory://")]
        assert storage.stat(path).size == 3
    finally:
        storage.delete(path)
    assert path not in [info.path for info in storage.list("memory://")]


def publish(path: str) -> None:
    with storage_for(path).publish(path, attempt="1"):
        pass


@pytest.mark.parametrize("path", ["nonsense://a/b", "sftp://a/b"])
def test_a_storage_that_cannot_be_had_is_an_error_of_ours(path: str) -> None:
    storage = storage_for(path)
    pickle.dumps(storage)
    for action in (
        storage.list,
        storage.stat,
        storage.open_stream,
        storage.open_ranges,
        storage.delete,
        publish,
    ):
        with pytest.raises(ShardioError) as caught:
            action(path)
        assert isinstance(caught.value, StorageError | MissingExtraError)
