// SPDX-License-Identifier: Apache-2.0
// A guard against floods: a source that sends more UDP packets than a limit is dropped, the others
// are not. Packets are counted in a count-min sketch of three rows (G. Cormode, S. Muthukrishnan,
// An improved data stream summary, J. Algorithms 55, 2005): a source may be counted too high where
// it shares a cell with others in every row, and never too low.
#include "network.p4"

const bit<32> CELLS = 1024;

struct headers { ethernet_t ethernet; arp_t arp; ipv4_t ipv4; udp_t udp; }
struct flooder_t { bit<32> source; bit<32> packets; }
struct metadata { bit<32> limit; flooder_t flooder; }

parser GuardParse(packet_in packet, out headers hdr, inout metadata meta,
                  inout standard_metadata_t standard) {
    state start {
        packet.extract(hdr.ethernet);
        transition select(hdr.ethernet.type) {
            TYPE_IPV4: ipv4;
            TYPE_ARP: arp;
            default: accept;
        }
    }
    state arp { packet.extract(hdr.arp); transition accept; }
    state ipv4 {
        packet.extract(hdr.ipv4);
        transition select(hdr.ipv4.protocol) {
            PROTOCOL_UDP: udp;
            default: accept;
        }
    }
    state udp { packet.extract(hdr.udp); transition accept; }
}

control GuardIngress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    Route() route;
    register<bit<32>>(CELLS) row_a;
    register<bit<32>>(CELLS) row_b;
    register<bit<32>>(CELLS) row_c;
    counter(512, CounterType.packets_and_bytes) dropped;

    action at_most(bit<32> packets) { meta.limit = packets; }

    table limit {
        actions = { at_most; NoAction; }
        default_action = NoAction();
    }

    action count(out bit<32> packets) {
        bit<32> a;
        bit<32> b;
        bit<32> c;
        bit<32> in_a;
        bit<32> in_b;
        bit<32> in_c;
        hash(a, HashAlgorithm.crc32, (bit<32>)0, { hdr.ipv4.src }, CELLS);
        hash(b, HashAlgorithm.crc16, (bit<32>)0, { hdr.ipv4.src }, CELLS);
        hash(c, HashAlgorithm.crc32, (bit<32>)0, { hdr.ipv4.src, 32w0x6b696e64 }, CELLS);
        row_a.read(in_a, a);
        row_b.read(in_b, b);
        row_c.read(in_c, c);
        in_a = in_a |+| 1;
        in_b = in_b |+| 1;
        in_c = in_c |+| 1;
        row_a.write(a, in_a);
        row_b.write(b, in_b);
        row_c.write(c, in_c);
        packets = in_a < in_b ? in_a : in_b;
        packets = in_c < packets ? in_c : packets;
    }

    apply {
        route.apply(hdr.ethernet, hdr.arp, hdr.ipv4, standard);
        limit.apply();
        if (hdr.udp.isValid() && meta.limit != 0 && standard.egress_spec != DROPPED) {
            bit<32> packets;
            count(packets);
            if (packets > meta.limit) {
                if (packets == meta.limit + 1) {
                    meta.flooder = { hdr.ipv4.src, packets };
                    digest<flooder_t>(1, meta.flooder);
                }
                dropped.count((bit<32>)standard.ingress_port);
                mark_to_drop(standard);
            }
        }
    }
}

control GuardEgress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    apply { }
}

control GuardUpdate(inout headers hdr, inout metadata meta) {
    apply { UPDATE_IPV4(hdr.ipv4); }
}

control GuardDeparse(packet_out packet, in headers hdr) { apply { packet.emit(hdr); } }

V1Switch(GuardParse(), NoVerify<headers, metadata>(), GuardIngress(), GuardEgress(),
         GuardUpdate(), GuardDeparse()) main;
