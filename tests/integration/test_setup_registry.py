"""Taking published parts, against a registry on loopback that holds them under their names."""

from __future__ import annotations

import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import docker
import docker.errors
import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from examples.p4.network import ROUTES
from pytest_kinda import Host, Link, P4Switch, Topology
from pytest_kinda.plan import PlanOptions, plan
from pytest_kinda.setup import (
    debian,
    device_images,
    folders,
    images,
    node_image,
    parts,
    pins,
    plugin_image,
    registry,
    steps,
    workshop,
)
from pytest_kinda.testbed import Testbed
from tests.support import bmv2

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not debian.is_debian(), reason="the registry is a Debian package"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running registry, whose program is unpacked and not installed."""
    folder = folders.cache("registry")
    program = folder / "usr/bin/docker-registry"
    if not program.exists():
        debian.Apt(pins.DEBIAN).unpack(["docker-registry"], folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    home = tmp_path_factory.mktemp("registry")
    configuration = home / "config.yml"
    configuration.write_text(
        f"version: 0.1\nlog: {{level: warn}}\n"
        f"storage: {{filesystem: {{rootdirectory: {home / 'store'}}}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", configuration], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        answers(address)
        yield address
    finally:
        process.terminate()
        process.wait(10)


@retry(
    stop=stop_after_delay(10),
    wait=wait_fixed(0.1),
    retry=retry_if_exception_type(urllib.error.URLError),
    reraise=True,
)
def answers(address: str) -> None:
    urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=600)
    yield client
    client.close()


@pytest.fixture
def own_names(monkeypatch: pytest.MonkeyPatch, server: str) -> Iterator[list[str]]:
    """Other names than the product's, so that nobody's images or plugin are touched."""
    monkeypatch.setenv(registry.VARIABLE, server)
    monkeypatch.setattr(
        images,
        "_REFERENCES",
        {
            "node": "kinda/test-node:1",
            "base": "kinda/test-base:1",
            "router": "kinda/test-router:1",
            "tools": "kinda/tools:1",
        },
    )
    made: list[str] = []
    yield made
    for reference in [*made, "kinda/test-node:1", "kinda/test-base:1"]:
        workshop.remove_image(reference)


def publish(client: docker.DockerClient, local: str, name: str) -> str:
    """Push a local image under another name; returns its digest."""
    repository, tag = name.rsplit(":", 1)
    client.images.get(local).tag(repository, tag)
    for line in client.api.push(repository, tag, stream=True, decode=True):
        assert "error" not in line, line
        if "Digest" in line.get("aux", {}):
            return str(line["aux"]["Digest"])
    raise AssertionError(f"no digest after pushing {name}")


def test_a_registry_that_is_not_there_is_known_within_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as silent:
        # Bound and not listening: connecting is refused, and nobody else gets the port.
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setenv(registry.VARIABLE, f"127.0.0.1:{silent.getsockname()[1]}")
        lines: list[str] = []
        choice = registry.Choice(None, lines.append)
        assert not choice()
    assert "built here" in lines[0]


def test_a_device_image_is_taken_from_the_published_debian(
    client: docker.DockerClient, server: str, own_names: list[str]
) -> None:
    own_names.append(f"{server}/{pins.DEBIAN_IMAGE}")
    publish(client, "kinda/base:1", own_names[0])
    assert registry.reachable(registry.debian_reference())
    client.images.remove(own_names[0])
    policy = steps.Policy(official=True)
    choice = registry.Choice(True, lambda line: None)
    step = parts.ImageStep("base image", device_images.base(), policy, choice)
    assert "missing" in step.check().text
    lines: list[str] = []
    assert steps.carry_out([step], lines.append) == 0, lines
    assert any("pulling" in line and server in line for line in lines)
    assert images.local_images()["kinda/test-base:1"].origin == "official"
    out = client.containers.run("kinda/test-base:1", ["echo", "runs"], remove=True)
    assert out == b"runs\n"
    assert client.images.get("kinda/test-base:1").attrs["Config"]["Cmd"] == ["sleep", "infinity"]
    # Nothing is done twice, and --offline does not accept it.
    assert step.check().ok
    offline = parts.ImageStep("base image", device_images.base(), steps.Policy(False), choice)
    assert "official" in offline.check().text


def test_a_name_the_registry_lacks_is_built_here_unless_official_is_forced(
    client: docker.DockerClient, server: str, own_names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "DEBIAN_IMAGE", "debian:none-of-that")
    forced = parts.ImageStep(
        "base image",
        device_images.base(),
        steps.Policy(official=True),
        registry.Choice(True, lambda line: None),
    )
    lines: list[str] = []
    assert steps.carry_out([forced], lines.append) == 1
    assert any("could not pull" in line and "none-of-that" in line for line in lines)
    free = parts.ImageStep(
        "base image", device_images.base(), steps.Policy(), registry.Choice(True, lambda line: None)
    )
    assert steps.carry_out([free], lines.append) == 0, lines
    assert images.local_images()["kinda/test-base:1"].origin == "stand-in"


def test_the_node_image_is_pulled_by_digest_and_gets_the_tools(
    client: docker.DockerClient, server: str, own_names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{server}/kindest/node:v{pins.KUBERNETES}"
    own_names.append(name)
    product = f"kinda/node:v{pins.KUBERNETES}"
    monkeypatch.setattr(pins, "KIND_NODE_DIGEST", publish(client, product, name))
    assert registry.reachable()
    own_names.append(registry.node_reference())
    node_image.NodeImage().pull(lambda line: None)
    here = images.local_images()["kinda/test-node:1"]
    assert here.origin == "official"
    assert here.recipe == node_image.NodeImage().recipe("official")
    configuration = client.images.get("kinda/test-node:1").attrs["Config"]
    assert configuration["Entrypoint"] == ["/usr/local/bin/entrypoint", "/sbin/init"]
    with workshop.Workshop("kinda/test-node:1") as room:
        assert "v1." in room.run("kubectl", "version", "--client")
        assert "build" not in room.run("ls", "/kind").split(), "what made it is gone"


def test_official_replaces_a_stand_in_plugin(
    client: docker.DockerClient, server: str, own_names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = "kinda/test-plugin"
    monkeypatch.setattr(pins, "KATHARA_PLUGIN", plugin)
    local = f"{plugin}:{debian.architecture()}"
    published = registry.plugin_reference()
    assert published == f"{server}/{local}"
    try:
        with monkeypatch.context() as there:
            # What the registry holds is no stand-in: it does not carry the mark.
            there.setattr(plugin_image, "_MARK", "as published, ")
            there.setattr(plugin_image, "name", lambda: published)
            plugin_image.make(lambda line: None)
        # docker's own push of a plugin asks for a pull.
        api = client.api
        pushed = api.post(
            f"{api.base_url}/v{api.api_version}/plugins/{published}/push",
            headers={"X-Registry-Auth": "e30="},
        )
        assert pushed.status_code == 200, pushed.text
        assert '"error"' not in pushed.text, pushed.text
        client.plugins.get(published).remove(force=True)

        stand_in = plugin_image.Plugin(
            steps.Policy(official=False), registry.Choice(False, lambda line: None)
        )
        assert steps.carry_out([stand_in], lambda line: None) == 0
        assert "stand-in" in stand_in.check().warning
        # It runs: else the first testbed would start it and leave its process behind.
        client.plugins.get(local).disable()
        assert "is not enabled" in stand_in.check().text
        assert steps.carry_out([stand_in], lambda line: None) == 0
        assert client.plugins.get(local).enabled

        official = plugin_image.Plugin(
            steps.Policy(official=True), registry.Choice(True, lambda line: None)
        )
        assert "is a stand-in" in official.check().text
        lines: list[str] = []
        assert steps.carry_out([official], lines.append) == 0, lines
        here = plugin_image.local()
        assert here is not None
        assert here.origin == "official"
        assert client.plugins.get(local).enabled
        # From here on a plain setup leaves it alone.
        plain = plugin_image.Plugin(steps.Policy(), registry.Choice(False, lambda line: None))
        assert plain.check().ok
        assert plain.check().warning == ""
    finally:
        for name in (local, published, f"{plugin}-fetched:{debian.architecture()}"):
            try:
                client.plugins.get(name).remove(force=True)
            except docker.errors.NotFound:
                pass


@pytest.mark.skipif(not bmv2.has_image(), reason="no image of BMv2 here")
def test_the_first_build_that_needs_bmv2_pulls_it_under_its_published_name(
    client: docker.DockerClient, server: str, own_names: list[str]
) -> None:
    published = f"{server}/{pins.BMV2}"
    own_names += [published, "kinda/test-bmv2:1"]
    images._REFERENCES["bmv2"] = "kinda/test-bmv2:1"  # the test's own
    publish(client, pins.BMV2, published)
    client.images.remove(published)
    switch = P4Switch(
        "s1", program="../../examples/p4/router.json", engine="bmv2", forwarding=ROUTES
    )
    hosts = [Host(one, image="kinda/base:1") for one in ("h1", "h2")]
    links = [Link(one.name, "s1") for one in hosts]
    topology = Topology(name="pulled", nodes=[switch, *hosts], links=links)
    lines: list[str] = []
    with Testbed(plan(topology, PlanOptions(engine="direct")), lines.append) as testbed:
        assert testbed.device("s1").engine == "bmv2"
        assert testbed.ping("h1", "h2", count=1)
    taken, given = (client.images.get(one) for one in ("kinda/test-bmv2:1", pins.BMV2))
    assert taken.id == given.id
    assert published in taken.tags
