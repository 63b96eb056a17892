from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import ctrlz

if TYPE_CHECKING:
    from pathlib import Path

    from .service import Service


def test_a_command_tells_what_it_wrote_and_changed(sandbox: ctrlz.Sandbox) -> None:
    result = sandbox.run("echo out; echo err >&2; echo x > new")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 0)
    assert result.ok and result.changes == ctrlz.Counts(added=1)
    assert not result.truncated and result.lost == 0
    assert result.usage.wall > 0
    diff = sandbox.diff()
    assert [(change.path, change.kind) for change in diff] == [("new", "added")]
    assert "new" in diff and len(diff) == 1
    after = diff.changes[0].after
    assert after is not None and after.size == 2 and after.file_type == "file"
    operation = next(iter(sandbox.operations()))
    assert operation.id == result.operation and operation.risk == result.risk == "low"
    assert operation.exit_code == 0 and operation.kind == "run"


def test_a_list_is_a_program_with_its_arguments(sandbox: ctrlz.Sandbox) -> None:
    assert sandbox.run(["printf", "%s|", "a b", "$HOME"]).stdout == "a b|$HOME|"


def test_options_arrive(sandbox: ctrlz.Sandbox) -> None:
    result = sandbox.run("echo $NAME; pwd; cat", env={"NAME": "wörld"}, workdir="/tmp", stdin="given")
    assert result.stdout == "wörld\n/tmp\ngiven"


def test_what_isolates_a_command_can_be_chosen(sandbox: ctrlz.Sandbox) -> None:
    assert sandbox.run("echo $$; echo new > file", isolation="oci:runc").stdout == "2\n"
    assert sandbox.run("cat file", isolation="native").stdout == "new\n"
    with pytest.raises(ctrlz.APIError):
        sandbox.run("true", isolation="turbo")


def test_a_failure_is_a_result_or_an_error(sandbox: ctrlz.Sandbox) -> None:
    assert sandbox.run("exit 3").exit_code == 3
    with pytest.raises(ctrlz.CommandFailed) as raised:
        sandbox.run("echo no >&2; exit 3", check=True)
    assert raised.value.result.exit_code == 3 and "no" in str(raised.value)
    kept = sandbox.run("echo x > kept; false", take_back=True)
    assert kept.taken_back and not kept.ok and not sandbox.diff()


def test_a_limit_stops_a_command(sandbox: ctrlz.Sandbox) -> None:
    result = sandbox.run("sleep 60", timeout=0.2)
    assert (result.exit_code, result.stopped, result.ok) == (124, "timeout", False)


def test_output_comes_as_it_is_written(sandbox: ctrlz.Sandbox) -> None:
    out: list[str] = []
    err: list[str] = []
    # The letter is cut in two.
    script = r"printf 'a\303'; sleep 0.2; printf '\266b'; echo e >&2; printf '\377'"
    result = sandbox.run(script, on_stdout=out.append, on_stderr=err.append)
    assert "".join(out) == "aöb�" and err == ["e\n"]
    assert result.stdout_bytes == b"a\xc3\xb6b\xff" and result.stdout == "aöb�"


