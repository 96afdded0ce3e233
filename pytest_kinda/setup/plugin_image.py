"""Kathara's network plugin: the official one, or a stand-in made here where no registry answers.

Kathara only enables a plugin that is here already, so a stand-in under the official name serves.
Plugins carry no labels: the stand-in's mark and its recipe's hash are in its description.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from pytest_kinda import folders
from pytest_kinda.errors import SetupError
from pytest_kinda.setup import debian, engine, golang, images, pins, registry
from pytest_kinda.setup.steps import Found, Policy, Report

_LOCK = "/run/xtables.lock"
_MARK = "stand-in of pytest-kinda, recipe "
_PACKAGES = (
    "iptables", "libc6", "libip4tc2", "libip6tc2", "libmnl0", "libnetfilter-conntrack3",
    "libnfnetlink0", "libnftnl11", "libxtables12",
)  # fmt: skip


def name() -> str:
    """The plugin's name in the engine, whichever it is."""
    return f"{pins.KATHARA_PLUGIN}:{debian.architecture()}"


def recipe() -> str:
    """The hash of what the stand-in is made from."""
    return images.recipe_hash(
        [images.recipes() / "plugin", ",".join(_PACKAGES), pins.DEBIAN, _lock_kind()]
    )


def local() -> images.Local | None:
    """The plugin in the engine, or None.

    :raises OSError: the engine does not answer.
    """
    found = engine.ask(f"/plugins/{name()}/json")
    if found is None:
        return None
    description = str(found["Config"].get("Description", ""))
    if description.startswith(_MARK):
        return images.Local(description.removeprefix(_MARK), "stand-in")
    return images.Local("", "official")


def enabled() -> bool:
    """Whether the plugin runs.

    :raises OSError: the engine does not answer.
    """
    return bool((engine.ask(f"/plugins/{name()}/json") or {}).get("Enabled"))


class Plugin:
    """Step: Kathara's network plugin is in the engine, and runs. A stand-in never replaces the
    official one unless asked for by name (``--offline``).

    Kathara would enable it itself; then the first run of tests would leave its process behind.
    """

    name = "Kathara plugin"

    def __init__(self, policy: Policy, use_official: registry.Choice) -> None:
        self.policy = policy
        self.use_official = use_official

    def check(self) -> Found:
        """Whether a plugin that the policy accepts is here and runs."""
        found = self._judged()
        if found.ok and not enabled():
            return Found(False, f"{found.text}, is not enabled", "kinda setup")
        return found

    def _judged(self) -> Found:
        try:
            here = local()
        except OSError:
            return Found(False, "Docker Engine does not answer", "kinda setup")
        if here is None:
            return Found(False, f"{name()} is missing", "kinda setup")
        if here.origin == "official":
            if self.policy.official is False:
                return Found(False, f"{name()} is the official one", "kinda setup --offline")
            return Found(True, f"{name()}, official")
        if self.policy.official:
            return Found(False, f"{name()} is a stand-in", "kinda setup --official")
        if here.recipe != recipe():
            return Found(False, f"{name()} is a stand-in of another recipe", "kinda setup")
        return Found(
            True,
            f"{name()}, stand-in",
            warning="kinda setup --official    (replaces the stand-in by the published one)",
        )

    def do(self, report: Report) -> None:
        """Install the official plugin or make the stand-in; enable it.

        :raises SetupError: the old one is in use, or the new one cannot be had or does not start.
        """
        if not self._judged().ok:
            self._get(report)
        enable(report)

    def _get(self, report: Report) -> None:
        if self.use_official():
            try:
                install_official(report)
                return
            except SetupError:
                if self.policy.official:
                    raise
                report("the registry does not give it: making a stand-in")
        make(report)


def install_official(report: Report) -> None:
    """Replace whatever is there by the official plugin.

    The new one is fetched under another name first, so a failed fetch leaves the old one.

    :raises SetupError: it cannot be fetched, or the old one is in use.
    """
    import docker
    import docker.errors

    reference = registry.plugin_reference()
    trial = f"{pins.KATHARA_PLUGIN}-fetched:{debian.architecture()}"
    client: Any = docker.from_env(timeout=600)
    try:
        report(f"fetching {reference}")
        _remove(client, trial)
        client.plugins.install(reference, trial)
        replaced = _remove(client, name())
        if replaced:
            report("the one that was here is removed")
        client.plugins.install(reference, name())
        _remove(client, trial)
    except docker.errors.DockerException as error:
        raise SetupError(
            f"could not install the plugin {reference}: {error}",
            remedy=f"`docker plugin install {reference}` must work; or: kinda setup --offline",
        ) from None
    finally:
        client.close()


