"""Who may do what: confirmations, tokens, tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrlz._records import Confirmation, NewToken, Tenant, Token
from ctrlz._request import delete, get, id_of, post, present, put, segment

if TYPE_CHECKING:
    from ctrlz._errors import NeedsConfirmation

    from .transport import AsyncTransport


class AsyncConfirmations:
    """What waits for somebody's approval."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> list[Confirmation]:
        """What waits, or was approved and did not run yet, the oldest first."""
        found = await self._transport.json(get("/v1/confirmations"))
        return [Confirmation.from_json(item) for item in found["items"]]

    async def approve(self, confirmation: str | Confirmation | NeedsConfirmation) -> None:
        """Lets an operation run, once, as it was asked; it needs the right to approve."""
        name = getattr(confirmation, "confirmation", confirmation)
        await self._transport.send(post(f"/v1/confirmations/{segment(id_of(name))}/approve"))


class AsyncTokens:
    """A tenant's tokens, for its administrators."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self, *, tenant: str | None = None) -> list[Token]:
        """All of them, without their secrets, the oldest first."""
        found = await self._transport.json(get("/v1/tokens", tenant=tenant))
        return [Token.from_json(item) for item in found["items"]]

    async def create(
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
        made = await self._transport.json(request)
        return NewToken(made["id"], made["token"])

    async def revoke(self, token: str | Token | NewToken, *, tenant: str | None = None) -> None:
        """From now on it is not taken."""
        await self._transport.send(delete(f"/v1/tokens/{segment(id_of(token))}", tenant=tenant))


class AsyncTenants:
    """Tenants, for the administrators of the service."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> list[Tenant]:
        """All of them, by name."""
        found = await self._transport.json(get("/v1/tenants"))
        return [Tenant.from_json(item) for item in found["items"]]

    async def put(
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
        return Tenant.from_json(await self._transport.json(request))

    async def remove(self, name: str) -> None:
        """Removes a tenant with its tokens, and ends what runs. Its store stays."""
        await self._transport.send(delete(f"/v1/tenants/{segment(name)}"))
