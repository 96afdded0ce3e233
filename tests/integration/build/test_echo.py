"""ICMP echo asked by our sockets, on real namespaces."""

from __future__ import annotations

import os
import socket

import pytest

from pytest_kinda.build.echo import Echoes, question
from pytest_kinda.host import carry
from tests.support.places import LINE, containers, table

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_who_answers_whom_in_both_families():
    with containers("a", "r", "b") as found:
        carry.carry_out(LINE, table(found))

        def opener(name: str, *kind: int) -> socket.socket:
            return found[name].call(socket.socket, *kind)

        with Echoes(opener) as echoes:
            asked = {
                "a": ["10.9.0.6", "10.9.0.7", "fd00:9::2", "fd00:9::3", "192.0.2.1", "10.9.0.2"],
                "b": ["10.9.0.1", "10.9.0.5"],
                "r": [],
            }
            silent = ["10.9.0.7", "fd00:9::3", "192.0.2.1"]  # broadcast, nobody, no route
            assert echoes.ask(asked, wait=1.5) == {"a": silent, "b": [], "r": []}
            found["r"].run("ip", "link", "set", "eth1", "down")
            assert echoes.ask({"a": ["10.9.0.6", "10.9.0.2"]}, wait=0.3) == {"a": ["10.9.0.6"]}
            found["r"].run("ip", "link", "set", "eth1", "up")
            assert echoes.ask({"a": ["10.9.0.6"]}, wait=3) == {"a": []}


@pytest.mark.parametrize("identifier", [0, 1, 0x7FFF, 0xF7FF, 0xFFFF])
@pytest.mark.parametrize("number", [0, 1, 0x0800, 0xFFFF])
def test_a_question_has_a_checksum_that_is_right(identifier, number):
    asked = question(socket.AF_INET, identifier, number)
    total = sum(int.from_bytes(asked[at : at + 2], "big") for at in range(0, len(asked), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
