"""Custom resource definitions as their authors publish them, from pinned Go modules."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pytest_kinda.setup.golang import toolchain


@cache
def module(name: str) -> Path:
    """The folder of a module at its version, downloaded if Go does not have it."""
    go = toolchain(lambda text: None).program
    done = subprocess.run(
        [str(go), "mod", "download", "-json", name],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd="/",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(json.loads(done.stdout)["Dir"])


@cache
def definitions(name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The CRDs in a module by group and kind."""
    found = {}
    for path in sorted(module(name).rglob("*.yaml")):
        text = path.read_text(errors="replace")
        # templates of charts are no YAML
        if "kind: CustomResourceDefinition" not in text or "{{" in text:
            continue
        for document in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if document and document.get("kind") == "CustomResourceDefinition":
                spec = document.get("spec", {})
                if "versions" in spec and "group" in spec:  # no patch of one
                    found[spec["group"], spec["names"]["kind"]] = document
    return found
