"""Check what a built wheel holds: ``python tests/support/wheel.py DIRECTORY``."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def problems(wheel: Path, root: Path = ROOT) -> list[str]:
    """What is missing from the wheel, and what does not belong there."""
    with zipfile.ZipFile(wheel) as opened:
        held = set(opened.namelist())
    wanted = {
        str(path.relative_to(root))
        for path in (root / "pytest_kinda").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    found = [f"missing: {name}" for name in sorted(wanted - held)]
    found += [
        f"does not belong there: {name}"
        for name in sorted(held - wanted)
        if ".dist-info/" not in name
    ]
    licences = {name.rpartition("/")[2] for name in held if "/licenses/" in name}
    found += [
        f"missing licence: {name}"
        for name in sorted({"LICENSE", "GPL-2.0-only.txt", "BSD-2-Clause.txt"} - licences)
    ]
    return found


def main(directory: str) -> int:
    """Check the only wheel in the directory."""
    wheels = sorted(Path(directory).glob("*.whl"))
    if len(wheels) != 1:
        print(f"{directory}: found {len(wheels)} wheels; expected one")
        return 1
    found = problems(wheels[0])
    print("\n".join(found) or f"{wheels[0].name}: complete")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
