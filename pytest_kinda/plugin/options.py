"""The options ``--kinda-…`` and their equivalents in the ini file (``kinda_…``)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_kinda.plan.values import PlanOptions

ENGINES = ("kathara", "direct")
TUNNELS = ("auto", "gre", "bpf", "vxlan")
PODS = ("gre", "routed")
TRAFFIC = ("direct", "network")
FAMILIES = ("ipv4", "dual", "ipv6")
P4_ENGINES = ("bmv2", "native")
BOTH = "both"
ACCEPTED: Mapping[str, tuple[str, ...]] = {
    "engine": ENGINES,
    "tunnel": TUNNELS,
    "pods": PODS,
    "pool": (),
    "pod_cidr": (),
    "service_cidr": (),
    "node_ip": ("network", "docker"),
    "cni": ("kinda", "none"),
    "control_plane_traffic": TRAFFIC,
    "internet_via": (),
    "internet_dns": (),
    "ip_family": FAMILIES,
    "pod_cidr6": (),
    "service_cidr6": (),
    "node_cidr6": (),
    "p4_engine": P4_ENGINES,
    "bmv2_image": (),
}
"""What a mark may say beside its topology, and the values that it may have; () is free text."""
FREE = {
    "internet_via": "the name of a router",
    "internet_dns": "IPv4 addresses as text",
    "bmv2_image": "the name of an image",
}
"""What free text is, where it is not an IPv4 network."""
WHEN = ("failure", "always", "never")
KEEP = ("failure", "always")
GATES = ("worse", "inconclusive")


@dataclass(frozen=True)
class Options:
    """What the user chose for this run."""

    plan: PlanOptions
    keep: bool = False
    keep_on_failure: bool = False
    reuse: bool = False
    lab: bool = False
    verify: bool = False
    plan_only: bool = False
    artifacts: Path = Path(".kinda")
    artifacts_when: str = "failure"
    pcap: tuple[str, ...] = ()
    pcap_keep: str = "failure"
    shell_on_error: bool = False
    pause_on_error: bool = False
    attach: str = ""
    kubeconfig: str = ""
    clean: bool = False
    results: Path = Path(".kinda/experiments")
    baseline: Path | None = None
    gate: str = ""
    repetitions: int = 0
    both_p4_engines: bool = False


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; each with a value has an ini equivalent of the same name."""
    group = parser.getgroup("kinda", "pytest-kinda: networks and clusters for tests")
    group.addoption(
        "--kinda-keep",
        action="store_true",
        default=None,
        help="leave each testbed standing and say how to enter and how to remove it",
    )
    group.addoption(
        "--kinda-keep-on-failure",
        action="store_true",
        default=None,
        help="leave a testbed standing if one of its tests failed",
    )
    group.addoption(
        "--kinda-reuse",
        action="store_true",
        default=None,
        help="attach to a kept testbed of an equal topology if it is healthy; keep it in any case",
    )
    group.addoption(
        "--kinda-lab",
        action="store_true",
        default=None,
        help="no Docker: the cluster alone as processes on loopback, its nodes and links declared",
    )
    group.addoption(
        "--kinda-attach",
        metavar="ID",
        help="use this standing testbed (id, topology or directory), build nothing; it is kept",
    )
    group.addoption(
        "--kinda-kubeconfig",
        metavar="FILE",
        help="as --kinda-attach, for the testbed whose kubeconfig this is",
    )
    group.addoption(
        "--kinda-clean",
        action="store_true",
        default=False,
        help="before the first build remove this user's testbeds that a crash has left",
    )
    group.addoption(
        "--kinda-verify",
        action="store_true",
        default=None,
        help="measure after each build whether the network is what was declared, and report it",
    )
    group.addoption(
        "--kinda-plan-only",
        action="store_true",
        default=False,
        help="plan every marked topology and run nothing; needs no Docker",
    )
    group.addoption(
        "--kinda-engine",
        choices=ENGINES,
        help="who makes the devices and their network (kathara)",
    )
    group.addoption(
        "--kinda-tunnel",
        choices=TUNNELS,
        help="how pods reach pods of other nodes (auto: the best GRE driver of this kernel)",
    )
    group.addoption(
        "--kinda-pods",
        choices=PODS,
        help="routed: no tunnel, the network's routers know the pods' networks (gre)",
    )
    group.addoption(
        "--kinda-pool",
        metavar="NETWORK",
        help="the IPv4 network that addresses which nobody set come from (10.9.0.0/16)",
    )
    group.addoption(
        "--kinda-control-plane-traffic",
        choices=TRAFFIC,
        help="whether API server and kubelets talk over Docker's network or over yours (direct)",
    )
    group.addoption(
        "--kinda-internet-via",
        metavar="ROUTER",
        help="nodes, pods and devices reach what is outside through this one; pulls go directly",
    )
    group.addoption(
        "--kinda-internet-dns",
        metavar="ADDRESSES",
        help="the name servers that they ask there, with commas between (the machine's own)",
    )
    group.addoption(
        "--kinda-ip-family",
        choices=FAMILIES,
        help="the families of addresses that pods and services have: dual is both (ipv4)",
    )
    group.addoption(
        "--kinda-p4-engine",
        choices=(*P4_ENGINES, BOTH),
        help="what runs the P4 switches that do not name theirs (bmv2); both: each test twice",
    )
    group.addoption(
        "--kinda-bmv2-image",
        metavar="IMAGE",
        help="the image that BMv2 is taken from (the published one)",
    )
    group.addoption(
        "--kinda-artifacts",
        metavar="DIR",
        help="where the evidence of failed tests goes (.kinda in the rootdir)",
    )
    group.addoption(
        "--kinda-artifacts-when",
        choices=WHEN,
        help="which tests leave evidence (failure)",
    )
    group.addoption(
        "--kinda-pcap",
        metavar="WHERE",
        action="append",
        help="capture each test: all, a link's name, a node's, or NODE:INTERFACE; repeatable",
    )
    group.addoption(
        "--kinda-pcap-keep",
        choices=KEEP,
        help="which tests' captures are kept (failure)",
    )
    group.addoption(
        "--kinda-shell-on-error",
        action="store_true",
        default=False,
        help="open a shell when a test has failed, while its testbed is as it was then; needs -s",
    )
    group.addoption(
        "--kinda-pause-on-error",
        "--kinda-pause-on-failure",
        action="store_true",
        default=False,
        help="wait for Enter when a test has failed, while its testbed is as it was; needs -s",
    )
    group.addoption(
        "--kinda-results",
        metavar="DIR",
        help="where the rows of experiments go, a folder for each run (experiments in artifacts)",
    )
    group.addoption(
        "--kinda-baseline",
        metavar="PATH",
        help="compare experiments with the rows of an earlier run: its file, folder or all runs'",
    )
    group.addoption(
        "--kinda-gate",
        choices=GATES,
        help="fail the run if an experiment's primary metric is worse, or not shown not to be",
    )
    group.addoption(
        "--kinda-repetitions",
        metavar="N",
        type=int,
        help="repetitions of every experiment, in the place of what their marks say",
    )
    parser.addini("kinda_results", "as --kinda-results: a directory", default="")
    parser.addini("kinda_gate", f"as --kinda-gate: {GATES}", default="")
    parser.addini("kinda_artifacts", "as --kinda-artifacts: a directory", default="")
    parser.addini("kinda_artifacts_when", f"as --kinda-artifacts-when: {WHEN}", default="")
    parser.addini("kinda_keep", "as --kinda-keep", type="bool", default=False)
    parser.addini("kinda_keep_on_failure", "as --kinda-keep-on-failure", type="bool", default=False)
    parser.addini("kinda_reuse", "as --kinda-reuse", type="bool", default=False)
    parser.addini("kinda_lab", "as --kinda-lab", type="bool", default=False)
    parser.addini("kinda_verify", "as --kinda-verify", type="bool", default=False)
    parser.addini("kinda_engine", f"as --kinda-engine: {', '.join(ENGINES)}", default="")
    parser.addini("kinda_tunnel", f"as --kinda-tunnel: {', '.join(TUNNELS)}", default="")
    parser.addini("kinda_pods", f"as --kinda-pods: {', '.join(PODS)}", default="")
    parser.addini("kinda_pool", "as --kinda-pool: an IPv4 network", default="")
    parser.addini(
        "kinda_control_plane_traffic",
        f"as --kinda-control-plane-traffic: {', '.join(TRAFFIC)}",
        default="",
    )
    parser.addini("kinda_internet_via", "as --kinda-internet-via: a router's name", default="")
    parser.addini("kinda_internet_dns", "as --kinda-internet-dns: IPv4 addresses", default="")
    engines = ", ".join((*P4_ENGINES, BOTH))
    parser.addini("kinda_p4_engine", f"as --kinda-p4-engine: {engines}", default="")
    parser.addini("kinda_bmv2_image", "as --kinda-bmv2-image: an image's name", default="")
    parser.addini("kinda_ip_family", f"as --kinda-ip-family: {', '.join(FAMILIES)}", default="")


