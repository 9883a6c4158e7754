"""Who may ask the local page: the page itself, and nobody that a browser lets speak in its name.

A web site that is open beside the page can send requests to it, by its address or by a name that it makes lead there.
Such requests carry a foreign `Host`, `Origin` or `Sec-Fetch-Site`, which scripts cannot forge. In: an ASGI application.
Out: one that refuses them, and counts what is uploaded. Fetch metadata: W3C, 2021; `Origin`: RFC 6454.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from threading import Lock
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OURS = ("127.0.0.1", "localhost", "[::1]")
UPLOAD = "/upload"
HEADERS = (
    (b"content-security-policy", b"frame-ancestors 'none'"),  # nobody's frame around our buttons
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Uploads:
    """How often each file was uploaded and not used yet: equal files lie in one place."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()
        self._lock = Lock()

    def came(self, paths: list[str]) -> None:
        """Files that were uploaded."""
        with self._lock:
            self._waiting.update(paths)

    def used(self, path: str) -> None:
        """Delete a file once nobody else waits to use it."""
        with self._lock:
            self._waiting[path] -= 1
            if self._waiting[path] <= 0:
                del self._waiting[path]
                with contextlib.suppress(OSError):
                    Path(path).unlink()
                    Path(path).parent.rmdir()


class Guard:
    """Refuse requests of strangers.

    Args:
        app: what answers the others.
        uploads: told of every file that comes.
    """

    def __init__(self, app: App, uploads: Uploads) -> None:
        self.app = app
        self.uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        if reason := strange(scope):
            return await _refuse(scope, receive, send, reason)
        answer = bytearray()
        is_upload = scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith(UPLOAD)

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            elif message["type"] == "http.response.body" and is_upload:
                answer.extend(message.get("body", b""))
                if not message.get("more_body"):
                    with contextlib.suppress(ValueError):  # an error in words
                        self.uploads.came(list(json.loads(bytes(answer))))
            await send(message)

        return await self.app(scope, receive, watched)


def strange(scope: Scope) -> str:
    """Why a request does not come from the page itself, empty where it does."""
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    hosts = headers.get("host", [])
    if len(hosts) != 1 or not _is_ours(hosts[0], scope.get("server")):
        return f"Host {', '.join(hosts)[:80]!r} is not this page"
    for origin in headers.get("origin", ()):
        if origin.lower() not in (f"http://{hosts[0].lower()}", f"https://{hosts[0].lower()}"):
            return f"Origin {origin[:80]!r} is not this page"
    site = headers.get("sec-fetch-site", ["none"])[-1]
    is_link = scope.get("method") == "GET" and scope["path"] == "/" and headers.get("sec-fetch-dest") == ["document"]
    if site not in ("same-origin", "none") and not is_link:  # a link to the page may be followed
        return "another site asks"
    return ""


def _is_ours(host: str, server: tuple[str, int | None] | None) -> bool:
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name, port = host, "80"
    return name.lower() in OURS and (server is None or server[1] is None or port == str(server[1]))


async def _refuse(scope: Scope, receive: Receive, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    text = f"refused: {reason}\n".encode("ascii", "replace")
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": text})
