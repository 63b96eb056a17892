"""Requests and when to send them again, without any input or output: both clients share this."""

from __future__ import annotations

import json
import os
import random
import socket
import ssl
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from ._errors import APIError, ConfigurationError, Conflict, ProtocolError, error_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import httpx

DEFAULT_SERVER = "http://127.0.0.1:7070"
CONNECT_TIMEOUT = 5.0
"""How long a connection may take to be made."""
READ_TIMEOUT = 60.0
"""How long an answer may take that waits for nothing."""
STREAM_TIMEOUT = 60.0
"""How long a stream may be silent: the service sends something every 15 seconds."""
_FIRST_DELAY = 0.2
_LONGEST_DELAY = 5.0


@dataclass(frozen=True)
class Server:
    """Where a service is."""

    base_url: str
    socket: str | None
    """Of a Unix socket, its path."""

    @classmethod
    def parse(cls, text: str) -> Server:
        """From ``http://``, ``https://`` or ``unix://``."""
        parts = urlsplit(text)
        if parts.scheme == "unix":
            path = text[len("unix://") :]
            if not path.startswith("/"):
                raise ConfigurationError(f"`{text}`: unix:// is followed by an absolute path")
            return cls("http://localhost", path)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigurationError(
                f"`{text}` is no address of a service: http://HOST:PORT, https://HOST or unix:///PATH"
            )
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ConfigurationError("a service's address has no query, fragment or user")
        return cls(text.rstrip("/"), None)


def configured(server: str | None, token: str | None) -> tuple[Server, str | None]:
    """What was said, else what the environment says."""
    server = server or os.environ.get("CTRLZ_SERVER") or DEFAULT_SERVER
    token = token or os.environ.get("CTRLZ_TOKEN") or None
    file = os.environ.get("CTRLZ_TOKEN_FILE")
    if token is None and file:
        try:
            token = Path(file).expanduser().read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"CTRLZ_TOKEN_FILE: {error}") from error
    if token is not None:
        token = token.strip()
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigurationError("the token has characters that no token has")
    return Server.parse(server), token


def trust(*, verify: bool | ssl.SSLContext) -> bool | ssl.SSLContext:
    """Whom to trust, and with which certificate to come: what was said, else what the environment says."""
    names = ("CTRLZ_SERVER_CA", "CTRLZ_SERVER_CERT", "CTRLZ_SERVER_KEY")
    authorities, certificate, key = (os.environ.get(name) or None for name in names)
    if verify is not True or not (authorities or certificate):
        return verify
    try:
        context = ssl.create_default_context(cafile=authorities)
        if certificate:
            context.load_cert_chain(certificate, key)
    except OSError as error:
        raise ConfigurationError(f"CTRLZ_SERVER_CA, CTRLZ_SERVER_CERT, CTRLZ_SERVER_KEY: {error}") from error
    return context


def socket_options() -> list[tuple[int, int, int]]:
    """Keeps a connection that waits for a long command from being dead without notice."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        number = getattr(socket, name, None)
        if number is not None:
            options.append((socket.IPPROTO_TCP, number, value))
    return options


def segment(name: str) -> str:
    """A name as one part of a path."""
    if name in ("", ".", ".."):
        raise ConfigurationError(f"`{name}` is no name")
    try:
        return quote(name, safe="")
    except UnicodeEncodeError:
        raise ConfigurationError(f"{name!r} is not UTF-8 and cannot be sent") from None


def id_of(thing: str | Any) -> str:
    """The id of an object, or the id itself."""
    return thing if isinstance(thing, str) else str(thing.id)


@dataclass(frozen=True)
class Request:
    """One call."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    waits: bool = False
    """Whether the answer may come as late as a command ends."""

    @property
    def repeatable(self) -> bool:
        """Whether to carry it out twice is as good as once."""
        return self.method == "GET" or "Idempotency-Key" in self.headers


def get(
    path: str,
    fields: Mapping[str, Any] | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    **params: Any,
) -> Request:
    """A question."""
    return Request("GET", path, _query({**(fields or {}), **params}), headers=headers or {})


def file_query(
    paths: Mapping[str, str] | None = None, *, mode: int | None = None, **fields: str | bool
) -> str:
    """A query about files: paths are any bytes, written as surrogates where they are not UTF-8."""
    parts = [] if mode is None else [f"mode={mode:04o}"]
    for name, value in {**(paths or {}), **fields}.items():
        if isinstance(value, str):
            if not value or "\0" in value:
                raise ConfigurationError(f"{value!r} is no path")
            parts.append(f"{name}={quote(value, safe='/', errors='surrogateescape')}")
        elif value:
            parts.append(f"{name}=true")
    return "&".join(parts)


