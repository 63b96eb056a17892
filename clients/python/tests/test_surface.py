"""The two clients are one."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import ctrlz

ROOT = Path(__file__).parent.parent
TWINS = [name for name in ctrlz.__all__ if f"Async{name}" in ctrlz.__all__]
ONLY_SYNCHRONOUS = {"__getitem__", "__setitem__", "__delitem__", "__contains__"}


def test_the_synchronous_client_is_the_made_one() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "unasync.py"), "--check"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


def surface(kind: type) -> dict[str, list[str]]:
    found = {}
    for name, member in inspect.getmembers(kind):
        is_public = not name.startswith("_") or name in {"__iter__", "__enter__", "__exit__", "__init__"}
        plain = name.replace("aclose", "close")
        for word in ("enter", "exit", "iter"):
            if name == f"__a{word}__":
                plain, is_public = f"__{word}__", True
        if is_public:
            found[plain] = list(inspect.signature(member).parameters) if callable(member) else []
    return found


def test_every_public_class_has_its_twin() -> None:
    assert len(TWINS) == 14, TWINS
    assert {f"Async{name}" for name in TWINS} == {one for one in ctrlz.__all__ if one.startswith("Async")}


@pytest.mark.parametrize("name", TWINS)
def test_names_and_parameters_are_the_same(name: str) -> None:
    one, other = surface(getattr(ctrlz, name)), surface(getattr(ctrlz, f"Async{name}"))
    assert one == other
    assert one


@pytest.mark.parametrize("name", TWINS)
def test_everything_public_is_told_about(name: str) -> None:
    for kind in (getattr(ctrlz, name), getattr(ctrlz, f"Async{name}")):
        assert kind.__doc__
        for member, value in inspect.getmembers(kind, callable):
            assert member.startswith("_") or value.__doc__, f"{kind.__name__}.{member}"
