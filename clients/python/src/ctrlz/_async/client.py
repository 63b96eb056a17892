"""The way to a service."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ctrlz._errors import NotFound
from ctrlz._models import ExecutionResponse, Operation, SandboxInfo, Snapshot, Verdict
from ctrlz._records import Event, Health
from ctrlz._request import (
    READ_TIMEOUT,
    configured,
    get,
    parsed,
    post,
    present,
    segment,
    trust,
)

from ._platform import closing, shielded
from .admin import AsyncConfirmations, AsyncTenants, AsyncTokens
from .events import AsyncEventHandler, follow, handle
from .evidence import AsyncArchive, AsyncAudit
from .process import AsyncProcesses
from .sandbox import AsyncSandbox
from .transport import AsyncTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable
    from os import PathLike
    from types import TracebackType


class AsyncClient:
    """A connection to a ctrlz service. Use it in a ``with`` statement, or close it.

    ``server`` is ``http://HOST:PORT``, ``https://HOST`` or ``unix:///PATH``; ``CTRLZ_SERVER`` when it is
    left out, ``http://127.0.0.1:7070`` when that is not set either. ``token`` is ``CTRLZ_TOKEN``
    likewise.

    ``timeout`` is for answers that wait for nothing, in seconds; what waits for a command has none.
    What failed on the way is sent again up to ``retries`` times: what only asks, and what carries an
    ``Idempotency-Key``, as every command, snapshot and rollback does. A service that says when to come
    again is obeyed up to ``longest_wait`` seconds. ``verify`` is as for httpx; ``CTRLZ_SERVER_CA``,
    ``CTRLZ_SERVER_CERT`` and ``CTRLZ_SERVER_KEY`` are the files that the command line takes, too.
    """

    def __init__(
        self,
        server: str | None = None,
        token: str | None = None,
        *,
        timeout: float = READ_TIMEOUT,
        retries: int = 3,
        longest_wait: float = 30.0,
        verify: bool | ssl.SSLContext = True,
    ) -> None:
        where, token = configured(server, token)
        self._transport = AsyncTransport(
            where,
            token,
            timeout=timeout,
            retries=retries,
            longest_wait=longest_wait,
            verify=trust(verify=verify),
        )
        self.sandboxes = AsyncSandboxes(self._transport)
        """To make, find and list sandboxes."""
        self.processes = AsyncProcesses(self._transport)
        """What runs, in any sandbox."""
        self.confirmations = AsyncConfirmations(self._transport)
        """What waits for an approval."""
        self.tokens = AsyncTokens(self._transport)
        """Who may come."""
        self.tenants = AsyncTenants(self._transport)
        """Who shares the service."""
        self.audit = AsyncAudit(self._transport)
        """What happened, as evidence."""
        self.archive = AsyncArchive(self._transport)
        """Snapshots at rest."""

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections. What runs goes on."""
        await self._transport.aclose()

    def sandbox(self, name: str) -> AsyncSandbox:
        """A sandbox by its name, without asking whether it is there."""
        return AsyncSandbox(self._transport, name)

    async def check(self, command: str) -> Verdict:
        """Judges a script. Nothing runs."""
        request = post("/v1/policy/check", {"command": command}, waits=False)
        return Verdict.from_json(await self._transport.json(request))

    async def execute(
        self,
        sandbox_id: str,
        command: str,
        operation_id: str | None = None,
        *,
        confirmation: str | None = None,
    ) -> ExecutionResponse:
        """Checks, takes a snapshot, runs, and takes back what failed: one call.

        :class:`ctrlz.Blocked` says that the command is not safe, with the reasons;
        :class:`ctrlz.OperationFailed` that it failed and was taken back, with the result.
        """
        body = present(
            sandbox_id=sandbox_id,
            command=command,
            operation_id=operation_id,
            confirmation=confirmation,
        )
        request = post("/sandbox/execute", body)
        return ExecutionResponse.from_json(await self._transport.json(request))

    async def operation(self, operation_id: str) -> Operation:
        """An operation of any sandbox."""
        found = await self._transport.json(get(f"/v1/operations/{segment(operation_id)}"))
        return Operation.from_json(found)

    async def snapshot(self, snapshot_id: str) -> Snapshot:
        """A snapshot of any sandbox."""
        found = await self._transport.json(get(f"/v1/snapshots/{segment(snapshot_id)}"))
        return Snapshot.from_json(found)

    async def events(
        self,
        *,
        follow: bool = False,
        after: int | None = None,
        types: Iterable[str] = (),
        sandbox: str | None = None,
    ) -> AsyncIterator[Event]:
        """What happened, from the event behind number ``after`` on; with ``follow`` for ever.

        Without ``after`` it begins with the first event, with ``follow`` with the next one. A broken
        connection is made again without an event missed or told twice. ``types`` are beginnings of
        types, such as ``"operation."``.
        """
        wanted = (types,) if isinstance(types, str) else tuple(types)
        async with closing(_events(self._transport, after, live=follow)) as events:
            async for event in events:
                fits = not wanted or event.type.startswith(wanted)
                if fits and sandbox in (None, event.sandbox):
                    yield event

    async def handle_events(
        self,
        handler: AsyncEventHandler,
        *,
        follow: bool = True,
        after: int | None = None,
    ) -> int | None:
        """Calls the handler's methods for what happens, until ``handler.stop()`` is called.

        Gives the number of the last event that was handled: the next ``after``.
        """
        last = after
        async with closing(_events(self._transport, after, live=follow)) as events:
            async for event in events:
                await handle(handler, event)
                last = event.id
                if handler.stopped:
                    break
        return last

    async def health(self) -> Health:
        """Whether the service can carry out operations."""
        return Health.from_json(parsed(await self._transport.plain(get("/health/ready"))))

    async def metrics(self) -> str:
        """The service's metrics, as OpenMetrics text."""
        return (await self._transport.send(get("/metrics"))).text


