from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import ctrlz

if TYPE_CHECKING:
    from .service import Service

RISKY = "git push --force"


def test_high_risk_waits_for_somebody_elses_approval(
    client: ctrlz.Client, service: Service, sandbox: ctrlz.Sandbox
) -> None:
    made = client.tokens.create("operator", note="a test")
    with ctrlz.Client(service.url, made.token) as operator:
        there = operator.sandbox(sandbox.name)
        with pytest.raises(ctrlz.NeedsConfirmation) as asked:
            there.run(RISKY)
        error = asked.value
        assert error.risk == "high" and error.reasons and error.rules and error.expires
        with pytest.raises(ctrlz.Forbidden):
            operator.confirmations.approve(error)
        with pytest.raises(ctrlz.NotApproved):
            there.run(RISKY, confirmation=error.confirmation)
        assert error.confirmation in [one.id for one in client.confirmations.list()]
        client.confirmations.approve(error)
        result = there.run(RISKY, confirmation=error.confirmation)
        assert result.operation
        with pytest.raises(ctrlz.NotApproved):
            there.run(RISKY, confirmation=error.confirmation)


def test_critical_risk_never_runs(client: ctrlz.Client, sandbox: ctrlz.Sandbox) -> None:
    verdict = client.check("rm -rf /")
    assert (verdict.risk, verdict.decision, verdict.is_safe) == ("critical", "block", False)
    assert verdict.findings[0].rule in verdict.rules and verdict.reason
    with pytest.raises(ctrlz.Blocked) as blocked:
        sandbox.run("rm -rf /")
    assert blocked.value.rules == verdict.rules
    assert sandbox.check("true").is_safe


def test_tokens(client: ctrlz.Client, service: Service, sandbox: ctrlz.Sandbox) -> None:
    made = client.tokens.create("viewer", note="looks", expires_in=3600)
    assert made.token not in repr(made)
    [told] = [one for one in client.tokens.list() if one.id == made.id]
    assert (told.role, told.note, told.revoked) == ("viewer", "looks", None)
    assert told.expires and told.expires > told.created
    with ctrlz.Client(service.url, made.token) as viewer:
        assert not viewer.sandbox(sandbox.name).diff()
        with pytest.raises(ctrlz.Forbidden):
            viewer.sandbox(sandbox.name).run("true")
        client.tokens.revoke(made)
        with pytest.raises(ctrlz.Unauthorized):
            viewer.sandbox(sandbox.name).diff()


def test_tenants_have_their_own_and_their_limits(client: ctrlz.Client, service: Service, name: str) -> None:
    client.sandboxes.create(name)
    tenant = client.tenants.put("acme", per_minute=2, sandboxes=1, disk=1 << 30)
    assert (tenant.per_minute, tenant.running, tenant.disk) == (2, None, 1 << 30)
    assert "acme" in [one.name for one in client.tenants.list()]
    made = client.tokens.create("admin", tenant="acme")
    with ctrlz.Client(service.url, made.token, longest_wait=0.5) as theirs:
        with pytest.raises(ctrlz.NotFound):
            theirs.sandboxes.get(name)
        sandbox = theirs.sandboxes.create("own")
        with pytest.raises(ctrlz.QuotaExceeded):
            theirs.sandboxes.create("second")
        assert sandbox.run("true").ok and sandbox.run("true").ok
        with pytest.raises(ctrlz.RateLimited) as limited:
            sandbox.run("true")
        assert limited.value.retry_after and limited.value.retry_after > 0.5
        client.tenants.put("acme")
        assert sandbox.run("true").ok
    client.tenants.remove("acme")
    with ctrlz.Client(service.url, made.token) as theirs, pytest.raises(ctrlz.Unauthorized):
        theirs.sandboxes.get("own")