def read(config: pytest.Config) -> Options:
    """The options of this run: the command line, else the ini file, else the default."""
    from pytest_kinda.plan.values import PlanOptions

    chosen: dict[str, Any] = {}
    both = False
    for name in (
        *("engine", "tunnel", "pods", "pool", "control_plane_traffic"),
        *("internet_via", "internet_dns", "ip_family", "p4_engine", "bmv2_image"),
    ):
        accepted = ACCEPTED[name]
        value = config.getoption(f"kinda_{name}") or config.getini(f"kinda_{name}")
        if not value:
            continue
        if name == "p4_engine" and value == BOTH:
            both = True
            continue
        if accepted and value not in accepted:
            raise pytest.UsageError(
                f"kinda_{name}: found {value!r}; expected one of {', '.join(accepted)}"
            )
        chosen[name] = value
    if "pool" in chosen:
        try:
            ipaddress.IPv4Network(chosen["pool"])
        except ValueError as error:
            raise pytest.UsageError(
                f"--kinda-pool: found {chosen['pool']!r} ({error}); "
                "expected an IPv4 network such as 10.9.0.0/16"
            ) from None
    if config.getoption("kinda_attach") and config.getoption("kinda_kubeconfig"):
        raise pytest.UsageError(
            "--kinda-attach and --kinda-kubeconfig both name a testbed: give one"
        )
    lab = _flag(config, "kinda_lab")
    if lab and (others := [one for one in _NOT_IN_A_LAB if _given(config, one)]):
        raise pytest.UsageError(
            f"--kinda-lab: found {_shown(others[0])}; expected neither a standing testbed "
            "(a lab is made in seconds) nor what needs packets"
        )
    for option in ("shell_on_error", "pause_on_error"):
        if config.getoption(f"kinda_{option}"):
            _needs_terminal(config, _as_given(config, f"--kinda-{option.replace('_', '-')}"))
    artifacts = _directory(config, "kinda_artifacts") or Path(config.rootpath, ".kinda")
    baseline = _given_path(config, "kinda_baseline")
    repetitions = config.getoption("kinda_repetitions") or 0
    if repetitions < 0:
        raise pytest.UsageError(f"--kinda-repetitions: found {repetitions}; expected 1 or more")
    return Options(
        artifacts=artifacts,
        artifacts_when=_choice(config, "kinda_artifacts_when", WHEN) or "failure",
        results=_directory(config, "kinda_results") or artifacts / "experiments",
        baseline=Path(baseline) if baseline else None,
        gate=_choice(config, "kinda_gate", GATES),
        repetitions=repetitions,
        pcap=tuple(config.getoption("kinda_pcap") or ()),
        pcap_keep=config.getoption("kinda_pcap_keep") or "failure",
        shell_on_error=config.getoption("kinda_shell_on_error"),
        pause_on_error=config.getoption("kinda_pause_on_error"),
        attach=config.getoption("kinda_attach") or "",
        kubeconfig=_given_path(config, "kinda_kubeconfig"),
        clean=config.getoption("kinda_clean"),
        plan=PlanOptions(**chosen),
        both_p4_engines=both,
        keep=_flag(config, "kinda_keep"),
        keep_on_failure=_flag(config, "kinda_keep_on_failure"),
        reuse=_flag(config, "kinda_reuse"),
        lab=lab,
        verify=_flag(config, "kinda_verify"),
        plan_only=config.getoption("kinda_plan_only"),
    )


