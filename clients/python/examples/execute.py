"""The service's integration pattern, step by step: check, keep, run, and take back what failed.

    python examples/execute.py SANDBOX COMMAND

`client.execute(...)` does the same in one call.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import ctrlz


class HTTPException(Exception):
    """What a web framework would answer."""


async def execute_operation(client: ctrlz.AsyncClient, operation: dict[str, Any]) -> dict[str, Any]:
    """Runs an operation, and leaves no trace of one that fails."""
    sandbox = client.sandbox(operation["sandbox_id"])

    validation = await sandbox.validate_operation(operation)
    if not validation.is_safe:
        raise HTTPException(400, validation.reason)

    snapshot_id = await sandbox.create_snapshot(
        f"Pre-operation: {operation['operation_id']}", "pre-operation"
    )
    try:
        result = await sandbox.execute_operation(operation)
    except ctrlz.CtrlzError as error:
        await sandbox.restore_snapshot(snapshot_id)
        raise HTTPException(500, f"Operation failed: {error}") from error
    return {"success": True, "result": result, "snapshot_id": snapshot_id}


async def main() -> None:
    """Makes the sandbox when it is not there, and runs the command in it."""
    name, command = sys.argv[1:3]
    async with ctrlz.AsyncClient() as client:
        try:
            await client.sandboxes.create(name)
        except ctrlz.Conflict:
            print(f"goes on with {name}")
        operation = {"sandbox_id": name, "operation_id": "example", "command": command}
        try:
            answer = await execute_operation(client, operation)
        except HTTPException as error:
            sys.exit(f"{error.args[0]}: {error.args[1]}")
        print(answer["result"].stdout, end="")
        print(f"changed: {answer['result'].changes}; from before: {answer['snapshot_id']}")


if __name__ == "__main__":
    asyncio.run(main())
