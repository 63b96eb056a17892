"""Runs anything as a transaction, from Python: the client of the ctrlz service.

>>> import ctrlz
>>> with ctrlz.Client() as client, client.sandboxes.temporary() as sandbox:  # doctest: +SKIP
...     print(sandbox.run("echo hello").stdout)
"""

from ._async.admin import AsyncConfirmations, AsyncTenants, AsyncTokens
from ._async.client import AsyncClient, AsyncSandboxes
from ._async.events import AsyncEventHandler
from ._async.evidence import AsyncArchive, AsyncAudit
from ._async.files import AsyncFiles
from ._async.process import AsyncProcess, AsyncProcesses
from ._async.sandbox import AsyncSandbox
from ._async.state import AsyncState
from ._async.transaction import AsyncTransaction
from ._errors import (
    APIError,
    BadRequest,
    Blocked,
    Busy,
    CommandFailed,
    ConfigurationError,
    Conflict,
    CtrlzError,
    Forbidden,
    NeedsConfirmation,
    NotApproved,
    NotFound,
    OperationFailed,
    ProcessLost,
    ProtocolError,
    QuotaExceeded,
    RateLimited,
    RollbackFailed,
    RolledBack,
    ServerError,
    ServiceUnreachable,
    StoreFull,
    TooLarge,
    Unauthorized,
    Unavailable,
    VersionConflict,
)
from ._models import (
    Change,
    Counts,
    Diff,
    Done,
    Entry,
    ExecutionResponse,
    Finding,
    LifeChanged,
    Operation,
    Output,
    ProcessInfo,
    Removed,
    Result,
    SandboxInfo,
    Snapshot,
    Usage,
    Verdict,
)
from ._records import (
    Confirmation,
    Event,
    FileContent,
    FileEntry,
    FilesChanged,
    Health,
    NewToken,
    StateEntry,
    StateValue,
    Tenant,
    Token,
)
from ._sync.admin import Confirmations, Tenants, Tokens
from ._sync.client import Client, Sandboxes
from ._sync.events import EventHandler
from ._sync.evidence import Archive, Audit
from ._sync.files import Files
from ._sync.process import Process, Processes
from ._sync.sandbox import Sandbox
from ._sync.state import State
from ._sync.transaction import Transaction

__version__ = "0.1.0"

__all__ = [
    "APIError",
    "Archive",
    "AsyncArchive",
    "AsyncAudit",
    "AsyncClient",
    "AsyncConfirmations",
    "AsyncEventHandler",
    "AsyncFiles",
    "AsyncProcess",
    "AsyncProcesses",
    "AsyncSandbox",
    "AsyncSandboxes",
    "AsyncState",
    "AsyncTenants",
    "AsyncTokens",
    "AsyncTransaction",
    "Audit",
    "BadRequest",
    "Blocked",
    "Busy",
    "Change",
    "Client",
    "CommandFailed",
    "ConfigurationError",
    "Confirmation",
    "Confirmations",
    "Conflict",
    "Counts",
    "CtrlzError",
    "Diff",
    "Done",
    "Entry",
    "Event",
    "EventHandler",
    "ExecutionResponse",
    "FileContent",
    "FileEntry",
    "Files",
    "FilesChanged",
    "Finding",
    "Forbidden",
    "Health",
    "LifeChanged",
    "NeedsConfirmation",
    "NewToken",
    "NotApproved",
    "NotFound",
    "Operation",
    "OperationFailed",
    "Output",
    "Process",
    "ProcessInfo",
    "ProcessLost",
    "Processes",
    "ProtocolError",
    "QuotaExceeded",
    "RateLimited",
    "Removed",
    "Result",
    "RollbackFailed",
    "RolledBack",
    "Sandbox",
    "SandboxInfo",
    "Sandboxes",
    "ServerError",
    "ServiceUnreachable",
    "Snapshot",
    "State",
    "StateEntry",
    "StateValue",
    "StoreFull",
    "Tenant",
    "Tenants",
    "Token",
    "Tokens",
    "TooLarge",
    "Transaction",
    "Unauthorized",
    "Unavailable",
    "Usage",
    "Verdict",
    "VersionConflict",
]
