"""A guard against floods: a source that sends too much is dropped, the others are unharmed."""

from __future__ import annotations

import ipaddress

import pytest

from examples.p4.network import ROUTES
from pytest_kinda import Host, Link, P4Entry, P4Switch, Topology

LIMIT = 100

GUARD = Topology(
    name="guard",
    nodes=[
        Host("flooder"),
        Host("client"),
        Host("server"),
        P4Switch(
            "guard",
            program="guard.json",
            forwarding=ROUTES,
            entries=[P4Entry("limit", None, "at_most", {"packets": LIMIT})],
        ),
    ],
    links=[Link("flooder", "guard"), Link("client", "guard"), Link("guard", "server")],
)

pytestmark = pytest.mark.topology(GUARD, engine="direct")


def test_a_flood_ends_at_the_limit_and_others_are_unharmed(kinda):
    guard, flooder, client = kinda.device("guard"), kinda.node("flooder"), kinda.node("client")
    with kinda.node("server").udp(9000) as server, flooder.udp() as many, client.udp() as few:
        for number in range(4 * LIMIT):
            many.send(b"flood", to=server)
            if number % 8 == 0:
                few.send(f"{number}".encode(), to=server)
        few.send(b"the last", to=server)
        many.send(b"the last", to=server)
        received = list(server.take(LIMIT + LIMIT // 2 + 1))
        kinda.ping(flooder, "server", count=1)  # behind the last of the flood on the same way
        received += server.waiting()
    assert sum(one.source == flooder.ip for one in received) == LIMIT
    # not in order: those that waited for the answer to ARP may be overtaken
    assert sorted(one.data for one in received if one.source == client.ip) == sorted(
        [*(f"{number}".encode() for number in range(0, 4 * LIMIT, 8)), b"the last"]
    )

    dropped = guard.counter("dropped").read(guard.port("flooder")).packets
    ((source, packets),) = guard.control.digest("flooder_t").take().samples
    print(f"{ipaddress.ip_address(source)} sent more than {LIMIT} packets: {dropped} dropped")
    assert (str(ipaddress.ip_address(source)), packets) == (flooder.ip, LIMIT + 1)
    assert dropped == 3 * LIMIT + 1


def test_what_is_no_udp_is_not_counted(kinda):
    with kinda.node("server").udp(9000) as server, kinda.node("client").udp() as client:
        for _ in range(LIMIT + 1):
            client.send(b"flood", to=server)
        server.take(LIMIT)
    assert kinda.ping("client", "server", count=2)
