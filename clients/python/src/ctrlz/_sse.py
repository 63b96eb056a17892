"""Server-sent events, as the HTML standard has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerSentEvent:
    """One event of a stream."""

    event: str
    data: str
    id: str | None
    """The last id of the stream, this event's or that of one before."""


class Decoder:
    """Takes a stream's bytes as they come, cut anywhere."""

    def __init__(self) -> None:
        self.last_id: str | None = None
        self._rest = bytearray()
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that are whole with these bytes."""
        # Where the rest was looked through already, no line ends. The service ends lines with LF.
        begin = len(self._rest)
        self._rest += chunk
        found = []
        start = 0
        while (end := self._rest.find(b"\n", max(begin, start))) >= 0:
            line = bytes(self._rest[start:end]).rstrip(b"\r").decode("utf-8", "replace")
            start = end + 1
            event = self._line(line)
            if event is not None:
                found.append(event)
        del self._rest[:start]
        return found

    def _line(self, line: str) -> ServerSentEvent | None:
        if not line:
            event, data = self._event, self._data
            self._event, self._data = "", []
            # Not before: an event that is cut off has not come.
            self.last_id = self._id
            if not data:
                return None
            return ServerSentEvent(event or "message", "\n".join(data), self.last_id)
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None
