from __future__ import annotations

import gc
import signal
import threading

import pytest

import ctrlz


def test_what_a_process_reads_and_writes(client: ctrlz.Client, sandbox: ctrlz.Sandbox) -> None:
    process = sandbox.start("while read line; do echo got $line; done; exit 5", open_stdin=True)
    output = iter(process)
    process.send("one\n")
    first = next(output)
    assert (first.text, first.stream, first.offset, first.lost) == ("got one\n", "stdout", 8, 0)
    process.send("two\n")
    process.close_stdin()
    result = process.wait()
    assert result.exit_code == 5 and result.stdout == "got one\ngot two\n"
    # From anywhere, from any byte.
    again = client.processes.get(process.id)
    assert b"".join(one.data for one in again.output(4)) == b"one\ngot two\n"
    assert again.wait().stdout == result.stdout
    assert process.wait() == again.wait()
    info = again.info()
    assert not info.running and info.written == 16 and info.sandbox == sandbox.name
    assert process.id in [one.id for one in sandbox.processes()]


def test_logs(sandbox: ctrlz.Sandbox) -> None:
    process = sandbox.start("seq 1 30000; echo bad >&2; read line", open_stdin=True)
    output = iter(process)
    while next(output).offset < 168_898:
        pass
    whole = process.logs()
    text = b"".join(one.data for one in whole if one.stream == "stdout")
    assert text == b"".join(b"%d\n" % number for number in range(1, 30001))
    assert b"".join(one.data for one in process.logs(lines=2, stream="stdout")) == b"29999\n30000\n"
    assert b"".join(one.data for one in process.logs(tail=2, stream="stderr")) == b"d\n"
    process.close_stdin()
    process.wait()
    assert b"".join(one.data for one in process.logs(stream="stdout")) == text


def test_a_live_snapshot(sandbox: ctrlz.Sandbox) -> None:
    process = sandbox.start("echo one > file; echo ready; read line; echo $line > file", open_stdin=True)
    assert next(iter(process)).text == "ready\n"
    snapshot = sandbox.snapshot("while it runs", live=True)
    assert snapshot.live in {"frozen", "atomic"} and process.info().running
    process.send("two\n")
    assert process.wait().exit_code == 0
    assert sandbox.run("cat file").stdout == "two\n"
    sandbox.rollback(snapshot.id)
    assert sandbox.run("cat file").stdout == "one\n"
    assert sandbox.snapshot("while nothing runs", live=True).live is None


def test_signals(sandbox: ctrlz.Sandbox) -> None:
    process = sandbox.start("trap 'echo caught; exit 7' USR1; echo ready; while :; do sleep 0.05; done")
    output = iter(process)
    assert next(output).text == "ready\n"
    process.signal("USR1")
    assert process.wait().exit_code == 7
    with pytest.raises(ctrlz.Conflict):
        process.signal(signal.SIGTERM)
    process.kill()
    other = sandbox.start("echo ready; sleep 20")
    assert next(iter(other)).text == "ready\n"
    other.terminate()
    with pytest.raises(ctrlz.CommandFailed):
        other.wait(check=True)


def test_what_could_not_be_run_is_an_error(sandbox: ctrlz.Sandbox) -> None:
    process = sandbox.start(["/no/such/program"])
    with pytest.raises(ctrlz.APIError) as raised:
        process.wait()
    assert raised.value.kind == "not-found"


def test_a_process_that_nobody_knows(client: ctrlz.Client) -> None:
    with pytest.raises(ctrlz.NotFound):
        client.processes.get("none")


def test_ctrl_c_kills_what_is_waited_for(sandbox: ctrlz.Sandbox) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sandbox.run("echo x; sleep 20", on_stdout=interrupt)
    [process] = sandbox.processes()
    result = ctrlz.Process(sandbox._transport, process.id, sandbox.name, capture=0).wait()
    assert result.exit_code == 137


def test_a_stream_left_unread_holds_up_nothing(client: ctrlz.Client, sandbox: ctrlz.Sandbox) -> None:
    process = sandbox.start("echo begun; sleep 600")

    def leave() -> None:
        left: list[object] = [iter(process)]
        assert next(left[0]).text == "begun\n"  # type: ignore[call-overload]
        left.append(left)

    def collect() -> None:
        leave()
        # As when the collector begins in the midst of a request of this thread's.
        with client._transport._http._transport._pool._optional_thread_lock:  # type: ignore[attr-defined]
            gc.collect()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    process.kill()
