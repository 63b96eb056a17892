"""Opens WebSockets. Written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from websockets.sync.client import connect as over_tcp
from websockets.sync.client import unix_connect as over_unix

from ctrlz._websocket import options

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping


def connect(url: str, *, unix: str | None, headers: Mapping[str, str], verify: bool | ssl.SSLContext) -> Any:
    """Opens one; nothing of it goes through a proxy of the environment."""
    words = options(url, headers, verify)
    if unix is not None:
        return over_unix(unix, url, **words).__enter__()
    return over_tcp(url, proxy=None, **words).__enter__()
