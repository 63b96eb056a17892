from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

import ctrlz

from .service import Proxy, Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service")) as made:
        yield made
        made.stop()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own, to be killed."""
    with Service(tmp_path) as made:
        yield made


@pytest.fixture
def proxy(service: Service) -> Iterator[Proxy]:
    made = Proxy(service.port)
    yield made
    made.close()


@pytest.fixture
def client(service: Service) -> Iterator[ctrlz.Client]:
    with ctrlz.Client(service.url, service.token) as made:
        yield made


@pytest.fixture
async def aclient(service: Service) -> AsyncIterator[ctrlz.AsyncClient]:
    async with ctrlz.AsyncClient(service.url, service.token) as made:
        yield made


@pytest.fixture
def name() -> str:
    return f"test-{next(_numbers)}"


@pytest.fixture
def sandbox(client: ctrlz.Client, name: str) -> Iterator[ctrlz.Sandbox]:
    with client.sandboxes.temporary(name) as made:
        yield made


@pytest.fixture
async def asandbox(aclient: ctrlz.AsyncClient, name: str) -> AsyncIterator[ctrlz.AsyncSandbox]:
    async with aclient.sandboxes.temporary(name) as made:
        yield made
