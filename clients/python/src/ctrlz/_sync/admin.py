# Made from ctrlz/_async/admin.py by scripts/unasync.py: change that one.
"""Who may do what: confirmations, tokens, tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrlz._records import Confirmation, NewToken, Tenant, Token
from ctrlz._request import delete, get, id_of, post, present, put, segment

if TYPE_CHECKING:
    from ctrlz._errors import NeedsConfirmation

    from .transport import Transport


class Confirmations:
    """What waits for somebody's approval."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> list[Confirmation]:
        """What waits, or was approved and did not run yet, the oldest first."""
        found = self._transport.json(get("/v1/confirmations"))
        return [Confirmation.from_json(item) for item in found["items"]]

    def approve(self, confirmation: str | Confirmation | NeedsConfirmation) -> None:
        """Lets an operation run, once, as it was asked; it needs the right to approve."""
        name = getattr(confirmation, "confirmation", confirmation)
        self._transport.send(post(f"/v1/confirmations/{segment(id_of(name))}/approve"))


class Tokens:
    """A tenant's tokens, for its administrators."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, tenant: str | None = None) -> list[Token]:
        """All of them, without their secrets, the oldest first."""
        found = self._transport.json(get("/v1/tokens", tenant=tenant))
        return [Token.from_json(item) for item in found["items"]]

    def create(
        self,
        role: str,
        *,
        note: str = "",
        expires_in: int | None = None,
        tenant: str | None = None,
    ) -> NewToken:
        """Makes a token for a ``viewer``, ``operator``, ``approver`` or ``admin``.

        ``expires_in`` is in seconds. The secret is told once, so this is never sent twice.
        """
        body = present(role=role, note=note, expires_in=expires_in)
        request = post("/v1/tokens", body, keyed=False, tenant=tenant)
        made = self._transport.json(request)
        return NewToken(made["id"], made["token"])

    def revoke(self, token: str | Token | NewToken, *, tenant: str | None = None) -> None:
        """From now on it is not taken."""
        self._transport.send(delete(f"/v1/tokens/{segment(id_of(token))}", tenant=tenant))


class Tenants:
    """Tenants, for the administrators of the service."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> list[Tenant]:
        """All of them, by name."""
        found = self._transport.json(get("/v1/tenants"))
        return [Tenant.from_json(item) for item in found["items"]]

    def put(
        self,
        name: str,
        *,
        sandboxes: int | None = None,
        running: int | None = None,
        per_minute: int | None = None,
        memory: int | None = None,
        disk: int | None = None,
    ) -> Tenant:
        """Makes a tenant, or gives one these quotas: what is left out is not limited."""
        body = present(sandboxes=sandboxes, running=running, per_minute=per_minute, memory=memory, disk=disk)
        request = put(f"/v1/tenants/{segment(name)}", body, {})
        return Tenant.from_json(self._transport.json(request))

    def remove(self, name: str) -> None:
        """Removes a tenant with its tokens, and ends what runs. Its store stays."""
        self._transport.send(delete(f"/v1/tenants/{segment(name)}"))
