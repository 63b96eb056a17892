"""What differs between the two clients beyond words. The synchronous twin is written by hand."""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Callable, TypeVar, Union, cast

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Coroutine, Iterator

T = TypeVar("T")

TextCallback = Callable[[str], Union[Any, "Awaitable[Any]"]]
"""Is told text; may be a coroutine function."""

sleep = anyio.sleep


async def call(function: Callable[..., Any], *args: Any) -> Any:
    """Calls what may be a coroutine function."""
    result = function(*args)
    return await result if inspect.isawaitable(result) else result


@contextmanager
def shielded() -> Iterator[None]:
    """Cleans up although the task is cancelled."""
    with anyio.CancelScope(shield=True):
        yield


@asynccontextmanager
async def closing(items: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Iterates, and closes what it was made of at once however that ends."""
    generator = cast("AsyncGenerator[T, None]", items)
    try:
        yield items
    finally:
        with shielded():
            await generator.aclose()


async def beside(side: Callable[[], Coroutine[Any, Any, None]], main: Callable[[], Awaitable[T]]) -> T:
    """Does ``main``, and ``side`` meanwhile, which ends with it."""
    done: list[T] = []
    failed: list[Exception] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(side)
        try:
            done.append(await main())
        except Exception as error:
            failed.append(error)
        tasks.cancel_scope.cancel()
    if failed:
        raise failed[0]
    return done[0]


class StateMapping:
    """Square brackets are for the synchronous client: to write cannot be awaited there."""
