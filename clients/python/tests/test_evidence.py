from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

import ctrlz

if TYPE_CHECKING:
    from .service import Service


def test_the_log_is_evidence(mortal: Service) -> None:
    with ctrlz.Client(mortal.url, mortal.token) as client:
        client.sandboxes.create("web").run("true")
        assert client.audit.sign().startswith("ctrlz event log v1\n")
        assert client.audit.key()
        told = client.audit.verify()
        assert told["last"] >= 2
        assert client.audit.verify(first=1, last=2)["last"] == 2
        lines = client.audit.export().splitlines()
        assert any(json.loads(line).get("id") == "2" for line in lines if line.startswith("{"))


def test_snapshots_at_rest(mortal: Service) -> None:
    with ctrlz.Client(mortal.url, mortal.token) as client:
        sandbox = client.sandboxes.create("web")
        sandbox.run("echo kept > file", check=True)
        pushed = client.archive.push("web")
        [told] = client.archive.list()["snapshots"]
        assert told["name"] == pushed["snapshots"][0]["name"]
        assert client.archive.verify()["faults"] == []
        assert client.archive.drill([told["name"]])["drills"][0]["whole"]
        client.archive.restore(told["name"], "back")
        assert client.sandbox("back").run("cat file").stdout == "kept\n"
        assert client.archive.remove([told["name"]])["removed"] == [told["name"]]
        assert "removed" in client.archive.collect(dry_run=True)
        with pytest.raises(ctrlz.APIError):
            client.archive.restore("no such", "again")


def test_what_archives_is_waited_for_as_a_process(mortal: Service) -> None:
    with ctrlz.Client(mortal.url, mortal.token) as client:
        client.sandboxes.create("web").run("echo kept > file", check=True)

        def begin(call: str, body: dict[str, object]) -> ctrlz.Process:
            headers = {"authorization": f"Bearer {mortal.token}", "prefer": "respond-async"}
            begun = httpx.post(f"{mortal.url}/v1/archive{call}", json=body, headers=headers, timeout=60)
            assert begun.status_code == 202, begun.text
            return client.processes.get(begun.json()["process"])

        pushed = begin("", {"sandbox": "web"}).wait(check=True)
        assert (pushed.ok, pushed.operation, pushed.stdout, pushed.sandbox) == (True, None, "", "web")
        [told] = client.archive.list()["snapshots"]
        assert pushed.raw["snapshots"][0]["name"] == told["name"]
        verified = begin("/verify", {}).wait()
        assert (verified.raw["faults"], verified.sandbox) == ([], "")
        with pytest.raises(ctrlz.APIError):
            begin("/restore", {"name": "no such", "sandbox": "again"}).wait()
