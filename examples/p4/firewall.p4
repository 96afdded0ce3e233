// SPDX-License-Identifier: Apache-2.0
// A stateful firewall: what comes in belongs to a flow that began inside, or is dropped.
//
// Flows are remembered in a Bloom filter of two hashes (B. Bloom, Space/time trade-offs in hash
// coding with allowable errors, CACM 13, 1970): none is forgotten, a wrong one passes seldom.
#include "network.p4"

const bit<32> CELLS = 4096;
const bit<8> SYN = 0x02;
const bit<8> ECHO_REPLY = 0;

struct headers { ethernet_t ethernet; arp_t arp; ipv4_t ipv4; tcp_t tcp; udp_t udp; icmp_t icmp; }
struct metadata { bit<1> inside; bit<16> src_port; bit<16> dst_port; bit<32> a; bit<32> b; }

parser FirewallParse(packet_in packet, out headers hdr, inout metadata meta,
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
        transition select(hdr.ipv4.ihl, hdr.ipv4.flags, hdr.ipv4.offset, hdr.ipv4.protocol) {
            (5, 0 &&& 1, 0, PROTOCOL_TCP): tcp;
            (5, 0 &&& 1, 0, PROTOCOL_UDP): udp;
            (5, 0 &&& 1, 0, PROTOCOL_ICMP): icmp;
            default: accept;
        }
    }
    state tcp { packet.extract(hdr.tcp); transition accept; }
    state udp { packet.extract(hdr.udp); transition accept; }
    state icmp { packet.extract(hdr.icmp); transition accept; }
}

control FirewallIngress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    Route() route;
    register<bit<1>>(CELLS) first;
    register<bit<1>>(CELLS) second;
    counter(2, CounterType.packets) passed;
    counter(2, CounterType.packets) refused;

    action is_inside() { meta.inside = 1; }

    // ports that are not in it are outside
    table sides {
        key = { standard.ingress_port: exact; }
        actions = { is_inside; NoAction; }
        default_action = NoAction();
        size = 512;
    }

    // the same cells for both directions of a flow: the inside's address and port come first
    action find(bit<32> here, bit<16> here_port, bit<32> there, bit<16> there_port) {
        hash(meta.a, HashAlgorithm.crc32, (bit<32>)0,
             { here, here_port, there, there_port, hdr.ipv4.protocol }, CELLS);
        hash(meta.b, HashAlgorithm.crc16, (bit<32>)0,
             { here, here_port, there, there_port, hdr.ipv4.protocol }, CELLS);
    }

    action refuse() {
        refused.count((bit<32>)meta.inside);
        mark_to_drop(standard);
    }

    apply {
        route.apply(hdr.ethernet, hdr.arp, hdr.ipv4, standard);
        sides.apply();
        if (hdr.ipv4.isValid() && standard.egress_spec != DROPPED) {
            bool flow = hdr.tcp.isValid() || hdr.udp.isValid();
            if (hdr.tcp.isValid()) {
                meta.src_port = hdr.tcp.src;
                meta.dst_port = hdr.tcp.dst;
            } else if (hdr.udp.isValid()) {
                meta.src_port = hdr.udp.src;
                meta.dst_port = hdr.udp.dst;
            }
            if (meta.inside == 1) {
                // TCP begins with a SYN: an answer to somebody who was refused opens nothing
                if (hdr.udp.isValid() || (hdr.tcp.isValid() && (hdr.tcp.flags & 0x12) == SYN)) {
                    find(hdr.ipv4.src, meta.src_port, hdr.ipv4.dst, meta.dst_port);
                    first.write(meta.a, 1);
                    second.write(meta.b, 1);
                }
                passed.count(1);
            } else if (flow) {
                bit<1> one;
                bit<1> two;
                find(hdr.ipv4.dst, meta.dst_port, hdr.ipv4.src, meta.src_port);
                first.read(one, meta.a);
                second.read(two, meta.b);
                if ((one & two) == 1) { passed.count(0); } else { refuse(); }
            } else if (hdr.icmp.isValid() && hdr.icmp.type == ECHO_REPLY) {
                passed.count(0);
            } else {
                refuse();
            }
        }
    }
}

control FirewallEgress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    apply { }
}

control FirewallUpdate(inout headers hdr, inout metadata meta) {
    apply { UPDATE_IPV4(hdr.ipv4); }
}

control FirewallDeparse(packet_out packet, in headers hdr) { apply { packet.emit(hdr); } }

V1Switch(FirewallParse(), NoVerify<headers, metadata>(), FirewallIngress(), FirewallEgress(),
         FirewallUpdate(), FirewallDeparse()) main;
