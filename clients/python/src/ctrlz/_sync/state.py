# Made from ctrlz/_async/state.py by scripts/unasync.py: change that one.
"""The state of a sandbox: versioned values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrlz._errors import ConfigurationError
from ctrlz._records import StateEntry, StateValue
from ctrlz._request import delete, get, put, segment

from ._platform import StateMapping

if TYPE_CHECKING:
    from .transport import Transport


class State(StateMapping):
    """Values by key, each write with a version. Rollbacks bring values back with the files.

    In the synchronous client square brackets work, too: ``sandbox.state["key"] = "value"``.
    """

    def __init__(self, transport: Transport, sandbox: str) -> None:
        self._transport = transport
        self._path = f"/v1/sandboxes/{segment(sandbox)}/state"

    def _key(self, key: str) -> str:
        return f"{self._path}/{segment(key)}"

    def get(self, key: str, *, version: int | None = None) -> StateValue:
        """A value, as it is or as it was at a version of the state; else :class:`ctrlz.NotFound`."""
        found = self._transport.send(get(self._key(key), version=version))
        return StateValue(found.content, int(found.headers["etag"].strip('"')))

    def put(
        self,
        key: str,
        value: bytes | str,
        *,
        if_version: int | None = None,
        if_absent: bool = False,
    ) -> int:
        """Writes a value, text as UTF-8, and gives its version.

        With ``if_version`` only over that version, with ``if_absent`` only where there is none:
        otherwise :class:`ctrlz.VersionConflict` is raised, and nothing is written.
        """
        if if_absent and if_version is not None:
            raise ConfigurationError("a value is absent, or has a version")
        headers = {"If-None-Match": "*"} if if_absent else _if_match(if_version)
        content = value.encode() if isinstance(value, str) else bytes(value)
        written = self._transport.json(put(self._key(key), content, headers))
        return int(written["version"])

    def delete(self, key: str, *, if_version: int | None = None) -> int:
        """Deletes a value, whose history stays, and gives the version that says so."""
        request = delete(self._key(key), headers=_if_match(if_version))
        return int((self._transport.json(request))["version"])

    def history(self, key: str) -> list[StateEntry]:
        """All versions of a value, the newest first."""
        found = self._transport.json(get(f"{self._key(key)}/history"))
        return [StateEntry.from_json(item) for item in found["items"]]

    def list(self, *, version: int | None = None) -> list[StateEntry]:
        """What there is, by key, without the values."""
        found = self._transport.json(get(self._path, version=version))
        return [StateEntry.from_json(item) for item in found["items"]]


def _if_match(version: int | None) -> dict[str, str]:
    return {} if version is None else {"If-Match": f'"{version}"'}
