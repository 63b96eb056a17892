"""All or nothing, as a ``with`` statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrlz._errors import APIError, RollbackFailed, RolledBack

from ._platform import shielded

if TYPE_CHECKING:
    from types import TracebackType

    from ctrlz._models import Done, Snapshot

    from .sandbox import AsyncSandbox


class AsyncTransaction:
    """What :meth:`ctrlz.AsyncSandbox.transaction` gives."""

    rolled_back: Done | None = None
    """What the rollback did, when there was one."""

    def __init__(self, sandbox: AsyncSandbox, message: str) -> None:
        self.sandbox = sandbox
        """The sandbox."""
        self._message = message
        self._snapshot: Snapshot | None = None

    async def __aenter__(self) -> AsyncTransaction:
        self._snapshot = await self.sandbox.snapshot(self._message)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        snapshot = self._snapshot
        if snapshot is None:
            return False
        with shielded():
            if error is not None:
                self.rolled_back = await self._roll_back(snapshot, error)
            try:
                await self.sandbox.remove_snapshot(snapshot)
            except APIError:
                # It is in nobody's way; retention takes it.
                pass
        return isinstance(error, RolledBack)

    async def _roll_back(self, snapshot: Snapshot, error: BaseException) -> Done:
        sandbox = self.sandbox
        try:
            await sandbox.end_processes(since=snapshot.raw["created"])
            done = await sandbox.rollback(snapshot)
        except Exception as reason:
            raise RollbackFailed(sandbox.name, snapshot.id, reason) from error
        changed = "what changed cannot be told" if done.changes is None else str(done.changes)
        note = (
            f"`{sandbox.name}` was rolled back to before the transaction ({changed}); "
            f"what it had become is kept as {done.left_behind}"
        )
        if isinstance(error, RolledBack):
            error.done = done
        # Python 3.11 and newer show it with the error.
        add_note = getattr(error, "add_note", None)
        if add_note is not None:
            add_note(note)
        return done
