"""What the README and the examples say works as it stands there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .service import Service

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def environment(service: Service) -> dict[str, str]:
    return {
        **os.environ,
        "CTRLZ_SERVER": service.url,
        "CTRLZ_TOKEN": service.token,
        "PYTHONPATH": str(ROOT / "src"),
    }


def run(service: Service, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", *args]
    return subprocess.run(command, env=environment(service), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_readme(service: Service, number: int) -> None:
    ran = run(service, "-c", BLOCKS[number])
    assert ran.returncode == 0, ran.stderr
    if number == 0:
        assert ran.stdout == "hello\n\nadded greeting\n"


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 7


def test_the_pattern(service: Service) -> None:
    script = str(ROOT / "examples" / "execute.py")
    good = run(service, script, "example", "echo x > file; echo said")
    assert good.stdout.startswith("said\nchanged: 1 added; from before: snap-"), good.stderr
    failed = run(service, script, "example", "rm file; exit 3")
    assert failed.returncode == 1 and failed.stderr.startswith("500: Operation failed: "), failed.stderr
    refused = run(service, script, "example", "rm -rf /")
    assert refused.stderr.startswith("400: it deletes the whole system"), refused.stderr
    assert run(service, script, "example", "ls").stdout.startswith("goes on with example\nfile\n")


def test_the_rollouts(service: Service) -> None:
    ran = run(service, str(ROOT / "examples" / "rollouts.py"))
    assert [line.split(": ")[1] for line in ran.stdout.splitlines()] == [
        "failed, 1 added",
        "failed, 2 added",
        "worked, 2 added",
    ], ran.stderr


def test_the_watch(service: Service) -> None:
    command = [sys.executable, str(ROOT / "examples" / "watch.py"), "0"]
    with subprocess.Popen(command, env=environment(service), stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        run(service, "-c", "import ctrlz; ctrlz.Client().sandboxes.create('watched').run('true')")
        assert any("watched: /bin/sh -c true" in line for line in watch.stdout)
        watch.send_signal(signal.SIGINT)
        assert watch.wait() == 0
