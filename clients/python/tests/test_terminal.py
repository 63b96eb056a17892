from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import ctrlz

if TYPE_CHECKING:
    from .service import Proxy, Service


def test_a_person_at_a_terminal(client: ctrlz.Client, sandbox: ctrlz.Sandbox) -> None:
    process = sandbox.start(["sh"], terminal=(24, 80))
    assert process.info().terminal
    seen = ""
    with process.attach() as terminal:
        assert not terminal.read_only
        terminal.send("stty size; echo go''on\n")
        for output in terminal:
            seen += output.text
            if "goon" in seen:
                break
        terminal.resize(50, 132)
        terminal.send("stty size; exit 3\n")
        seen += "".join(output.text for output in terminal)
        result = terminal.result
    assert re.findall(r"\d+ \d+(?=\r)", seen) == ["24 80", "50 132"], seen
    assert result is not None and result.exit_code == 3


def test_signals_and_the_end_of_input(sandbox: ctrlz.Sandbox, service: Service) -> None:
    process = sandbox.start("trap 'echo caught' USR1; echo ready; cat; echo over", open_stdin=True)
    with ctrlz.Client(service.unix, service.token) as client:
        attached = client.processes.get(process.id).attach()
        with attached as terminal:
            shown = iter(terminal)
            assert next(shown).text == "ready\n"
            terminal.send("typed\n")
            assert next(shown).text == "typed\n"
            terminal.end_input()
            assert "over" in "".join(output.text for output in shown)
        assert attached.result is not None and attached.result.ok


def test_a_terminal_goes_on_at_the_same_byte(service: Service, proxy: Proxy, sandbox: ctrlz.Sandbox) -> None:
    process = sandbox.start("for i in $(seq 300); do echo line $i; sleep 0.002; done")
    proxy.cut_after = [-1, 700, 1500, 777]
    with (
        ctrlz.Client(proxy.url, service.token) as client,
        client.processes.get(process.id).attach() as terminal,
    ):
        seen = b"".join(output.data for output in terminal)
    assert seen.split() == [word for n in range(1, 301) for word in (b"line", str(n).encode())]
    assert not proxy.cut_after


def test_what_is_no_longer_kept_is_counted(sandbox: ctrlz.Sandbox) -> None:
    process = sandbox.start("head -c 30000000 /dev/zero")
    process.wait()
    with process.attach(0) as terminal:
        outputs = list(terminal)
    assert outputs[0].lost > 0
    assert sum(len(output.data) + output.lost for output in outputs) == 30_000_000 == terminal.offset


def test_who_is_not_let_in_learns_why(client: ctrlz.Client, service: Service, sandbox: ctrlz.Sandbox) -> None:
    process = sandbox.start("cat", open_stdin=True)
    with ctrlz.Client(service.url, "ctrlz_no_such") as stranger:
        there = ctrlz.Process(stranger.sandbox("x")._transport, process.id, "x", capture=0)
        with pytest.raises(ctrlz.Unauthorized), there.attach():
            pass
    viewer = client.tokens.create("viewer")
    with (
        ctrlz.Client(service.url, viewer.token) as looks,
        looks.processes.get(process.id).attach() as terminal,
    ):
        assert terminal.read_only
        process.send("said", end=True)
        assert "".join(output.text for output in terminal) == "said"
    gone = ctrlz.Process(sandbox._transport, "none", "x", capture=0)
    with pytest.raises(ctrlz.ProcessLost), gone.attach():
        pass


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_asynchronous_one(asandbox: ctrlz.AsyncSandbox, anyio_backend: str) -> None:
    process = await asandbox.start(["cat"], terminal=(10, 20))
    async with process.attach() as terminal:
        await terminal.send("hello\n")
        await terminal.end_input()
        shown = "".join([output.text async for output in terminal])
    assert shown.count("hello") == 2
    assert terminal.result is not None and terminal.result.ok
