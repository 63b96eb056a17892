from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

import ctrlz

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_it_does_what_the_other_one_does(
    aclient: ctrlz.AsyncClient, asandbox: ctrlz.AsyncSandbox
) -> None:
    result = await asandbox.run("echo out; touch new", check=True)
    assert result.stdout == "out\n" and result.changes.added == 1
    assert len(await asandbox.diff()) == 1
    await asandbox.state.put("k", "v")
    assert await asandbox.state.get("k") == b"v"
    assert [one.kind async for one in asandbox.operations()] == ["state", "run", "create"]
    assert (await aclient.check("rm -rf /")).decision == "block"
    assert asandbox.name in [one.name async for one in aclient.sandboxes.list()]
    assert (await aclient.health()).ready
    with pytest.raises(ctrlz.NotFound):
        await aclient.sandboxes.get("not-there")


async def test_callbacks_may_be_coroutines(asandbox: ctrlz.AsyncSandbox) -> None:
    heard: list[str] = []

    async def hear(text: str) -> None:
        await anyio.lowlevel.checkpoint()
        heard.append(text)

    await asandbox.run("echo x; echo y >&2", on_stdout=hear, on_stderr=heard.append)
    assert sorted(heard) == ["x\n", "y\n"]


async def test_much_input(asandbox: ctrlz.AsyncSandbox) -> None:
    data = b"x" * (2 << 20)
    assert (await asandbox.run("wc -c", stdin=data)).stdout.strip() == str(len(data))
    with pytest.raises(ctrlz.CommandFailed):
        await asandbox.run("head -c 1 > first; exit 1", stdin=data, check=True)


async def test_a_process(asandbox: ctrlz.AsyncSandbox) -> None:
    process = await asandbox.start("cat", open_stdin=True)
    await process.send("hello", end=True)
    assert [one.data async for one in process] == [b"hello"]
    assert (await process.wait()).ok


async def test_32_at_once(aclient: ctrlz.AsyncClient, name: str) -> None:
    results: dict[int, str] = {}

    async def one(number: int) -> None:
        async with aclient.sandboxes.temporary(f"{name}-{number}") as sandbox:
            await sandbox.run(f"echo {number} > file", check=True)
            results[number] = (await sandbox.run("cat file", check=True)).stdout

    async with anyio.create_task_group() as tasks:
        for number in range(32):
            tasks.start_soon(one, number)
    assert results == {number: f"{number}\n" for number in range(32)}


async def cancelled(asandbox: ctrlz.AsyncSandbox, *, kill: bool) -> ctrlz.ProcessInfo:
    begun = anyio.Event()

    async def run() -> None:
        script = "echo begun; while [ ! -e go ]; do sleep 0.05; done"
        await asandbox.run(script, on_stdout=lambda _: begun.set(), kill_on_cancel=kill)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await begun.wait()
        tasks.cancel_scope.cancel()
    [info] = await asandbox.processes()
    return info


async def test_cancelled_is_killed(aclient: ctrlz.AsyncClient, asandbox: ctrlz.AsyncSandbox) -> None:
    info = await cancelled(asandbox, kill=True)
    result = await (await aclient.processes.get(info.id)).wait()
    assert result.exit_code == 137


async def test_cancelled_goes_on_when_it_shall(
    aclient: ctrlz.AsyncClient, asandbox: ctrlz.AsyncSandbox
) -> None:
    info = await cancelled(asandbox, kill=False)
    assert info.running
    process = await aclient.processes.get(info.id)
    assert (await process.info()).running
    await process.kill()


async def test_a_cancelled_transaction_is_rolled_back(asandbox: ctrlz.AsyncSandbox) -> None:
    with anyio.CancelScope() as scope:
        async with asandbox.transaction() as transaction:
            await asandbox.run("touch file", check=True)
            scope.cancel()
            await asandbox.run("touch more")
    assert transaction.rolled_back is not None
    assert not await asandbox.diff()


# Of a stream that is left, httpx leaves generators to the garbage collector, which trio tells.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_events_as_they_happen(
    aclient: ctrlz.AsyncClient, asandbox: ctrlz.AsyncSandbox, anyio_backend: str
) -> None:
    past = [event async for event in aclient.events(sandbox=asandbox.name)]
    assert [event.type for event in past] == ["sandbox.created"]
    seen: list[tuple[str, str | None]] = []

    class Handler(ctrlz.AsyncEventHandler):
        async def on_operation_start(self, event: ctrlz.Event) -> None:
            seen.append(("start", event.sandbox))

        async def on_safety_violation(self, event: ctrlz.Event) -> None:
            seen.append(("violation", event.data["verdict"]["risk"]))
            self.stop()

    async with anyio.create_task_group() as tasks:
        last: list[int | None] = []

        async def listen() -> None:
            last.append(await aclient.handle_events(Handler(), after=past[-1].id))

        tasks.start_soon(listen)
        await asandbox.run("true")
        with pytest.raises(ctrlz.Blocked):
            await asandbox.run("rm -rf /")
    assert seen == [("start", asandbox.name), ("violation", "critical")]
    assert last[0] is not None and last[0] > past[-1].id
    gc.collect()


async def test_asyncio_cancels_as_well(
    asandbox: ctrlz.AsyncSandbox, aclient: ctrlz.AsyncClient, anyio_backend: str
) -> None:
    import asyncio

    if anyio_backend != "asyncio":
        return
    begun = asyncio.Event()
    wait: Callable[[str], None] = lambda _: begun.set()  # noqa: E731
    task = asyncio.create_task(asandbox.run("echo begun; sleep 20", on_stdout=wait))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [info] = await asandbox.processes()
    assert (await (await aclient.processes.get(info.id)).wait()).exit_code == 137
