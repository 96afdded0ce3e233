"""Operations on real namespaces: cables, addresses, routes, files, and their undo."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kinda.errors import GoneError, HostError
from pytest_kinda.host import carry
from pytest_kinda.operations import (
    HOST,
    AddAddress,
    AddBridgePort,
    AddHub,
    AddRoute,
    AddRule,
    AddVeth,
    AppendLines,
    End,
    Hop,
    Place,
    RemoveAddress,
    SetCarrier,
    SetInterface,
    SetSysctl,
    WriteFile,
)
from tests.support.places import LINE, containers, table

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

MADE_BY_IP_GRE = {"gre0", "gretap0", "erspan0"}
# On the machine itself, which other test runs may share.
BRIDGE = f"kdtb1{os.getpid()}"
PORTS = (f"kdt1{os.getpid()}", f"kdt2{os.getpid()}")


def link_names(place):
    found = {one["ifname"] for one in json.loads(place.run("ip", "-j", "link"))}
    return found - MADE_BY_IP_GRE


def test_a_line_of_three_places_passes_packets():
    with containers("a", "r", "b") as found:
        carry.carry_out(LINE, table(found))
        assert found["a"].reaches(found["b"], "10.9.0.6")
        assert found["a"].reaches(found["b"], "10.9.255.1")
        assert found["b"].reaches(found["a"], "10.9.0.1")
        assert found["a"].reaches(found["r"], "fd00:9::2")
        link = json.loads(found["a"].run("ip", "-j", "link", "show", "eth0"))[0]
        assert link["address"] == "02:00:00:00:00:01"
        assert link["mtu"] == 1400
        route = found["b"].run("ip", "route", "get", "10.9.0.1")
        assert "via 10.9.0.5" in route
        assert "src 10.9.255.1" in route


def test_carried_out_twice_is_as_once_and_undone_twice_is_nothing():
    with containers("a", "r", "b") as found:
        places = table(found)
        before = {name: one.run("ip", "route", "show") for name, one in found.items()}
        carry.carry_out(LINE, places)
        once = {name: one.run("ip", "-4", "-o", "addr") for name, one in found.items()}
        carry.carry_out(LINE, places)
        assert {name: one.run("ip", "-4", "-o", "addr") for name, one in found.items()} == once
        for _ in range(2):
            for operation in reversed(LINE):
                carry.undo(operation, places)
        assert {name: one.run("ip", "route", "show") for name, one in found.items()} == before
        assert all(link_names(one) == {"lo"} for one in found.values())


def test_a_cable_that_a_restart_left_behind_is_replaced():
    cable = AddVeth(End("a", "eth0"), End("b", "eth0"))
    with containers("a", "b", "c") as found:
        places = table(found)
        carry.carry_out([cable], places)
        # The node "b" is a new process now; its old namespace still holds the far end.
        carry.carry_out([cable], {"a": places["a"], "b": places["c"]})
        assert "eth0" in link_names(found["c"])
        assert "eth0" not in link_names(found["b"])


def test_a_cable_is_replaced_while_the_kernel_takes_the_one_before_away():
    cable = AddVeth(End("a", "eth0"), End("b", "eth0"))
    with containers("a") as found:
        for _ in range(25):
            with containers("b") as far:
                carry.carry_out([cable], table(found) | table(far))
                assert "eth0" in link_names(far["b"])


def test_several_next_hops_are_one_route_and_another_set_replaces_it():
    with containers("a", "b") as found:
        places = table(found)
        two = (Hop("10.9.0.2", "eth0"), Hop("10.9.0.6", "eth1"))
        route = AddRoute("a", "10.244.0.0/16", two)
        carry.carry_out(
            [
                AddVeth(End("a", "eth0"), End("b", "eth0")),
                AddVeth(End("a", "eth1"), End("b", "eth1")),
                AddAddress("a", "eth0", "10.9.0.1/30"),
                AddAddress("a", "eth1", "10.9.0.5/30"),
                route,
            ],
            places,
        )
        shown = json.loads(found["a"].run("ip", "-j", "route", "show", "10.244.0.0/16"))
        assert [hop["gateway"] for hop in shown[0]["nexthops"]] == ["10.9.0.2", "10.9.0.6"]
        carry.carry_out([replace(route, hops=two[:1])], places)
        shown = json.loads(found["a"].run("ip", "-j", "route", "show", "10.244.0.0/16"))
        assert [one.get("gateway") for one in shown] == ["10.9.0.2"]
        carry.undo(route, places)
        carry.undo(route, places)
        assert json.loads(found["a"].run("ip", "-j", "route", "show", "10.244.0.0/16")) == []


def test_an_interface_is_renamed_once_and_has_no_checksum_offload():
    change = SetInterface(
        "a", "eth0", rename="net7", mac="02:00:00:00:00:77", mtu=1300, up=True, tx_checksum=False
    )
    with containers("a", "b") as found:
        places = table(found)
        carry.carry_out([AddVeth(End("a", "eth0"), End("b", "eth0")), change, change], places)
        link = json.loads(found["a"].run("ip", "-j", "link", "show", "net7"))[0]
        assert (link["address"], link["mtu"]) == ("02:00:00:00:00:77", 1300)
        assert "UP" in link["flags"]


def test_a_hub_floods_between_three_ends_and_has_no_address():
    with containers("a", "b", "c", "@hubs") as found:
        operations = [
            AddVeth(End(name, "eth0"), End("@hubs", f"port{name}")) for name in ("a", "b", "c")
        ]
        operations.append(AddHub("@hubs", "hub0", ("porta", "portb", "portc")))
        operations += [
            AddAddress(name, "eth0", f"10.9.0.{at}/24")
            for at, name in enumerate(("a", "b", "c"), start=1)
        ]
        carry.carry_out(operations, table(found))
        assert found["a"].reaches(found["c"], "10.9.0.3")
        assert found["b"].reaches(found["a"], "10.9.0.1")
        # c hears what b and a say to each other: nothing is learnt.
        before = received(found["c"])
        assert found["a"].reaches(found["b"], "10.9.0.2", count=5)
        assert received(found["c"]) - before >= 5
        assert "inet6" not in found["@hubs"].run("ip", "-6", "addr", "show", "hub0")
        carry.undo(operations[3], table(found))
        assert "hub0" not in link_names(found["@hubs"])


def received(place):
    shown = json.loads(place.run("ip", "-j", "-s", "link", "show", "eth0"))[0]
    return shown["stats64"]["rx"]["packets"]


def test_a_place_joins_a_bridge_on_the_host():
    with containers("a", "b") as found:
        places = table(found)
        hub = AddHub(HOST, BRIDGE)
        ports = [
            AddBridgePort(End("a", "eth1"), PORTS[0], BRIDGE),
            AddBridgePort(End("b", "eth1"), PORTS[1], BRIDGE),
        ]
        try:
            carry.carry_out([hub, *ports], places)
            # (Whether packets cross it is up to the machine's FORWARD rules.)
            assert set(os.listdir(f"/sys/class/net/{BRIDGE}/brif")) == {
                PORTS[0],
                PORTS[1],
            }
            shown = json.loads(found["a"].run("ip", "-j", "link", "show", "eth1"))[0]
            assert "LOWER_UP" in shown["flags"]
            for one in ports:
                carry.undo(one, places)
                carry.undo(one, places)
            assert link_names(found["a"]) == {"lo"}
        finally:
            carry.undo(hub, places)
        assert not Path("/sys/class/net", BRIDGE).exists()


def test_an_address_that_is_not_there_is_removed_without_an_error():
    with containers("a") as found:
        carry.carry_out(
            [
                AddAddress("a", "lo", "10.9.0.1/32"),
                RemoveAddress("a", "lo", "10.9.0.1/32"),
                RemoveAddress("a", "lo", "10.9.0.1/32"),
                RemoveAddress("a", "eth9", "10.9.0.1/32"),
            ],
            table(found),
        )
        assert "10.9.0.1" not in found["a"].run("ip", "addr")


def test_an_error_names_the_operation_its_place_and_what_is_there():
    with containers("a") as found:
        with pytest.raises(HostError, match=r"(?s)AddAddress in a .*no interface eth5.*lo"):
            carry.carry_out([AddAddress("a", "eth5", "10.0.0.1/8")], table(found))
        with pytest.raises(HostError, match=r"AddRoute in a .*unreachable: Nexthop"):
            carry.carry_out([AddRoute("a", "10.0.0.0/8", (Hop("10.9.9.9", "lo"),))], table(found))
        with pytest.raises(HostError, match=r"no place 'b'; known are: a"):
            carry.carry_out([AddAddress("b", "lo", "10.0.0.1/8")], table(found))
        with pytest.raises(HostError, match=r"SetSysctl in a .*net\.ipv4\.nonsense"):
            carry.carry_out([SetSysctl("a", "net.ipv4.nonsense", "1")], table(found))


def test_a_place_that_is_gone_is_refused_before_anything_is_done():
    with containers("a", "b") as found:
        places = table(found)
        found["b"].end()
        with pytest.raises(GoneError, match="place b"):
            carry.carry_out([AddAddress("a", "lo", "10.9.0.1/32"), LINE[5]], places)
        assert "10.9.0.1" not in found["a"].run("ip", "addr")
        carry.undo(LINE[5], places)  # its place is gone, and the address with it


def test_a_recycled_pid_is_not_the_container():
    with containers("a") as found:
        place = found["a"].place
        stale = Place(place.container, place.pid, place.started - 1)
        with pytest.raises(GoneError, match="another one has its number"):
            carry.carry_out([AddAddress("a", "lo", "10.9.0.1/32")], {"a": stale})
        with pytest.raises(GoneError):
            carry.carry_out([WriteFile("a", "/kinda-must-not-exist", "x")], {"a": stale})


def test_a_sysctl_of_the_host_goes_back_to_what_it_was():
    hub = AddHub(HOST, BRIDGE)
    path = Path("/proc/sys/net/ipv4/conf", BRIDGE, "rp_filter")
    carry.carry_out([hub], {})
    try:
        before = path.read_text().strip()
        operation = SetSysctl(HOST, f"net.ipv4.conf.{BRIDGE}.rp_filter", str(int(before) ^ 1))
        entry = carry.undo_entry(operation, {})
        carry.carry_out([operation], {})
        assert path.read_text().strip() == str(int(before) ^ 1)
        carry.undo_from_entry(json.loads(json.dumps(entry)))
        assert path.read_text().strip() == before
    finally:
        carry.undo(hub, {})


def test_files_are_written_inside_the_container_whatever_its_links_say(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("unharmed")
    with containers("a", root=tmp_path) as found:
        root = found["a"].root
        (root / "etc").symlink_to(outside)
        (root / "up").symlink_to("../../../../../../../../../../../../")
        (root / "victim").symlink_to(outside / "victim")
        carry.carry_out(
            [
                WriteFile("a", "/up/conf/deep/10-kinda.conflist", "{}", mode=0o600),
                WriteFile("a", "/victim", "ours"),
                AppendLines("a", "/hosts", ("10.0.0.1 w1", "10.0.0.2 w2")),
                AppendLines("a", "/hosts", ("10.0.0.2 w2", "10.0.0.3 w3")),
            ],
            table(found),
        )
        written = root / "conf/deep/10-kinda.conflist"
        assert written.read_text() == "{}"
        assert written.stat().st_mode & 0o777 == 0o600
        assert (outside / "victim").read_text() == "unharmed"
        assert (root / "victim").read_text() == "ours"
        assert (root / "hosts").read_text() == "10.0.0.1 w1\n10.0.0.2 w2\n10.0.0.3 w3\n"
        with pytest.raises(HostError, match="WriteFile in a"):
            carry.carry_out([WriteFile("a", "/etc/passwd", "x")], table(found))
        assert os.listdir(outside) == ["victim"]
        with pytest.raises(HostError, match=r"without '\.\.'"):
            carry.carry_out([WriteFile("a", "/../x", "x")], table(found))


def test_a_file_that_is_a_mount_is_overwritten_in_place(tmp_path):
    held = tmp_path / "held"
    held.write_text("before, and longer than what comes")
    with containers("a", root=tmp_path) as found:
        target = found["a"].root / "hosts"
        target.touch()
        # Mounted from outside, where the container sees it too: both share this mount namespace.
        subprocess.run(["mount", "--bind", str(held), str(target)], check=True)
        try:
            carry.carry_out([WriteFile("a", "/hosts", "after")], table(found))
        finally:
            subprocess.run(["umount", str(target)], check=True)
        assert held.read_text() == "after"
        assert os.listdir(found["a"].root) == ["hosts"]


def test_a_route_without_a_next_hop_refuses():
    with containers("a") as found:
        places = table(found)
        route = AddRoute("a", "10.244.1.0/24", ())
        carry.carry_out([route], places)
        assert found["a"].run("ip", "route").startswith("unreachable 10.244.1.0/24")
        carry.undo(route, places)
        carry.undo(route, places)
        assert found["a"].run("ip", "route") == ""


def test_rules_choose_the_table_and_a_cut_cable_gives_its_routes_back():
    with containers("a", "b") as found:
        places = table(found)
        rules = [
            AddRule("a", 100, "main", longer_than=0),
            AddRule("a", 101, "main", mark=0x10, mask=0x10),
            AddRule("a", 102, "107"),
        ]
        operations = [
            AddVeth(End("a", "x"), End("b", "y")),
            AddAddress("a", "x", "10.0.0.1/24"),
            AddRoute("a", "0.0.0.0/0", (Hop("10.0.0.3", "x"),)),
            AddRoute("a", "0.0.0.0/0", (Hop("10.0.0.2", "x"),), table="107"),
            *rules,
        ]
        carry.carry_out(operations, places)
        carry.carry_out(rules, places)

        def way(*more):
            return found["a"].run("ip", "route", "get", "192.0.2.1", *more).split()[2]

        assert (way(), way("mark", "0x10")) == ("10.0.0.2", "10.0.0.3")
        assert "via" not in found["a"].run("ip", "route", "get", "10.0.0.9")
        cut = SetCarrier("b", "y", up=False)
        carry.carry_out([cut], places)
        assert found["a"].run("ip", "route", "show", "table", "107") == ""
        carry.undo(cut, places)
        assert (way(), way("mark", "0x10")) == ("10.0.0.2", "10.0.0.3")
        for one in (*rules, operations[3]):
            carry.undo(one, places)
            carry.undo(one, places)
        assert found["a"].run("ip", "rule").count("lookup") == 3
        assert way() == "10.0.0.3"


def test_a_name_that_has_another_address_loses_the_old_one(tmp_path):
    with containers("a", root=tmp_path) as found:
        places = table(found)
        hosts = tmp_path / "a" / "etc" / "hosts"
        first = AppendLines("a", "/etc/hosts", ("10.0.0.1 c1", "10.0.0.2 w1"))
        carry.carry_out([first], places)
        with hosts.open("a") as file:
            file.write("127.0.0.1 localhost\n\n")
        moved = AppendLines("a", "/etc/hosts", ("10.0.0.9 c1", "10.0.0.2 w1"), instead=True)
        carry.carry_out([moved, moved], places)
        assert hosts.read_text() == "10.0.0.2 w1\n127.0.0.1 localhost\n\n10.0.0.9 c1\n"
