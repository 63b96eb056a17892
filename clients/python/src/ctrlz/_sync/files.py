# Made from ctrlz/_async/files.py by scripts/unasync.py: change that one.
"""The files of a sandbox, without a program in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ctrlz._errors import ConfigurationError, NotFound
from ctrlz._models import Done
from ctrlz._records import FileContent, FileEntry, FilesChanged
from ctrlz._request import delete, file_query, get, post, put, segment

from ._platform import closing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .transport import Transport


class Files:
    """Reads, lists, changes and watches a sandbox's files.

    Paths are what a command in the sandbox would write: from the workspace on, or absolute. Each change is an
    operation of its own, which ``sandbox.undo()`` takes back. What a command changes shows when it has ended.
    """

    def __init__(self, transport: Transport, sandbox: str) -> None:
        self._transport = transport
        self._sandbox = f"/v1/sandboxes/{segment(sandbox)}"
        self._path = f"{self._sandbox}/files"

    def read(self, path: str, *, offset: int = 0, length: int | None = None) -> FileContent:
        """What is in a file: all of it, or ``length`` bytes from ``offset`` on."""
        if offset < 0 or (length is not None and length <= 0):
            raise ConfigurationError("a part of a file begins at 0 or later and has bytes")
        end = "" if length is None else str(offset + length - 1)
        headers = {"Range": f"bytes={offset}-{end}"} if offset or end else {}
        request = get(f"{self._path}?{file_query(path=path)}", headers=headers)
        found = self._transport.send(request)
        if "etag" not in found.headers:
            raise ConfigurationError(f"{path} is a folder: list() tells what is in it")
        return FileContent(found.content, found.headers["etag"])

    def stat(self, path: str) -> FileEntry:
        """What is at a path; of a link, the link."""
        query = file_query(path=path, stat=True)
        return FileEntry.from_json(self._transport.json(get(f"{self._path}?{query}")))

    def exists(self, path: str) -> bool:
        """Whether something is at a path."""
        try:
            self.stat(path)
        except NotFound as error:
            if error.kind == "no-sandbox":
                raise
            return False
        return True

    def list(self, path: str = ".") -> Iterator[FileEntry]:
        """What is in a folder, by name, fetched as it is needed."""
        cursor = None
        while True:
            query = file_query(path=path) + ("" if cursor is None else f"&cursor={cursor}")
            page = self._transport.json(get(f"{self._path}?{query}"))
            for item in page["items"]:
                yield FileEntry.from_json(item)
            cursor = page.get("next")
            if cursor is None:
                return

    def write(
        self,
        path: str,
        content: bytes | str,
        *,
        mode: int | None = None,
        parents: bool = False,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Done:
        """Writes a file, text as UTF-8, up to 17 MiB. One that is there keeps its owner, and its mode.

        ``parents`` makes the folders that are missing. With ``if_match`` (the ``etag`` of what was read) only
        over that content, with ``if_absent`` only where nothing is; else :class:`ctrlz.VersionConflict`.
        """
        headers = {"If-None-Match": "*"} if if_absent else {}
        if if_match is not None:
            headers["If-Match"] = if_match
        query = file_query(path=path, mode=mode, parents=parents)
        content = content.encode() if isinstance(content, str) else bytes(content)
        request = put(f"{self._path}?{query}", content, headers)
        return Done.from_json(self._transport.json(request))

    def remove(self, path: str, *, recursive: bool = False) -> Done:
        """Removes a file, a link or a folder; one that is not empty when ``recursive``."""
        query = file_query(path=path, recursive=recursive)
        return Done.from_json(self._transport.json(delete(f"{self._path}?{query}")))

    def make_folder(self, path: str, *, mode: int | None = None, parents: bool = False) -> Done:
        """Makes a folder."""
        query = file_query(path=path, mode=mode, parents=parents)
        return Done.from_json(self._transport.json(post(f"{self._path}/folder?{query}")))

    def move(self, source: str, target: str, *, overwrite: bool = False) -> Done:
        """Gives a file, a link or a folder another name; ``overwrite`` in place of a file that is there."""
        query = file_query({"from": source, "to": target}, overwrite=overwrite)
        return Done.from_json(self._transport.json(post(f"{self._path}/move?{query}")))

    def watch(self, path: str | None = None, *, after: str | None = None) -> Iterator[FilesChanged]:
        """What each operation changes at a path or below it, when it has ended; for ever.

        From the operation ``after`` on, or from now. A broken connection is made again, and nothing missed.
        """
        if after is None:
            after = self._newest()
        query = "" if path is None else f"?{file_query(path=path)}"
        request = get(f"{self._path}/watch{query}")
        with closing(self._transport.events(request, after)) as events:
            for event in events:
                if event.event == "changes":
                    yield FilesChanged.from_json(json.loads(event.data))

    def _newest(self) -> str | None:
        """The newest operation that has ended."""
        with closing(self._transport.pages(f"{self._sandbox}/operations", limit=8)) as items:
            for item in items:
                if item["status"] != "open":
                    return str(item["id"])
        return None
