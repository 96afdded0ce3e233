from __future__ import annotations

import struct

import pytest

from pytest_kinda.errors import HostError
from pytest_kinda.host.bpf import instructions, patch, prefix_key
from pytest_kinda.host.gre_bpf import shared_peers
from pytest_kinda.host.hold import MARK
from pytest_kinda.operations import AddTunnel, TunnelPeer
from tests.support.compile_bpf import CLANG_MAJOR, PROGRAMS, clang, compile_programs


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("gre.c", {"gre_encap": {0, 1}, "gre_decap": {1, 2}}),
        ("shape.c", {"shape_out": {1, 2, 3, 4}, "shape_only": set()}),
    ],
)
def test_the_instructions_are_those_of_the_source(source, wanted):
    found = clang()
    if not found:
        pytest.skip("clang is not installed")
    made = compile_programs(found[0], PROGRAMS / source)
    assert set(made) == set(wanted)
    for name, code in made.items():
        tags = {struct.unpack_from("<I", code, at)[0] for at in range(4, len(code), 8)}
        assert {0x7EAD0000 + tag for tag in wanted[name]} <= tags
        if found[1] == CLANG_MAJOR:
            assert code == instructions(name), "run tests/support/compile_bpf.py"


def test_a_constant_without_a_value_is_an_error():
    with pytest.raises(HostError, match="constant 1"):
        patch(instructions("gre_decap"), {2: 7, 3: 8})
    patched = patch(instructions("gre_decap"), {1: 0x0101090A, 2: 7, 3: 8})
    assert b"\xad\x7e" not in patched
    assert len(patched) == len(instructions("gre_decap"))


def test_the_map_is_put_in_as_a_descriptor():
    patched = patch(instructions("gre_encap"), {1: 1, 2: 2}, 77)
    loads = [
        (patched[at + 1] >> 4, struct.unpack_from("<I", patched, at + 4)[0])
        for at in range(0, len(patched), 8)
        if patched[at] == 0x18
    ]
    assert (1, 77) in loads


def test_the_mark_of_what_was_held_is_that_of_the_program():
    assert f"#define MARK {MARK:#x}" in (PROGRAMS / "shape.c").read_text()


def test_both_families_share_one_trie():
    assert prefix_key("10.244.1.0/24").hex() == "78000000" + "00" * 10 + "ffff0af40100"
    assert prefix_key("fd00:244:1::/64").hex() == "40000000" + "fd00024400010000" + "00" * 8


def tunnel(place: str, *peers: TunnelPeer) -> AddTunnel:
    return AddTunnel(place, "bpf", "10.0.0.1", ("eth1",), (), (), peers)


def test_nodes_that_disagree_about_a_pod_network():
    a, b = TunnelPeer("10.244.1.0/24", "10.9.1.1"), TunnelPeer("10.244.1.0/24", "10.9.2.1")
    assert shared_peers([tunnel("w1", a), tunnel("w2", a)]) == {"10.244.1.0/24": "10.9.1.1"}
    with pytest.raises(HostError, match=r"w2: pods 10\.244\.1\.0/24 .*10\.9\.2\.1"):
        shared_peers([tunnel("w1", a), tunnel("w2", b)])
