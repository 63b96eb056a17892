"""The service answers as its own description (OpenAPI) says, whatever it is asked: schemathesis asks it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ctrlz
from tests.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

# All that schemathesis has, but for three. `positive_data_acceptance`: the description does not tell the
# grammar of names and what else is checked in words. `negative_data_rejection`: it tells numbers without sign
# as int64, and takes larger ones. `object_level_authorization` needs a second user; the service's own tests
# try every route as a stranger.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
]
EXAMPLES = "5"
SEED = "6"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path) as made:
        yield made
        made.stop()


def settings(service: Service) -> str:
    """Names of what is there, so that calls reach further than to `there is no such thing`.

    What removes or freezes something has its own, so that the others still find theirs.
    """
    base = service.folder / "base"
    base.mkdir()
    (base / "file").write_text("given")
    with ctrlz.Client(service.url, service.token) as client:
        there = client.sandboxes.create("there", base=base)
        operation = there.run("echo x > file; touch more", check=True)
        snapshots = [there.snapshot(f"number {number}").id for number in range(2)]
        there.state["key"] = "value"
        process = there.start("cat", open_stdin=True)
        process.close_stdin()
        process.wait()
        for name in ("gone", "frozen"):
            client.sandboxes.create(name).run("touch file")
        client.tenants.put("others")
        client.tenants.put("gone")
        token = client.tokens.create("viewer").id
        try:
            there.run("git push --force")
            raise AssertionError("it is not asked about any more: find another command")
        except ctrlz.NeedsConfirmation as asked:
            confirmation = asked.confirmation
    words = {
        "sandbox": "there",
        "operation": operation.operation,
        "snapshot": snapshots[0],
        "process": process.id,
        "confirmation": confirmation,
        "key": "key",
        "tenant": "others",
        "token": token,
    }
    queries = {"path": "file", "from": "file", "to": "moved"}
    own = {
        "DELETE /v1/sandboxes/{sandbox}": ("sandbox", "gone"),
        "POST /v1/sandboxes/{sandbox}/suspend": ("sandbox", "frozen"),
        "POST /v1/sandboxes/{sandbox}/resume": ("sandbox", "frozen"),
        "DELETE /v1/snapshots/{snapshot}": ("snapshot", snapshots[1]),
        "DELETE /v1/tenants/{tenant}": ("tenant", "gone"),
    }
    lines = ["[parameters]"]
    lines += [f'"path.{name}" = {json.dumps(word)}' for name, word in words.items()]
    lines += [f'"query.{name}" = {json.dumps(word)}' for name, word in queries.items()]
    for call, (name, word) in own.items():
        lines += ["[[operations]]", f"include-name = {json.dumps(call)}", "[operations.parameters]"]
        lines += [f'"path.{name}" = {json.dumps(word)}']
    # Answers as long as it is listened to; the client's tests do.
    lines += ["[[operations]]", 'include-name = "GET /v1/sandboxes/{sandbox}/files/watch"', "enabled = false"]
    return "\n".join(lines)


def test_the_service_answers_as_it_says(service: Service) -> None:
    config = service.folder / "schemathesis.toml"
    config.write_text(settings(service))
    command = [
        *(str(Path(sys.executable).parent / "st"), "--config-file", str(config), "--no-color"),
        *("run", f"{service.url}/openapi.json", "--header", f"Authorization: Bearer {service.token}"),
        *("--checks", ",".join(CHECKS), "--max-examples", EXAMPLES, "--seed", SEED, "--workers", "1"),
        *("--generation-database", "none", "--continue-on-failure", "--warnings", "off"),
        # Not `stateful`: it guesses from names which answer leads to which call, and guesses what cannot be
        # called. `examples` are none.
        *("--request-timeout", "60", "--phases", "coverage,fuzzing"),
    ]
    ran = subprocess.run(command, cwd=service.folder, capture_output=True, text=True, check=False)
    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0
    assert "No checks were performed" not in ran.stdout
    # It asked all there is, and is there still.
    with ctrlz.Client(service.url, service.token) as client:
        assert client.health().ready
        assert client.sandboxes.get("there").run("true").ok
