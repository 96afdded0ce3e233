"""The order in which operations are carried out: pure, no namespace touched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_kinda.host import carry
from pytest_kinda.host.places import places_of
from pytest_kinda.operations import (
    HOST,
    AddAddress,
    AddBridgePort,
    AddTunnel,
    AddVeth,
    End,
    Operation,
    Place,
    SetCarrier,
    SetInterface,
    SetSysctl,
    WriteFile,
)

NAMES = st.sampled_from(["a", "b", "c"])


def tunnel(place):
    return AddTunnel(place, "bpf", "10.9.0.1", ("eth1",), (), (), ())


OPERATIONS = st.lists(
    st.one_of(
        st.builds(lambda x, y: AddVeth(End(x, "e"), End(y, "e")), NAMES, NAMES),
        st.builds(lambda x: AddBridgePort(End(x, "e"), "kd0", "br"), NAMES),
        st.builds(lambda x, n: AddAddress(x, "e", f"10.0.0.{n}/8"), NAMES, st.integers(1, 9)),
        st.builds(tunnel, NAMES),
    ),
    max_size=12,
)


@given(OPERATIONS)
def test_every_place_sees_its_operations_in_their_order(operations: list[Operation]):
    flat = [one for batch in carry.batches(operations) for one in batch]
    assert len(flat) == len(operations)
    for name in ("a", "b", "c", HOST):
        given_order = [one for one in operations if name in places_of(one)]
        assert [one for one in flat if name in places_of(one)] == given_order


def test_tunnels_of_several_nodes_go_together_behind_what_stands_before_them():
    operations: list[Operation] = []
    for name in ("a", "b"):
        operations += [AddAddress(name, "lo", "10.0.0.1/32"), tunnel(name)]
    runs = carry.batches(operations)
    assert [type(batch[0]).__name__ for batch in runs] == ["AddAddress", "AddTunnel"]
    assert [len(batch) for batch in runs] == [2, 2]


def test_only_what_outlives_its_container_or_can_be_reverted_has_an_entry():
    places = {"a": Place("c", 7, 8)}
    for operation in (
        SetInterface("a", "eth0", up=True),
        WriteFile("a", "/x", "y"),
        SetSysctl("a", "net.ipv4.ip_forward", "1"),
    ):
        assert carry.undo_entry(operation, places) is None
    entry = carry.undo_entry(AddAddress("a", "lo", "10.0.0.1/32"), places)
    assert entry is not None
    assert entry["places"] == {"a": {"is": "Place", "container": "c", "pid": 7, "started": 8}}
    cut = carry.undo_entry(SetCarrier("a", "eth1", False), {**places, "b": Place("d", 9, 9)})
    assert cut is not None
    assert set(cut["places"]) == {"a", "b"}
