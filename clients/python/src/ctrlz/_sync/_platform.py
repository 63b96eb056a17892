"""What differs between the two clients beyond words. Written by hand."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, TypeVar, cast

from ctrlz._errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ctrlz._records import StateValue

T = TypeVar("T")

TextCallback = Callable[[str], Any]
"""Is told text."""

sleep = time.sleep


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function."""
    return function(*args)


@contextmanager
def shielded() -> Iterator[None]:
    """Nothing is cancelled here."""
    yield


@contextmanager
def closing(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """Iterates, and closes what it was made of at once however that ends."""
    generator = cast("Generator[T, None, None]", items)
    try:
        yield items
    finally:
        generator.close()


def beside(side: Callable[[], None], main: Callable[[], T]) -> T:
    """Does ``main``, and ``side`` meanwhile, in a thread."""
    thread = threading.Thread(target=side, name="ctrlz-input", daemon=True)
    thread.start()
    return main()


class StateMapping:
    """``state["key"]`` reads, writes and deletes."""

    def get(self, key: str) -> StateValue:
        raise NotImplementedError

    def put(self, key: str, value: bytes | str) -> int:
        raise NotImplementedError

    def delete(self, key: str) -> int:
        raise NotImplementedError

    def __getitem__(self, key: str) -> StateValue:
        try:
            return self.get(key)
        except NotFound as error:
            if error.kind == "no-value":
                raise KeyError(key) from error
            raise

    def __setitem__(self, key: str, value: bytes | str) -> None:
        self.put(key, value)

    def __delitem__(self, key: str) -> None:
        self.delete(key)

    def __contains__(self, key: str) -> bool:
        try:
            self[key]
        except KeyError:
            return False
        return True
