"""The images other rooms use: their names, which recipe and origin the local ones have.

Whoever uses an image takes its name from :func:`image` and never knows whether it was built here
from Debian packages and Go modules (a stand-in) or from published parts (official).
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_kinda.setup import engine, pins

Name = Literal["node", "tools", "base", "router", "ovs", "load-balancer", "bmv2"]
Origin = Literal["official", "stand-in"]

RECIPE_LABEL = "org.pytest-kinda.recipe"
ORIGIN_LABEL = "org.pytest-kinda.origin"

_REFERENCES: Mapping[str, str] = {
    "node": f"kinda/node:v{pins.KUBERNETES}",
    "tools": "kinda/tools:1",
    "base": "kinda/base:1",
    "router": "kinda/router:1",
    "ovs": "kinda/ovs:1",
    "load-balancer": pins.LOAD_BALANCER,  # kind's code names it
    "bmv2": pins.BMV2,
}
ON_DEMAND: frozenset[Name] = frozenset({"ovs", "load-balancer", "bmv2"})
"""What few testbeds need: made by name, or by the first build that needs it; never missing."""


def image(name: Name) -> str:
    """The reference of one of our images. Cheap: asks nobody and imports nothing of Docker's.

    ``tools`` is for pods: it is in every node already, not in the Docker engine.

    :raises KeyError: there is no such image.

    >>> image("base")
    'kinda/base:1'
    """
    return _REFERENCES[name]


@dataclass(frozen=True)
class Local:
    """What the engine says of an image: its recipe's hash, where its parts came from, its id.

    ``size`` in bytes.
    """

    recipe: str
    origin: str
    id: str = ""
    size: int = 0


def local_images() -> dict[str, Local]:
    """Every image of ours in the engine, by reference, in one request.

    :raises OSError: the engine does not answer.
    """
    filters = urllib.parse.quote(json.dumps({"label": [RECIPE_LABEL]}))
    found: dict[str, Local] = {}
    for one in engine.ask(f"/images/json?filters={filters}") or ():
        labels = one.get("Labels") or {}
        for tag in one.get("RepoTags") or ():
            found[tag] = Local(
                labels.get(RECIPE_LABEL, ""),
                labels.get(ORIGIN_LABEL, ""),
                str(one.get("Id", "")),
                int(one.get("Size", 0)),
            )
    return found


@dataclass(frozen=True)
class Inventoried:
    """One image that testbeds are made from; ``id`` and ``origin`` are empty where it is missing.

    ``size`` in bytes, with the layers that it shares with others.
    """

    name: str
    reference: str
    origin: str = ""
    id: str = ""
    size: int = 0


def inventory() -> list[Inventoried]:
    """The images that the engine must hold, and what it has of them.

    :raises OSError: the engine does not answer.
    """
    local = local_images()
    found = []
    for name, reference in _REFERENCES.items():
        if name == "tools":  # is in every node already
            continue
        here = local.get(reference)
        if here is None and name in ON_DEMAND:
            continue
        found.append(
            Inventoried(name, reference, here.origin, here.id, here.size)
            if here
            else Inventoried(name, reference)
        )
    return found


def recipe_hash(parts: Iterable[str | bytes | Path]) -> str:
    """The hash of what an image is made from: texts, bytes, files, and folders with all in them.

    Order and borders count, so moving a byte from one part to the next is another recipe.
    """
    digest = hashlib.sha256()

    def add(kind: str, content: bytes) -> None:
        digest.update(f"{kind} {len(content)}\n".encode())
        digest.update(content)

    for part in parts:
        if isinstance(part, str):
            add("text", part.encode())
        elif isinstance(part, bytes):
            add("bytes", part)
        else:
            files = sorted(part.rglob("*")) if part.is_dir() else [part]
            for file in files:
                if file.is_file() and "__pycache__" not in file.parts:
                    add(f"file {file.relative_to(part).as_posix()}", file.read_bytes())
    return digest.hexdigest()[:16]


def recipes() -> Path:
    """The folder of the recipes, which are data of this package."""
    return Path(__file__).parent / "recipes"
