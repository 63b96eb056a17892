"""What the service keeps beside sandboxes: state, events, who may do what, its health."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ._models import maybe_time, raw_field, time_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_NAMESPACE = "io.github.ctrlz."


class StateValue(bytes):
    """A value of a sandbox's state: bytes that know their version."""

    version: int
    """The version of the state that wrote it: for ``put(..., if_version=...)``."""

    def __new__(cls, value: bytes, version: int) -> StateValue:
        """A value and its version."""
        made = super().__new__(cls, value)
        made.version = version
        return made

    @property
    def text(self) -> str:
        """The value as UTF-8 text."""
        return self.decode("utf-8")

    def json(self) -> Any:
        """The value as JSON."""
        return json.loads(self)


class FileContent(bytes):
    """What is in a file: bytes that know what tells them from another content."""

    etag: str
    """For ``write(..., if_match=...)``."""

    def __new__(cls, content: bytes, etag: str) -> FileContent:
        """A content and its tag."""
        made = super().__new__(cls, content)
        made.etag = etag
        return made

    @property
    def text(self) -> str:
        """The content as UTF-8 text."""
        return self.decode("utf-8")


def _path(encoded: str) -> str:
    return unquote(encoded, errors="surrogateescape")


@dataclass(frozen=True)
class FileEntry:
    """A file, or another thing that has a path."""

    path: str
    """From the workspace on; what is not UTF-8 stands as surrogates."""
    kind: str
    """``file``, ``directory``, ``symlink``, ``fifo``, ``socket``, or a device."""
    size: int
    mode: int
    uid: int
    gid: int
    modified: datetime
    target: str | None
    """Where a link leads."""
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> FileEntry:
        """As the service writes it."""
        return cls(
            path=_path(raw["path"]),
            kind=raw["kind"],
            size=int(raw["size"]),
            mode=int(raw["mode"], 8),
            uid=int(raw["uid"]),
            gid=int(raw["gid"]),
            modified=time_of(raw["mtime"]),
            target=raw.get("target"),
            raw=raw,
        )

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.kind == "directory"


@dataclass(frozen=True)
class FilesChanged:
    """What one operation changed in the files that are watched."""

    operation: str
    """To go on behind it: the next ``after``."""
    kind: str
    """``run``, ``undo`` and so on."""
    changes: Mapping[str, str]
    """By path: ``created``, ``modified`` or ``removed``."""
    truncated: bool
    """Whether there are more than are told."""
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> FilesChanged:
        """As the service writes it."""
        changes = {_path(one["query"]): str(one["change"]) for one in raw["changes"]}
        return cls(raw["operation"], raw["kind"], changes, bool(raw.get("truncated")), raw)


@dataclass(frozen=True)
class StateEntry:
    """One version of a value, without the value."""

    key: str
    version: int
    size: int
    deleted: bool
    written: datetime
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> StateEntry:
        """As the service writes it."""
        size, deleted = int(raw.get("size") or 0), bool(raw.get("deleted"))
        return cls(raw["key"], int(raw["version"]), size, deleted, time_of(raw["written"]), raw)


@dataclass(frozen=True)
class Event:
    """Something that happened (CloudEvents 1.0)."""

    id: int
    """Its number in the log, from 1, without gaps."""
    type: str
    """Without the leading ``io.github.ctrlz.``: ``operation.started``, ``safety.violation`` …"""
    sandbox: str | None
    """The sandbox's name; ``None`` for what is about none."""
    time: str
    """RFC 3339, to the nanosecond."""
    data: Mapping[str, Any]
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Event:
        """As the service writes it."""
        kind = raw["type"]
        kind = kind.removeprefix(_NAMESPACE)
        data = raw.get("data") or {}
        return cls(int(raw["id"]), kind, raw.get("subject"), raw["time"], data, raw)


@dataclass(frozen=True)
class Confirmation:
    """An operation that waits for somebody's approval, or was approved and did not run yet."""

    id: str
    sandbox: str
    title: str
    reasons: tuple[str, ...]
    asked_by: str
    created: datetime
    expires: datetime
    approved_by: str | None
    stdin: Mapping[str, Any] | None
    """What it reads: its beginning (``text``), its size (``bytes``), whether it is ``truncated``."""
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Confirmation:
        """As the service writes it."""
        return cls(
            id=raw["id"],
            sandbox=raw["sandbox"],
            title=raw["title"],
            reasons=tuple(raw["reasons"]),
            asked_by=raw["asked_by"],
            created=time_of(raw["created"]),
            expires=time_of(raw["expires"]),
            approved_by=raw.get("approved_by"),
            stdin=raw.get("stdin"),
            raw=raw,
        )


@dataclass(frozen=True)
class NewToken:
    """A token that was just made."""

    id: str
    token: str = field(repr=False)
    """What a client sends. It is told this once."""


@dataclass(frozen=True)
class Token:
    """A token, without its secret."""

    id: str
    tenant: str
    role: str
    """``viewer``, ``operator``, ``approver`` or ``admin``."""
    note: str
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Token:
        """As the service writes it."""
        return cls(
            id=raw["id"],
            tenant=raw["tenant"],
            role=raw["role"],
            note=raw["note"],
            created=time_of(raw["created"]),
            expires=maybe_time(raw.get("expires")),
            revoked=maybe_time(raw.get("revoked")),
            raw=raw,
        )


@dataclass(frozen=True)
class Tenant:
    """A tenant and its quotas; ``None`` is no limit."""

    name: str
    created: datetime
    sandboxes: int | None
    running: int | None
    """Operations at once."""
    per_minute: int | None
    """Operations begun."""
    memory: int | None
    """Bytes, of one operation."""
    disk: int | None
    """Bytes of the tenant's store."""
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Tenant:
        """As the service writes it."""
        quotas = raw["quotas"]
        names = ("sandboxes", "running", "per_minute", "memory", "disk")
        limits = {name: quotas.get(name) for name in names}
        return cls(name=raw["name"], created=time_of(raw["created"]), raw=raw, **limits)


@dataclass(frozen=True)
class Health:
    """Whether the service can carry out operations."""

    ready: bool
    failing: Mapping[str, str]
    """What is not well, and why."""
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Health:
        """As the service writes it."""
        failing = {
            name: str(check.get("reason") or "not healthy")
            for name, check in (raw.get("checks") or {}).items()
            if not check.get("healthy")
        }
        return cls(raw.get("status") == "ready", failing, raw)
