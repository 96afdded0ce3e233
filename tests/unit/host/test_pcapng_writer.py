"""What the writer writes is read by a decoder that is not ours (dpkt), and by ours."""

from __future__ import annotations

import io

import dpkt
from hypothesis import given
from hypothesis import strategies as st

from pytest_kinda.host.packet_ring import Frame
from pytest_kinda.host.pcapng_writer import PcapngWriter
from pytest_kinda.testbed.pcapng import read_packets, read_statistics

FRAMES = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.builds(
            lambda time, out, data, more: Frame(time, out, len(data) + more, data),
            st.integers(0, 2**61),
            st.booleans(),
            st.binary(min_size=1, max_size=70),
            st.integers(0, 2000),
        ),
    ),
    max_size=8,
)


@given(FRAMES)
def test_frames_are_read_as_they_were_written(tmp_path_factory, frames):
    path = tmp_path_factory.mktemp("w") / "x.pcapng"
    writer = PcapngWriter(path, ["r1:eth0", "r2:eth1"], expression="ip", comment="a test")
    writer.write(frames)
    before_end = path.read_bytes()
    now = 1_700_000_000_123_456_789
    writer.statistics(0, (3, 0), now - 1, "it was away")
    writer.statistics(0, (5, 1), now)
    writer.statistics(1, (6, 2), now)
    writer.close()
    found = [
        (["r1:eth0", "r2:eth1"].index(one.interface), one.time, one.direction, one.length, one.data)
        for one in read_packets(path)
    ]
    assert found == [
        (at, one.time, "out" if one.outgoing else "in", one.length, one.data) for at, one in frames
    ]
    assert read_statistics(path) == {"r1:eth0": (5, 1), "r2:eth1": (6, 2)}
    # dpkt reads it while it grows, and afterwards.
    for data in (before_end, path.read_bytes()):
        reader = dpkt.pcapng.Reader(io.BytesIO(data))
        assert [body for _, body in reader] == [one.data for _, one in frames]