def post(path: str, body: Any = None, *, keyed: bool = True, waits: bool = True, **params: Any) -> Request:
    """An order, with a key by which it is carried out once however often it is sent."""
    headers = {}
    content = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        content = _encoded(body)
    if keyed:
        headers["Idempotency-Key"] = str(uuid.uuid4())
    return Request("POST", path, _query(params), content, headers, waits)


def put(path: str, content: bytes | Any, headers: Mapping[str, str]) -> Request:
    """A value to be written: bytes as they are, anything else as JSON."""
    if isinstance(content, bytes):
        headers = {"Content-Type": "application/octet-stream", **headers}
    else:
        headers = {"Content-Type": "application/json", **headers}
        content = _encoded(content)
    return Request("PUT", path, content=content, headers=headers, waits=True)


def delete(path: str, *, headers: Mapping[str, str] | None = None, **params: Any) -> Request:
    """Something to be removed."""
    return Request("DELETE", path, _query(params), headers=headers or {}, waits=True)


def with_headers(request: Request, **headers: str) -> Request:
    """The same with more headers; ``_`` stands for ``-``."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    merged = {**request.headers, **more}
    return Request(request.method, request.path, request.params, request.content, merged, request.waits)


def present(**fields: Any) -> dict[str, Any]:
    """Those fields of a body that are set."""
    return {name: value for name, value in fields.items() if value is not None}


def _query(fields: Mapping[str, Any]) -> dict[str, str]:
    """The parts of a query that are set."""
    words = {name: _word(value) for name, value in fields.items()}
    return {name: word for name, word in words.items() if word is not None}


def _word(value: Any) -> str | None:
    if value is None or value is False:
        return None
    return "true" if value is True else str(value)


def _encoded(body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        text = str(error.object)
        raise ConfigurationError(f"{text[:80]!r} is not UTF-8 and cannot be sent") from None


def command_body(command: str | Iterable[str], **fields: Any) -> dict[str, Any]:
    """The body that asks for a command: a text is a script, anything else a program's arguments."""
    words = {"script": command} if isinstance(command, str) else {"argv": [*map(os.fspath, command)]}
    return {**words, **present(**{name: value or None for name, value in fields.items()})}


def parsed(response: httpx.Response) -> Any:
    """The answer's JSON."""
    try:
        return response.json()
    except ValueError:
        raise ProtocolError(f"{response.url} answered something that is no JSON") from None


def problem_of(response: httpx.Response) -> APIError:
    """The exception for an answer that tells a problem."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"title": f"the service answered {response.status_code}: {response.text[:200]}"}
    request_id = response.headers.get("x-request-id")
    return error_of(response.status_code, problem, request_id, _seconds(response))


def _seconds(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


class Attempts:
    """Whether, and after how many seconds, a request is sent once more."""

    def __init__(self, retries: int, longest_wait: float, *, repeatable: bool) -> None:
        self._retries = retries
        self._longest_wait = longest_wait
        self._repeatable = repeatable
        self._made = 0

    def reset(self) -> None:
        """Something arrived: what failed before counts no more."""
        self._made = 0

    def after_break(self, *, sent: bool) -> float | None:
        """After a connection that could not be made, or broke when the request was ``sent``."""
        if sent and not self._repeatable:
            return None
        return self._next()

    def after_problem(self, problem: APIError) -> float | None:
        """After an answer that tells a problem."""
        wait: float | None = getattr(problem, "retry_after", None)
        if isinstance(problem, Conflict) and problem.kind == "idempotency-key":
            # What was sent before is still being carried out, for however long a command takes.
            return 1.0
        if problem.status not in _NOT_NOW:
            return None
        if problem.status in _MAYBE_DONE and not self._repeatable:
            return None
        if wait is not None and wait > self._longest_wait:
            return None
        delay = self._next()
        return None if delay is None else max(delay, wait or 0.0)

    def _next(self) -> float | None:
        if self._made >= self._retries:
            return None
        delay: float = min(_LONGEST_DELAY, _FIRST_DELAY * 2**self._made)
        self._made += 1
        # Many clients that failed together do not come again together.
        return delay * (0.5 + random.random() / 2)  # noqa: S311 - no secret


_MAYBE_DONE = frozenset({502, 504})
"""What a proxy answers when it does not know what the service did."""
_NOT_NOW = frozenset({429, 503}) | _MAYBE_DONE
