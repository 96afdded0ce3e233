"""Run tests under a distribution's kernel, which has what the machine's own may lack.

Debian's ``linux-image-cloud-amd64`` and, where it is not installed, ``qemu-system-x86`` are
downloaded as packages and unpacked into the cache: nothing is installed. The virtual machine has
no disk and no network; this Python and the tests are in its initramfs.

``python -m tests.support.users_kernel [PYTEST ARGUMENTS]`` runs it by hand.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.support.initramfs import Initramfs, program

ROOT = Path(__file__).parents[2]
KERNEL_PACKAGE = "linux-image-cloud-amd64"
GUEST_PACKAGES = ("busybox-static", "nftables", "tcpdump", "iputils-ping", "ethtool")
PROGRAMS = ("ip", "bridge", "tc", "nft", "tcpdump", "ping", "ethtool", "unshare", "nsenter")
MODULES = (
    *("veth", "bridge", "br_netfilter", "vxlan", "ip_gre", "tun", "dummy", "ifb", "vrf", "8021q"),
    *("sch_netem", "sch_tbf", "sch_htb", "sch_prio", "sch_fq", "sch_ingress"),
    *("cls_bpf", "cls_u32", "cls_matchall", "act_bpf", "act_mirred", "act_gact"),
    *("nf_tables", "nft_ct", "nft_masq", "nft_nat", "nft_chain_nat", "nft_redir", "nft_limit"),
    *("nft_reject", "nft_reject_inet", "nft_reject_ipv4", "nft_log", "nft_fib_inet", "nft_queue"),
    *("nfnetlink_queue", "nfnetlink_log", "nft_objref", "nft_numgen", "nft_hash", "nft_quota"),
)
TEST_LIMIT = 300  # seconds that one test may take before the machine ends and shows where it stood
DISTRIBUTIONS = ("pytest", "pyroute2", "tenacity", "dpkt", "PyYAML")
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/bin:/usr/sbin:/bin HOME=/root TERM=dumb
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts none /dev/pts
for place in /dev/shm /tmp /run; do mount -t tmpfs none $place; done
for module in $(cat /modules/order); do
  insmod /modules/$module.ko || echo "users-kernel: no module $module"
done
ip link set lo up
echo "users-kernel: Linux $(uname -r)"
export PYTHONHOME=@PREFIX@ PYTHONPATH=/opt/site-packages:/project
cd /project
python3 -m pytest @ARGUMENTS@ -p no:cacheprovider --junit-xml /tmp/results.xml \\
  -o faulthandler_timeout=@LIMIT@ -o faulthandler_exit_on_timeout=true
echo "users-kernel: pytest ended with $?"
stty -F /dev/ttyS1 raw
[ -f /tmp/results.xml ] && cat /tmp/results.xml > /dev/ttyS1
sync
poweroff -f
"""


class UsersKernelError(Exception):
    """The virtual machine could not be made or did not end."""


@dataclass(frozen=True)
class Outcome:
    """What came out: each test's outcome by name, and everything the console showed."""

    release: str
    tests: dict[str, str]
    reasons: dict[str, str]
    console: str
    seconds: float


@dataclass(frozen=True)
class Parts:
    """What is in the cache: unpacked kernel, tools for inside, and the machine's qemu."""

    kernel: Path
    modules: Path
    tools: Path
    qemu: tuple[str, ...]
    qemu_libraries: str


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pytest-kinda" / "users-kernel"


def fetch() -> Parts:
    """Download and unpack what is missing. Raises UsersKernelError."""
    kernel = unpacked("kernel", lambda: dependencies_of(KERNEL_PACKAGE))
    tools = unpacked("tools", lambda: with_missing(GUEST_PACKAGES))
    images, modules = list(kernel.glob("boot/vmlinuz-*")), list(kernel.glob("lib/modules/*"))
    if len(images) != 1 or len(modules) != 1:
        raise UsersKernelError(f"expected one kernel in {kernel}, found {images}; remove it")
    if qemu := shutil.which("qemu-system-x86_64"):
        return Parts(images[0], modules[0], tools, (qemu,), "")
    root = unpacked("qemu", lambda: with_missing(("qemu-system-x86",)))
    firmware = [
        argument
        for folder in ("qemu", "seabios", "../lib/ipxe/qemu")
        for argument in ("-L", str(root / "usr/share" / folder))
    ]
    argv = (str(root / "usr/bin/qemu-system-x86_64"), *firmware)
    return Parts(images[0], modules[0], tools, argv, libraries_of(root))


def unpacked(name: str, packages) -> Path:
    """The packages unpacked in the cache, by what is there if it is there."""
    target = cache() / name
    if target.is_dir():
        return target
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as directory:
        try:
            run(["apt-get", "download", "-qq", *packages()], directory)
        except UsersKernelError:
            # A machine without lists of packages, or with old ones.
            run(["apt-get", "update", "-qq"])
            run(["apt-get", "download", "-qq", *packages()], directory)
        root = Path(directory, "root")
        for package in sorted(Path(directory).glob("*.deb")):
            run(["dpkg", "-x", str(package), str(root)], directory)
        root.rename(target)
    return target


def libraries_of(root: Path) -> str:
    """Where an unpacked root has its libraries, as LD_LIBRARY_PATH."""
    return ":".join(str(root / one / "x86_64-linux-gnu") for one in ("usr/lib", "lib"))


def dependencies_of(package: str) -> list[str]:
    text = run(["apt-cache", "depends", package])
    found = re.findall(r"Depends: (linux-image-\S+)", text)
    if not found:
        raise UsersKernelError(f"no package {package}: run apt-get update, on Debian amd64")
    return found


