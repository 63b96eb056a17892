from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

import ctrlz

if TYPE_CHECKING:
    from .service import Proxy, Service


def test_files_are_written_read_and_taken_back(sandbox: ctrlz.Sandbox) -> None:
    files = sandbox.files
    done = files.write("a/b/ö %&+.txt", "first", parents=True, mode=0o750)
    assert done.operation and done.changes and done.changes.added == 3
    content = files.read("a/b/ö %&+.txt")
    assert content == b"first" and content.text == "first"
    files.write("a/b/ö %&+.txt", b"sec\xffond", if_match=content.etag)
    with pytest.raises(ctrlz.VersionConflict):
        files.write("a/b/ö %&+.txt", "late", if_match=content.etag)
    with pytest.raises(ctrlz.VersionConflict):
        files.write("a/b/ö %&+.txt", "new", if_absent=True)
    assert files.read("a/b/ö %&+.txt", offset=1, length=3) == b"ec\xff"
    entry = files.stat("a/b/ö %&+.txt")
    assert (entry.name, entry.kind, entry.size, entry.mode) == ("ö %&+.txt", "file", 7, 0o750)
    assert entry.path == "a/b/ö %&+.txt" and not entry.is_folder
    sandbox.undo()
    assert files.read("a/b/ö %&+.txt") == b"first"
    assert sandbox.run("cat a/b/*").stdout == "first"


def test_folders(sandbox: ctrlz.Sandbox) -> None:
    files = sandbox.files
    files.make_folder("many")
    sandbox.run("cd many; for i in $(seq 250); do : > file$i; done; ln -s file1 link", check=True)
    found = list(files.list("many"))
    assert len(found) == 251 and len({entry.path for entry in found}) == 251
    assert next(entry for entry in found if entry.name == "link").target == "file1"
    assert [entry.name for entry in files.list()] == ["many"]
    with pytest.raises(ctrlz.ConfigurationError):
        files.read("many")
    with pytest.raises(ctrlz.Conflict):
        files.remove("many")
    files.move("many/file1", "moved")
    assert files.exists("moved") and not files.exists("many/file1")
    files.write("other", "x")
    with pytest.raises(ctrlz.Conflict):
        files.move("moved", "other")
    files.move("moved", "other", overwrite=True)
    assert files.read("other") == b""
    files.remove("many", recursive=True)
    assert [entry.path for entry in files.list()] == ["other"]
    with pytest.raises(ctrlz.NotFound):
        files.read("many")


def test_names_that_are_no_text(sandbox: ctrlz.Sandbox) -> None:
    files = sandbox.files
    bad = "n\udcff"
    files.write(bad, "there")
    assert files.read(bad) == b"there"
    assert [entry.path for entry in files.list()] == [bad] == [change.path for change in sandbox.diff()]
    files.move(bad, "good")
    with pytest.raises(ctrlz.ConfigurationError):
        files.read("")


def test_much(sandbox: ctrlz.Sandbox) -> None:
    data = bytes(range(256)) * (10 << 12)
    sandbox.files.write("big", data)
    assert sandbox.files.read("big") == data
    assert sandbox.run("wc -c < big").stdout.strip() == str(len(data))


def test_who_watches_from_now_on_says_from_where(
    service: Service, proxy: Proxy, sandbox: ctrlz.Sandbox
) -> None:
    last = sandbox.run("touch old").operation
    assert last is not None

    def listen() -> None:
        with ctrlz.Client(proxy.url, service.token) as client:
            next(client.sandbox(sandbox.name).files.watch())

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    while not any(b"/files/watch" in request for request in proxy.requests):
        time.sleep(0.01)
    sandbox.run("touch new")
    listener.join(30)
    asked = next(request for request in proxy.requests if b"/files/watch" in request)
    assert f"last-event-id: {last}\r\n".encode() in asked.lower()


def test_changes_are_watched(sandbox: ctrlz.Sandbox) -> None:
    sandbox.run("mkdir seen; touch old")
    after = next(iter(sandbox.operations())).id
    found: list[ctrlz.FilesChanged] = []

    def listen() -> None:
        for changed in sandbox.files.watch("seen", after=after):
            found.append(changed)
            if "seen/last" in changed.changes:
                return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    first = sandbox.run("echo x > seen/one; echo x > unseen").operation
    sandbox.run("rm seen/one")
    sandbox.files.write("seen/last", "")
    listener.join(30)
    assert [dict(one.changes) for one in found][:2] == [{"seen/one": "created"}, {"seen/one": "removed"}]
    assert found[0].operation == first and found[0].kind == "run" and len(found) == 3
