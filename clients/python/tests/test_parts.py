"""What needs no service."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest
from websockets.exceptions import InvalidHandshake, InvalidStatus

import ctrlz
from ctrlz._async._connect import connect
from ctrlz._capture import Capture
from ctrlz._errors import error_of
from ctrlz._models import path_of
from ctrlz._request import Attempts, Server, command_body, configured, post, trust
from ctrlz._sse import Decoder, ServerSentEvent
from ctrlz._sync._connect import connect as connect_sync

STREAM = b": hello\n\nid: 4\nevent: output\ndata: {\n data: not\ndata: }\n\nid: 9\n\r\ndata:x\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_events_cut_anywhere(size: int) -> None:
    decoder = Decoder()
    found = []
    for at in range(0, len(STREAM), size):
        found += decoder.feed(STREAM[at : at + size])
    assert found == [ServerSentEvent("output", "{\n}", "4"), ServerSentEvent("message", "x", "9")]
    assert decoder.last_id == "9"


def test_addresses() -> None:
    assert Server.parse("https://host/ctrlz/") == Server("https://host/ctrlz", None)
    assert Server.parse("unix:///run/ctrlz.sock") == Server("http://localhost", "/run/ctrlz.sock")
    for wrong in (
        "host:80",
        "unix://relative",
        "ftp://host",
        "http://",
        "http://me:secret@host",
        "http://h?x",
    ):
        with pytest.raises(ctrlz.ConfigurationError):
            Server.parse(wrong)
    assert configured(None, " token\n")[1] == "token"
    with pytest.raises(ctrlz.ConfigurationError):
        configured(None, "two words")


def test_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    monkeypatch.setenv("CTRLZ_TOKEN_FILE", str(tmp_path / "token"))
    assert configured(None, None)[1] == "from-a-file"
    monkeypatch.setenv("CTRLZ_TOKEN", "from-the-environment")
    assert configured(None, None)[1] == "from-the-environment"
    assert configured(None, "said")[1] == "said"
    monkeypatch.delenv("CTRLZ_TOKEN")
    monkeypatch.setenv("CTRLZ_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(ctrlz.ConfigurationError, match="CTRLZ_TOKEN_FILE"):
        configured(None, None)
    assert trust(verify=True) is True
    monkeypatch.setenv("CTRLZ_SERVER_CA", str(tmp_path / "none"))
    with pytest.raises(ctrlz.ConfigurationError, match="CTRLZ_SERVER_CA"):
        trust(verify=True)
    assert trust(verify=False) is False


def test_what_is_sent_again() -> None:
    def problem(status: int, kind: str = "x", wait: float | None = None) -> ctrlz.APIError:
        return error_of(status, {"kind": kind}, None, wait)

    attempts = Attempts(2, 10, repeatable=True)
    first, second = attempts.after_break(sent=True), attempts.after_break(sent=False)
    assert first is not None and second is not None and 0 < first <= 0.2 < second * 2.1
    assert attempts.after_break(sent=True) is None
    attempts.reset()
    assert attempts.after_problem(problem(429, wait=7)) == 7
    assert attempts.after_problem(problem(429, wait=11)) is None
    assert attempts.after_problem(problem(404)) is None
    assert attempts.after_problem(problem(500)) is None
    assert attempts.after_problem(problem(502)) is not None
    assert attempts.after_problem(problem(409, "idempotency-key", 1)) == 1
    never = Attempts(2, 10, repeatable=False)
    assert never.after_break(sent=True) is None
    assert never.after_problem(problem(504)) is None
    assert never.after_break(sent=False) is not None
    assert post("/x").headers["Idempotency-Key"] != post("/x").headers["Idempotency-Key"]


def test_problems_become_exceptions() -> None:
    assert type(error_of(418, {})) is ctrlz.BadRequest
    assert type(error_of(599, {})) is ctrlz.ServerError
    assert type(error_of(409, {"kind": "unconfirmed"})) is ctrlz.Conflict
    assert type(error_of(409, {"kind": "unconfirmed", "confirmation": "c"})) is ctrlz.NeedsConfirmation
    assert type(error_of(403, {"kind": "quota"})) is ctrlz.QuotaExceeded
    error = error_of(404, {"title": "no x", "details": ["why"], "hint": "look"}, "id")
    assert str(error) == "no x: why\nhint: look" and error.request_id == "id"


def test_what_is_missing_is_counted() -> None:
    capture = Capture(4)
    assert capture.add("stdout", b"abc", 3).lost == 0
    assert capture.add("stderr", b"x", 10).lost == 6
    capture.add("stdout", b"def", 13)
    assert (capture.stream("stdout"), capture.stream("stderr")) == (b"cdef", b"x")
    assert capture.truncated and capture.lost == 6


def test_commands_and_paths() -> None:
    assert command_body("x", env={}, commit=False, timeout=2.0) == {"script": "x", "timeout": 2.0}
    assert command_body(("a", "b"), stdin="") == {"argv": ["a", "b"]}
    assert path_of({"bytes": [110, 255]}) == "n\udcff" and path_of("ö") == "ö"


def test_a_socket_takes_the_token_nowhere_else() -> None:
    seen: list[tuple[str, bytes]] = []

    def answering(name: str, answer: bytes) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    seen.append((name, client.recv(65536)))
                    client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return listener

    thief = answering("thief", b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n")
    elsewhere = f"ws://127.0.0.1:{thief.getsockname()[1]}/".encode()
    answer = b"HTTP/1.1 302 Found\r\nlocation: " + elsewhere + b"\r\ncontent-length: 0\r\n\r\n"
    service = answering("service", answer)
    url = f"ws://127.0.0.1:{service.getsockname()[1]}/v1/processes/x/attach"
    headers = {"Authorization": "Bearer ctrlz_secret"}
    with pytest.raises(InvalidStatus):
        asyncio.run(connect(url, unix=None, headers=headers, verify=True))
    with pytest.raises(InvalidHandshake):
        connect_sync(url, unix=None, headers=headers, verify=True)
    thief.close()
    service.close()
    assert [name for name, request in seen if b"ctrlz_secret" in request] == ["service", "service"]
