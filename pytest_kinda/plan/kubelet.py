"""What a kubelet would set for the whole machine stays in its node.

A kubelet writes kernel parameters that no namespace has (``setupKernelTunables`` of Kubernetes'
``pkg/kubelet/cm/container_manager_linux.go``): a machine that had built one cluster would from then
on overcommit memory and reboot ten seconds after an oops. It writes only what differs from what it
wants, so files of the node with those values are mounted over the kernel's before it starts. They
are mounts of the node's own, which end with it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_kinda.operations import Operation, WriteFile
from pytest_kinda.plan.values import NodePlan

TUNABLES: Mapping[str, int] = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}
"""What a kubelet wants, by its path below /proc/sys."""

_PROGRAM = "/etc/kinda/keep-tunables"
_UNIT = "/etc/systemd/system/kubelet.service.d/20-kinda.conf"


def start_operations(node: NodePlan) -> tuple[Operation, ...]:
    """Have the node's systemd do it before each start of its kubelet, also after a restart.

    kubeadm lets systemd read its units anew before it starts the kubelet for the first time. A
    node where it cannot be done runs all the same, as any other kind cluster does.
    """
    covers = "".join(f"cover {path} {value}\n" for path, value in TUNABLES.items())
    return (
        WriteFile(node.name, _PROGRAM, _SCRIPT + covers),
        WriteFile(node.name, _UNIT, f"[Service]\nExecStartPre=-/bin/sh {_PROGRAM}\n"),
    )


_SCRIPT = """\
mkdir -p /run/kinda
cover() {
  grep -q " /proc/sys/$1 " /proc/self/mountinfo && return
  file=/run/kinda/$(echo "$1" | tr / .)
  echo "$2" > "$file"
  mount --bind "$file" "/proc/sys/$1"
}
"""
