"""What a command wrote, put together from what arrives."""

from __future__ import annotations

import codecs

from ._models import Output

DEFAULT_CAPTURE = 64 << 20
"""How many bytes of each stream a result holds, from its end."""


class Capture:
    """Collects both streams, and notices what is missing."""

    def __init__(self, most: int = DEFAULT_CAPTURE) -> None:
        self.offset = 0
        self.lost = 0
        self.truncated = False
        self.ended = False
        self._most = most
        self._streams = {"stdout": bytearray(), "stderr": bytearray()}

    def add(self, stream: str, data: bytes, end: int) -> Output:
        """Takes what was written up to the offset ``end``."""
        missing = max(0, end - len(data) - self.offset)
        self.offset = end
        self.lost += missing
        kept = self._streams.setdefault(stream, bytearray())
        kept += data
        if len(kept) > self._most:
            del kept[: len(kept) - self._most]
            self.truncated = True
        self.truncated |= missing > 0
        return Output(stream, data, end, missing)

    def stream(self, name: str) -> bytes:
        """What was written to one stream."""
        return bytes(self._streams[name])


class TextDecoder:
    """Makes text of bytes that are cut anywhere; what is not UTF-8 is replaced."""

    def __init__(self) -> None:
        self._decoders = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")
        }

    def text(self, output: Output) -> str:
        """The letters that are whole now."""
        return self._decoders[output.stream].decode(output.data)

    def rest(self, stream: str) -> str:
        """What was left of a letter at the end."""
        return self._decoders[stream].decode(b"", final=True)
