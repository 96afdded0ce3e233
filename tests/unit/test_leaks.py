"""The leak guard's counters, from what nft prints."""

import pytest

from pytest_kinda.errors import KindaError
from pytest_kinda.testbed.leaks import Count, Leaks, parse_guard


def guard(out=0, into=0, dns=4, flows=()):
    items = [{"metainfo": {"version": "1.1.3", "json_schema_version": 1}}]
    for name, packets in (("leak_out", out), ("leak_in", into), ("dns", dns)):
        items.append(
            {
                "counter": {
                    "family": "inet",
                    "name": name,
                    "table": "kinda",
                    "handle": 3,
                    "packets": packets,
                    "bytes": packets * 100,
                }
            }
        )
    entry = {"family": "inet", "name": "leaks", "table": "kinda", "type": ["ipv4_addr"]}
    if flows:
        entry["elem"] = list(flows)
    items.append({"set": entry})
    return {"nftables": items}


def test_a_quiet_guard_is_falsy():
    leaks = Leaks((parse_guard("w1", guard()), parse_guard("w2", guard())))
    assert not leaks
    assert leaks.nodes[0].others == {"dns": Count(4, 400)}
    assert "leaked packets on Docker's network: 0" in str(leaks)


def test_a_leak_is_named_with_its_flow():
    flow = {"concat": ["10.9.0.1", "172.30.0.3", "tcp", 80]}
    leaks = Leaks(
        (
            parse_guard("w1", guard(out=3, flows=[flow])),
            parse_guard("w2", guard(into=3, flows=[{"elem": {"val": flow, "timeout": 60}}])),
        )
    )
    assert leaks
    assert leaks.packets == 3
    assert "10.9.0.1 > 172.30.0.3 tcp 80" in str(leaks)
    assert leaks.nodes[0].flows == leaks.nodes[1].flows


def test_the_difference_of_two_readings():
    before = Leaks((parse_guard("w1", guard(out=3, dns=1)),))
    after = Leaks((parse_guard("w1", guard(out=3, dns=9)),))
    assert after
    assert not after.since(before)
    assert after.since(before).nodes[0].others["dns"].packets == 8


def test_a_guard_that_is_gone_is_an_error():
    with pytest.raises(KindaError, match="no counter leak_out and leak_in"):
        parse_guard("w1", {"nftables": []})
