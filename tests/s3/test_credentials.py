"""Keys are refused in URLs, and stand in nothing that is written, wherever they come from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from shardio.errors import LoginError, UnknownStorageError
from shardio.storage import storage_for
from shardio.storage.remote_call import translate
from tests.hdfs.local_set import LocalSet
from tests.reader.mounts import ROOT
from tests.s3.place import BUCKET, S3Place
from tests.s3.server import KEY, SECRET, S3Server, environment

pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def strict(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that knows no keys at all."""
    server = S3Server(tmp_path_factory.mktemp("strict"), {"INITIAL_NO_AUTH_ACTION_COUNT": "0"})
    yield server
    server.stop()


def run(settings: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**clean, **settings},
    )


def says_nothing(*texts: str | bytes) -> None:
    for text in texts:
        data = text if isinstance(text, bytes) else text.encode()
        for secret in (KEY, SECRET, quote(SECRET), quote(SECRET, safe="")):
            assert secret.encode() not in data


def settings_of(source: str, url: str, folder: Path) -> dict[str, str]:
    """Give the keys in one of the usual ways."""
    plain = environment(url)
    without = {name: plain[name] for name in plain if "KEY" not in name}
    if source == "environment":
        return plain
    if source == "fsspec":
        return {**without, "FSSPEC_S3_KEY": KEY, "FSSPEC_S3_SECRET": SECRET}
    (folder / "config").write_text(
        f"[profile mine]\nendpoint_url = {url}\nregion = us-east-1\n"
        f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    )
    del without["AWS_ENDPOINT_URL"]
    return {**without, "AWS_CONFIG_FILE": str(folder / "config"), "AWS_PROFILE": "mine"}


@pytest.mark.parametrize("source", ["environment", "fsspec", "profile"])
def test_no_file_and_no_line_has_the_keys(
    s3: S3Server, place: S3Place, small: LocalSet, tmp_path: Path, source: str
) -> None:
    settings = settings_of(source, s3.url, tmp_path)
    done = run(settings, "converter", small.table, place.folder, "--size", "9x9", "--crop", "none")
    assert done.returncode == 0, done.stderr
    seen = run(settings, "reader", "info", "--json", place.folder)
    assert seen.returncode == 0, seen.stderr
    assert "dataset.json" in place.names()
    says_nothing(done.stdout, done.stderr, seen.stdout, seen.stderr)
    says_nothing(*(place.read(name) for name in place.names()))


def test_wrong_keys_are_an_error_at_once_that_does_not_have_them(
    strict: S3Server, small: LocalSet, tmp_path: Path
) -> None:
    settings = environment(strict.url)
    out = f"s3://{BUCKET}/out"
    for arguments in (
        ("converter", small.table, out, "--size", "9x9", "--crop", "none"),
        ("reader", "info", out),
        ("reader", "stage", out, tmp_path / "disk"),
    ):
        done = run(settings, *arguments)
        assert done.returncode in (1, 2)
        assert "are the keys right" in done.stderr or "the login is refused" in done.stderr
        assert "Traceback" not in done.stderr
        says_nothing(done.stdout, done.stderr)


def test_no_keys_are_an_error_that_says_so(s3: S3Server, tmp_path: Path) -> None:
    plain = environment(s3.url)
    without = {name: plain[name] for name in plain if "KEY" not in name}
    done = run(without, "reader", "info", f"s3://{BUCKET}/stored")
    assert done.returncode == 1
    assert "the login is refused: Unable to locate credentials" in done.stderr


@pytest.mark.parametrize("where", ["output", "table", "root", "image", "reader"])
def test_keys_in_a_url_are_refused_and_not_repeated(
    s3: S3Server, small: LocalSet, tmp_path: Path, where: str
) -> None:
    url = f"s3://{KEY}:{quote(SECRET, safe='')}@{BUCKET}/stored"
    out = tmp_path / "out"
    table = tmp_path / "t.csv"
    table.write_text(f"path,y0\n{url}/a.png,1\n" if where == "image" else "path,y0\na.png,1\n")
    usual = ("--size", "9x9", "--crop", "none")
    arguments: tuple[object, ...] = {
        "output": ("converter", small.table, url, *usual),
        "table": ("converter", f"{url}/t.csv", out, *usual),
        "root": ("converter", table, out, "--root", url, *usual),
        "image": ("converter", table, out, *usual),
        "reader": ("reader", "info", f"{url}/train-*.tfrecord"),
    }[where]
    done = run(environment(s3.url), *arguments)
    assert done.returncode in (1, 2)
    assert "AWS_ACCESS_KEY_ID" in done.stderr
    says_nothing(done.stdout, done.stderr)
    says_nothing(*(path.read_bytes() for path in out.rglob("*") if path.is_file()))


def test_keys_in_a_url_are_refused_by_the_storage_itself() -> None:
    for keys in (f"{KEY}:{SECRET}@", f"{KEY}:{quote(SECRET, safe='')}@", f"{KEY}@"):
        with pytest.raises(UnknownStorageError) as caught:
            storage_for(f"s3://{keys}bucket/a")
        says_nothing(str(caught.value), repr(caught.value))
    storage_for("s3://arn:aws:s3:us-east-1:123456789012:accesspoint/name/a")


@pytest.mark.parametrize(
    ("code", "status"), [("ExpiredToken", 400), ("InvalidAccessKeyId", 403), ("X", 401)]
)
def test_what_servers_say_of_a_login_is_one_error(code: str, status: int) -> None:
    error = OSError("denied")
    cause = Exception()
    cause.response = {  # type: ignore[attr-defined]
        "Error": {"Code": code, "Message": "denied"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    error.__cause__ = cause
    assert isinstance(translate(error, "s3://a/b"), LoginError)
