"""What sandboxes and commands are told as. Each keeps what came as ``raw``: new fields show there first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from ._errors import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def time_of(nanoseconds: int) -> datetime:
    """A time of the service, to the microsecond."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def maybe_time(nanoseconds: int | None) -> datetime | None:
    """A time, where there is one."""
    return None if nanoseconds is None else time_of(nanoseconds)


def path_of(value: str | Mapping[str, Any]) -> str:
    """A path as Python has it: what is not UTF-8 stands as surrogates (``os.fsencode`` undoes it)."""
    if isinstance(value, str):
        return value
    return bytes(value["bytes"]).decode("utf-8", "surrogateescape")


def raw_field() -> Any:
    """Holds what came."""
    return field(repr=False, compare=False)


@dataclass(frozen=True)
class Counts:
    """Numbers of changed entries."""

    added: int = 0
    modified: int = 0
    deleted: int = 0
    metadata: int = 0
    """Those of which only mode, owner, attributes or times changed."""

    @classmethod
    def from_json(cls, raw: Mapping[str, Any] | None) -> Counts:
        """As the service writes it."""
        names = ("added", "modified", "deleted", "metadata")
        return cls(**{name: int((raw or {}).get(name, 0)) for name in names})

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.deleted or self.metadata)

    def __str__(self) -> str:
        words = [(self.added, "added"), (self.modified, "modified"), (self.deleted, "deleted")]
        words.append((self.metadata, "with other metadata"))
        return ", ".join(f"{number} {word}" for number, word in words if number) or "no changes"


@dataclass(frozen=True)
class Entry:
    """A file, folder or link before or after a change."""

    file_type: str
    """``file``, ``directory``, ``symlink``, ``fifo``, ``socket``, or a device."""
    mode: int
    uid: int
    gid: int
    size: int
    modified: datetime
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Entry:
        """As the service writes it."""
        numbers = {name: int(raw[name]) for name in ("mode", "uid", "gid", "size")}
        return cls(file_type=raw["file_type"], modified=time_of(raw["mtime"]), raw=raw, **numbers)


@dataclass(frozen=True)
class Change:
    """One path that changed."""

    path: str
    """Relative to the workspace; what is not UTF-8 stands as surrogates."""
    kind: str
    """``added``, ``modified``, ``deleted``, ``type-changed`` or ``metadata-changed``."""
    before: Entry | None
    after: Entry | None

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Change:
        """As the service writes it."""
        sides = [Entry.from_json(raw[name]) if raw.get(name) else None for name in _SIDES]
        return cls(path_of(raw["path"]), raw["kind"], sides[0], sides[1])


_SIDES = ("before", "after")


@dataclass(frozen=True)
class Diff:
    """What a sandbox changed since it was made or committed. Iterates over the changes."""

    sandbox: str
    counts: Counts
    changes: tuple[Change, ...]
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Diff:
        """As the service writes it."""
        changes = tuple(Change.from_json(one) for one in raw["changes"])
        return cls(raw["sandbox"], Counts.from_json(raw["counts"]), changes, raw)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def __contains__(self, path: object) -> bool:
        return any(change.path == path for change in self.changes)


@dataclass(frozen=True)
class SandboxInfo:
    """A sandbox as it was when it was asked about."""

    id: str
    name: str
    base: str
    """The folder that it starts from."""
    driver: str
    created: datetime
    used: datetime
    lifecycle: str | None
    """``init``, ``ready``, ``running``, ``suspended``, ``resumed`` or ``failed``."""
    open_operation: str | None
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> SandboxInfo:
        """As the service writes it."""
        return cls(
            id=raw["id"],
            name=raw["name"],
            base=path_of(raw["base"]),
            driver=raw["driver"],
            created=time_of(raw["created"]),
            used=time_of(raw["used"]),
            lifecycle=raw.get("lifecycle"),
            open_operation=raw.get("open_operation"),
            raw=raw,
        )


@dataclass(frozen=True)
class Done:
    """What a commit, discard, undo, redo or rollback did."""

    sandbox: str
    operation: str | None
    """The operation under which it is journaled."""
    target: str | None
    """The operation that it took back or brought back."""
    left_behind: str | None
    """The snapshot that holds what a rollback left behind."""
    changes: Counts | None
    """``None`` where that cannot be told."""
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Done:
        """As the service writes it."""
        counts = raw.get("counts")
        return cls(
            sandbox=raw["sandbox"],
            operation=raw.get("operation"),
            target=raw.get("target"),
            left_behind=raw.get("left_behind"),
            changes=None if counts is None else Counts.from_json(counts),
            raw=raw,
        )


@dataclass(frozen=True)
class Removed:
    """What a removal freed."""

    name: str
    freed_bytes: int


