"""P4Runtime for native P4 switches: what an outside controller speaks to them.

Written from the P4Runtime specification 1.4 (p4.org). Arbitration and bytestrings need nothing;
the messages are those of the package finsy (extra ``p4runtime``), imported by the modules that
handle them. The server's program is ``testbed.p4runtime_server``; this room knows switches by
their control channel alone.
"""
