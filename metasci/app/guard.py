"""What stands before the app: only this machine, only this page, and no file is written for anybody.

A page of another site could otherwise reach an app on 127.0.0.1 through the visitor's own browser.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

__all__ = ["MOST_BYTES", "MOST_ROWS", "Guard"]

MOST_BYTES = 2 * 2**20  # of a table that is sent; an ordinary one within the limit below has far less
MOST_ROWS = 300  # what a browser edits without delay; the command line reads more

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_HOSTS = {"127.0.0.1", "localhost", "::1", "testserver"}
_HEADERS = (
    # the browser itself keeps the page from asking anything of anybody else; Shiny builds some handlers from text
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """An ASGI application around another one.

    Hosts other than this machine's and sockets opened by other pages are refused, and so are uploads by POST, which
    Shiny would write to the disk: the app's files come over the socket and stay in memory.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        if not _is_ours(headers) or scope.get("method", "GET") not in ("GET", "HEAD"):
            await _refuse(scope, receive, send)
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in _HEADERS}
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in names]
                message = {**message, "headers": [*kept, *_HEADERS]}
            await send(message)

        await self._app(scope, receive, with_headers)


def _is_ours(headers: dict[bytes, str]) -> bool:
    """Whether host and, where there is one, origin are this machine's, and one and the same."""
    host, origin = headers.get(b"host", ""), headers.get(b"origin")
    try:
        if urlsplit(f"//{host}").hostname not in _HOSTS:
            return False
        return origin is None or urlsplit(origin).netloc == host
    except ValueError:  # no address at all, such as '[x'
        return False


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
    await send(
        {"type": "http.response.body", "body": b"The app speaks with its own page on this machine only."}
    )
