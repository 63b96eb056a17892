"""What can go wrong, as exceptions: one for each thing that a caller may want to handle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._models import Done, Result


class CtrlzError(Exception):
    """Anything that this client raises."""


class ConfigurationError(CtrlzError, ValueError):
    """The client was told something that cannot be: an address, a token, a name."""


class ServiceUnreachable(CtrlzError, ConnectionError):
    """The service could not be reached, or the connection broke and could not be made again."""


class ProtocolError(CtrlzError):
    """What answered is no ctrlz service, or one that this client does not understand."""


class ProcessLost(CtrlzError):
    """The service ended while a process ran, or knows it no more.

    The sandbox's operations tell what came of the command.
    """


class CommandFailed(CtrlzError):
    """A command ended with a failure. Raised by ``run(..., check=True)``."""

    result: Result
    """What the command did and wrote."""

    def __init__(self, result: Result) -> None:
        self.result = result
        why = f"stopped by its limit ({result.stopped})" if result.stopped else "failed"
        text = f"the command {why}, exit code {result.exit_code}"
        if result.taken_back or result.rolled_back:
            text += "; its changes were taken back"
        last = result.stderr.strip().splitlines()[-1:]
        super().__init__(": ".join([text, *last]))


class RollbackFailed(CtrlzError):
    """A transaction could not be rolled back. ``__cause__`` says why, ``snapshot`` to where."""

    snapshot: str
    """The snapshot from before the transaction, which is still there."""

    def __init__(self, sandbox: str, snapshot: str, reason: object) -> None:
        self.snapshot = snapshot
        super().__init__(f"`{sandbox}` could not be rolled back to {snapshot}: {reason}")


class APIError(CtrlzError):
    """The service answered with a problem (RFC 9457)."""

    status: int
    """The HTTP status."""
    kind: str
    """The kind in one word, to branch on; the command line's ``--json`` has the same."""
    title: str
    """What happened, in one line."""
    details: tuple[str, ...]
    """Why, a reason each."""
    hint: str | None
    """What can be done about it."""
    request_id: str | None
    """The ``X-Request-Id`` of the answer, which the service's log has, too."""
    problem: Mapping[str, Any]
    """The whole problem as it came."""

    def __init__(self, status: int, problem: Mapping[str, Any], request_id: str | None = None) -> None:
        self.status = status
        self.problem = problem
        self.request_id = request_id
        self.kind = str(problem.get("kind", "unknown"))
        self.title = str(problem.get("title") or f"the service answered {status}")
        self.details = tuple(str(one) for one in problem.get("details") or ())
        hint = problem.get("hint")
        self.hint = None if hint is None else str(hint)
        super().__init__(self.title)

    def __str__(self) -> str:
        lines = [": ".join([self.title, *self.details])]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class BadRequest(APIError):
    """The request is not one that can be carried out (400, 405, 415, 422)."""


class _Judged(APIError):
    """A command that was judged and did not run."""

    risk: str | None
    """``high`` or ``critical``."""
    score: int | None
    """0 to 100."""
    rules: tuple[str, ...]
    """Ids of the rules that matched, the gravest first."""

    def __init__(self, status: int, problem: Mapping[str, Any], request_id: str | None = None) -> None:
        super().__init__(status, problem, request_id)
        self.risk = problem.get("risk")
        self.score = problem.get("score")
        self.rules = tuple(problem.get("rules") or ())

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it did not run, a reason each."""
        return self.details


class Blocked(_Judged):
    """The command's risk is critical: it did not run, and cannot be confirmed."""

    @property
    def operation(self) -> str | None:
        """The operation under which the refusal is journaled."""
        return self.problem.get("operation")


class Unauthorized(APIError):
    """The service knows no such token, or it was revoked, or has expired (401)."""


class Forbidden(APIError):
    """The token's role or tenant does not allow it (403)."""


class QuotaExceeded(Forbidden):
    """The tenant's quota does not allow it."""


class NotFound(APIError):
    """There is no such thing, or it is another tenant's (404)."""


class Conflict(APIError):
    """It does not go together with how things are (409)."""


class NeedsConfirmation(Conflict, _Judged):
    """The command's risk is high: it runs when somebody who may approve it does.

    ``client.confirmations.approve(error.confirmation)`` approves; then the same call with
    ``confirmation=error.confirmation`` runs, once.
    """

    @property
    def confirmation(self) -> str:
        """The confirmation's id."""
        return str(self.problem["confirmation"])

    @property
    def expires(self) -> str | None:
        """When it can no longer be approved or used (RFC 3339)."""
        return self.problem.get("expires")


class NotApproved(Conflict):
    """The confirmation is not one that was approved for this very operation, or is used up."""


class VersionConflict(APIError):
    """The state has another version than was expected (412)."""


class TooLarge(APIError):
    """What was sent is larger than the service takes (413)."""


class Busy(APIError):
    """Another operation holds the sandbox (423)."""


class RateLimited(APIError):
    """The tenant began too many operations (429)."""

    retry_after: float | None
    """After how many seconds it is worth trying again."""


class ServerError(APIError):
    """The service failed (500 and above)."""


class OperationFailed(ServerError):
    """A command of :meth:`ctrlz.Client.execute` failed, and what it changed was taken back."""

    @property
    def result(self) -> Result:
        """What the command did and wrote."""
        from ._models import Result  # noqa: PLC0415 - models raise these errors

        return Result.from_answer(self.problem["result"])

    @property
    def snapshot_id(self) -> str | None:
        """The snapshot that was taken before it."""
        return self.problem.get("snapshot_id")

    @property
    def operation_id(self) -> str | None:
        """The caller's own word for the operation."""
        return self.problem.get("operation_id")


class Unavailable(ServerError):
    """The service is stopping, or not ready (503)."""

    retry_after: float | None
    """After how many seconds it is worth trying again."""


class StoreFull(ServerError):
    """The disk of the service is full (507)."""


class RolledBack(CtrlzError):
    """Raise it in a transaction to roll it back; the ``with`` statement ends without an error."""

    done: Done | None = None
    """What the rollback did, once it took place."""


_BY_KIND: dict[str, type[APIError]] = {
    "blocked": Blocked,
    "quota": QuotaExceeded,
    "not-approved": NotApproved,
    "operation-failed": OperationFailed,
}

_BY_STATUS: dict[int, type[APIError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: VersionConflict,
    413: TooLarge,
    423: Busy,
    429: RateLimited,
    503: Unavailable,
    507: StoreFull,
}

_SERVER = 500


def error_of(
    status: int,
    problem: Mapping[str, Any],
    request_id: str | None = None,
    retry_after: float | None = None,
) -> APIError:
    """The exception for a problem."""
    kind = str(problem.get("kind"))
    found = _BY_KIND.get(kind) or _BY_STATUS.get(status)
    if kind == "unconfirmed" and "confirmation" in problem:
        found = NeedsConfirmation
    if found is None:
        found = ServerError if status >= _SERVER else BadRequest
    error = found(status, problem, request_id)
    if isinstance(error, (RateLimited, Unavailable)):
        error.retry_after = retry_after
    return error


def lost_or_refused(problem: Mapping[str, Any], sandbox: str) -> CtrlzError:
    """The exception for a process without a result."""
    if problem.get("kind") == "interrupted":
        return ProcessLost(f"{problem.get('title')} in the sandbox `{sandbox}`; {problem.get('hint')}")
    return error_of(int(problem.get("status", 500)), problem)
