"""The Python examples of the documentation, by the place where they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    """The README and everything in docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def examples() -> dict[str, str]:
    """Each block of Python as ``file:line`` (the file as seen from docs/) and its text."""
    found = {}
    for path in documents():
        text = path.read_text()
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 2
            found[f"{_told(path)}:{line}"] = match[1]
    return found


def _told(path: Path) -> str:
    docs = ROOT / "docs"
    return str(path.relative_to(docs)) if path.is_relative_to(docs) else path.name


def execute(place: str, text: str) -> dict[str, Any]:
    """Run a block; what it defines. Its module is named after its place."""
    names: dict[str, Any] = {"__name__": "docs_" + re.sub(r"\W", "_", place)}
    exec(compile(text, place, "exec"), names)
    return names
