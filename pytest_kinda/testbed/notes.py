"""Notes of a testbed on disk: what whoever is given it next must know to put it right."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def read_note(file: Path) -> Any:
    """What was written last; None where there is nothing to know."""
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        return None


def write_note(file: Path, content: Any) -> None:
    """Have JSON on disk when this returns, whole or as before; nothing (empty) removes the file."""
    if not content:
        file.unlink(missing_ok=True)
        return
    scratch = file.with_suffix(".new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(content, out)
        out.flush()
        os.fsync(out.fileno())
    scratch.replace(file)