@dataclass(frozen=True)
class LifeChanged:
    """How a sandbox's life went on."""

    sandbox: str
    before: str
    after: str
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> LifeChanged:
        """As the service writes it."""
        return cls(raw["sandbox"], raw["from"], raw["to"], raw)


@dataclass(frozen=True)
class Snapshot:
    """A point that a sandbox can return to."""

    id: str
    sandbox: str
    """The sandbox's id."""
    kind: str
    """``manual``, ``automatic``, ``pre-operation`` or ``pre-rollback``."""
    scope: str
    message: str
    tags: tuple[str, ...]
    operation: str
    created: datetime
    live: str | None
    """``frozen`` or ``atomic``, when it was taken while a command ran."""
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Snapshot:
        """As the service writes it."""
        texts = {name: raw[name] for name in ("id", "sandbox", "kind", "scope", "message")}
        return cls(
            **texts,
            tags=tuple(raw["tags"]),
            operation=raw["operation"],
            created=time_of(raw["created"]),
            live=(raw.get("live") or {}).get("by"),
            raw=raw,
        )


@dataclass(frozen=True)
class Operation:
    """An operation as the journal keeps it."""

    id: str
    kind: str
    """``create``, ``run``, ``snapshot``, ``rollback``, ``commit``, ``undo`` and so on."""
    title: str
    status: str
    """``open``, ``done``, ``failed``, ``recovered``, ``undone`` or ``blocked``."""
    started: datetime
    finished: datetime | None
    risk: str | None
    """For a command: ``low``, ``medium``, ``high`` or ``critical``."""
    rules: tuple[str, ...]
    target: str | None
    """The operation that it undoes or redoes."""
    changes: Counts | None
    exit_code: int | None
    """As a shell tells it; ``None`` for what is no command, or was ended by a signal."""
    error: str | None
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Operation:
        """As the service writes it."""
        request, outcome = raw["request"], raw["outcome"]
        verdict = request.get("verdict") or {}
        exits = (outcome.get("command") or {}).get("exit") or {}
        counts = outcome.get("counts")
        return cls(
            id=raw["id"],
            kind=request["kind"],
            title=request["title"],
            status=raw["status"],
            started=time_of(raw["started"]),
            finished=maybe_time(raw.get("finished")),
            risk=verdict.get("risk"),
            rules=tuple(verdict.get("rules") or ()),
            target=request.get("target"),
            changes=None if counts is None else Counts.from_json(counts),
            exit_code=exits.get("code"),
            error=outcome.get("error"),
            raw=raw,
        )


@dataclass(frozen=True)
class Usage:
    """What a command used."""

    wall: float
    """Seconds."""
    user: float
    system: float
    peak_resident: int
    """Bytes."""
    processes: int

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Usage:
        """As the service writes it."""
        return cls(
            wall=float(raw.get("wall") or 0),
            user=float(raw.get("user") or 0),
            system=float(raw.get("system") or 0),
            peak_resident=int(raw.get("peak_resident") or 0),
            processes=int(raw.get("processes") or 0),
        )


@dataclass(frozen=True)
class Result:
    """What a command did and wrote."""

    sandbox: str
    operation: str | None
    process: str
    exit_code: int
    """As a shell tells it: 124 when its time was up, 128 and the signal's number when one ended it."""
    stdout_bytes: bytes = field(repr=False)
    """Exactly what it wrote, as far as it is kept."""
    stderr_bytes: bytes = field(repr=False)
    changes: Counts
    """What it changed in the workspace."""
    risk: str | None
    """What it was judged as: ``low``, ``medium`` or ``high``."""
    stopped: str | None
    """What stopped it: ``timeout``, ``memory`` or another limit, ``store-full``, ``unusual``."""
    truncated: bool
    """Whether some of what it wrote is missing, from the beginning of a stream."""
    lost: int
    """How many bytes that it wrote did not arrive: it wrote faster than they were read."""
    taken_back: bool
    """Whether its changes were taken back because it failed."""
    rolled_back: str | None
    """The operation that rolled it back, for something unusual."""
    commit: Mapping[str, Any] | None
    """What was committed, with ``commit=True``."""
    usage: Usage
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_answer(
        cls,
        raw: Mapping[str, Any],
        *,
        stdout: bytes | None = None,
        stderr: bytes | None = None,
        truncated: bool | None = None,
        lost: int = 0,
    ) -> Result:
        """From the service's answer, with the output as it was read where it was."""
        command = raw.get("command") or {}
        stopped = command.get("stopped")
        if isinstance(stopped, dict):
            stopped = stopped.get("limit")
        return cls(
            sandbox=raw["sandbox"],
            operation=raw.get("operation"),
            process=raw["process"],
            exit_code=int(raw["exit_code"]),
            stdout_bytes=raw["stdout"].encode() if stdout is None else stdout,
            stderr_bytes=raw["stderr"].encode() if stderr is None else stderr,
            changes=Counts.from_json(raw.get("counts")),
            risk=raw.get("risk"),
            stopped=stopped,
            truncated=bool(raw.get("truncated")) if truncated is None else truncated,
            lost=lost,
            taken_back=bool(raw.get("taken_back")),
            rolled_back=raw.get("rolled_back"),
            commit=raw.get("commit"),
            usage=Usage.from_json(command.get("usage") or {}),
            raw=raw,
        )

    @classmethod
    def of_errand(cls, raw: Mapping[str, Any], *, process: str, sandbox: str) -> Result:
        """From the answer of what archives or restores: it was done, wrote nothing, and is no operation."""
        told = {"sandbox": sandbox, "process": process, "exit_code": 0, "stdout": "", "stderr": ""}
        return replace(cls.from_answer(told), raw=raw)

    @property
    def stdout(self) -> str:
        """What it wrote to standard output; what is not UTF-8 is replaced."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """What it wrote to standard error; what is not UTF-8 is replaced."""
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def ok(self) -> bool:
        """Whether it succeeded, and what it changed stands."""
        return self.exit_code == 0 and not (self.stopped or self.taken_back or self.rolled_back)

    def check(self) -> Result:
        """Itself when it succeeded; otherwise :class:`CommandFailed` is raised."""
        if not self.ok:
            raise CommandFailed(self)
        return self


@dataclass(frozen=True)
class Output:
    """Something that a command wrote at once."""

    stream: str
    """``stdout`` or ``stderr``."""
    data: bytes
    offset: int
    """How many bytes were written up to its end, to both streams: where to go on reading."""
    lost: int = 0
    """How many bytes before it are missing, since they are no longer kept."""

    @property
    def text(self) -> str:
        """The data as text; what is not UTF-8 (or cut in the middle of a letter) is replaced."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True)