def _events(transport: AsyncTransport, after: int | None, *, live: bool) -> AsyncIterator[Event]:
    return follow(transport, after) if live else _past(transport, after or 0)


async def _past(transport: AsyncTransport, after: int) -> AsyncIterator[Event]:
    while True:
        page = await transport.json(get("/v1/events", after=after))
        for item in page["items"]:
            event = Event.from_json(item)
            after = event.id
            yield event
        if page.get("next") is None:
            return


class AsyncSandboxes:
    """Makes, finds and lists sandboxes."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self,
        name: str,
        *,
        base: str | PathLike[str] | None = None,
        image: str | PathLike[str] | None = None,
    ) -> AsyncSandbox:
        """Makes a sandbox, empty or from a folder (``base``) or an image of the service's host."""
        folders = {"base": base, "image": image}
        paths = {key: str(path) for key, path in folders.items() if path is not None}
        made = await self._transport.json(post("/v1/sandboxes", {"name": name, **paths}))
        return AsyncSandbox(self._transport, made["name"], SandboxInfo.from_json(made))

    async def get(self, name: str) -> AsyncSandbox:
        """A sandbox that is there; :class:`ctrlz.NotFound` otherwise."""
        found = await self._transport.json(get(f"/v1/sandboxes/{segment(name)}"))
        return AsyncSandbox(self._transport, found["name"], SandboxInfo.from_json(found))

    async def list(self) -> AsyncIterator[AsyncSandbox]:
        """All of them by name, fetched as they are needed."""
        async with closing(self._transport.pages("/v1/sandboxes")) as items:
            async for item in items:
                info = SandboxInfo.from_json(item)
                yield AsyncSandbox(self._transport, info.name, info)

    @asynccontextmanager
    async def temporary(
        self,
        name: str | None = None,
        *,
        base: str | PathLike[str] | None = None,
        image: str | PathLike[str] | None = None,
    ) -> AsyncIterator[AsyncSandbox]:
        """A sandbox for the time of a ``with`` statement.

        At its end what runs there is killed, and the sandbox removed with all that is not committed.
        """
        name = name or f"tmp-{uuid.uuid4().hex[:12]}"
        sandbox = await self.create(name, base=base, image=image)
        try:
            yield sandbox
        finally:
            with shielded():
                await _remove(sandbox)


async def _remove(sandbox: AsyncSandbox) -> None:
    try:
        await sandbox.end_processes()
        await sandbox.remove(force=True)
    except NotFound:
        # Somebody removed it before.
        return
