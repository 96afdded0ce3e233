"""pytest-xdist: tests of one topology, or experiment, stay on one worker (``--dist loadgroup``).

The worker that has collected the tests writes which test belongs to which topology into a file of
the run; the controller's scheduler reads it. Node ids are not changed: what xdist itself does for
``xdist_group`` (a suffix of the id) has no effect from pytest 9.2 on (pytest-xdist#1386), so groups
of that mark are passed on the same way.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda.plugin import marks, trials
from pytest_kinda.plugin.testbeds import TESTBEDS

REMEDY = "run with `--dist loadgroup` (tests of one topology stay on one worker) or without -n"
_EXPERIMENT = "experiment "


def groups_of(items: list[pytest.Item]) -> dict[str, str]:
    """The group of each test: its topology's, else its experiment's or that of ``xdist_group``."""
    groups = {}
    for item in items:
        want = marks.want_of(item)
        if want is not None:
            digest = hashlib.sha256(repr((want.topology, want.options)).encode()).hexdigest()[:12]
            groups[item.nodeid] = f"kinda-{want.topology.name}-{digest}"
            continue
        if trials.parameter_of(item) is not None:
            groups[item.nodeid] = _EXPERIMENT + trials.name_of(item)
            continue
        mark = item.get_closest_marker("xdist_group")
        if mark is not None:
            name = mark.args[0] if mark.args else mark.kwargs.get("name", "default")
            groups[item.nodeid] = str(name)
    return groups


class Distribution:
    """The hooks of xdist, on the controller and in its workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker, before it starts, where to write."""
        if self._directory is None:
            self._directory = tempfile.TemporaryDirectory(prefix="pytest-kinda-")
        node.workerinput["kinda_groups"] = str(Path(self._directory.name) / "groups.json")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """In a worker: write the groups, before xdist reports the collection."""
        workerinput = getattr(self.config, "workerinput", None)
        if workerinput is None or "kinda_groups" not in workerinput:
            return
        target = Path(workerinput["kinda_groups"])
        scratch = target.with_name(f"{workerinput['workerid']}.json")
        scratch.write_text(json.dumps(groups_of(session.items)))
        scratch.replace(target)

    def _groups(self) -> dict[str, str]:
        if self._directory is None:
            return {}
        path = Path(self._directory.name) / "groups.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Refuse to spread one topology or experiment over several workers."""
        mode = self.config.getvalue("dist")
        if mode == "loadgroup" or len(self.config.getoption("tx") or ()) <= 1:
            return
        groups = sorted(set(self._groups().values()))
        topologies = [
            one.split("-", 1)[1].rpartition("-")[0] for one in groups if one.startswith("kinda-")
        ]
        running = [one.removeprefix(_EXPERIMENT) for one in groups if one.startswith(_EXPERIMENT)]
        problems = []
        if topologies:
            problems.append(f"build one topology on several workers ({', '.join(topologies)})")
        if running:
            problems.append(f"run trials of one experiment side by side ({', '.join(running)})")
        if problems:
            pytest.exit(
                f"--dist {mode} would {' and '.join(problems)}\n  remedy: {REMEDY}",
                returncode=pytest.ExitCode.USAGE_ERROR,
            )

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """xdist's scheduler for groups, reading the groups from our file."""
        if config.getvalue("dist") != "loadgroup":
            return None
        from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]

        groups = self._groups

        class Scheduling(LoadGroupScheduling):  # type: ignore[misc]
            known: dict[str, str] | None = None

            def _split_scope(self, nodeid: str) -> str:
                if self.known is None:
                    self.known = groups()
                return self.known.get(nodeid) or str(super()._split_scope(nodeid))

        return Scheduling(config, log)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take a worker's account of its testbeds."""
        data = getattr(node, "workeroutput", {}).get("kinda")
        if data:
            self.config.stash[TESTBEDS].account.add(data)

    def pytest_unconfigure(self) -> None:
        """Remove the file of groups."""
        if self._directory is not None:
            self._directory.cleanup()
