"""How a WebSocket is opened, for both clients."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from ._request import CONNECT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Mapping


def options(url: str, headers: Mapping[str, str], verify: bool | ssl.SSLContext) -> dict[str, Any]:
    """What both kinds of connections take."""
    found: dict[str, Any] = {
        "additional_headers": dict(headers),
        "compression": None,
        "max_size": None,
        "open_timeout": CONNECT_TIMEOUT,
    }
    if url.startswith("wss:"):
        context = verify if isinstance(verify, ssl.SSLContext) else ssl.create_default_context()
        if verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        found["ssl"] = context
    return found
