"""Tries several ways from the same point, side by side, and tells which work.

python examples/rollouts.py
"""

from __future__ import annotations

import asyncio

import ctrlz

ATTEMPTS = ["exit 1", "echo broken > answer; exit 1", "echo 42 > answer"]


async def attempt(start: ctrlz.AsyncSandbox, number: int, script: str) -> tuple[ctrlz.AsyncSandbox, bool]:
    """One way, in a copy of its own."""
    copy = await start.fork(f"{start.name}-{number}")
    return copy, (await copy.run(script, timeout=60)).ok


async def main() -> None:
    """All ways at once."""
    async with ctrlz.AsyncClient() as client, client.sandboxes.temporary() as start:
        await start.run("echo 'prepared once' > input", check=True)
        tried = await asyncio.gather(*(attempt(start, *one) for one in enumerate(ATTEMPTS)))
        for copy, worked in tried:
            print(f"{copy.name}: {'worked' if worked else 'failed'}, {(await copy.diff()).counts}")
            await copy.remove(force=True)


if __name__ == "__main__":
    asyncio.run(main())
