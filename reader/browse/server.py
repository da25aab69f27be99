"""A server of the site: bound to an address of this machine, until it is told to end."""

from __future__ import annotations

import ipaddress
import secrets
import socket

from reader.browse.app import App, check_werkzeug
from reader.browse.site import Site
from shardio.errors import OptionError

LOOPBACK = "127.0.0.1"


class Server:
    """Serves a site at `host` and `port`; elsewhere than at the loopback it wants a token.

    Port 0 takes any that is free. Raises OptionError where the address cannot be taken, and
    MissingExtraError without werkzeug.
    """

    def __init__(self, site: Site, host: str, port: int) -> None:
        check_werkzeug()
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            """Says nothing of each request, nor what serves it."""

            server_version, sys_version = "shardio", ""

            def log(self, kind: str, message: str, *values: object) -> None:
                """Leave it out."""

        bound = _bound(host, port)
        self._host, self._port = host, bound.getsockname()[1]
        self._token = None if _is_loopback(host) else secrets.token_urlsafe(24)
        app = App(site, _names(host), self._token, f"shardio-{self._port}")
        self._server = make_server(
            host, self._port, app, threaded=True, request_handler=Quiet, fd=bound.fileno()
        )
        # The server has a descriptor of its own.
        bound.close()

    @property
    def address(self) -> str:
        """Where the pages are, with the token."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        if self._host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        end = "" if self._token is None else f"?token={self._token}"
        return f"http://{host}:{self._port}/{end}"

    def run(self) -> None:
        """Serve until another thread closes it, or a signal comes."""
        self._server.serve_forever()

    def close(self) -> None:
        """End, from another thread."""
        self._server.shutdown()


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise OptionError(f"--host {host}: {error.strerror}") from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except OSError as error:
        found.close()
        raise OptionError(
            f"{host}, port {port} cannot be taken ({error.strerror}): give another --port, or "
            "--port 0 for any that is free"
        ) from error
    return found


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _names(host: str) -> frozenset[str] | None:
    """Return the names by which the server may be asked; None for all, where the token decides."""
    if not _is_loopback(host):
        return None
    return frozenset({"localhost", LOOPBACK, "::1", host})
