"""Tells what happens, as it happens, until Ctrl-C.

python examples/watch.py [AFTER]
"""

from __future__ import annotations

import sys

import ctrlz


class Alarm(ctrlz.EventHandler):
    """Writes a line for what somebody should know."""

    def on_operation_start(self, event: ctrlz.Event) -> None:
        """An operation begins."""
        print(f"{event.id:>6}  {event.sandbox}: {event.data['title']}", flush=True)

    def on_safety_violation(self, event: ctrlz.Event) -> None:
        """A command was refused."""
        print(f"{event.id:>6}  {event.sandbox}: REFUSED {event.data['title']}", flush=True)

    def on_rollback_required(self, event: ctrlz.Event) -> None:
        """Something has to be rolled back."""
        print(f"{event.id:>6}  {event.sandbox}: {event.data['reason']}", flush=True)


def main() -> None:
    """From the given event on, or from now."""
    after = int(sys.argv[1]) if len(sys.argv) > 1 else None
    with ctrlz.Client() as client:
        try:
            client.handle_events(Alarm(), after=after)
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
