"""What a kubelet sets for a whole machine is kept in its node."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pytest_kinda.operations import WriteFile
from pytest_kinda.plan import plan, start_operations
from pytest_kinda.plan.kubelet import TUNABLES
from pytest_kinda.plan.values import NodePlan, Plan
from tests.support.declared import triangle


def written(made: Plan, node: NodePlan) -> dict[str, str]:
    found = [one for one in start_operations(made, node) if isinstance(one, WriteFile)]
    return {one.path: one.content for one in found}


def test_every_kubelet_starts_behind_it() -> None:
    made = plan(triangle())
    for node in made.kubernetes_nodes:
        files = written(made, node)
        unit = files["/etc/systemd/system/kubelet.service.d/20-kinda.conf"]
        assert unit.partition("ExecStartPre=-/bin/sh ")[2].strip() in files


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_kernels_files_are_covered_by_ones_with_what_is_wanted(tmp_path: Path) -> None:
    made = plan(triangle())
    program = written(made, made.node("w1"))["/etc/kinda/keep-tunables"]
    (tmp_path / "program").write_text(program)
    before = {key: Path("/proc/sys", key).read_text() for key in TUNABLES}
    # Written only where a mount is found: without one it would be this machine's.
    script = (
        "mount -t tmpfs none /run && sh $0 && sh $0 || exit\n"
        'for key in "$@"; do\n'
        '  echo "$key $(cat /proc/sys/$key) $(grep -c " /proc/sys/$key " /proc/self/mountinfo)"\n'
        '  grep -q " /proc/sys/$key " /proc/self/mountinfo && echo 7 > /proc/sys/$key\n'
        "done\n"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(tmp_path / "program"), *TUNABLES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [f"{key} {value} 1" for key, value in TUNABLES.items()]
    assert {key: Path("/proc/sys", key).read_text() for key in TUNABLES} == before
