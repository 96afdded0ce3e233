"""Objects that a test publishes in the cluster: applied by the server, taken back afterwards.

Server-side apply says of every field who owns it (KEP-555). Each publication is a field manager of
its own, never takes a field from another one, and gives up what it owns at its end: labels of a
node go, those of others stay; an object that was not there before is deleted. What is to be taken
back is in a file of the testbed before it is applied, so that a testbed that outlives its test
(``--kinda-keep``) is put back by the next one that is given it.

The capacity of a node is another matter: nobody owns what the kubelet registered of it, and giving
up one key by an empty apply takes all of it away (seen on 1.34). Its keys are set and removed one
by one, as Kubernetes documents for extended resources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import ClusterError
from pytest_kinda.testbed.api import Api
from pytest_kinda.testbed.faults import Fault, Ledger
from pytest_kinda.testbed.notes import read_note, write_note
from pytest_kinda.testbed.quantities import amount_of

FILE = "published.json"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML
_MERGE = "application/merge-patch+json"
_GONE = 404
_GONE_LIMIT = 60.0


@dataclass(frozen=True)
class Applied:
    """One object, or the status of one, as it is in a publication."""

    path: str
    api_version: str
    kind: str
    name: str
    namespace: str
    manager: str
    made: bool
    capacity: tuple[str, ...] = ()


class Publication:
    """Objects that stand until they are withdrawn; see ``publish``."""

    def __init__(self, api: Api, folder: Path, ledger: Ledger, what: str) -> None:
        self._api = api
        self._file = folder / FILE
        self._manager = f"pytest-kinda-{uuid4().hex[:8]}"
        self._applied: dict[str, Applied] = {}
        self._fault: Fault | None = None
        self._ledger = ledger
        self.what = what
        self.objects: tuple[Mapping[str, Any], ...] = ()

    def replace(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """Publish these now and give up those of before that are not among them.

        Raises ClusterError where the server refuses one, with what it says.
        """
        wanted = {_key(one): one for one in _parts(objects)}
        for key in [key for key in self._applied if key not in wanted]:
            _give_up(self._api, self._applied.pop(key))
        for key, made in wanted.items():
            if key not in self._applied:
                self._applied[key] = self._look(made)
            _note(self._file, self._manager, self._applied.values())
            _apply(self._api, self._applied[key], made)
        _note(self._file, self._manager, self._applied.values())
        self.objects = tuple(objects)

    def _look(self, made: Mapping[str, Any]) -> Applied:
        metadata = made["metadata"]
        namespace = str(metadata.get("namespace", ""))
        path = _path(self._api, made["apiVersion"], made["kind"], namespace, metadata["name"])
        there = _stays(self._api, path, f"{made['kind']} {metadata['name']}")
        capacity = _capacity(made)
        if capacity:
            held = self._api.get(path)["status"].get("capacity", {}) if there else {}
            taken = [key for key in capacity if key in held]
            if taken or not there:
                what = f"has a capacity of {taken[0]} already" if taken else "is not there"
                raise ClusterError(f"{made['kind']} {metadata['name']} {what}", status=409)
        return Applied(
            path,
            made["apiVersion"],
            made["kind"],
            metadata["name"],
            namespace,
            self._manager,
            not there,
            tuple(capacity),
        )

    def begin(self, objects: Sequence[Mapping[str, Any]]) -> Publication:
        """Publish, known to the testbed until it is withdrawn."""
        self._fault = self._ledger.inflict(
            self.what, lambda: self.replace(objects), self._give_up_all
        )
        return self

    def _give_up_all(self) -> None:
        for key, one in reversed(list(self._applied.items())):
            _give_up(self._api, one)
            del self._applied[key]
        _note(self._file, self._manager, ())

    @property
    def withdrawn(self) -> bool:
        """Whether it has been taken back."""
        return self._fault is None or self._fault.healed

    def withdraw(self) -> None:
        """Take it back; a second time does nothing. Raises ClusterError."""
        if self._fault is not None:
            self._fault.heal()

    def differences(self) -> tuple[str, ...]:
        """Where the cluster no longer holds what was published. Raises ClusterError."""
        found: list[str] = []
        for made in _parts(self.objects):
            one = self._applied.get(_key(made))
            if one is None:
                continue
            where = f"{one.kind} {one.name}"
            if not _exists(self._api, one.path):
                found.append(f"{where} is gone")
                continue
            found += _lacks(made, self._api.get(one.path), where)
        return tuple(found)

    def __enter__(self) -> Publication:
        return self

    def __exit__(self, *_: object) -> None:
        self.withdraw()


def withdraw_left(api: Api, folder: Path) -> tuple[str, ...]:
    """Take back what earlier processes have left published; the names of it.

    Raises ClusterError. Nothing is asked of the cluster where nothing was left.
    """
    noted = _noted(folder / FILE)
    told = []
    for manager, entries in noted.items():
        for entry in reversed(entries):
            one = Applied(**entry)
            _give_up(api, one)
            told.append(f"{one.kind} {one.name}")
        _note(folder / FILE, manager, ())
    return tuple(told)


def _parts(objects: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """Each object, a node's capacity apart from it."""
    for one in objects:
        if one["kind"] == "Node" and "status" in one:
            head = {key: one[key] for key in ("apiVersion", "kind")}
            metadata = {"name": one["metadata"]["name"]}
            if {*one["status"]} != {"capacity"}:
                raise ClusterError(
                    f"Node {metadata['name']}: found {', '.join(one['status'])} in its status; "
                    "expected capacity alone, the rest is the kubelet's"
                )
            yield {**head, "metadata": metadata, "status": one["status"]}
            if len(one["metadata"]) == 1:
                continue
            one = {key: value for key, value in one.items() if key != "status"}
        yield one


