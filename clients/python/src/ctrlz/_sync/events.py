# Made from ctrlz/_async/events.py by scripts/unasync.py: change that one.
"""What happens, as it happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ctrlz._records import Event
from ctrlz._request import get

from ._platform import call, closing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .transport import Transport


class EventHandler:
    """What ``client.handle_events`` calls: overwrite what is of interest."""

    stopped = False

    def stop(self) -> None:
        """No more events are handled after this one."""
        self.stopped = True

    def on_operation_start(self, event: Event) -> None:
        """An operation begins."""

    def on_safety_violation(self, event: Event) -> None:
        """A command was not let run."""

    def on_rollback_required(self, event: Event) -> None:
        """Something is wrong that a rollback mends."""

    def on_event(self, event: Event) -> None:
        """Anything happens; called for every event, before the others."""


_METHODS = {
    "operation.started": "on_operation_start",
    "safety.violation": "on_safety_violation",
    "rollback.required": "on_rollback_required",
}


def handle(handler: EventHandler, event: Event) -> None:
    """Calls what is to be called for an event."""
    call(handler.on_event, event)
    method = _METHODS.get(event.type)
    if method is not None:
        call(getattr(handler, method), event)


def follow(transport: Transport, after: int | None) -> Iterator[Event]:
    """The events from that number on, as they happen."""
    last = None if after is None else str(after)
    with closing(transport.events(get("/v1/events"), last)) as events:
        for event in events:
            yield Event.from_json(json.loads(event.data))
