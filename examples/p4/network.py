"""What switches with the tables of ``network.p4`` are told: where the plan's addresses are."""

from __future__ import annotations

from pytest_kinda import Lpm

ROUTES = Lpm(
    "ipv4_lpm",
    action="forward",
    port="port",
    mac="target",
    source="source",
    arp="arp_exact",
)
