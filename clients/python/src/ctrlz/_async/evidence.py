"""The event log as evidence, and snapshots at rest. Answers are what the command line's ``--json`` has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ctrlz._request import get, id_of, post, present

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ctrlz._models import Snapshot

    from .transport import AsyncTransport


class AsyncAudit:
    """The tenant's event log as evidence: a chain with signed checkpoints."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def verify(self, *, first: int | None = None, last: int | None = None) -> Mapping[str, Any]:
        """Whether the log is as it was written; :class:`ctrlz.Conflict` (``tampered``) when it is not."""
        request = get("/v1/audit/verify", {"from": first, "to": last})
        found: Mapping[str, Any] = await self._transport.json(request)
        return found

    async def key(self) -> str:
        """The public key with which checkpoints are verified."""
        return str((await self._transport.json(get("/v1/audit/key")))["key"])

    async def sign(self) -> str:
        """Signs how far the log has come, and gives the signed note."""
        return str((await self._transport.json(post("/v1/audit/sign")))["note"])

    async def export(self, *, first: int | None = None, last: int | None = None) -> str:
        """The log with its checkpoints as JSON lines, which ``ctrlz audit verify FILE`` verifies anywhere."""
        request = get("/v1/audit/export", {"from": first, "to": last})
        return (await self._transport.send(request)).text


class AsyncArchive:
    """Snapshots at rest, in the archive of the tenant's store."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> Mapping[str, Any]:
        """What is archived: ``snapshots``, and ``faults`` of what cannot be read."""
        found: Mapping[str, Any] = await self._transport.json(get("/v1/archive"))
        return found

    async def push(
        self,
        sandbox: str | None = None,
        *,
        snapshots: Iterable[str | Snapshot] = (),
        scope: str | None = None,
    ) -> Mapping[str, Any]:
        """Archives a sandbox as it stands now, or snapshots."""
        body = present(sandbox=sandbox, snapshots=[id_of(one) for one in snapshots], scope=scope)
        return await self._call("", body)

    async def restore(self, name: str, sandbox: str) -> Mapping[str, Any]:
        """Brings a snapshot back by its name in the archive, to a sandbox that is there or to a new one."""
        return await self._call("/restore", {"name": name, "sandbox": sandbox})

    async def remove(self, names: Iterable[str]) -> Mapping[str, Any]:
        """Takes snapshots out of the archive; :meth:`collect` gives their space back."""
        return await self._call("/remove", {"names": list(names)})

    async def collect(self, *, dry_run: bool = False) -> Mapping[str, Any]:
        """Removes what no snapshot in the archive needs."""
        return await self._call("/collect", {"dry_run": dry_run})

    async def verify(self, names: Iterable[str] = ()) -> Mapping[str, Any]:
        """Reads what is archived and compares it with its digests: all of it, or those of the names."""
        return await self._call("/verify", {"names": list(names)})

    async def drill(self, names: Iterable[str] = ()) -> Mapping[str, Any]:
        """Restores archived snapshots for a moment and compares them file by file."""
        return await self._call("/drill", {"names": list(names)})

    async def _call(self, call: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        done: Mapping[str, Any] = await self._transport.json(post(f"/v1/archive{call}", body))
        return done
