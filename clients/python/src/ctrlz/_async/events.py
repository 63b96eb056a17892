"""What happens, as it happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ctrlz._records import Event
from ctrlz._request import get

from ._platform import call, closing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .transport import AsyncTransport


class AsyncEventHandler:
    """What ``client.handle_events`` calls: overwrite what is of interest."""

    stopped = False

    def stop(self) -> None:
        """No more events are handled after this one."""
        self.stopped = True

    async def on_operation_start(self, event: Event) -> None:
        """An operation begins."""

    async def on_safety_violation(self, event: Event) -> None:
        """A command was not let run."""

    async def on_rollback_required(self, event: Event) -> None:
        """Something is wrong that a rollback mends."""

    async def on_event(self, event: Event) -> None:
        """Anything happens; called for every event, before the others."""


_METHODS = {
    "operation.started": "on_operation_start",
    "safety.violation": "on_safety_violation",
    "rollback.required": "on_rollback_required",
}


async def handle(handler: AsyncEventHandler, event: Event) -> None:
    """Calls what is to be called for an event."""
    await call(handler.on_event, event)
    method = _METHODS.get(event.type)
    if method is not None:
        await call(getattr(handler, method), event)


async def follow(transport: AsyncTransport, after: int | None) -> AsyncIterator[Event]:
    """The events from that number on, as they happen."""
    last = None if after is None else str(after)
    async with closing(transport.events(get("/v1/events"), last)) as events:
        async for event in events:
            yield Event.from_json(json.loads(event.data))