class ProcessInfo:
    """A process as it was when it was asked about."""

    id: str
    sandbox: str
    """Empty for what is about none, such as the verifying of an archive."""
    title: str
    started: datetime
    operation: str | None
    status: str
    """``running``, ``ended``, or ``interrupted`` when the service ended before it did."""
    written: int
    """How many bytes it wrote, to both streams."""
    terminal: bool
    """Whether it has a terminal."""
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ProcessInfo:
        """As the service writes it."""
        return cls(
            id=raw["id"],
            sandbox=raw["sandbox"] or "",
            title=raw["title"],
            started=time_of(raw["started"]),
            operation=raw.get("operation"),
            status=raw["status"],
            written=int(raw["written"]),
            terminal=bool(raw.get("terminal")),
            raw=raw,
        )

    @property
    def running(self) -> bool:
        """Whether it runs, or waits for its turn."""
        return self.status == "running"


@dataclass(frozen=True)
class Finding:
    """Why a command was judged as it was."""

    rule: str
    risk: str
    reason: str
    hint: str | None
    subject: str | None
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Finding:
        """As the service writes it."""
        return cls(raw["rule"], raw["risk"], raw["reason"], raw.get("hint"), raw.get("subject"), raw)


@dataclass(frozen=True)
class Verdict:
    """What the validator says of a command."""

    risk: str
    """``low``, ``medium``, ``high`` or ``critical``."""
    decision: str
    """``allow``, ``confirm`` or ``block``."""
    score: int
    """0 to 100."""
    rules: tuple[str, ...]
    findings: tuple[Finding, ...]
    """The gravest first."""
    beyond_undo: tuple[str, ...]
    """What no undo brings back, where the sandbox is known."""
    raw: Mapping[str, Any] = raw_field()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Verdict:
        """As the service writes it."""
        coverage = raw.get("coverage") or {}
        return cls(
            risk=raw["risk"],
            decision=raw["decision"],
            score=int(raw["score"]),
            rules=tuple(raw["rules"]),
            findings=tuple(Finding.from_json(one) for one in raw["findings"]),
            beyond_undo=tuple(
                str(one.get("reason") or one.get("effect")) for one in coverage.get("beyond_undo", ())
            ),
            raw=raw,
        )

    @property
    def is_safe(self) -> bool:
        """Whether it runs without anybody's confirmation."""
        return self.decision == "allow"

    @property
    def reason(self) -> str | None:
        """Why it is not safe, in one line; ``None`` when it is."""
        if self.is_safe:
            return None
        return "; ".join(finding.reason for finding in self.findings) or f"its risk is {self.risk}"


@dataclass(frozen=True)
class ExecutionResponse:
    """What ``execute`` answers: the command succeeded."""

    success: bool
    result: Result
    snapshot_id: str | None
    """The snapshot that was taken before it."""
    operation_id: str | None
    """The caller's own word for the operation."""

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ExecutionResponse:
        """As the service writes it."""
        result = Result.from_answer(raw["result"])
        return cls(raw["success"], result, raw.get("snapshot_id"), raw.get("operation_id"))
