# Made from ctrlz/_async/evidence.py by scripts/unasync.py: change that one.
"""The event log as evidence, and snapshots at rest. Answers are what the command line's ``--json`` has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ctrlz._request import get, id_of, post, present

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ctrlz._models import Snapshot

    from .transport import Transport


class Audit:
    """The tenant's event log as evidence: a chain with signed checkpoints."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def verify(self, *, first: int | None = None, last: int | None = None) -> Mapping[str, Any]:
        """Whether the log is as it was written; :class:`ctrlz.Conflict` (``tampered``) when it is not."""
        request = get("/v1/audit/verify", {"from": first, "to": last})
        found: Mapping[str, Any] = self._transport.json(request)
        return found

    def key(self) -> str:
        """The public key with which checkpoints are verified."""
        return str((self._transport.json(get("/v1/audit/key")))["key"])

    def sign(self) -> str:
        """Signs how far the log has come, and gives the signed note."""
        return str((self._transport.json(post("/v1/audit/sign")))["note"])

    def export(self, *, first: int | None = None, last: int | None = None) -> str:
        """The log with its checkpoints as JSON lines, which ``ctrlz audit verify FILE`` verifies anywhere."""
        request = get("/v1/audit/export", {"from": first, "to": last})
        return (self._transport.send(request)).text


class Archive:
    """Snapshots at rest, in the archive of the tenant's store."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Mapping[str, Any]:
        """What is archived: ``snapshots``, and ``faults`` of what cannot be read."""
        found: Mapping[str, Any] = self._transport.json(get("/v1/archive"))
        return found

    def push(
        self,
        sandbox: str | None = None,
        *,
        snapshots: Iterable[str | Snapshot] = (),
        scope: str | None = None,
    ) -> Mapping[str, Any]:
        """Archives a sandbox as it stands now, or snapshots."""
        body = present(sandbox=sandbox, snapshots=[id_of(one) for one in snapshots], scope=scope)
        return self._call("", body)

    def restore(self, name: str, sandbox: str) -> Mapping[str, Any]:
        """Brings a snapshot back by its name in the archive, to a sandbox that is there or to a new one."""
        return self._call("/restore", {"name": name, "sandbox": sandbox})

    def remove(self, names: Iterable[str]) -> Mapping[str, Any]:
        """Takes snapshots out of the archive; :meth:`collect` gives their space back."""
        return self._call("/remove", {"names": list(names)})

    def collect(self, *, dry_run: bool = False) -> Mapping[str, Any]:
        """Removes what no snapshot in the archive needs."""
        return self._call("/collect", {"dry_run": dry_run})

    def verify(self, names: Iterable[str] = ()) -> Mapping[str, Any]:
        """Reads what is archived and compares it with its digests: all of it, or those of the names."""
        return self._call("/verify", {"names": list(names)})

    def drill(self, names: Iterable[str] = ()) -> Mapping[str, Any]:
        """Restores archived snapshots for a moment and compares them file by file."""
        return self._call("/drill", {"names": list(names)})

    def _call(self, call: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        done: Mapping[str, Any] = self._transport.json(post(f"/v1/archive{call}", body))
        return done
