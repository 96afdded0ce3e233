"""Manifests from a file, text or data, with the testbed's names put in, in memory only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pytest_kinda.errors import ClusterError

Manifest = str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]]

# {w1} and {w1.ip}; ${w1} is a shell's own, and braces that hold anything else stay as they are.
_NAME = re.compile(r"(?<![$\w{])\{([A-Za-z0-9][A-Za-z0-9_.-]*)\}")


def replace_names(text: str, values: Mapping[str, str]) -> str:
    """The text with each ``{name}`` that is in ``values`` replaced; others stay as they are."""
    return _NAME.sub(lambda found: values.get(found.group(1), found.group(0)), text)


def _deep(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return replace_names(value, values)
    if isinstance(value, Mapping):
        return {replace_names(str(key), values): _deep(item, values) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_deep(item, values) for item in value]
    return value


def read_manifests(manifest: Manifest, values: Mapping[str, str]) -> list[dict[str, Any]]:
    """The objects of a manifest.

    A ``Path``, or a text of one line that names a file, is read; other text is YAML of one or
    several documents. ``values`` are what ``{name}`` becomes. Raises ClusterError for what is no
    manifest. Example::

        read_manifests("kind: Pod ... nodeName: {w1}", {"w1": "w1"})
    """
    source = "the manifest"
    if isinstance(manifest, Path) or (isinstance(manifest, str) and "\n" not in manifest.strip()):
        path = Path(manifest)
        try:
            manifest = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ClusterError(
                f"manifest {path}: {error.strerror or error}",
                remedy="pass a file that exists, YAML text of several lines, or a dict",
            ) from error
        source = f"manifest {path}"
    documents: list[Any]
    if isinstance(manifest, str):
        try:
            documents = list(yaml.safe_load_all(replace_names(manifest, values)))
        except yaml.YAMLError as error:
            raise ClusterError(f"{source} is no YAML: {error}") from error
    else:
        documents = [manifest] if isinstance(manifest, Mapping) else list(manifest)
        documents = [_deep(one, values) for one in documents]
    found: list[dict[str, Any]] = []
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        if not isinstance(document, dict) or not {"kind", "apiVersion"} <= document.keys():
            raise ClusterError(
                f"{source}, document {number}: found {str(document)[:80]!r}; "
                "expected an object with apiVersion and kind"
            )
        found += document["items"] if document["kind"] == "List" else [document]
    if not found:
        raise ClusterError(f"{source} holds no object")
    return found
