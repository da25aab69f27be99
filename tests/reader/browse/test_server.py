"""`shardio-read browse` over HTTP: who gets what, and nothing of a set is ever markup."""

from __future__ import annotations

import http.client
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from reader.commands.cli import main
from tests.reader.browse.sites import hostile_set, served
from tests.reader.datasets import write_dataset
from tests.reader.look.test_report import Elements

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_set(tmp_path_factory.mktemp("browse"))


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(folder, cache=folder.parent / "cache") as found:
        yield found


def ask(
    address: str, path: str = "/", method: str = "GET", **headers: str | None
) -> tuple[int, dict[str, str], str]:
    """Send a request as it is written; returns status, headers and body."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


PAGES = ["/", "/?text=script", "/?label=y0&value=8&sort=rarest", "/record/7", "/record/7?text=a"]


@pytest.mark.parametrize("path", PAGES)
def test_nothing_of_a_set_is_markup(address: str, path: str) -> None:
    status, _, html = ask(address, path)
    assert status == 200
    elements = Elements(html).found
    tags = [tag for tag, _ in elements]
    assert (tags.count("script"), tags.count("style"), tags.count("base")) == (1, 0, 0)
    assert not any(name.startswith("on") for _, given in elements for name in given)
    assert not {"\x1b", "\x07", "\u202e"}.intersection(html)
    assert html.count("&lt;script&gt;document.title") > 1
    for tag, given in elements:
        for name in ("src", "href", "action"):
            value = given.get(name) or "/"
            assert value.startswith(("/", "data:image/", "data:,", "#")), (tag, value)
            assert not value.startswith("//")


@pytest.mark.parametrize(
    "path",
    [
        "/?text=%3Cscript%3Ealert(1)%3C/script%3E",
        "/?split=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E",
        "/?label=y0&value=%22%3E%3Cscript%3E",
        "/?character=%3Cscript%3E&sort=%3Cb%3E",
        "/?row=%3Cscript%3E",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
    ],
)
def test_nothing_of_an_address_is_markup(address: str, path: str) -> None:
    _, _, html = ask(address, path)
    elements = Elements(html).found
    assert [tag for tag, _ in elements].count("script") == 1
    assert not any(name.startswith("on") for _, given in elements for name in given)


def test_browsers_are_told_to_load_nothing(address: str) -> None:
    for path in (*PAGES, "/browse.js", "/report", "/none", "/?sort=x"):
        _, headers, _ = ask(address, path)
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
        if path != "/report":
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "unsafe" not in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/page.css/../page.py",
        "/record/../page.py",
        "/record/-1",
        "/record/1e3",
        "/record/٣",
        "/record/999999999999999999999",
        "/record/131",
        "/dataset.json",
        "/record/7/..",
        "/page.css%00",
    ],
)
def test_a_path_is_never_that_of_a_file(address: str, path: str) -> None:
    status, _, body = ask(address, path.replace("٣", "%D9%A3"))
    assert status == 404
    assert "root:" not in body


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "localhost."])
def test_this_machine_is_served_through_tunnels_too(address: str, host: str) -> None:
    for port in ("", ":1", f":{urlsplit(address).port}"):
        assert ask(address, Host=host + port)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.nip.io", ""),
        *(None, "0.0.0.0", "[::1", "localhost@evil.example", "evil.example/localhost", "x:y:z"),
    ],
)
def test_the_name_of_a_stranger_gets_nothing(address: str, host: str | None) -> None:
    for path in ("/", "/browse.js", "/record/1"):
        status, _, body = ask(address, path, Host=host)
        assert status in (400, 421)
        assert "record" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(address: str, method: str) -> None:
    assert ask(address, method=method)[0] == 405


def test_a_set_that_was_shown_is_the_same(address: str, folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for path in (*PAGES, "/report", "/?sort=dark"):
        assert ask(address, path)[0] == 200
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_elsewhere_a_token_is_wanted(folder: Path) -> None:
    with served(folder, "--host", "0.0.0.0", cache=folder.parent / "cache") as address:
        whole = urlsplit(address)
        here = f"http://127.0.0.1:{whole.port}/"
        for path in ("/", "/browse.js", "/report", "/?token=", "/?token=x", "/record/1?token=é"):
            status, _, body = ask(here, path.replace("é", "%E9"))
            assert (status, "record" in body) == (403, False)
        status, headers, _ = ask(here, f"/?{whole.query}")
        assert (status, headers["Location"]) == (303, "/")
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert ask(here, Cookie=cookie.partition(";")[0])[0] == 200
        assert ask(here, Cookie=cookie.partition("=")[0] + "=x")[0] == 403
        # The name of this machine is whatever its network says.
        assert ask(here, Cookie=cookie.partition(";")[0], Host="lab.example")[0] == 200


def test_the_report_is_the_same_page(address: str) -> None:
    status, _, html = ask(address, "/report")
    assert status == 200
    assert "Worth a look" in html
    assert re.search(r"<h1>[^<]*&lt;script&gt;", html)


def test_a_port_that_is_taken_is_said(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as caught:
            main(["browse", str(made.folder), "--port", str(port)])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert f"port {port} cannot be taken (Address already in use): give another --port" in said
    assert said.count("\n") == 1
    with pytest.raises(SystemExit):
        main(["browse", str(made.folder), "--host", "999.1.1.1"])
    assert "--host 999.1.1.1: " in capsys.readouterr().err


def test_what_cannot_be_shown_is_a_line(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = write_dataset(tmp_path / "empty", (0, 0))
    assert main(["browse", str(empty.folder)]) == 1
    assert "no records to show" in capsys.readouterr().err
    made = write_dataset(tmp_path / "set")
    monkeypatch.setitem(sys.modules, "werkzeug", None)
    assert main(["browse", str(made.folder)]) == 1
    assert "extra [browse]" in capsys.readouterr().err
