"""nft tables of ours, loaded by the program that the place has."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from pytest_kinda.errors import HostError
from pytest_kinda.host import carry
from pytest_kinda.operations import LoadNft
from tests.support.places import containers, table

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not shutil.which("nft"), reason="no nft on this machine"),
]


def rules(port):
    return f"""table inet kinda {{
        counter seen {{ }}
        chain in {{ type filter hook input priority 0; udp dport {port} counter name seen drop; }}
    }}"""


def test_a_table_is_replaced_whole_counts_and_goes():
    with containers("a") as found:
        places = table(found)
        assert found["a"].reaches(found["a"], "127.0.0.1")
        carry.carry_out([LoadNft("a", "inet", "kinda", rules("1-65535"))], places)
        assert not found["a"].reaches(found["a"], "127.0.0.1", limit=0.5)
        shown = json.loads(found["a"].run("nft", "-j", "list", "counters"))["nftables"]
        assert [one["counter"]["packets"] for one in shown if "counter" in one] == [1]
        operation = LoadNft("a", "inet", "kinda", rules(9))
        carry.carry_out([operation, operation], places)
        assert found["a"].reaches(found["a"], "127.0.0.1")
        assert "1-65535" not in found["a"].run("nft", "list", "ruleset")
        carry.undo(operation, places)
        carry.undo(operation, places)
        assert found["a"].run("nft", "list", "ruleset") == ""


def test_rules_that_nft_refuses_leave_the_old_ones_and_say_why():
    with containers("a") as found:
        places = table(found)
        carry.carry_out([LoadNft("a", "inet", "kinda", rules(9))], places)
        with pytest.raises(HostError, match=r"(?s)LoadNft in a .*refused the rules: .*nonsense"):
            carry.carry_out(
                [LoadNft("a", "inet", "kinda", "table inet kinda { nonsense }")], places
            )
        assert "dport 9" in found["a"].run("nft", "list", "ruleset")
        with pytest.raises(HostError, match="no name of a table"):
            carry.carry_out([LoadNft("a", "inet", "x; flush ruleset", "")], places)
