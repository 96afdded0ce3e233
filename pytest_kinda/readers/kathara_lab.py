"""A Kathara lab, whether a directory or a ``Kathara.model.Lab``, as one value.

The object is read by its attributes, so that Kathara need not be installed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_kinda.errors import Problem, TopologyError
from pytest_kinda.readers.kathara_conf import RESERVED, Machine, parse_conf, parse_dep
from pytest_kinda.topology.declared import declaring_directory

_IGNORED = (".DS_Store",)
_LAB_WIDE = ("image", "mem", "cpus", "ipv6", "privileged")


@dataclass
class Lab:
    """What there is of a lab: devices, their files by absolute path, and startup scripts.

    ``scripts`` holds ``NAME.startup`` and ``shared.startup`` by file name; ``executable`` the
    files (``NAME:/path``) that are programs; ``source`` is how problems name the lab.
    """

    source: str
    name: str
    directory: Path | None = None
    machines: dict[str, Machine] = field(default_factory=dict)
    files: dict[str, dict[str, str | bytes]] = field(default_factory=dict)
    executable: dict[str, list[str]] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    after: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shared: Path | None = None
    notes: list[str] = field(default_factory=list)


def read_lab(given: Any) -> Lab:
    """The lab of a directory (or its ``lab.conf``), or of a ``Kathara.model.Lab``.

    Raises TopologyError with all that Kathara itself would refuse.
    """
    if isinstance(given, (str, Path)):
        return _directory(declaring_directory() / given)
    if hasattr(given, "machines") and hasattr(given, "links"):
        return _object(given)
    problem = Problem("from_kathara", "path", repr(given), "a lab's directory or a Kathara Lab")
    raise TopologyError("Kathara lab", [problem])


def _directory(path: Path) -> Lab:
    if path.name == "lab.conf":
        path = path.parent
    conf_path = path / "lab.conf"
    try:
        text = conf_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(str(conf_path), "", str(error), "a lab.conf that can be read")
        raise TopologyError(str(path), [problem]) from None
    conf = parse_conf(text, str(conf_path))
    problems = list(conf.problems)
    lab = Lab(
        source=str(conf_path),
        name=conf.metadata.get("LAB_NAME") or path.resolve().name,
        directory=path.resolve(),
        machines=conf.machines,
        notes=list(conf.notes),
    )
    dep = path / "lab.dep"
    if dep.is_file():
        lab.after = parse_dep(dep.read_text(encoding="utf-8"), str(dep), problems)
    if problems:
        raise TopologyError(str(path), problems)
    for name in lab.machines:
        _folder(lab, name, path / name)
    if (path / "shared").is_dir():
        lab.shared = (path / "shared").resolve()
    for file in sorted(path.iterdir()):
        if file.suffix in (".startup", ".shutdown") and file.is_file():
            lab.scripts[file.name] = _text(file.read_bytes().decode(errors="surrogateescape"))
    _orphans(lab, path)
    return lab


def _folder(lab: Lab, name: str, folder: Path) -> None:
    """The files of a device's folder, which Kathara lays over the container's root."""
    lab.files[name], lab.executable[name] = {}, []
    if not folder.is_dir():
        return
    for one in sorted(folder.rglob("*")):
        if one.is_dir() or one.name in _IGNORED or not one.exists():
            continue
        target = str(PurePosixPath("/") / one.relative_to(folder).as_posix())
        lab.files[name][target] = _content(one.read_bytes())
        if one.stat().st_mode & 0o100:
            lab.executable[name].append(target)


def _content(data: bytes) -> str | bytes:
    """Text without Windows' line ends and byte order mark, as Kathara copies it; bytes else."""
    if b"\0" in data:
        return data
    try:
        return _text(data.decode())
    except UnicodeDecodeError:
        return data


def _text(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\n\r", "\n").replace("\r\n", "\n")


def _orphans(lab: Lab, path: Path) -> None:
    for script in lab.scripts:
        name, _, what = script.rpartition(".")
        if name != "shared" and name not in lab.machines:
            lab.notes.append(f"{path / script}: no device {name!r} in lab.conf: it is never run")
        elif what == "shutdown":
            lab.notes.append(f"{path / script}: shutdown scripts are not run")
    for folder in sorted(path.iterdir()):
        if folder.name not in (*lab.machines, *RESERVED) and (folder / "etc").is_dir():
            lab.notes.append(f"{folder}: no device of that name in lab.conf: it is not used")
    for name in (one for each in lab.after.items() for one in (each[0], *each[1])):
        note = f"{path / 'lab.dep'}: no device {name!r} in lab.conf"
        if name not in lab.machines and note not in lab.notes:
            lab.notes.append(note)


def _object(given: Any) -> Lab:
    """A Kathara ``Lab`` by its attributes."""
    found = Lab(source="Kathara lab", name=str(given.name or "lab"))
    for name, one in given.machines.items():
        machine = Machine(str(name))
        for number, interface in one.interfaces.items():
            if interface is not None:
                mac = interface.mac_address or ""
                machine.interfaces[int(number)] = (str(interface.link.name), str(mac))
        machine.interfaces = dict(sorted(machine.interfaces.items()))
        for key, value in one.meta.items():
            machine.meta[key] = value.copy() if isinstance(value, (dict, list)) else value
        # what holds for the whole lab wins over the device's own
        machine.meta.update(
            {k: v for k, v in given.global_machine_metadata.items() if k in _LAB_WIDE}
        )
        found.machines[machine.name] = machine
        found.files[machine.name], found.executable[machine.name] = {}, []
        if one.fs is not None:
            for path in one.fs.walk.files("/"):
                if PurePosixPath(path).name not in _IGNORED:
                    found.files[machine.name][str(path)] = _content(one.fs.readbytes(path))
    for name in ("shared", *found.machines):
        script = f"{name}.startup"
        if given.fs.exists(script):
            found.scripts[script] = _text(given.fs.readtext(script))
    if given.has_dependencies:
        # the order of the devices is all that the object keeps of its lab.dep
        names = list(found.machines)
        found.after = {name: (names[index],) for index, name in enumerate(names[1:])}
    shared = getattr(given, "shared_path", None)
    if shared and re.match("/", str(shared)):
        found.shared = Path(shared)
    return found
