"""Makes the synchronous client from the asynchronous one: ``python scripts/unasync.py [--check]``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "ctrlz"
BY_HAND = {"__init__.py", "_connect.py", "_platform.py"}
NOTICE = "# Made from ctrlz/_async/{name} by scripts/unasync.py: change that one.\n"

WORDS = [
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\baclose\b", "close"),
    (r"\baread\b", "read"),
    (r"\baiter_bytes\b", "iter_bytes"),
    (r"  # noqa: ASYNC109.*", ""),
]


RUFF = [sys.executable, "-m", "ruff"]


def synchronous(text: str) -> str:
    """The text without asynchrony."""
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    # Other words sort and wrap otherwise.
    for tool in (["check", "--select", "I", "--fix", "--quiet"], ["format"]):
        command = [*RUFF, *tool, "--stdin-filename", str(PACKAGE / "_sync" / "made.py"), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return text


def main() -> int:
    """Writes the files, or tells with ``--check`` which are not as they should be."""
    check = "--check" in sys.argv[1:]
    wrong = []
    made = set(BY_HAND)
    for source in sorted((PACKAGE / "_async").glob("*.py")):
        if source.name in BY_HAND:
            continue
        made.add(source.name)
        target = PACKAGE / "_sync" / source.name
        text = synchronous(NOTICE.format(name=source.name) + source.read_text())
        if not target.exists() or target.read_text() != text:
            wrong.append(target.name)
            if not check:
                target.write_text(text)
    stray = {file.name for file in (PACKAGE / "_sync").glob("*.py")} - made
    for name in sorted(stray):
        wrong.append(name)
        if not check:
            (PACKAGE / "_sync" / name).unlink()
    if check and wrong:
        print("run scripts/unasync.py, since these differ:", *wrong)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
