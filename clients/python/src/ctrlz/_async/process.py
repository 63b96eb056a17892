"""Commands that run, or ran."""

from __future__ import annotations

import base64
import json
import signal as signals
from typing import TYPE_CHECKING, Any

from ctrlz._capture import DEFAULT_CAPTURE, Capture, TextDecoder
from ctrlz._errors import (
    ConfigurationError,
    Conflict,
    CtrlzError,
    NotFound,
    ProcessLost,
    ProtocolError,
    lost_or_refused,
)
from ctrlz._models import Output, ProcessInfo, Result
from ctrlz._request import Request, get, post, segment, with_headers

from ._platform import TextCallback, call, closing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ctrlz._sse import ServerSentEvent

    from .terminal import AsyncTerminal
    from .transport import AsyncTransport

_PIECE = 256 << 10
_ENDS = ("result", "problem")
_PROBLEM = "urn:ctrlz:problem:"


class AsyncProcess:
    """A command that the service runs. It goes on whoever listens, and ends with its sandbox.

    Iterating over it gives what it writes, as it writes it, from where it was read to last; a broken
    connection is made again, and reading goes on at the same byte.
    """

    def __init__(self, transport: AsyncTransport, process_id: str, sandbox: str, *, capture: int) -> None:
        self.id = process_id
        """Its id, by which ``client.processes.get`` finds it from anywhere."""
        self.sandbox = sandbox
        """The sandbox's name."""
        self._transport = transport
        self._path = f"/v1/processes/{segment(process_id)}"
        self._capture = Capture(capture)
        self._answer: Any = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} in {self.sandbox}>"

    @property
    def offset(self) -> int:
        """How many bytes, of both streams, were read."""
        return self._capture.offset

    def __aiter__(self) -> AsyncIterator[Output]:
        return self._read(self._capture)

    def output(self, offset: int = 0) -> AsyncIterator[Output]:
        """What it wrote from that byte on and writes until its end, whatever was read before."""
        capture = Capture(0)
        capture.offset = offset
        return self._read(capture)

    async def logs(
        self, *, lines: int | None = None, tail: int | None = None, stream: str = "both"
    ) -> list[Output]:
        """What it wrote and is kept, without waiting for more.

        All of it, the last ``lines``, or the last ``tail`` bytes; of ``stdout``, ``stderr`` or both.
        """
        found: list[Output] = []
        asked: dict[str, Any] = {"lines": lines, "tail": tail}
        while True:
            page = await self._transport.json(get(f"{self._path}/logs", stream=stream, **asked))
            for item in page["items"]:
                data = base64.b64decode(item["data"])
                found.append(Output(item["stream"], data, item["offset"] + len(data)))
            following = page["next"]
            if following is None or following == asked.get("offset"):
                return found
            asked = {"offset": following}

    async def _read(self, capture: Capture) -> AsyncIterator[Output]:
        if capture.ended:
            return
        try:
            async with closing(self._events(capture)) as events:
                async for event in events:
                    if event.event == "output":
                        piece = json.loads(event.data)
                        data = base64.b64decode(piece["data"])
                        yield capture.add(piece["stream"], data, int(event.id or 0))
                    elif event.event in _ENDS:
                        self._answer = json.loads(event.data)
                        capture.ended = True
        except NotFound as error:
            raise self._gone() from error

    def _events(self, capture: Capture) -> AsyncIterator[ServerSentEvent]:
        request = get(f"{self._path}/output")
        return self._transport.events(request, str(capture.offset), ends=_ENDS)

    def _gone(self) -> ProcessLost:
        return ProcessLost(
            f"the service does not know the process {self.id} any more; "
            f"the operations of the sandbox `{self.sandbox}` tell what came of it"
        )

    async def info(self) -> ProcessInfo:
        """How it is now."""
        return ProcessInfo.from_json(await self._transport.json(get(self._path)))

    async def wait(
        self,
        *,
        check: bool = False,
        on_stdout: TextCallback | None = None,
        on_stderr: TextCallback | None = None,
    ) -> Result:
        """Reads until it has ended, and gives what came of it.

        ``on_stdout`` and ``on_stderr`` are told text as it comes. With ``check`` a failure raises
        :class:`ctrlz.CommandFailed`. What kept it from running is raised as the error that it is. Of what
        archives or restores, ``raw`` of the result is what the call for it answers.
        """
        decoder = TextDecoder()
        told = {"stdout": on_stdout, "stderr": on_stderr}
        async with closing(self._read(self._capture)) as outputs:
            async for output in outputs:
                callback = told.get(output.stream)
                if callback is not None and (text := decoder.text(output)):
                    await call(callback, text)
        for stream, callback in told.items():
            if callback is not None and (text := decoder.rest(stream)):
                await call(callback, text)
        result = self._result()
        return result.check() if check else result

    def _result(self) -> Result:
        answer = self._answer
        if not isinstance(answer, dict):
            raise ProtocolError(f"the process {self.id} ended without a result")
        if str(answer.get("type", "")).startswith(_PROBLEM):
            raise lost_or_refused(answer, self.sandbox)
        if "exit_code" not in answer:
            return Result.of_errand(answer, process=self.id, sandbox=self.sandbox)
        capture = self._capture
        return Result.from_answer(
            answer,
            stdout=capture.stream("stdout"),
            stderr=capture.stream("stderr"),
            truncated=capture.truncated,
            lost=capture.lost,
        )

    async def send(self, data: bytes | str, *, end: bool = False) -> None:
        """Gives it something to read, when it was started with ``open_stdin``; ``end`` ends it."""
        data = data.encode() if isinstance(data, str) else bytes(data)
        pieces = [data[at : at + _PIECE] for at in range(0, len(data), _PIECE)] or [b""]
        for piece in pieces[:-1]:
            await self._transport.send(self._input(piece, end=False))
        await self._transport.send(self._input(pieces[-1], end=end))

    def _input(self, piece: bytes, *, end: bool) -> Request:
        keyed = with_headers(post("/"), Content_Type="application/octet-stream")
        params = {"end": "true"} if end else {}
        return Request("POST", f"{self._path}/input", params, piece, keyed.headers, waits=True)

    def attach(self, offset: int | None = None) -> AsyncTerminal:
        """For a ``with`` statement: sends what is typed, and shows what the process writes.

        From ``offset`` on, or from where it was read to. Needs ``pip install ctrlz[terminal]``.
        """
        try:
            from .terminal import AsyncTerminal  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigurationError(f"to attach needs ctrlz[terminal]: {error}") from error
        return AsyncTerminal(self._transport, self.id, self.offset if offset is None else offset)

    async def resize(self, rows: int, columns: int) -> None:
        """Gives its terminal another size."""
        body = {"rows": rows, "columns": columns}
        await self._transport.send(post(f"{self._path}/resize", body))

    async def close_stdin(self) -> None:
        """Ends what it reads."""
        await self.send(b"", end=True)

    async def feed(self, data: bytes) -> None:
        """Sends all of its input, and ends it; a command need not read all of it."""
        try:
            await self.send(data, end=True)
        except Conflict:
            return
        except CtrlzError:
            # Whoever waits for the command learns of it in the same way.
            return

    async def signal(self, signal: int | str | signals.Signals) -> None:
        """Sends it a signal: a number, ``signal.SIGTERM``, or a name such as ``"TERM"``."""
        if isinstance(signal, str):
            name = signal.upper()
            signal = signals.Signals[name if name.startswith("SIG") else f"SIG{name}"]
        await self._transport.send(post(f"{self._path}/signal", {"signal": int(signal)}))

    async def terminate(self) -> None:
        """Asks it to end (SIGTERM)."""
        await self.signal(15)

    async def kill(self) -> None:
        """Ends it (SIGKILL); nothing when it has ended."""
        try:
            await self.signal(9)
        except Conflict:
            return


class AsyncProcesses:
    """The processes that the service remembers."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self, sandbox: str | None = None) -> list[ProcessInfo]:
        """Those that run, and the last ones that ended, the oldest first."""
        found = await self._transport.json(get("/v1/processes", sandbox=sandbox))
        return [ProcessInfo.from_json(item) for item in found["items"]]

    async def get(self, process_id: str, *, capture: int = DEFAULT_CAPTURE) -> AsyncProcess:
        """One of them, to go on with it."""
        found = await self._transport.json(get(f"/v1/processes/{segment(process_id)}"))
        return AsyncProcess(self._transport, found["id"], found["sandbox"] or "", capture=capture)
