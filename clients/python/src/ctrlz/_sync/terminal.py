# Made from ctrlz/_async/terminal.py by scripts/unasync.py: change that one.
"""Being attached to a process: typing, and seeing at once what it shows. Needs ``ctrlz[terminal]``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import websockets

from ctrlz._capture import Capture
from ctrlz._errors import APIError, NotFound, ProcessLost, ProtocolError, error_of
from ctrlz._models import Output, Result
from ctrlz._request import segment

from ._connect import connect
from ._platform import sleep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from ctrlz._request import Attempts

    from .transport import Transport

_STREAMS = {1: "stdout", 2: "stderr"}
_PIECE = 32 << 10
_REVOKED = 1008


class Terminal:
    """What :meth:`ctrlz.Process.attach` gives. For a ``with`` statement; iterate over what it shows.

    A connection that breaks while it is read from is made again, and goes on at the same byte. The
    process goes on when nobody is attached. On trio, use :meth:`ctrlz.Process.output`.
    """

    read_only = False
    """Whether the token may only look: then nothing that is typed is taken."""

    def __init__(self, transport: Transport, process_id: str, offset: int) -> None:
        self._transport = transport
        self._process = process_id
        self._capture = Capture(0)
        self._capture.offset = offset
        self._answer: Any = None
        self._socket: Any = None
        self._start = offset

    @property
    def offset(self) -> int:
        """How many bytes were read: where another one may go on."""
        return self._capture.offset

    @property
    def result(self) -> Result | None:
        """What came of the process, once it has ended and all of its output was read."""
        return None if self._answer is None else Result.from_answer(self._answer)

    def __enter__(self) -> Terminal:
        self._connect(self._transport.attempts())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Goes. The process stays."""
        if self._socket is not None:
            self._socket.close()

    def _connect(self, attempts: Attempts) -> None:
        # `ws:` for `http:`, and `wss:` for `https:`.
        base = "ws" + self._transport.server.base_url[len("http") :]
        while True:
            broken: Exception
            try:
                self._socket = connect(
                    f"{base}/v1/processes/{segment(self._process)}/attach?offset={self.offset}",
                    unix=self._transport.server.socket,
                    headers=self._transport.authorization,
                    verify=self._transport.verify,
                )
                told = json.loads(self._socket.recv())
            except websockets.InvalidStatus as error:
                problem = _problem(error)
                delay = attempts.after_problem(problem)
                broken = ProcessLost(str(problem)) if isinstance(problem, NotFound) else problem
            except (OSError, websockets.WebSocketException) as error:
                delay = attempts.after_break(sent=True)
                broken = self._transport.unreachable(error)
            else:
                self.read_only = bool(told.get("read_only"))
                self._start = int(told["offset"])
                return
            if delay is None:
                raise broken
            sleep(delay)

    def __iter__(self) -> Iterator[Output]:
        attempts = self._transport.attempts()
        at = self._start
        while self._answer is None:
            try:
                message = self._socket.recv()
            except websockets.ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code == _REVOKED:
                    raise error_of(401, {"kind": "unauthorized", "title": closed.rcvd.reason}) from closed
                self._connect(attempts)
                at = self._start
                continue
            attempts.reset()
            if isinstance(message, bytes):
                at += len(message) - 1
                yield self._capture.add(_STREAMS[message[0]], message[1:], at)
                continue
            told = json.loads(message)
            if told["type"] == "lost":
                at = int(told["to"])
            elif told["type"] == "ended":
                self._answer = told["result"]
            elif told["type"] == "problem":
                raise error_of(int(told["problem"].get("status", 500)), told["problem"])

    def send(self, data: bytes | str) -> None:
        """Types something."""
        data = data.encode() if isinstance(data, str) else bytes(data)
        for at in range(0, len(data), _PIECE):
            self._socket.send(data[at : at + _PIECE])

    def resize(self, rows: int, columns: int) -> None:
        """Gives the terminal another size."""
        self._say(type="resize", rows=rows, columns=columns)

    def signal(self, signal: int | str) -> None:
        """Sends the process a signal, by its number or a name such as ``"INT"``."""
        self._say(type="signal", signal=signal if isinstance(signal, str) else int(signal))

    def end_input(self) -> None:
        """Ends the input; at a terminal Ctrl-D is typed."""
        self._say(type="end-of-input")

    def _say(self, **fields: Any) -> None:
        self._socket.send(json.dumps(fields))


def _problem(error: websockets.InvalidStatus) -> APIError:
    response = error.response
    try:
        problem = json.loads(response.body or b"")
    except ValueError:
        problem = {"title": f"the service answered {response.status_code}"}
    if not isinstance(problem, dict):
        raise ProtocolError("what answered is no ctrlz service")
    return error_of(response.status_code, problem, response.headers.get("x-request-id"))
