"""containerlab files: what becomes of them, and what is refused with its line."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from pytest_kinda import (
    ControlPlane,
    Host,
    Hub,
    LabDevice,
    Link,
    OvsSwitch,
    Router,
    Switch,
    Topology,
    Worker,
)
from pytest_kinda.errors import LabWarning, TopologyError
from pytest_kinda.plan import PlanOptions, plan
from pytest_kinda.readers import parse, read, to_yaml
from tests.support.labs import OWN, public_labs

MIXED = OWN / "containerlab" / "mixed" / "mixed.clab.yml"
DIRECT = PlanOptions(engine="direct")


def mixed(**arguments: object) -> Topology:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabWarning)
        return Topology.from_containerlab(MIXED, **arguments)  # type: ignore[arg-type]


def device(topology: Topology, name: str) -> LabDevice:
    node = topology.node(name)
    assert isinstance(node, LabDevice)
    return node


def test_kinds_become_nodes_of_the_same_names() -> None:
    topology = mixed()
    assert topology.name == "mixed"
    assert {one.name: type(one) for one in topology.nodes} == {
        "R1": LabDevice,
        "r2": LabDevice,
        "sw": Switch,
        "pc1": LabDevice,
        "k-control-plane": ControlPlane,
        "k-worker": Worker,
        "k-worker2": Worker,
        "r2-eth4": Hub,
    }
    assert topology.node("k-worker") == Worker("k-worker", labels={"zone": "a"})


def test_links_keep_interfaces_mtu_and_addresses() -> None:
    links = mixed().links
    assert [(one.ends, one.interfaces, one.mtu) for one in links] == [
        (("R1", "r2"), ("eth1", "eth1"), 9000),
        (("R1", "sw"), ("eth2", ""), 1500),
        (("pc1", "sw"), ("eth1", ""), 1500),
        (("r2", "k-worker"), ("eth2", "eth1"), 1500),
        (("k-worker2", "r2"), ("eth1", "eth3"), 1500),
        (("r2", "r2-eth4"), ("eth4", ""), 1500),
    ]
    assert links[3].ipv4 == ("10.0.2.1/24", "10.0.2.9/24")


def test_levels_are_merged_node_over_group_over_kind_over_defaults() -> None:
    topology = mixed()
    r1, r2, pc1 = (device(topology, name) for name in ("R1", "r2", "pc1"))
    assert (r1.image, r2.image, pc1.image) == ("@router", "example/router:7", "@base")
    assert dict(r1.env) == {"SITE": "lab", "ROLE": "router"}
    assert dict(pc1.env) == {"SITE": "lab", "ROLE": "host", "COLOUR": "blue"}
    assert r1.sysctls["net.ipv4.ip_forward"] == "1"
    assert pc1.sysctls["net.ipv4.ip_forward"] == "0"
    assert (r2.cpus, r2.memory, r2.command) == (0.5, 256 * 2**20, ("sleep", "1000"))
    assert r2.capabilities == ("SYS_PTRACE",)
    assert [one.argv for one in pc1.startup_commands] == [  # type: ignore[union-attr]
        ("echo", "kind"),
        ("ip", "addr", "add", "10.0.1.9/24", "dev", "eth1"),
    ]
    # the published image starts FRR by itself
    assert r1.startup_commands[0].argv == ("/usr/lib/frr/frrinit.sh", "start")  # type: ignore[union-attr]


def test_binds_beside_the_file_are_copied_and_others_mounted() -> None:
    r1 = device(mixed(), "R1")
    assert "10.0.1.1/24" in str(r1.files["/etc/frr/frr.conf"])
    assert r1.mounts == ("/etc/hostname:/etc/lab-host:ro",)
    assert dict(r1.addresses) == {"eth1": "10.0.0.1/30", "eth2": "10.0.1.1/24"}


def test_what_has_no_effect_is_said() -> None:
    with pytest.warns(LabWarning, match=r"mixed\.clab\.yml:32:7: startup-delay has no effect"):
        Topology.from_containerlab(MIXED)


def test_images_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE", "example/host:3")
    assert device(mixed(), "pc1").image == "example/host:3"
    assert device(mixed(images={"example/host": "@base"}), "pc1").image == "@base"
    assert device(mixed(images={}), "R1").image == "quay.io/frrouting/frr:10.1"


def test_it_can_be_planned_and_written() -> None:
    topology = mixed()
    made = plan(topology, DIRECT)
    nodes = {one.name: one for one in made.nodes}
    assert nodes["k-worker"].endpoint == "10.0.2.9"
    assert nodes["r2"].interfaces[1].mac == "02:00:00:00:00:22"
    assert {one.name: one.own for one in nodes["r2"].interfaces} == {
        "eth1": True,
        "eth2": False,
        "eth3": True,
        "eth4": True,
    }
    assert parse(to_yaml(topology)) == topology
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabWarning)
        assert read(MIXED) == topology


def test_nodes_are_replaced_added_and_left_out() -> None:
    topology = mixed(
        nodes=[Router("r2", routing=None), Host("h1")],
        attach=[Link("h1", "sw")],
        without=["pc1", "k", "k-worker", "k-worker2"],
    )
    assert topology.node("r2") == Router("r2", routing=None)
    names = [one.name for one in topology.nodes]
    assert "pc1" not in names
    assert names.count("r2") == names.count("h1") == 1
    assert topology.links[0] == Link("R1", "r2", interfaces=("eth1", "eth1"), mtu=9000)
    assert topology.links[-1] == Link("h1", "sw")


def test_an_open_vswitch_bridge_is_one(tmp_path: Path) -> None:
    (tmp_path / "configs").symlink_to(MIXED.parent / "configs")
    path = tmp_path / "x.clab.yml"
    path.write_text(MIXED.read_text().replace("kind: bridge", "kind: ovs-bridge"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabWarning)
        topology = Topology.from_containerlab(path)
    assert topology.node("sw") == OvsSwitch("sw")
    assert [one.interfaces for one in topology.links if "sw" in one.ends] == [
        ("eth2", ""),
        ("eth1", ""),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: bridge", "kind: nokia_srlinux", r":34:13: node sw: found kind nokia_srlinux; "
         r"expected one of linux, bridge, ovs-bridge, k8s-kind, ext-container; others cannot be"),
        ("kind: bridge", "kind: host", r":34:13: .*found kind host.*cannot be emulated"),
        ("kind: k8s-kind", "kind: linux", r"k-worker: found kind ext-container; .*there is none"),
        ("group: routers\n      image", "group: routes\n      image", r"node r2: group: "),
        ("memory: 256MiB", "memory: much", r":30:15: node r2: memory: "),
        ("memory: 256MiB", "memroy: 256MiB", r":30:7: node r2: .*did you mean 'memory'"),
        ('"R1:eth2", "sw:eth1"', '"R1:eth2", "host:x"', r"host; .*leads out of the lab"),
        ('"R1:eth2", "sw:eth1"', '"R1:eth2", "ws:eth1"', r":50:30: link: found ws; expected of R1"),
        ('"R1:eth2", "sw:eth1"', '"R1:eth2"', r":50:18: link: found 1; expected 2 endpoints"),
        ('"R1:eth2", "sw:eth1"', '"R1:eth2", "sw"', r':50:30: endpoint: .*"NODE:INTERFACE"'),
        ("type: veth", "type: vxlan", r"link: type: found 'vxlan'; .*cannot be emulated"),
        ("mtu: 9000", "mtu: huge", r":48:7: link R1--r2: mtu: "),
        ("configs/kind.yaml", "configs/none.yaml", r"node k: startup-config: .*No such file"),
        ("configs/pc.env", "configs/none.env", r"node pc1: env-files: .*No such file"),
        ("/etc/hostname:", "/etc/none:", r"node R1: binds: "),
        ('"echo kind"', '"echo \'kind"', r"exec: .*No closing quotation"),
        ("  nodes:", "  noodles:", r"nodes: found none; expected nodes:"),
    ],
)  # fmt: skip
def test_mistakes_have_file_line_and_column(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    (tmp_path / "configs").symlink_to(MIXED.parent / "configs")
    path = tmp_path / "x.clab.yml"
    text = MIXED.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(TopologyError, match=message):
        Topology.from_containerlab(path)


LABS = public_labs()


@pytest.mark.skipif(LABS is None, reason="no public labs here (KINDA_PUBLIC_LABS)")
def test_public_files() -> None:
    assert LABS is not None
    files = LABS / "containerlab"
    made = plan(Topology.from_containerlab(files / "frr01" / "frr01.clab.yml"), DIRECT)
    assert [one.name for one in made.devices] == [
        "router1", "router2", "router3", "PC1", "PC2", "PC3"
    ]  # fmt: skip
    bridge = files / "br01" / "br01.clab.yml"
    with pytest.raises(TopologyError, match=r"br01\.clab\.yml:11:13: node srl1: found kind nokia"):
        Topology.from_containerlab(bridge)
    hosts = [Host(f"srl{number}") for number in (1, 2, 3)]
    replaced = Topology.from_containerlab(bridge, nodes=hosts)
    assert [type(one) for one in replaced.nodes] == [Host, Host, Host, Switch]
    with pytest.raises(TopologyError, match=r"br01\.clab\.yml:10:5: without: found srl4"):
        Topology.from_containerlab(bridge, nodes=hosts, without=["srl4"])
    with pytest.raises(TopologyError, match="k02: found kind k8s-kind; expected one k8s-kind"):
        Topology.from_containerlab(files / "k8s_kind01" / "k8s_kind01.clab.yml")
    one_cluster = Topology.from_containerlab(
        files / "k8s_kind01" / "k8s_kind01.clab.yml",
        nodes=[Router("srl01")],
        without=["k02", "k02-control-plane"],
    )
    assert [one.name for one in one_cluster.kubernetes_nodes] == ["k01-control-plane", "k01-worker"]
    assert [one.ipv4 for one in one_cluster.links] == [
        (None, "192.168.10.1/24"),
        (None, "192.168.11.1/24"),
    ]
