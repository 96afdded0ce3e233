// SPDX-License-Identifier: Apache-2.0
// Balances flows over equal ways: by a hash of each flow, or of each flowlet where a flow has been
// silent for `gap` microseconds (S. Sinha, S. Kandula, D. Katabi, Harnessing TCP's Burstiness with
// Flowlet Switching, HotNets 2004). With a gap of 0 a flow never changes its way.
#include "network.p4"

const bit<32> FLOWS = 1024;

struct headers { ethernet_t ethernet; arp_t arp; ipv4_t ipv4; tcp_t tcp; udp_t udp; }
struct metadata {
    bit<16> src_port; bit<16> dst_port; bit<1> spread; bit<16> ways; bit<48> gap; bit<16> way;
}

parser BalanceParse(packet_in packet, out headers hdr, inout metadata meta,
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
    // fragments have no ports but in the first: a flow of them goes by its addresses
    state ipv4 {
        packet.extract(hdr.ipv4);
        transition select(hdr.ipv4.ihl, hdr.ipv4.flags, hdr.ipv4.offset, hdr.ipv4.protocol) {
            (5, 0 &&& 1, 0, PROTOCOL_TCP): tcp;
            (5, 0 &&& 1, 0, PROTOCOL_UDP): udp;
            default: accept;
        }
    }
    state tcp { packet.extract(hdr.tcp); transition accept; }
    state udp { packet.extract(hdr.udp); transition accept; }
}

control BalanceIngress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    Route() route;
    register<bit<48>>(FLOWS) last_seen;
    register<bit<16>>(FLOWS) flowlets;
    counter(16, CounterType.packets) taken;

    action spread(bit<16> ways, bit<48> gap) {
        meta.spread = 1;
        meta.ways = ways;
        meta.gap = gap;
    }

    // what goes to networks behind the ways; the rest is routed
    table targets {
        key = { hdr.ipv4.dst: lpm; }
        actions = { spread; NoAction; }
        default_action = NoAction();
        size = 256;
    }

    action forward_over(bit<9> port, bit<48> source, bit<48> target) {
        standard.egress_spec = port;
        hdr.ethernet.src = source;
        hdr.ethernet.dst = target;
        hdr.ipv4.ttl = hdr.ipv4.ttl - 1;
        taken.count((bit<32>)meta.way);
    }

    action drop() { mark_to_drop(standard); }

    table ways {
        key = { meta.way: exact; }
        actions = { forward_over; drop; }
        default_action = drop();
        size = 16;
    }

    action choose(bit<16> flowlet) {
        hash(meta.way, HashAlgorithm.crc16, (bit<16>)0,
             { hdr.ipv4.src, hdr.ipv4.dst, hdr.ipv4.protocol, meta.src_port, meta.dst_port,
               flowlet }, meta.ways);
    }

    apply {
        if (hdr.ipv4.isValid() && hdr.ipv4.ttl > 1) { targets.apply(); }
        if (meta.spread == 0) {
            route.apply(hdr.ethernet, hdr.arp, hdr.ipv4, standard);
        } else {
            bit<32> cell;
            bit<48> before;
            bit<16> flowlet;
            if (hdr.tcp.isValid()) {
                meta.src_port = hdr.tcp.src;
                meta.dst_port = hdr.tcp.dst;
            } else if (hdr.udp.isValid()) {
                meta.src_port = hdr.udp.src;
                meta.dst_port = hdr.udp.dst;
            }
            hash(cell, HashAlgorithm.crc32, (bit<32>)0,
                 { hdr.ipv4.src, hdr.ipv4.dst, hdr.ipv4.protocol, meta.src_port, meta.dst_port },
                 FLOWS);
            last_seen.read(before, cell);
            flowlets.read(flowlet, cell);
            if (meta.gap != 0 && before != 0 && standard.ingress_global_timestamp - before > meta.gap) {
                flowlet = flowlet + 1;
                flowlets.write(cell, flowlet);
            }
            last_seen.write(cell, standard.ingress_global_timestamp);
            choose(flowlet);
            ways.apply();
        }
    }
}

control BalanceEgress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    apply { }
}

control BalanceUpdate(inout headers hdr, inout metadata meta) {
    apply { UPDATE_IPV4(hdr.ipv4); }
}

control BalanceDeparse(packet_out packet, in headers hdr) { apply { packet.emit(hdr); } }

V1Switch(BalanceParse(), NoVerify<headers, metadata>(), BalanceIngress(), BalanceEgress(),
         BalanceUpdate(), BalanceDeparse()) main;
