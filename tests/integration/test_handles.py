"""Handles on a network of devices: commands, links, counters, captures, faults."""

import pytest

from pytest_kinda.errors import CommandError, HostError, KindaError, UnknownNameError
from tests.support.topologies import PAIR, PAIR_DIRECT

pytestmark = pytest.mark.topology(PAIR, PAIR_DIRECT)


def test_commands_run_where_they_are_sent(kinda):
    result = kinda.device("r1").exec("hostname")
    assert result.ok
    assert kinda.exec("h1", "cat", stdin="x" * 300_000).stdout == "x" * 300_000
    assert kinda.node("h1").shell("echo $1 | tr a-z A-Z", "abc").lines == ["ABC"]
    assert kinda.node("h1").exec("printenv", "A", env={"A": "b"}).lines == ["b"]
    with pytest.raises(CommandError, match=r"node r1: 'false' ended with status 1"):
        kinda.device("r1").exec("false")


def test_output_of_many_short_commands_is_whole(kinda):
    host = kinda.node("h1")
    assert all(host.exec("echo", str(n)).lines == [str(n)] for n in range(20))


def test_a_command_that_hangs_is_killed_there(kinda):
    host = kinda.node("h1")
    with pytest.raises(CommandError, match="did not end within"):
        host.exec("sleep", "4711", timeout=0.5)
    assert not host.shell("pgrep -f 'sleep 471[1]'", check=False).ok


def test_a_background_process_ends_with_its_block(kinda):
    host = kinda.node("h1")
    with host.start("sh", "-c", "echo up; sleep 4712 & wait") as process:
        process.wait_for_output("up")
        assert host.shell("pgrep -f 'sleep 471[2]'").ok
    assert not process.running
    assert not host.shell("pgrep -f 'sleep 471[2]'", check=False).ok


def test_files_go_in_and_out(kinda, tmp_path):
    router = kinda.device("r1")
    router.write_file("/tmp/deep/file", b"\x00\xffdata", mode=0o600)
    assert router.read_file("/tmp/deep/file") == b"\x00\xffdata"
    assert router.exec("stat", "-c", "%a", "/tmp/deep/file").stdout.strip() == "600"
    assert router.copy_out("/tmp/deep/file", tmp_path).read_bytes() == b"\x00\xffdata"


def test_unknown_names_list_what_there_is(kinda):
    with pytest.raises(UnknownNameError, match="there are h1, r1, h2"):
        kinda.node("h3")
    with pytest.raises(UnknownNameError, match="h1--r1, r1--h2"):
        kinda.link("h1", "h2")
    with pytest.raises(UnknownNameError, match="no interface 'eth7'"):
        kinda.node("h1").interface("eth7")
    with pytest.raises(UnknownNameError, match="NODE:INTERFACE"):
        kinda.capture("nothing")
    with pytest.raises(HostError, match=r"eth7: No such device; there are lo, .*eth0"):
        kinda.capture("h1:eth7").start()
    with pytest.raises(UnknownNameError, match="there are h1, r1, h2"):
        kinda.ping("h1", "h3")
    with pytest.raises(KindaError, match="no cluster"):
        kinda.kubectl("get", "pods")


def test_interfaces_are_as_planned(kinda):
    for node in kinda.nodes:
        listed = {one["ifname"]: one for one in node.exec("ip", "-j", "addr").json()}
        for interface in node.interfaces:
            real = listed[interface.name]
            assert real["address"] == interface.mac
            assert real["mtu"] == interface.mtu
            addresses = {f"{a['local']}/{a['prefixlen']}" for a in real["addr_info"]}
            assert set(interface.addresses) <= addresses


def test_every_pair_is_reached(kinda):
    table = kinda.reachability(every_address=True)
    assert table, str(table)
    assert len(table.pairs) == 6


def test_a_cut_link_is_cut_at_both_ends_and_heals(kinda):
    link = kinda.link("r1", "h2")

    def carriers():
        shown = [end.node.exec("ip", "-j", "link", "show", end.name) for end in link.interfaces]
        return ["LOWER_UP" in one.json()[0]["flags"] for one in shown]

    routes = kinda.node("h2").exec("ip", "route").stdout
    with link.down():
        assert carriers() == [False, False]
        assert not kinda.ping("h1", "h2", count=1)
    assert carriers() == [True, True]
    assert kinda.ping("h1", "h2", count=2, wait=2).received
    assert kinda.node("h2").exec("ip", "route").stdout == routes


def test_a_partition_separates_and_heals(kinda):
    with kinda.partition({"h1"}, {"h2"}) as partition:
        assert len(partition.faults) == 1
        assert ("h1", "h2") in kinda.reachability().missing
    assert kinda.reachability(wait=2.0)


def test_a_flapping_link_comes_and_goes_and_ends_up(kinda):
    end = kinda.link("r1", "h2").end("h2")
    path = f"/sys/class/net/{end.name}/carrier_changes"
    before = int(end.node.read_text(path))
    with kinda.flap("r1--h2", period=1.0):
        # What waits for an address to be resolved is sent when the link is back: late, not lost.
        found = kinda.ping("h1", "h2", count=20, interval=0.2, wait=3.0)
    assert found.loss > 0 or found.max_ms > 100
    assert int(end.node.read_text(path)) - before >= 4
    assert kinda.ping("h1", "h2", count=2, wait=2.0)
    with pytest.raises(KindaError, match="0 < down < period"):
        kinda.flap("r1--h2", period=1.0, down=2.0)


