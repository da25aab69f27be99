"""The site over HTTP: what is answered to whom. Nothing of a request ever is a path of a file.

- Only GET and HEAD; there is nothing that could be changed.
- The name of the host must be one that the server was started for: the page of a stranger, whose
  name leads to this machine (DNS rebinding), gets nothing. The port is not compared, so that
  tunnels work.
- With a token each request needs it, in a cookie that the first address sets.
- Browsers run our script alone, load nothing from elsewhere, and show the pages in no frame.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reader.browse.query import Query
from reader.browse.site import Site
from reader.look.page import FOLDER
from shardio.errors import MissingExtraError, OptionError, ShardioError

if TYPE_CHECKING:
    from werkzeug import Request, Response

_POLICY = (
    "default-src 'none'; img-src data:; style-src 'self'; script-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_ASSETS = {
    "/page.css": (FOLDER / "page.css", "text/css"),
    "/browse.css": (FOLDER.parent / "browse" / "browse.css", "text/css"),
    "/browse.js": (FOLDER.parent / "browse" / "browse.js", "text/javascript"),
}
_TOKEN = "token"


class App:
    """A WSGI application that shows a site.

    `hosts` are the names by which it may be asked, None for any. Raises MissingExtraError without
    werkzeug.
    """

    def __init__(
        self, site: Site, hosts: frozenset[str] | None, token: str | None, cookie: str = "shardio"
    ) -> None:
        check_werkzeug()
        self._site = site
        self._hosts = hosts
        self._token = token
        self._cookie = cookie

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request."""
        from werkzeug import Request

        response = self._answer(Request(environ))
        for name, value in _HEADERS.items():
            response.headers[name] = value
        response.headers.setdefault("Content-Security-Policy", _POLICY)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if not self._is_for_us(request):
            return _plain("This name is not that of the server.\n", 421)
        if request.method not in ("GET", "HEAD"):
            answer = _plain("Nothing can be changed here.\n", 405)
            answer.headers["Allow"] = "GET, HEAD"
            return answer
        if self._token is not None:
            given = request.args.get(_TOKEN)
            if given is not None and _same(given, self._token):
                return self._welcome(request)
            if not _same(request.cookies.get(self._cookie, ""), self._token):
                return _plain("Open the address that shardio-read browse has printed.\n", 403)
        try:
            return self._page(request)
        except ShardioError as error:
            return _html(*self._site.problem(500, str(error)))

    def _page(self, request: Request) -> Response:
        path = request.path
        if path in _ASSETS:
            file, kind = _ASSETS[path]
            return _response(file.read_text("utf-8"), 200, kind)
        if path == "/report":
            answer = _html(*self._site.report())
            if answer.status_code == 200:
                # The page has a script and a style in it, and says which.
                answer.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
            return answer
        try:
            query = Query.of(request.args.to_dict(flat=False))
        except OptionError as error:
            return _html(*self._site.problem(400, str(error)))
        if path == "/":
            return _html(*self._site.records(query))
        folder, _, number = path[1:].partition("/")
        if folder == "record" and number.isascii() and number.isdigit() and len(number) < 16:
            return _html(*self._site.record(int(number), query))
        return _html(*self._site.problem(404, "There is no such page."))

    def _is_for_us(self, request: Request) -> bool:
        if self._hosts is None:
            return True
        try:
            name = urlsplit(f"//{request.environ.get('HTTP_HOST', '')}").hostname
        except ValueError:
            return False
        return name is not None and name.rstrip(".").lower() in self._hosts

    def _welcome(self, request: Request) -> Response:
        """Keep the token in a cookie, and leave it out of the address."""
        from werkzeug.utils import redirect

        assert self._token is not None
        answer = redirect("/", 303)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="Lax")
        return answer


def check_werkzeug() -> None:
    """Raise MissingExtraError without werkzeug."""
    try:
        import werkzeug  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "a set is shown in a browser by werkzeug: it comes with shardio's extra [browse]"
        ) from error


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _response(body: str, status: int, kind: str) -> Response:
    from werkzeug import Response

    data = body.encode("utf-8", "replace")
    return Response(data, status=status, content_type=f"{kind}; charset=utf-8")


def _plain(words: str, status: int) -> Response:
    return _response(words, status, "text/plain")


def _html(status: int, body: str) -> Response:
    return _response(body, status, "text/html")
