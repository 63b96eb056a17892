"""A sandbox: what runs in it, and its way forth and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Union

from ctrlz._capture import DEFAULT_CAPTURE
from ctrlz._errors import ConfigurationError
from ctrlz._models import (
    Diff,
    Done,
    LifeChanged,
    Operation,
    ProcessInfo,
    Removed,
    Result,
    SandboxInfo,
    Snapshot,
    Verdict,
)
from ctrlz._request import command_body, delete, get, id_of, post, present, segment, with_headers

from ._platform import TextCallback, beside, closing, shielded
from .files import AsyncFiles
from .process import AsyncProcess, AsyncProcesses
from .state import AsyncState
from .transaction import AsyncTransaction
from .transport import Flight

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from typing import Literal

    from .transport import AsyncTransport

    Command = Union[str, Iterable[str]]
    Conflicts = Literal["fail", "theirs", "ours", "keep-both"]

_INLINE = 1 << 20
"""Input up to here goes with the request, so that it is judged and approved with the command."""


class AsyncSandbox:
    """A sandbox of the service. Nothing is asked before a method is called."""

    def __init__(self, transport: AsyncTransport, name: str, info: SandboxInfo | None = None) -> None:
        self.name = name
        """Its name."""
        self.created_info = info
        """How it was when it was made or listed, where it was."""
        self.state = AsyncState(transport, name)
        """Its state: versioned values."""
        self.files = AsyncFiles(transport, name)
        """Its files."""
        self._transport = transport
        self._path = f"/v1/sandboxes/{segment(name)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    async def info(self) -> SandboxInfo:
        """How it is now."""
        return SandboxInfo.from_json(await self._transport.json(get(self._path)))

    async def run(
        self,
        command: Command,
        *,
        check: bool = False,
        on_stdout: TextCallback | None = None,
        on_stderr: TextCallback | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        stdin: str | bytes | None = None,
        timeout: float | None = None,
        memory: int | None = None,
        network: Literal["none", "host"] | None = None,
        isolation: str | None = None,
        commit: bool = False,
        take_back: bool = False,
        snapshot: bool = False,
        confirmation: str | None = None,
        kill_on_cancel: bool = True,
        capture: int = DEFAULT_CAPTURE,
    ) -> Result:
        """Runs a command, waits for its end, and gives what it did and wrote.

        A text is a script for ``/bin/sh``, a list is a program and its arguments. The command is judged
        first: :class:`ctrlz.Blocked` and :class:`ctrlz.NeedsConfirmation` say that it did not run.

        ``check`` raises :class:`ctrlz.CommandFailed` when it fails. ``on_stdout`` and ``on_stderr`` are
        told text as it comes. ``timeout`` (seconds) and ``memory`` (bytes) are limits that the service
        keeps; there is no time limit otherwise. ``commit`` writes the changes back to the sandbox's
        folder when it succeeds, and takes them back when it fails; ``take_back`` does the latter alone.
        ``snapshot`` keeps a named snapshot of the point before. ``isolation`` names what isolates it, such as
        ``"oci:runc"`` or ``"strict"``.

        When the waiting is cancelled (or interrupted by Ctrl-C) the command is killed; with
        ``kill_on_cancel=False`` it goes on. A connection that breaks does neither: it is made again.

        Of each stream the last ``capture`` bytes are kept, and what the command writes faster than it
        can be read is dropped by the service from a mebibyte on: ``result.truncated`` and
        ``result.lost`` tell. Send much output to a file instead.
        """
        text, rest = _input(stdin)
        body = command_body(
            command,
            env=env,
            workdir=workdir,
            stdin=text,
            open_stdin=rest is not None,
            timeout=timeout,
            memory=memory,
            network=network,
            isolation=isolation,
            commit=commit,
            take_back=take_back,
            snapshot=snapshot,
            confirmation=confirmation,
        )
        process = await self._start(body, capture, kill_on_cancel=kill_on_cancel)

        async def feed() -> None:
            await process.feed(rest or b"")

        async def wait() -> Result:
            return await process.wait(check=check, on_stdout=on_stdout, on_stderr=on_stderr)

        try:
            return await (wait() if rest is None else beside(feed, wait))
        except Exception:
            raise
        except BaseException:
            if kill_on_cancel:
                with shielded():
                    await process.kill()
            raise

    async def start(
        self,
        command: Command,
        *,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        stdin: str | None = None,
        open_stdin: bool = False,
        terminal: tuple[int, int] | None = None,
        timeout: float | None = None,
        memory: int | None = None,
        network: Literal["none", "host"] | None = None,
        isolation: str | None = None,
        commit: bool = False,
        take_back: bool = False,
        snapshot: bool = False,
        confirmation: str | None = None,
        capture: int = DEFAULT_CAPTURE,
    ) -> AsyncProcess:
        """Starts a command and does not wait: as :meth:`run`, but for what comes of it.

        With ``open_stdin`` it reads what ``process.send(...)`` sends, until ``close_stdin()``. With
        ``terminal=(rows, columns)`` it has a terminal, to which ``process.attach()`` attaches.
        Commands of one sandbox run one after the other.
        """
        size = None if terminal is None else {"rows": terminal[0], "columns": terminal[1]}
        body = command_body(
            command,
            env=env,
            workdir=workdir,
            stdin=stdin,
            open_stdin=open_stdin,
            terminal=size,
            timeout=timeout,
            memory=memory,
            network=network,
            isolation=isolation,
            commit=commit,
            take_back=take_back,
            snapshot=snapshot,
            confirmation=confirmation,
        )
        return await self._start(body, capture, kill_on_cancel=False)

    async def _start(self, body: Mapping[str, Any], capture: int, *, kill_on_cancel: bool) -> AsyncProcess:
        request = with_headers(post(f"{self._path}/operations", body, waits=False), Prefer="respond-async")
        flight = Flight()
        try:
            begun = await self._transport.json(request, flight)
        except Exception:
            raise
        except BaseException:
            if kill_on_cancel and flight.open:
                # The service may have begun it, and says so when it is asked once more.
                with shielded():
                    begun = await self._transport.json(request)
                    await AsyncProcess(self._transport, begun["process"], self.name, capture=0).kill()
            raise
        return AsyncProcess(self._transport, begun["process"], self.name, capture=capture)

    async def processes(self) -> list[ProcessInfo]:
        """What runs in it, and the last that ended, the oldest first."""
        return await AsyncProcesses(self._transport).list(self.name)

    async def check(self, command: str) -> Verdict:
        """Judges a script as if it were to run here. Nothing runs."""
        body = {"command": command, "sandbox": self.name}
        request = post("/v1/policy/check", body, waits=False)
        return Verdict.from_json(await self._transport.json(request))

    async def diff(self) -> Diff:
        """What it changed since it was made or committed."""
        return Diff.from_json(await self._transport.json(get(f"{self._path}/diff")))

    async def commit(self, paths: Iterable[str] = (), *, conflict: Conflicts = "fail") -> Done:
        """Brings its changes to the folder that it started from; only ``paths`` when some are given.

        ``conflict`` says what becomes of files that somebody else changed meanwhile.
        """
        return await self._done("commit", paths=_paths(paths), conflict=conflict)

    async def discard(self) -> Done:
        """Throws away what is not committed."""
        return await self._done("discard")

    async def undo(self, operation: str | Operation | None = None, *, conflict: Conflicts = "fail") -> Done:
        """Takes back the last operation, or one in the middle while later ones stay."""
        target = None if operation is None else id_of(operation)
        return await self._done("undo", operation=target, conflict=conflict)

    async def redo(self, *, conflict: Conflicts = "fail") -> Done:
        """Brings back what the last undo took."""
        return await self._done("redo", conflict=conflict)

    async def rollback(
        self,
        snapshot: str | Snapshot | None = None,
        *,
        before: str | Operation | None = None,
        paths: Iterable[str] = (),
    ) -> Done:
        """Returns to a snapshot, or to the point ``before`` an operation.

        With ``paths`` only these return; otherwise the state returns as well. What is left behind is
        kept: ``done.left_behind`` is its snapshot.
        """
        targets = {"snapshot": snapshot, "before": before}
        words = {name: id_of(target) for name, target in targets.items() if target is not None}
        return await self._done("rollback", paths=_paths(paths), **words)

    async def _done(self, call: str, **fields: Any) -> Done:
        request = post(f"{self._path}/{call}", present(**fields))
        return Done.from_json(await self._transport.json(request))

    async def snapshot(
        self,
        message: str = "",
        *,
        tags: Iterable[str] = (),
        scope: Literal["full", "incremental", "state-only"] | None = None,
        live: bool = False,
    ) -> Snapshot:
        """Keeps the point where it stands. With the tag ``keep`` retention leaves it alone.

        It waits for the end of a command that runs; a ``live`` one does not, and has what the command
        has written so far, all of one moment.
        """
        body = present(message=message, tags=_paths(tags), scope=scope, live=live or None)
        request = post(f"{self._path}/snapshots", body)
        return Snapshot.from_json(await self._transport.json(request))

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """Its snapshots, the newest first, fetched as they are needed."""
        async with closing(self._transport.pages(f"{self._path}/snapshots")) as items:
            async for item in items:
                yield Snapshot.from_json(item)

    async def operations(self) -> AsyncIterator[Operation]:
        """Its journal, the newest operation first, fetched as it is needed."""
        async with closing(self._transport.pages(f"{self._path}/operations")) as items:
            async for item in items:
                yield Operation.from_json(item)

    def transaction(self, message: str = "transaction") -> AsyncTransaction:
        """For a ``with`` statement: when its block raises, everything returns to how it was before.

        What the block started and still runs is ended first. The error goes on, with a note of what
        happened; ``ctrlz.RolledBack`` rolls back and ends the statement without an error.
        """
        return AsyncTransaction(self, message)

    async def fork(self, name: str) -> AsyncSandbox:
        """Copies it as it stands, its state included."""
        made = await self._transport.json(post(f"{self._path}/fork", {"name": name}))
        return AsyncSandbox(self._transport, made["name"], SandboxInfo.from_json(made))

    async def suspend(self) -> LifeChanged:
        """Freezes it with what runs in it."""
        return LifeChanged.from_json(await self._transport.json(post(f"{self._path}/suspend")))

    async def resume(self) -> LifeChanged:
        """Lets it go on."""
        return LifeChanged.from_json(await self._transport.json(post(f"{self._path}/resume")))

    async def remove(self, *, force: bool = False) -> Removed:
        """Removes it with all that belongs to it; with ``force`` also what was not committed."""
        freed = await self._transport.json(delete(self._path, force=force))
        return Removed(freed["sandbox"], int(freed["freed_bytes"]))

    async def end_processes(self, *, since: int = 0) -> list[str]:
        """Kills what runs in it and was started ``since`` then (nanoseconds since 1970), and waits.

        Gives the ids of the processes.
        """
        ended = []
        for info in await self.processes():
            if info.running and info.raw["started"] >= since:
                process = AsyncProcess(self._transport, info.id, self.name, capture=0)
                await process.kill()
                ended.append(info.id)
        for process_id in ended:
            await self._transport.send(post(f"/v1/processes/{process_id}/wait", keyed=False))
        return ended

    async def remove_snapshot(self, snapshot: str | Snapshot, *, force: bool = False) -> None:
        """Removes a snapshot; with ``force`` even when its tags keep it."""
        path = f"/v1/snapshots/{segment(id_of(snapshot))}"
        await self._transport.send(delete(path, force=force))

    # The names of the architecture's integration pattern.

    async def validate_operation(self, operation: str | Mapping[str, Any]) -> Verdict:
        """Judges an operation: ``is_safe`` and ``reason`` say whether, and why not, it would run."""
        return await self.check(_command_of(operation))

    async def create_snapshot(self, message: str, kind: str = "manual") -> str:
        """Keeps the point where it stands, and gives the snapshot's id.

        The service itself says what kind a snapshot is; another ``kind`` is kept as a tag.
        """
        tags = [] if kind == "manual" else [kind]
        return (await self.snapshot(message, tags=tags)).id

    async def execute_operation(self, operation: str | Mapping[str, Any]) -> Result:
        """Runs an operation; :class:`ctrlz.CommandFailed` says that it failed."""
        return await self.run(_command_of(operation), check=True)

    async def restore_snapshot(self, snapshot_id: str) -> Done:
        """Returns to a snapshot."""
        return await self.rollback(snapshot_id)


def _paths(paths: Iterable[str]) -> list[str]:
    if isinstance(paths, str):
        raise ConfigurationError("paths and tags are a list of texts, not one text")
    return list(paths)


def _input(stdin: str | bytes | None) -> tuple[str | None, bytes | None]:
    """What goes with the request, and what is sent to the running command."""
    if stdin is None:
        return None, None
    data = stdin.encode() if isinstance(stdin, str) else bytes(stdin)
    if len(data) <= _INLINE:
        try:
            return data.decode(), None
        except UnicodeDecodeError:
            pass
    return None, data


def _command_of(operation: str | Mapping[str, Any]) -> str:
    command = operation if isinstance(operation, str) else operation.get("command")
    if not isinstance(command, str):
        raise ConfigurationError("an operation has a `command`")
    return command