def test_the_declared_rate_is_what_comes_through(kinda):
    found = kinda.iperf("h1", "h2", seconds=2)
    assert 40e6 < found.received_bits_per_second < 52e6


def test_a_rate_is_impaired_one_way_and_heals(kinda):
    link = kinda.link("r1", "h2")
    before = link.a.node.exec("tc", "qdisc", "show", "dev", link.a.name).stdout
    with link.impair(rate="5mbit", direction="r1->h2"):
        assert kinda.iperf("h1", "h2", seconds=2).received_bits_per_second < 5.5e6
        assert kinda.iperf("h2", "h1", seconds=1).received_bits_per_second > 20e6
    assert link.a.node.exec("tc", "qdisc", "show", "dev", link.a.name).stdout == before


def test_impairing_what_is_not_there(kinda):
    with pytest.raises(UnknownNameError, match="'r1->h2'"):
        kinda.link("r1", "h2").impair(rate="1mbit", direction="r1->h1")
    with pytest.raises(KindaError, match="nothing to impair"):
        kinda.link("r1", "h2").impair()


def test_counters_count_what_crosses(kinda):
    with kinda.link("h1", "r1").measure() as measured:
        kinda.ping("h1", "h2", count=5, size=1000)
    counted = measured.counters
    assert 5 * 1042 <= counted.bytes_a_to_b < 5 * 1042 + 2000
    assert counted.packets_b_to_a >= 5
    assert counted.drops == 0


def test_drops_are_counted_in_their_direction(kinda):
    # The queue's own: /proc/net/dev knows nothing of them.
    with kinda.link("r1", "h2").measure() as measured:
        found = kinda.iperf("h1", "h2", udp=True, rate=100_000_000, seconds=1)
    counted = measured.counters
    # What was sent and did not go out there; a busy receiver may lose some of the rest.
    missing = found.packets - counted.packets_a_to_b
    assert missing > 1000
    assert 0.95 * missing <= counted.drops_a_to_b <= 1.05 * missing + 50
    assert counted.drops_b_to_a == 0
    assert counted.drops == counted.drops_a_to_b


def test_http_load_tells_times_statuses_and_errors(kinda):
    host = kinda.node("h2")
    host.write_file("/tmp/www/index.html", "x" * 1000)
    with host.start("busybox", "httpd", "-f", "-p", "8080", "-h", "/tmp/www"):
        host.shell("until nc -z 127.0.0.1 8080; do sleep 0.05; done", timeout=10)
        url = f"http://{host.ip}:8080/"
        load = kinda.http_load("h1", url, requests=200, parallel=5)
        assert load, load
        assert (load.requests, load.answered, load.statuses) == (200, 200, {200: 200})
        assert load.received_bytes == 200_000
        assert 0 < load.percentile_ms(0.5) <= load.percentile_ms(0.99) <= load.max_ms < 10_000
        assert load.requests_per_second > 20
        missing = kinda.http_load("h1", url + "no", requests=10, keepalive=False)
        assert not missing
        assert missing.statuses == {404: 10}
        assert missing.failed == 10
    refused = kinda.http_load("h1", url, requests=10, parallel=2)
    assert not refused
    assert refused.errors == {7: 10}  # curl's "could not connect"
    assert refused.max_ms is None
    with pytest.raises(KindaError, match="begins with http://"):
        kinda.http_load("h1", host.ip)
    with pytest.raises(KindaError, match="requests=0"):
        kinda.http_load("h1", url, requests=0)


def test_one_clock_for_the_test_the_nodes_and_captures(kinda):
    before = kinda.now()
    there = int(kinda.node("h1").exec("date", "+%s%N").stdout)
    with kinda.capture("h2", filter="icmp") as capture:
        kinda.ping("h1", "h2", count=1)
    assert before < there < capture.packets[0].time < kinda.now()


def test_a_paused_node_is_silent_until_it_is_healed(kinda):
    # Its kernel still answers pings: the processes are what is frozen.
    host = kinda.node("h2")
    with host.pause(), pytest.raises((CommandError, KindaError)):
        host.exec("true", timeout=3)
    assert host.exec("true").ok


def test_a_link_of_a_paused_node_is_healed_too(kinda):
    kinda.node("h2").pause()
    kinda.link("r1", "h2").down()
    kinda.heal()
    assert kinda.faults == ()
    assert kinda.ping("h1", "h2", count=2, wait=2.0)


def test_what_a_test_leaves_is_put_back(kinda):
    process = kinda.node("h1").start("sleep", "4713")
    kinda.link("h1", "r1").down()
    kinda.link("r1", "h2").impair(rate="1mbit")
    kinda.put_back()
    assert kinda.faults == ()
    assert not process.running
    assert kinda.reachability(wait=2.0)
