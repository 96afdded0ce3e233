// SPDX-License-Identifier: Apache-2.0
// A key-value cache in the network, after X. Jin et al., NetCache: Balancing Key-Value Stores with
// Fast In-Network Caching, SOSP 2017: the switch in front of a server answers for hot keys.
//
// A write makes the switch's copy invalid on its way to the server. The copy is filled by the
// server's answers, but never while a write is under way: an old answer cannot overtake it.
#include "network.p4"

const bit<16> PORT = 7000;
const bit<8> GET = 1;
const bit<8> PUT = 2;
const bit<8> VALUE = 3;                 // the answer to GET
const bit<8> STORED = 4;                // the answer to PUT
const bit<8> BY_SWITCH = 1;

header request_t { bit<8> operation; bit<8> by; bit<16> number; bit<32> key; bit<64> value; }

struct headers { ethernet_t ethernet; arp_t arp; ipv4_t ipv4; udp_t udp; request_t request; }
struct metadata { bit<1> hot; bit<32> slot; }

parser CacheParse(packet_in packet, out headers hdr, inout metadata meta,
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
            (5, 0 &&& 1, 0, PROTOCOL_UDP): udp;
            default: accept;
        }
    }
    state udp {
        packet.extract(hdr.udp);
        transition select(hdr.udp.src, hdr.udp.dst, hdr.udp.length) {
            (_, PORT, 24): request;
            (PORT, _, 24): request;
            default: accept;
        }
    }
    state request { packet.extract(hdr.request); transition accept; }
}

control CacheIngress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    Route() route;
    register<bit<64>>(256) values;
    register<bit<1>>(256) valid;
    register<bit<16>>(256) writes;      // that the server has not answered yet
    counter(256, CounterType.packets) hits;
    counter(256, CounterType.packets) misses;

    action is_hot(bit<32> slot) {
        meta.hot = 1;
        meta.slot = slot;
    }

    table hot_keys {
        key = { hdr.request.key: exact; }
        actions = { is_hot; NoAction; }
        default_action = NoAction();
        size = 256;
    }

    action answer(bit<64> value) {
        bit<48> mac = hdr.ethernet.src;
        hdr.ethernet.src = hdr.ethernet.dst;
        hdr.ethernet.dst = mac;
        bit<32> address = hdr.ipv4.src;
        hdr.ipv4.src = hdr.ipv4.dst;
        hdr.ipv4.dst = address;
        hdr.ipv4.ttl = 64;
        bit<16> port = hdr.udp.src;
        hdr.udp.src = hdr.udp.dst;
        hdr.udp.dst = port;
        hdr.udp.checksum = 0;           // IPv4 allows to leave it out
        hdr.request.operation = VALUE;
        hdr.request.by = BY_SWITCH;
        hdr.request.value = value;
        standard.egress_spec = standard.ingress_port;
    }

    apply {
        if (hdr.request.isValid()) {
            hot_keys.apply();
        }
        bool answered = false;
        if (meta.hot == 1) {
            bit<16> under_way;
            writes.read(under_way, meta.slot);
            if (hdr.udp.dst == PORT && hdr.request.operation == GET) {
                bit<1> is_valid;
                bit<64> value;
                valid.read(is_valid, meta.slot);
                values.read(value, meta.slot);
                if (is_valid == 1) {
                    hits.count(meta.slot);
                    answer(value);
                    answered = true;
                } else {
                    misses.count(meta.slot);
                }
            } else if (hdr.udp.dst == PORT && hdr.request.operation == PUT) {
                valid.write(meta.slot, 0);
                writes.write(meta.slot, under_way + 1);
            } else if (hdr.udp.src == PORT && hdr.request.operation == STORED) {
                under_way = under_way |-| 1;
                writes.write(meta.slot, under_way);
            }
            if (hdr.udp.src == PORT && hdr.request.operation >= VALUE && under_way == 0) {
                values.write(meta.slot, hdr.request.value);
                valid.write(meta.slot, 1);
            }
        }
        if (!answered) {
            route.apply(hdr.ethernet, hdr.arp, hdr.ipv4, standard);
        }
    }
}

control CacheEgress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    apply { }
}

control CacheUpdate(inout headers hdr, inout metadata meta) {
    apply { UPDATE_IPV4(hdr.ipv4); }
}

control CacheDeparse(packet_out packet, in headers hdr) { apply { packet.emit(hdr); } }

V1Switch(CacheParse(), NoVerify<headers, metadata>(), CacheIngress(), CacheEgress(),
         CacheUpdate(), CacheDeparse()) main;