def with_missing(packages) -> list[str]:
    """Packages and those of their dependencies that are not installed here."""
    text = run(["apt-get", "-s", "install", "--no-install-recommends", *packages])
    return sorted({*packages, *re.findall(r"^Inst (\S+)", text, re.MULTILINE)})


def run(argv: list[str], directory: str | None = None) -> str:
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True)
    if done.returncode:
        raise UsersKernelError(f"{shlex.join(argv)}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def make_initramfs(parts: Parts, arguments: list[str], path: Path) -> int:
    """Everything that the virtual machine needs, in one file; its size."""
    made = Initramfs(libraries_of(parts.tools))
    init = INIT.replace("@ARGUMENTS@", shlex.join(arguments)).replace("@PREFIX@", sys.base_prefix)
    init = init.replace("@LIMIT@", str(TEST_LIMIT))
    made.add("init", init, 0o755)
    made.add("bin/busybox", next(parts.tools.rglob("bin/busybox")), 0o755)
    made.add_modules(parts.modules, MODULES)
    for name in PROGRAMS:
        if found := program(name, parts.tools):
            made.add_program(found, f"usr/sbin/{name}")
    made.add_python(DISTRIBUTIONS)
    for library in (parts.tools / "usr/lib/x86_64-linux-gnu").glob("libpcap.so*"):
        made.add(f"usr/lib/x86_64-linux-gnu/{library.name}", library.resolve(), 0o755)
        made.add_libraries(library)
    compiled = re.compile(r"__pycache__|\..*")
    # Without tests/integration/conftest.py: it is about whole testbeds, which nothing here makes.
    for folder in ("pytest_kinda", "tests/support", "tests/integration/host"):
        made.add_tree(ROOT / folder, f"project/{folder}", leave_out=compiled)
    for name in ("tests/__init__.py", "tests/integration/__init__.py"):
        made.add(f"project/{name}", ROOT / name)
    made.add("project/conftest.py", ROOT / "conftest.py")
    # The plugin is not there, so that pytest would not know its settings.
    settings = (ROOT / "pyproject.toml").read_text()
    made.add("project/pyproject.toml", re.sub(r"(?m)^kinda_\w+ = .*\n", "", settings))
    made.add("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    made.add("etc/group", "root:x:0:\n")
    made.add("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
    made.add("etc/protocols", "icmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\n")
    return made.write(path)


def run_at_once(shares: Sequence[list[str]], *, timeout: float = 900) -> Outcome:
    """Run pytest with each of these arguments, each in a virtual machine of its own.

    Emulated code of one test keeps one processor busy, hardly two. Raises UsersKernelError.
    """
    parts = fetch()
    began = time.monotonic()
    with ThreadPoolExecutor(len(shares)) as pool:
        found = list(pool.map(lambda share: run_tests(share, timeout=timeout, parts=parts), shares))
    return Outcome(
        release=found[0].release,
        tests={name: one for each in found for name, one in each.tests.items()},
        reasons={name: why for each in found for name, why in each.reasons.items()},
        console="\n".join(each.console for each in found),
        seconds=time.monotonic() - began,
    )


def run_tests(arguments: list[str], *, timeout: float = 900, parts: Parts | None = None) -> Outcome:
    """Run pytest with these arguments in the virtual machine. Raises UsersKernelError."""
    parts = parts or fetch()
    with tempfile.TemporaryDirectory() as directory:
        image, results = Path(directory, "initramfs"), Path(directory, "results.xml")
        make_initramfs(parts, arguments, image)
        argv = [
            *parts.qemu,
            *("-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"),
            *("-m", "1536", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
            *("-kernel", str(parts.kernel), "-initrd", str(image)),
            *("-append", "console=ttyS0 panic=-1 quiet random.trust_cpu=on"),
            *("-serial", "stdio", "-serial", f"file:{results}"),
        ]
        environment = dict(os.environ)
        if parts.qemu_libraries:
            environment["LD_LIBRARY_PATH"] = parts.qemu_libraries
        began = time.monotonic()
        console = Path(directory, "console")
        with console.open("wb") as out:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment,
                preexec_fn=end_with_parent,
            )
            try:
                child.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
            finally:
                child.kill()
                child.wait()
        seconds = time.monotonic() - began
        text = console.read_text(errors="replace").replace("\r", "")
        # Stays, to be looked at: one for each share, by the last that was asked for.
        shutil.copy(console, cache() / f"console-{Path(arguments[-1]).stem}.log")
        data = results.read_bytes() if results.exists() else b""
    if not data:
        raise UsersKernelError(f"no results after {seconds:.0f} s; the console:\n{text[-4000:]}")
    release = re.search(r"users-kernel: Linux (\S+)", text)
    tests, reasons = read_results(data)
    return Outcome(release.group(1) if release else "", tests, reasons, text, seconds)


def end_with_parent() -> None:
    """A killed test run must not leave two busy processors behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def read_results(data: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """Outcomes by ``module::test[parameters]`` and, where not passed, why."""
    tests, reasons = {}, {}
    for case in ElementTree.fromstring(data).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        tests[name] = "passed"
        for one in case:
            if one.tag in ("failure", "error", "skipped"):
                tests[name] = one.tag
                reasons[name] = f"{one.get('message')}\n{one.text or ''}"
    return tests, reasons


if __name__ == "__main__":
    given = sys.argv[1:] or ["-ra", "tests/integration/host"]
    try:
        outcome = run_tests(given)
    except UsersKernelError as problem:
        sys.exit(str(problem))
    print(outcome.console)
    print(f"{outcome.release}: {len(outcome.tests)} tests in {outcome.seconds:.0f} s")
