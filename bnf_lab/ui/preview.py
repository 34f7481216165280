"""What a chat or a feed shows of a link to the lab: its own name, sentence and picture instead of gradio's.

Gradio (6.31) writes "Gradio", "Click to try out the app!" and a picture on its own site into every page, before what
`head=` could add. The start page is therefore changed on its way out. Remove this when `launch` takes these values.
This room must not know the lab.
"""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

from bnf_lab.core.paths import ASSETS
from bnf_lab.ui import words as common_words
from bnf_lab.ui.markup import fill, joined

PICTURE_PATH = "/preview.png"
PICTURE = ASSETS / "screenshots" / "watch.png"
_FOREIGN = re.compile(r'<meta\s[^>]*?(?:property|name)="(?:og|twitter):[^>]*>')


def serving() -> dict[str, Any]:
    """Returns what the web application needs for the preview, as FastAPI takes it: (class, values, named values)."""
    return {"middleware": [(LinkPreview, (), {})]}


def with_own_preview(page: str, root: str) -> str:
    """Returns an HTML page whose preview is the lab's.

    Args:
        page: The page as gradio made it.
        root: The lab's own address as the reader's browser knows it.
    """
    picture = root + PICTURE_PATH
    wanted = {
        "og:type": "website",
        "og:title": common_words.TITLE,
        "og:description": common_words.TAGLINE,
        "og:image": picture,
        "description": common_words.TAGLINE,
        "twitter:card": "summary_large_image",
        "twitter:title": common_words.TITLE,
        "twitter:description": common_words.TAGLINE,
        "twitter:image": picture,
    }
    own = joined(_meta(name, value) for name, value in wanted.items())
    return _FOREIGN.sub("", page).replace("<head>", f"<head>{own}", 1)


def _meta(name: str, value: str) -> Markup:
    kind = "property" if name.startswith("og:") else "name"
    return fill('<meta {}="{}" content="{}" />', kind, name, value)


class LinkPreview:
    """Changes the start page as it leaves and gives out the picture; everything else passes untouched and unread."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"] if scope["type"] == "http" and scope["method"] == "GET" else None
        if path == PICTURE_PATH:
            await _answer(send, 200, [(b"content-type", b"image/png")], PICTURE.read_bytes())
        elif path in ("", "/"):
            await self._app(scope, receive, _changing(send, _root(scope)))
        else:
            await self._app(scope, receive, send)


def _changing(send: Any, root: str) -> Any:
    """Returns what takes a page piece by piece and sends it on, changed, once it is whole."""
    start: dict[str, Any] = {}
    body = bytearray()

    async def take(message: Any) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
            return
        body.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        headers, page = dict(start["headers"]), bytes(body)
        if headers.get(b"content-type", b"").startswith(b"text/html"):
            page = with_own_preview(page.decode("utf-8"), root).encode("utf-8")
        await _answer(send, start["status"], start["headers"], page)

    return take


async def _answer(send: Any, status: int, headers: Any, body: bytes) -> None:
    kept = [(name, value) for name, value in headers if name != b"content-length"]
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*kept, length]})
    await send({"type": "http.response.body", "body": body})


def _root(scope: Any) -> str:
    """Returns the lab's address as the reader's browser knows it, also behind a proxy."""
    headers = {name: value.decode("latin-1").split(",")[0].strip() for name, value in scope["headers"]}
    host = headers.get(b"x-forwarded-host") or headers.get(b"host", "")
    scheme = headers.get(b"x-forwarded-proto") or scope["scheme"]
    return f"{scheme}://{host}{scope.get('root_path', '').rstrip('/')}"
