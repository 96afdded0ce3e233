"""From what the user names on the command line to the ``Topology`` that it means."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pytest_kinda.errors import KindaError

if TYPE_CHECKING:
    from pytest_kinda.topology.topology import Topology

FORMS = (
    "FILE.py, FILE.py:OBJECT, MODULE:OBJECT, FILE.yaml or FILE.json,"
    " lab.conf (Kathara) or FILE.clab.yml (containerlab)"
)
FILES = (".yaml", ".yml", ".json")


def load(reference: str) -> Topology:
    """The topology that ``file.py:OBJECT``, ``file.py``, ``module:OBJECT`` or ``file.yaml`` names.

    As in pytest's own names the colon may be two.
    A file with exactly one topology needs no object's name. Runs a Python file. Raises KindaError
    that says what the file holds.
    """
    if Path(reference).suffix in FILES or Path(reference).name == "lab.conf":
        from pytest_kinda.readers import read

        return read(reference)
    where, _, name = reference.partition("::" if "::" in reference else ":")
    module = _module(where)
    held = topologies_in(module)
    if name:
        if name in held:
            return held[name]
        found = getattr(module, name, None)
        near = difflib.get_close_matches(name, list(held), 3, 0.5)
        raise KindaError(
            f"{where}: {name} is "
            + (f"a {type(found).__name__}, no Topology" if found is not None else "not there")
            + (f"; did you mean {' or '.join(near)}?" if near else "")
            + f"; it holds {', '.join(held) or 'no topology'}"
        )
    different = list(dict.fromkeys(held.values()))
    if len(different) == 1:
        return different[0]
    if not different:
        raise KindaError(f"{where}: holds no Topology", remedy="give a file that declares one")
    raise KindaError(
        f"{where}: holds several topologies: {', '.join(held)}", remedy=f"say which: {where}:NAME"
    )


def topologies_in(module: ModuleType) -> dict[str, Topology]:
    """The topologies of a module by the names they have in it."""
    from pytest_kinda import Topology

    return {name: one for name, one in vars(module).items() if isinstance(one, Topology)}


def _module(where: str) -> ModuleType:
    path = Path(where)
    if not (path.suffix == ".py" or path.exists()):
        return _by_name(where)
    if not path.is_file():
        raise KindaError(f"{where}: there is no such file; expected {FORMS}")
    if path.suffix != ".py":
        raise KindaError(f"{where}: found a {path.suffix or 'nameless'} file; expected {FORMS}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise KindaError(f"{where}: Python cannot load this file; expected {FORMS}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except KindaError:
        raise
    except Exception as error:
        raise KindaError(f"{where}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _by_name(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except KindaError:
        raise
    except Exception as error:
        raise KindaError(f"{name}: {type(error).__name__}: {error}; expected {FORMS}") from error
    finally:
        sys.path.remove(str(Path.cwd()))
