# Made from ctrlz/_async/transport.py by scripts/unasync.py: change that one.
"""Sends requests, again where that is right, and reads streams across broken connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from ctrlz._errors import ServiceUnreachable
from ctrlz._request import (
    CONNECT_TIMEOUT,
    STREAM_TIMEOUT,
    Attempts,
    Request,
    Server,
    get,
    parsed,
    problem_of,
    socket_options,
    with_headers,
)
from ctrlz._sse import Decoder, ServerSentEvent

from ._platform import sleep

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Iterator

_MORE_FOR_STREAMS = 5


class Flight:
    """Whether a request may have arrived without an answer."""

    open = False


class Transport:
    """The connections to one service."""

    def __init__(
        self,
        server: Server,
        token: str | None,
        *,
        timeout: float,
        retries: int,
        longest_wait: float,
        verify: bool | ssl.SSLContext,
    ) -> None:
        headers = {"User-Agent": "ctrlz-python"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self.server = server
        self.authorization = {name: value for name, value in headers.items() if name == "Authorization"}
        """What a WebSocket is opened with."""
        self.verify = verify
        """How a server's certificate is looked at."""
        self._timeout = timeout
        self._retries = retries
        self._longest_wait = longest_wait
        self._headers = headers
        self._trusted = httpx.create_ssl_context(verify=verify)
        self._http = self._connections()

    def _connections(self) -> httpx.Client:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        options = None if self.server.socket else socket_options()
        # A transport of its own: no proxy of the environment gets to see the token.
        transport = httpx.HTTPTransport(
            verify=self._trusted, uds=self.server.socket, limits=limits, socket_options=options
        )
        return httpx.Client(
            base_url=self.server.base_url,
            headers=self._headers,
            transport=transport,
            trust_env=False,
        )

    def close(self) -> None:
        """Closes all connections but those that a stream is read from: they end with it."""
        self._http.close()

    def _timeouts(self, read: float | None) -> httpx.Timeout:
        return httpx.Timeout(None, connect=CONNECT_TIMEOUT, read=read, write=self._timeout)

    def send(self, request: Request, flight: Flight | None = None) -> httpx.Response:
        """Sends a request until it is answered, and gives the answer of a success."""
        attempts = Attempts(self._retries, self._longest_wait, repeatable=request.repeatable)
        timeouts = self._timeouts(None if request.waits else self._timeout)
        flight = flight or Flight()
        while True:
            flight.open = True
            try:
                response = self._http.request(
                    request.method,
                    request.path,
                    params=request.params or None,
                    content=request.content,
                    headers=request.headers,
                    timeout=timeouts,
                )
            except httpx.TransportError as error:
                delay = attempts.after_break(sent=not isinstance(error, _NOT_SENT))
                if delay is None:
                    raise self.unreachable(error) from error
            else:
                flight.open = False
                if response.is_success:
                    return response
                problem = problem_of(response)
                delay = attempts.after_problem(problem)
                if delay is None:
                    raise problem
            sleep(delay)

    def json(self, request: Request, flight: Flight | None = None) -> Any:
        """Sends a request and gives the JSON of its answer."""
        return parsed(self.send(request, flight))

    def plain(self, request: Request) -> httpx.Response:
        """Sends a request once, and gives whatever is answered."""
        try:
            return self._http.request(request.method, request.path, timeout=self._timeouts(self._timeout))
        except httpx.TransportError as error:
            raise self.unreachable(error) from error

    def pages(self, path: str, limit: int | None = None) -> Iterator[Any]:
        """All items of a list, page after page as they are needed."""
        cursor = None
        while True:
            page = self.json(get(path, limit=limit, cursor=cursor))
            for item in page["items"]:
                yield item
            cursor = page.get("next")
            if cursor is None:
                return

    def attempts(self) -> Attempts:
        """For what listens for long."""
        retries = self._retries and self._retries + _MORE_FOR_STREAMS
        return Attempts(retries, self._longest_wait, repeatable=True)

    def events(
        self, request: Request, last_id: str | None = None, *, ends: Collection[str] = ()
    ) -> Iterator[ServerSentEvent]:
        """A stream of events. It is asked for again, from the last id on, whenever it ends.

        It has ended with an event of the names ``ends``.

        Its connections are its own: a stream that is left unread is closed by whatever code the garbage
        collector interrupts, and that can be the pool of connections, which takes its lock but once.
        """
        attempts = self.attempts()
        over = False
        while True:
            asking = with_headers(request, Accept="text/event-stream")
            if last_id is not None:
                asking = with_headers(asking, Last_Event_ID=last_id)
            broken: Exception | None = None
            try:
                with (
                    self._connections() as http,
                    http.stream(
                        asking.method,
                        asking.path,
                        params=asking.params or None,
                        headers=asking.headers,
                        timeout=self._timeouts(STREAM_TIMEOUT),
                    ) as response,
                ):
                    if response.is_success:
                        decoder = Decoder()
                        for chunk in response.iter_bytes():
                            attempts.reset()
                            for event in decoder.feed(chunk):
                                over = over or event.event in ends
                                yield event
                            last_id = decoder.last_id or last_id
                        delay = attempts.after_break(sent=True)
                    else:
                        response.read()
                        broken = problem_of(response)
                        delay = attempts.after_problem(broken)
            except httpx.TransportError as error:
                broken = error
                delay = attempts.after_break(sent=True)
            if over:
                return
            if delay is None:
                if broken is None or isinstance(broken, httpx.TransportError):
                    raise self.unreachable(broken or "it ends the stream") from broken
                raise broken
            sleep(delay)

    def unreachable(self, reason: object) -> ServiceUnreachable:
        """The exception for a service that cannot be reached."""
        where = self.server.socket or self.server.base_url
        why = str(reason) or type(reason).__name__
        return ServiceUnreachable(f"the service at {where} cannot be reached: {why}")


_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
