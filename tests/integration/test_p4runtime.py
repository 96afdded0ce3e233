"""P4Runtime on native switches: finsy, and requests that finsy would not send."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda import Host, Link, P4Switch, Topology
from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import P4RuntimeError
from tests.support.documents import examples, execute

finsy = pytest.importorskip("finsy", reason="finsy is an extra")

pytestmark = [pytest.mark.slow, pytest.mark.beside]

DATA = Path(__file__).parent.parent / "data" / "p4"
ROUTER = Path(__file__).parents[2] / "examples" / "p4" / "router.json"
GIVEN: dict[str, Any] = {
    "program": "../data/p4/punt.json",
    "engine": "native",
    "forwarding": "switch",
    "cpu_port": 510,
}
PAIR = Topology(
    name="p4runtime",
    nodes=[Host("h1"), Host("h2"), P4Switch("s1", **GIVEN), P4Switch("s2", **GIVEN)],
    links=[Link("h1", "s1"), Link("h2", "s1"), Link("s1", "s2")],
)
CONTROLLED = pytest.mark.topology(PAIR, engine="direct")
LIMIT = 30.0


def within(act: Callable[[], Awaitable[Any]]) -> Any:
    """The result of a coroutine, which has its limit."""

    async def run() -> Any:
        return await asyncio.wait_for(act(), LIMIT)

    return asyncio.run(run())


def forward(mac: str, port: int) -> Any:
    return finsy.P4TableEntry(
        "known",
        match=finsy.P4TableMatch({"hdr.ethernet.target": mac}),
        action=finsy.P4TableAction("forward", port=port, priority=0),
    )


@CONTROLLED
def test_the_documented_controller(kinda: Any) -> None:
    found: dict[str, Any] = {}
    for place, text in examples().items():
        if place.startswith("p4runtime.md") and "def test_" in text:
            found |= execute(place, text)
    found["test_a_controller_from_outside"](kinda)
    described = kinda.describe().node("s2")
    address = kinda.p4runtime().address
    assert {"protocol": "p4runtime", "address": f"tcp:{address}", "reached": f"tcp:{address}"} in (
        described["control"]
    )
    assert described["about"]["device_id"] == 2
    assert f'"grpc://{address}?device_id=2"' in kinda.describe().render("onos")


@CONTROLLED
def test_two_controllers_and_the_end_of_the_first(kinda: Any) -> None:
    s1 = kinda.device("s1")

    async def act() -> None:
        async with AsyncExitStack() as second_stays, AsyncExitStack() as first_stays:
            first = await first_stays.enter_async_context(s1.p4runtime(initial_election_id=10))
            second = await second_stays.enter_async_context(s1.p4runtime(initial_election_id=9))
            assert (first.is_primary, second.is_primary) == (True, False)
            with pytest.raises(finsy.P4ClientError) as refused:
                await second.write([+forward("02:00:00:00:00:99", 1)])
            assert refused.value.code == finsy.GRPCStatusCode.PERMISSION_DENIED
            await first.write([+forward("02:00:00:00:00:99", 1)])
            both = [+forward(f"02:00:00:00:00:{one}", 1) for one in ("98", "99")]
            with pytest.raises(finsy.P4ClientError) as refused:
                await first.write(both)
            ((number, detail),) = refused.value.details.items()
            assert number == 1
            assert detail.canonical_code == finsy.GRPCStatusCode.ALREADY_EXISTS
            assert len([one async for one in second.read(finsy.P4TableEntry("known"))]) == 2
            became = asyncio.Event()
            second.ee.add_listener(finsy.SwitchEvent.BECOME_PRIMARY, lambda _: became.set())
            await first_stays.aclose()
            await became.wait()
            await second.write([-forward("02:00:00:00:00:99", 1)])

    within(act)
    assert len(s1.table("known").dump().entries) == 1


@CONTROLLED
def test_a_controller_sets_its_own_pipeline(kinda: Any) -> None:
    s1 = kinda.device("s1")
    info = ROUTER.with_name("router.p4info.txt")

    async def act() -> None:
        async with s1.p4runtime(p4info=info, p4blob=ROUTER) as client:
            await client.write(
                [
                    +finsy.P4TableEntry(
                        "ipv4_lpm",
                        match=finsy.P4TableMatch({"hdr.ipv4.dst": "10.1.0.0/16"}),
                        action=finsy.P4TableAction(
                            "forward",
                            port=2,
                            source="02:00:00:00:00:01",
                            target="02:00:00:00:00:02",
                        ),
                    )
                ]
            )
            found = [one async for one in client.read(finsy.P4TableEntry())]
            assert [one.table_id for one in found] == ["ipv4_lpm"]

    within(act)
    assert s1.control.loaded() != s1.program.digest
    kinda.put_back()
    assert s1.control.loaded() == s1.program.digest
    assert s1.table("known").dump().entries == ()

    async def again() -> None:
        async with s1.p4runtime() as client:  # with what was declared
            await client.write([+forward("02:00:00:00:00:99", 1)])

    within(again)
    assert len(s1.table("known").dump().entries) == 1


@CONTROLLED
def test_the_server_and_a_switch_start_again(kinda: Any) -> None:
    s1, before = kinda.device("s1"), kinda.p4runtime()
    (server,) = [one for one in kinda.standing.keeper.tended() if one["name"] == "p4runtime"]
    os.kill(server["pid"], signal.SIGKILL)

    def look() -> str:
        (now,) = [one for one in kinda.standing.keeper.tended() if one["name"] == "p4runtime"]
        return "" if now["restarts"] else "it was not started again"

    wait_until(look, "another server", limit=LIMIT)
    assert kinda.p4runtime() == before

    async def act(mac: str) -> int:
        async with s1.p4runtime() as client:
            await client.write([+forward(mac, 1)])
            return len([one async for one in client.read(finsy.P4TableEntry("known"))])

    assert within(lambda: act("02:00:00:00:00:99")) == 1
    s1.restart()
    assert within(lambda: act("02:00:00:00:00:98")) == 1
    with pytest.raises(P4RuntimeError, match="no switch 's3'; it has s1, s2"):
        before.device_id("s3")