_NOT_IN_A_LAB = ("kinda_attach", "kinda_kubeconfig", "kinda_reuse", "kinda_verify", "kinda_pcap")


def _given(config: pytest.Config, option: str) -> bool:
    """Whether an option is given, on the command line or in the ini file."""
    if config.getoption(option):
        return True
    return option in ("kinda_reuse", "kinda_verify") and bool(config.getini(option))


def _shown(option: str) -> str:
    return "--" + option.replace("_", "-")


def _flag(config: pytest.Config, name: str) -> bool:
    return bool(config.getoption(name) or config.getini(name))


def _given_path(config: pytest.Config, option: str) -> str:
    """A path of the command line, relative to where pytest was called; empty where none is."""
    given = config.getoption(option)
    return str(Path(config.invocation_params.dir, given)) if given else ""


def _directory(config: pytest.Config, name: str) -> Path | None:
    """On the command line relative to where pytest was called, in the ini file to the rootdir."""
    if given := _given_path(config, name):
        return Path(given)
    given = config.getini(name)
    return Path(config.rootpath, given) if given else None


def _choice(config: pytest.Config, name: str, accepted: tuple[str, ...]) -> str:
    """One of some words, from the command line or the ini file; empty where neither has it."""
    found = str(config.getoption(name) or config.getini(name))
    if found and found not in accepted:
        raise pytest.UsageError(f"{name}: found {found!r}; expected one of {', '.join(accepted)}")
    return found


def _as_given(config: pytest.Config, option: str) -> str:
    """An option as the user wrote it: some end in ``-failure`` as well."""
    other = option.replace("-on-error", "-on-failure")
    return other if other in config.invocation_params.args else option


def _needs_terminal(config: pytest.Config, option: str) -> None:
    """Refuse what has to talk to a person where nobody can answer."""
    if config.getoption("capture") != "no":
        raise pytest.UsageError(
            f"{option}: found that pytest captures the terminal; expected -s (--capture=no) with it"
        )
    if hasattr(config, "workerinput") or config.getoption("numprocesses", None):
        raise pytest.UsageError(
            f"{option}: found -n (pytest-xdist), whose workers have no terminal; expected no -n"
        )