def enable(report: Report) -> None:
    """Start the plugin, set as Kathara would set it.

    :raises SetupError: it does not start.
    """
    import docker
    import docker.errors

    source = _LOCK if _lock_kind() == "file" else ""
    client: Any = docker.from_env(timeout=60)
    try:
        report(f"enabling {name()}")
        plugin = client.plugins.get(name())
        plugin.configure({"xtables_lock.source": source})
        plugin.enable(timeout=30)
    except docker.errors.DockerException as error:
        raise SetupError(
            f"could not enable the plugin {name()}: {error}",
            remedy=f"`docker plugin enable {name()}` must work",
        ) from None
    finally:
        client.close()


def make(report: Report) -> None:
    """Compile the stand-in and put it into the engine; it is not enabled yet."""
    import docker

    with tempfile.TemporaryDirectory(dir=folders.cache("plugin")) as scratch:
        module = Path(scratch) / "module"
        shutil.copytree(images.recipes() / "plugin", module)
        root = Path(scratch) / "rootfs"
        for directory in ("bin", "lib", "lib64", "sbin"):
            (root / "usr" / directory).mkdir(parents=True)
            (root / directory).symlink_to(f"usr/{directory}")
        report("compiling the plugin")
        golang.toolchain(report).build(module, root / "usr/bin/katharanp")
        report("unpacking iptables for it")
        unpacked = Path(scratch) / "unpacked"
        debian.Apt(pins.DEBIAN).unpack(_PACKAGES, unpacked)
        for kept in ("usr/lib", "usr/lib64", "usr/sbin"):
            if (unpacked / kept).is_dir():
                shutil.copytree(unpacked / kept, root / kept, symlinks=True, dirs_exist_ok=True)
        for directory in ("run/docker/plugins", "proc", "sys", "dev", "tmp", "etc"):
            (root / directory).mkdir(parents=True)
        if _lock_kind() == "file":
            (root / "run/xtables.lock").touch()
        else:
            (root / "run/xtables.lock").mkdir()
        (Path(scratch) / "config.json").write_text(json.dumps(_configuration(), indent=1))
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(root, "rootfs")
            tar.add(Path(scratch) / "config.json", "config.json")
    client = docker.from_env(timeout=300)
    try:
        _remove(client, name())
        report(f"creating {name()}")
        api = client.api
        answer = api.post(
            f"{api.base_url}/v{api.api_version}/plugins/create",
            params={"name": name()},
            data=archive.getvalue(),
            headers={"Content-Type": "application/x-tar"},
        )
    finally:
        client.close()
    if answer.status_code >= 400:
        raise SetupError(f"the engine refused the plugin: {answer.text.strip()}")


def _remove(client: Any, plugin: str) -> bool:
    """Disable and remove a plugin; False when there is none.

    :raises SetupError: networks of it exist.
    """
    import docker.errors

    users = [one.name for one in client.networks.list() if one.attrs.get("Driver") == plugin]
    if users:
        raise SetupError(
            f"{plugin} is in use by {len(users)} networks ({', '.join(users[:3])})",
            remedy="end the labs that use it (`kinda clean`, `kathara wipe`), then try again",
        )
    try:
        found = client.plugins.get(plugin)
    except docker.errors.NotFound:
        return False
    if found.enabled:
        found.disable(force=True)
    found.remove(force=True)
    return True


def _lock_kind() -> str:
    """Kathara mounts the lock of legacy iptables, a file, and nothing where iptables is nft."""
    program = shutil.which("iptables") or "/usr/sbin/iptables"
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "directory"
    return "file" if re.search(r"legacy|v1\.[0-7]\.", said) else "directory"


def _configuration() -> dict[str, object]:
    return {
        "description": _MARK + recipe(),
        "documentation": "https://www.kathara.org",
        "entrypoint": ["/usr/bin/katharanp"],
        "workdir": "/",
        "interface": {"types": ["docker.networkdriver/1.0"], "socket": "katharanp.sock"},
        "network": {"type": "host"},
        "linux": {"capabilities": ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN"]},
        "mounts": [
            {
                "name": "xtables_lock",
                "description": "the lock of legacy iptables",
                "source": _LOCK,
                "destination": _LOCK,
                "type": "bind",
                "options": ["rbind"],
                "settable": ["source"],
            }
        ],
        "env": [],
        "args": {"name": "", "description": "", "settable": None, "value": []},
    }
