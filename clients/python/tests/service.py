"""The real service, for tests: started, killed, started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path


def end(*connections: socket.socket) -> None:
    for connection in connections:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """`ctrlz serve` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        # A Unix socket's path has 107 bytes at most, and pytest's folders can be longer.
        self._short = tempfile.TemporaryDirectory(prefix="ctrlz-", dir="/tmp")
        self.socket = Path(self._short.name) / "service.sock"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.unix = f"unix://{self.socket}"
        self.token = ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._short.cleanup()

    def start(self) -> None:
        binary = os.environ["CTRLZ_BINARY"]
        listen = ["--listen", f"127.0.0.1:{self.port}", "--socket", str(self.socket)]
        environment = {**os.environ, "CTRLZ_HOME": str(self.home), "HOME": str(self.folder)}
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [binary, "serve", "--json", *listen],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self.folder / "log").read_text()
        told = json.loads(line)
        assert told["ok"], told
        self.token = told["token"] or self.token

    def end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        self.end(signal.SIGTERM)


class Proxy:
    """Stands between client and service, and breaks connections as it is told."""

    UNHEARD = -2

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.cut_after: list[int] = []
        """For the next connections: after how many bytes of answers each is cut; -1 is never, `UNHEARD` as
        soon as the service was asked."""
        self.requests: list[bytes] = []
        """How each piece that a client sent begins."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            cut = self.cut_after.pop(0) if self.cut_after else -1
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._target))
            asking = self.UNHEARD if cut == self.UNHEARD else -1
            for source, sink, most in ((client, server, asking), (server, client, max(cut, -1))):
                threading.Thread(target=self._pump, args=(source, sink, most), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, most: int) -> None:
        passed = 0
        while True:
            try:
                data = source.recv(65536)
                if most >= 0:
                    data = data[: most - passed]
                if not data:
                    break
                sink.sendall(data)
                passed += len(data)
                if sink.getpeername()[1] == self._target:
                    self.requests.append(data[:4096])
                    if most == self.UNHEARD and passed == len(data):
                        # The service has begun when it does not hear the client any more.
                        threading.Timer(0.4, end, (source, sink)).start()
            except OSError:
                break
        end(source, sink)
        source.close()
        sink.close()
