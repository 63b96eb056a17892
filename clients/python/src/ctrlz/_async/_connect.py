"""Opens WebSockets. The synchronous twin is written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect as over_tcp
from websockets.asyncio.client import unix_connect as over_unix

from ctrlz._websocket import options

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping


class _Direct(over_tcp):
    """Goes where it is told alone: a service sends nobody elsewhere, and the token is for no other.

    Before version 17 the library took the token along to whichever server an answer named.
    """

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def connect(
    url: str, *, unix: str | None, headers: Mapping[str, str], verify: bool | ssl.SSLContext
) -> Any:
    """Opens one; nothing of it goes through a proxy of the environment."""
    words = options(url, headers, verify)
    if unix is not None:
        return await over_unix(unix, url, **words)
    return await _Direct(url, proxy=None, **words)