def _capacity(made: Mapping[str, Any]) -> dict[str, str]:
    """What of a node's capacity an object is about."""
    return dict(made["status"]["capacity"]) if made["kind"] == "Node" and "status" in made else {}


def _key(made: Mapping[str, Any]) -> str:
    metadata = made["metadata"]
    parts = (made["apiVersion"], made["kind"], metadata.get("namespace", ""), metadata["name"])
    return " ".join((*parts, *_capacity(made)))


def _path(api: Api, version: str, kind: str, namespace: str, name: str) -> str:
    """Where an object is in the API, asked of the server: it knows every kind it serves."""
    prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
    try:
        served = api.get(prefix)["resources"]
    except ClusterError as error:
        if error.status != _GONE:
            raise
        served = []
    for one in served:
        if one["kind"] == kind and "/" not in one["name"]:
            if bool(one["namespaced"]) != bool(namespace):
                needed = "a namespace" if one["namespaced"] else "no namespace"
                raise ClusterError(f"{kind} {name}: expected {needed} in its metadata")
            inside = f"/namespaces/{namespace}" if namespace else ""
            return f"{prefix}{inside}/{one['name']}/{name}"
    raise ClusterError(
        f"the cluster serves no {kind} of {version}",
        remedy="apply its CustomResourceDefinition first, and wait until it is Established",
    )


def _exists(api: Api, path: str) -> bool:
    return api.find(path) is not None


def _stays(api: Api, path: str, what: str) -> bool:
    """Whether an object is there; one that is being deleted is waited for.

    What is applied to such a one is gone with it, as definitions are that were withdrawn before.
    """
    found: Any = None

    def look() -> str:
        nonlocal found
        found = api.find(path)
        metadata = found["metadata"] if found else {}
        holders = ", ".join(metadata.get("finalizers", ())) or "nothing"
        return f"held by {holders}" if "deletionTimestamp" in metadata else ""

    wait_until(look, f"the end of {what}, which is being deleted", limit=_GONE_LIMIT)
    return found is not None


def _apply(api: Api, one: Applied, made: Mapping[str, Any]) -> None:
    if one.capacity:
        _set_capacity(api, one, _capacity(made))
        return
    query = {"fieldManager": one.manager, "fieldValidation": "Strict"}
    try:
        api.request("PATCH", one.path, query, body=made, content_type=_APPLY)
    except ClusterError as error:
        if error.status == 409:
            raise ClusterError(
                f"{one.kind} {one.name}: another manager has given a field another value: "
                f"{error.message}",
                status=409,
                remedy="withdraw what was published before, or choose other names",
            ) from error
        raise


def _set_capacity(api: Api, one: Applied, values: Mapping[str, str | None]) -> None:
    body = {"status": {"capacity": dict(values)}}
    query = {"fieldManager": one.manager}
    api.request("PATCH", f"{one.path}/status", query, body=body, content_type=_MERGE)


def _give_up(api: Api, one: Applied) -> None:
    """Delete what was not there before; else own nothing of it any more."""
    try:
        if one.made:
            api.request("DELETE", one.path, body={"propagationPolicy": "Background"})
            return
        if not _exists(api, one.path):
            return  # an empty apply would make it
        if one.capacity:
            _set_capacity(api, one, dict.fromkeys(one.capacity))
            return
        metadata = {"name": one.name, **({"namespace": one.namespace} if one.namespace else {})}
        empty = {"apiVersion": one.api_version, "kind": one.kind, "metadata": metadata}
        _apply(api, one, empty)
    except ClusterError as error:
        if error.status != _GONE:
            raise


def _lacks(wanted: Any, found: Any, where: str) -> list[str]:
    """Where an object has not what was applied."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return [
            text
            for key, value in wanted.items()
            for text in _lacks(value, found.get(key), f"{where}: {key}")
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [
            text
            for number, (one, other) in enumerate(zip(wanted, found, strict=True))
            for text in _lacks(one, other, f"{where}[{number}]")
        ]
    if wanted == found or _same_quantity(wanted, found):
        return []
    return [f"{where}: published {wanted!r}, now {found!r}"]


def _same_quantity(one: Any, other: Any) -> bool:
    """Whether two texts are one amount: the server writes 1000 as 1k."""
    if not (isinstance(one, str) and isinstance(other, str)):
        return False
    try:
        return amount_of(one) == amount_of(other)
    except ValueError:
        return False


def _noted(file: Path) -> dict[str, list[dict[str, Any]]]:
    return dict(read_note(file) or {})


def _note(file: Path, manager: str, applied: Iterable[Applied]) -> None:
    """Put on disk what a manager has published, before it does and after it does not any more."""
    noted = _noted(file)
    noted.pop(manager, None)
    if entries := [asdict(one) for one in applied]:
        noted[manager] = entries
    write_note(file, noted)