def test_an_error_in_a_callback_is_the_callers(sandbox: ctrlz.Sandbox) -> None:
    def fail(_: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sandbox.run("echo x", on_stdout=fail)


def test_much_output_is_whole_or_says_what_is_missing(sandbox: ctrlz.Sandbox) -> None:
    size = 10 << 20
    result = sandbox.run(f"head -c {size} /dev/zero | tr '\\0' x; printf end")
    assert len(result.stdout_bytes) + result.lost == size + 3
    assert result.truncated == (result.lost > 0)
    assert result.stdout.endswith("xend") and len(result.stdout) >= 1 << 19
    slow = sandbox.run("for i in $(seq 40); do head -c 65536 /dev/zero; sleep 0.01; done", capture=100_000)
    assert len(slow.stdout_bytes) == 100_000 and slow.truncated


def test_much_input_and_input_that_is_no_text(sandbox: ctrlz.Sandbox) -> None:
    data = os.urandom(3 << 20)
    sandbox.run("cat > copy", stdin=data, check=True)
    wanted = sandbox.run("sha256sum", stdin=data).stdout
    assert sandbox.run("sha256sum < copy").stdout == wanted
    assert sandbox.run("cat", stdin=b"\xff\0").stdout_bytes == b"\xff\0"
    # A command need not read it.
    assert sandbox.run("true", stdin=data).ok


def test_names_that_are_no_text_survive(sandbox: ctrlz.Sandbox) -> None:
    sandbox.run(r"touch \"$(printf 'n\377')\" ö", check=True)
    sandbox.run(["sh", "-c", "touch \"$(printf 'b\\377')\" ü"], check=True)
    names = {os.fsencode(change.path) for change in sandbox.diff()}
    assert {b"b\xff", "ü".encode()} <= names
    bad = next(change.path for change in sandbox.diff() if "b" in change.path)
    with pytest.raises(ctrlz.ConfigurationError, match="not UTF-8"):
        sandbox.commit([bad])


def test_forth_and_back(sandbox: ctrlz.Sandbox) -> None:
    sandbox.run("echo 1 > file", check=True)
    before = sandbox.snapshot("before", tags=["mine"])
    assert before.kind == "manual" and before.message == "before" and "mine" in before.tags
    sandbox.run("echo 2 > file; touch other", check=True)
    done = sandbox.rollback(before)
    assert sandbox.run("cat file; ls").stdout == "1\nfile\n"
    assert done.left_behind and done.changes
    second = sandbox.run("echo 3 > file").operation
    assert sandbox.undo().target == second
    assert sandbox.run("cat file").stdout == "1\n"
    sandbox.undo()
    sandbox.redo()
    middle = sandbox.run("echo 4 > four").operation
    sandbox.run("echo 5 > five")
    sandbox.undo(middle)
    assert sandbox.run("ls").stdout == "file\nfive\n"
    assert middle is not None
    sandbox.rollback(before=middle)
    assert sandbox.run("ls").stdout == "file\n"
    sandbox.discard()
    assert not sandbox.diff()
    with pytest.raises(ctrlz.ConfigurationError):
        sandbox.rollback(before, paths="file")
    assert {"before"} <= {snapshot.message for snapshot in sandbox.snapshots()}


def test_a_folder_of_the_host_gets_what_is_committed(client: ctrlz.Client, name: str, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("old")
    with client.sandboxes.temporary(name, base=tmp_path) as sandbox:
        sandbox.run("echo new > given; echo x > more", check=True)
        assert (tmp_path / "given").read_text() == "old"
        done = sandbox.commit(["more"])
        assert done.changes == ctrlz.Counts(added=1)
        assert (tmp_path / "more").exists() and (tmp_path / "given").read_text() == "old"
        (tmp_path / "given").write_text("somebody's")
        with pytest.raises(ctrlz.Conflict) as conflict:
            sandbox.commit()
        assert conflict.value.details and (tmp_path / "given").read_text() == "somebody's"
        sandbox.discard()
        result = sandbox.run("echo z > third", commit=True)
        assert result.commit and (tmp_path / "third").read_text() == "z\n"


def test_a_copy_goes_its_own_way(client: ctrlz.Client, sandbox: ctrlz.Sandbox) -> None:
    sandbox.run("touch one")
    sandbox.state["k"] = "v"
    other = sandbox.fork(f"{sandbox.name}-copy")
    other.run("touch two")
    assert (len(sandbox.diff()), len(other.diff()), other.state["k"]) == (1, 2, b"v")
    with pytest.raises(ctrlz.Conflict) as refused:
        other.remove()
    assert refused.value.kind == "uncommitted"
    assert other.remove(force=True).name == other.name
    with pytest.raises(ctrlz.NotFound):
        client.sandboxes.get(other.name)


def test_frozen_and_not(sandbox: ctrlz.Sandbox) -> None:
    sandbox.run("true")
    assert sandbox.suspend().after == "suspended"
    assert sandbox.info().lifecycle == "suspended"
    assert sandbox.resume().before == "suspended"
    assert sandbox.run("true").ok


def test_lists_go_on_page_after_page(client: ctrlz.Client, sandbox: ctrlz.Sandbox) -> None:
    for number in range(7):
        sandbox.state.put("k", str(number))
    found = list(sandbox._transport.pages(f"/v1/sandboxes/{sandbox.name}/operations", limit=3))
    assert len(found) == 8
    assert [one["id"] for one in found] == [one.id for one in sandbox.operations()]
    assert sandbox.name in [one.name for one in client.sandboxes.list()]


def test_state_has_versions(sandbox: ctrlz.Sandbox) -> None:
    state = sandbox.state
    first = state.put("a/b", "one")
    value = state.get("a/b")
    assert value == b"one" and value.text == "one" and value.version == first
    second = state.put("a/b", b"\xff", if_version=first)
    with pytest.raises(ctrlz.VersionConflict):
        state.put("a/b", "late", if_version=first)
    with pytest.raises(ctrlz.VersionConflict):
        state.put("a/b", "new", if_absent=True)
    assert state.get("a/b", version=first) == b"one" and state["a/b"] == b"\xff"
    state["json"] = '{"x": [1]}'
    assert state["json"].json() == {"x": [1]}
    assert [entry.key for entry in state.list()] == ["a/b", "json"]
    assert "json" in state
    del state["json"]
    assert "json" not in state
    with pytest.raises(KeyError):
        state["json"]
    with pytest.raises(ctrlz.NotFound):
        state.get("json")
    assert [entry.version for entry in state.history("a/b")] == [second, first]


def test_a_transaction_that_fails_leaves_nothing(sandbox: ctrlz.Sandbox) -> None:
    sandbox.run("echo old > file")
    sandbox.state["k"] = "old"
    with pytest.raises(ctrlz.CommandFailed) as raised, sandbox.transaction("deploy") as transaction:
        sandbox.run("echo new > file; touch more", check=True)
        sandbox.state["k"] = "new"
        process = sandbox.start("sleep 20")
        raise ctrlz.CommandFailed(sandbox_result())
    assert sandbox.run("cat file; ls").stdout == "old\nfile\n"
    assert sandbox.state["k"] == b"old"
    done = transaction.rolled_back
    assert done is not None and done.left_behind is not None
    notes = getattr(raised.value, "__notes__", [done.left_behind])
    assert done.left_behind in notes[0]
    assert "deploy" not in [one.message for one in sandbox.snapshots()]
    assert process.wait().exit_code in (137, 128)


def sandbox_result() -> ctrlz.Result:
    answer = {"sandbox": "x", "process": "y", "exit_code": 1, "stdout": "", "stderr": ""}
    return ctrlz.Result.from_answer(answer)


def test_a_transaction_that_succeeds_stays(sandbox: ctrlz.Sandbox) -> None:
    with sandbox.transaction() as transaction:
        sandbox.run("touch file", check=True)
    assert transaction.rolled_back is None and "file" in sandbox.diff()
    with sandbox.transaction() as transaction:
        sandbox.run("rm file", check=True)
        raise ctrlz.RolledBack
    assert transaction.rolled_back is not None and "file" in sandbox.diff()


def test_a_rollback_that_cannot_be_is_told(client: ctrlz.Client, name: str) -> None:
    sandbox = client.sandboxes.create(name)
    with pytest.raises(ctrlz.RollbackFailed) as raised, sandbox.transaction():
        sandbox.remove(force=True)
        raise ZeroDivisionError
    assert isinstance(raised.value.__cause__, ZeroDivisionError) and raised.value.snapshot.startswith("snap-")


def test_a_temporary_sandbox_goes_with_what_runs(client: ctrlz.Client) -> None:
    with client.sandboxes.temporary() as sandbox:
        process = sandbox.start("touch file; sleep 20")
    with pytest.raises(ctrlz.NotFound):
        sandbox.info()
    assert process.wait().exit_code == 137


def test_the_pattern_of_the_architecture(client: ctrlz.Client, sandbox: ctrlz.Sandbox) -> None:
    operation = {"sandbox_id": sandbox.name, "operation_id": "mine", "command": "echo x > file"}
    verdict = sandbox.validate_operation(operation)
    assert verdict.is_safe and verdict.reason is None
    snapshot = sandbox.create_snapshot("Pre-operation: mine", "pre-operation")
    assert "pre-operation" in client.snapshot(snapshot).tags
    assert sandbox.execute_operation(operation).ok
    sandbox.restore_snapshot(snapshot)
    assert not sandbox.diff()
    unsafe = sandbox.validate_operation("rm -rf /")
    assert not unsafe.is_safe and unsafe.reason and unsafe.risk == "critical"


def test_one_call_checks_runs_and_takes_back(client: ctrlz.Client, sandbox: ctrlz.Sandbox) -> None:
    answer = client.execute(sandbox.name, "echo x > file; echo said", "mine")
    assert answer.success and answer.operation_id == "mine" and answer.result.stdout == "said\n"
    assert answer.snapshot_id and client.snapshot(answer.snapshot_id).kind == "pre-operation"
    with pytest.raises(ctrlz.OperationFailed) as failed:
        client.execute(sandbox.name, "rm file; exit 4", "mine")
    assert failed.value.result.exit_code == 4 and failed.value.operation_id == "mine"
    assert failed.value.snapshot_id and "file" in sandbox.diff()
    with pytest.raises(ctrlz.Blocked) as blocked:
        client.execute(sandbox.name, "rm -rf /")
    assert blocked.value.status == 400 and blocked.value.reasons and blocked.value.risk == "critical"
    assert blocked.value.operation and client.operation(blocked.value.operation).status == "blocked"


def test_what_is_wrong_is_told_in_its_own_class(client: ctrlz.Client, service: Service, name: str) -> None:
    with pytest.raises(ctrlz.NotFound) as missing:
        client.sandbox("not-there").run("true")
    error = missing.value
    assert (error.status, error.kind) == (404, "no-sandbox")
    assert error.hint and error.hint in str(error) and error.request_id
    with pytest.raises(ctrlz.BadRequest):
        client.sandboxes.create("-bad-")
    client.sandboxes.create(name)
    with pytest.raises(ctrlz.Conflict):
        client.sandboxes.create(name)
    with pytest.raises(ctrlz.ConfigurationError):
        client.sandbox("..")
    with ctrlz.Client(service.url, "ctrlz_no_such") as stranger, pytest.raises(ctrlz.Unauthorized):
        stranger.check("true")
    with ctrlz.Client(service.url) as nobody, pytest.raises(ctrlz.Unauthorized):
        next(iter(nobody.sandboxes.list()))


def test_the_environment_says_where(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTRLZ_SERVER", service.unix)
    monkeypatch.setenv("CTRLZ_TOKEN", service.token)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with ctrlz.Client() as client:
        assert client.health().ready
        assert "sandbox_operations" in client.metrics()
        with client.sandboxes.temporary() as sandbox:
            assert sandbox.run("echo over a socket").stdout == "over a socket\n"
