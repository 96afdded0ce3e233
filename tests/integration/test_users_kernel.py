"""The tests of ``host/`` under a distribution's kernel: what this machine's own may lack."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from tests.support.users_kernel import ROOT, Outcome, run_at_once

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the package is amd64's"),
]

HOST = Path(__file__).parent / "host"
TUNNELS = HOST / "test_tunnels.py"
KEEPER = HOST / "test_keeper.py"  # a keeper's processes are the same under every kernel
TIMED = [HOST / "test_shapes_and_cuts.py", HOST / "test_impairments.py"]
# Where the kernel has netem no process of ours holds packets. Full-size TCP through what works on
# this machine too has its whole table there.
LEFT_OUT = "hold or (full_size_tcp and not gre and (9000 or 1400 or 1304 or checksum))"
TCP = ("all offloads", "nodes without segmentation", "none at all")


@pytest.fixture(scope="module")
def there() -> Outcome:
    """One run of all that touch the kernel's network, as two shares that take about as long.

    Those that look at times come last, when the other share is at its end or near it.
    """
    first = [TUNNELS, HOST / "test_captures.py"]
    others = sorted({*HOST.glob("test_*.py")} - {*first, KEEPER, *TIMED})
    shares = [first, [*others, *TIMED]]
    outcome = run_at_once(
        [
            [
                "-q",
                "-ra",
                "--durations=12",
                "-k",
                f"not ({LEFT_OUT})",
                *(str(one.relative_to(ROOT)) for one in share),
            ]
            for share in shares
        ],
        timeout=1200,
    )
    print(outcome.console)
    print(f"Linux {outcome.release}: {len(outcome.tests)} tests in {outcome.seconds:.0f} s")
    return outcome


def outcomes(there: Outcome, *parts: str) -> dict[str, str]:
    found = {
        name: outcome
        for name, outcome in there.tests.items()
        if all(part in name for part in parts)
    }
    assert found, f"no test named like {parts} ran: {sorted(there.tests)}"
    return found


def test_nothing_failed_and_nothing_was_missing(there):
    assert there.release.endswith("-cloud-amd64")
    bad = {name: there.reasons[name] for name, one in there.tests.items() if one != "passed"}
    report = "\n".join(f"{name}: {reason}" for name, reason in bad.items())
    assert not bad, f"under Linux {there.release}:\n{report}"
    assert "users-kernel: no module" not in there.console


@pytest.mark.parametrize("driver", ["gre", "bpf", "vxlan"])
def test_every_tunnel_driver_works_there(there, driver):
    ran = outcomes(there, "test_tunnels::test_every_pair", f"[{driver}]")
    ran |= outcomes(there, "test_tunnels::test_exactly_the_mtu", f"[{driver}-1500]")
    ran |= outcomes(there, "test_tunnels::test_nothing_is_left", f"[{driver}]")
    assert set(ran.values()) == {"passed"}, ran


@pytest.mark.parametrize("driver", ["gre", "bpf"])
def test_gre_carries_full_size_tcp_there(there, driver):
    for offloads in TCP:
        ends = (f"[{driver}-1500-", f"-{offloads}]")
        ran = outcomes(there, "test_tunnels::test_full_size_tcp", *ends)
        assert len(ran) == 2, f"IPv4 and IPv6 expected: {ran}"
        assert set(ran.values()) == {"passed"}, ran
    wire = outcomes(there, "test_tunnels::test_the_wire", f"[{driver}]")
    assert set(wire.values()) == {"passed"}, wire


def test_ip_gre_and_our_programs_understand_each_other(there):
    ran = outcomes(there, "test_tunnels::test_the_drivers_understand_each_other")
    assert set(ran.values()) == {"passed"}


def test_ip_gre_has_taken_the_names_that_we_do_not_use(there):
    ran = outcomes(there, "test_tunnels::test_our_names_are_free_where_ip_gre_is_loaded")
    assert set(ran.values()) == {"passed"}


def test_delay_and_loss_work_there(there):
    ran = outcomes(there, "test_shapes_and_cuts::test_a_share_of_packets_is_lost_where_netem")
    ran |= outcomes(there, "test_shapes_and_cuts::test_delay_and_rate_together")
    assert set(ran.values()) == {"passed"}, ran
