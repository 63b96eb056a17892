"""Connections that break, and a service that is killed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import httpx
import pytest

import ctrlz
from ctrlz._sse import Decoder

if TYPE_CHECKING:
    from .service import Proxy, Service


def test_output_goes_on_at_the_same_byte(service: Service, proxy: Proxy, sandbox: ctrlz.Sandbox) -> None:
    with ctrlz.Client(proxy.url, service.token) as client:
        process = client.sandbox(sandbox.name).start(
            "for i in $(seq 300); do echo line $i; sleep 0.002; done"
        )
        # Each of these connections is cut in the middle of something.
        proxy.cut_after = [700, 1500, 2000, 777, 901]
        client.close()
    with ctrlz.Client(proxy.url, service.token) as client:
        again = ctrlz.Process(
            client.sandbox(sandbox.name)._transport, process.id, sandbox.name, capture=1 << 20
        )
        result = again.wait()
    assert result.stdout.split("\n")[:-1] == [f"line {number}" for number in range(1, 301)]
    assert result.lost == 0 and not proxy.cut_after


def test_an_answer_that_is_lost_is_asked_for_again_and_nothing_is_done_twice(
    service: Service, proxy: Proxy, sandbox: ctrlz.Sandbox
) -> None:
    proxy.cut_after = [0]
    with ctrlz.Client(proxy.url, service.token) as client:
        client.sandbox(sandbox.name).run("echo x >> file; cat file", check=True)
    proxy.cut_after = [0]
    with ctrlz.Client(proxy.url, service.token) as client:
        client.sandbox(sandbox.name).snapshot("once")
    assert sandbox.run("cat file").stdout == "x\n"
    assert [one.message for one in sandbox.snapshots()].count("once") == 1
    keys = [line for data in proxy.requests for line in data.lower().split(b"\r\n") if b"idempotency" in line]
    assert len(keys) == 4 and len(set(keys)) == 2


def test_what_takes_long_is_waited_for_across_broken_connections(
    service: Service, proxy: Proxy, sandbox: ctrlz.Sandbox
) -> None:
    proxy.cut_after = [proxy.UNHEARD]
    with ctrlz.Client(proxy.url, service.token) as client:
        answer = client.execute(sandbox.name, "sleep 1.2; echo x >> file; wc -l < file")
    assert answer.result.stdout.strip() == "1"


def test_what_may_not_be_sent_twice_is_not(service: Service, proxy: Proxy) -> None:
    proxy.cut_after = [0]
    with ctrlz.Client(proxy.url, service.token) as client, pytest.raises(ctrlz.ServiceUnreachable):
        client.tokens.create("viewer")
    assert proxy.connections == 1


def test_nobody_there(service: Service) -> None:
    for server in ("http://127.0.0.1:1", "unix:///no/such/socket"):
        with ctrlz.Client(server, retries=1) as client, pytest.raises(ctrlz.ServiceUnreachable) as raised:
            client.sandboxes.get("x")
        assert isinstance(raised.value, ConnectionError) and server.split("//")[1] in str(raised.value)


def test_a_service_that_is_killed_in_the_middle(mortal: Service) -> None:
    with ctrlz.Client(mortal.url, mortal.token) as client:
        sandbox = client.sandboxes.create("web")
        sandbox.run("echo kept > file", check=True)
        heard: list[str] = []

        def restart(text: str) -> None:
            if not heard:
                mortal.kill()
                mortal.start()
            heard.append(text)

        with pytest.raises(ctrlz.ProcessLost, match="web"):
            sandbox.run("echo begun; echo lost > file; sleep 20", on_stdout=restart)
        assert heard == ["begun\n"]
        assert sandbox.run("cat file").stdout == "kept\n"
        statuses = [one.status for one in sandbox.operations()]
        assert statuses == ["done", "recovered", "done", "done"]


def test_events_go_on_with_a_service_that_was_killed(mortal: Service) -> None:
    with ctrlz.Client(mortal.url, mortal.token) as client:
        sandbox = client.sandboxes.create("web")
        seen: list[int] = []
        first, done = threading.Event(), threading.Event()

        def listen() -> None:
            for event in client.events(follow=True, after=0):
                seen.append(event.id)
                first.set()
                if event.data.get("title", "").endswith("last"):
                    done.set()
                    return

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        assert first.wait(30)
        mortal.kill()
        mortal.start()
        sandbox.run("true; : last", check=True)
        assert done.wait(30)
        listener.join(30)
    assert seen == list(range(1, len(seen) + 1))


def test_a_stream_says_where_it_begins(
    client: ctrlz.Client, sandbox: ctrlz.Sandbox, service: Service
) -> None:
    last = [event.id for event in client.events()][-1]
    headers = {"Authorization": f"Bearer {service.token}", "Accept": "text/event-stream"}
    decoder = Decoder()
    with httpx.stream("GET", f"{service.url}/v1/events", headers=headers) as response:
        for chunk in response.iter_raw():
            assert decoder.feed(chunk) == []
            if decoder.last_id is not None:
                break
    assert decoder.last_id == str(last)


def test_a_stopping_service_is_waited_for(mortal: Service) -> None:
    with ctrlz.Client(mortal.url, mortal.token) as client:
        sandbox = client.sandboxes.create("web")
        mortal.stop()
        starter = threading.Timer(0.3, mortal.start)
        starter.start()
        assert sandbox.run("echo there").stdout == "there\n"
        starter.join()
