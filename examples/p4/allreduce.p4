// SPDX-License-Identifier: Apache-2.0
// All-reduce in the network, after A. Sapio et al., Scaling Distributed Machine Learning with
// In-Network Aggregation, NSDI 2021: workers send vectors to the switch, which adds them and sends
// each worker the sum when the last one is there.
//
// A vector that is sent again (its sum was lost) is not added again: while the round lasts it is
// ignored, and afterwards its sender, and nobody else, is sent the sum. Rounds share `SLOTS`
// places: a worker may be that many rounds ahead of the slowest, less one.
#include "network.p4"

const bit<16> PORT = 7001;
const bit<32> SLOTS = 64;
const bit<16> RESULTS = 1;              // the multicast group of all workers
const bit<8> SUM = 1;

header vector_t {
    bit<8> kind; bit<8> worker; bit<16> round;
    bit<32> v0; bit<32> v1; bit<32> v2; bit<32> v3; bit<32> v4; bit<32> v5; bit<32> v6; bit<32> v7;
}

struct headers { ethernet_t ethernet; arp_t arp; ipv4_t ipv4; udp_t udp; vector_t vector; }
struct metadata { bit<8> bit_of; bit<8> all; bit<8> seen; bit<16> round; }

parser ReduceParse(packet_in packet, out headers hdr, inout metadata meta,
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
        transition select(hdr.udp.dst, hdr.udp.length) {
            (PORT, 44): vector;
            default: accept;
        }
    }
    state vector { packet.extract(hdr.vector); transition accept; }
}

control Add(inout bit<32> value, in bit<32> slot, in bool first, in bool again) {
    register<bit<32>>(SLOTS) sums;
    apply {
        bit<32> sum = 0;
        if (!first) { sums.read(sum, slot); }
        if (!again) {
            sum = sum + value;
            sums.write(slot, sum);
        }
        value = sum;
    }
}

control ReduceIngress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    Route() route;
    register<bit<16>>(SLOTS) rounds;    // the one whose sums a place has
    register<bit<8>>(SLOTS) workers;    // whose vectors are in them, a bit for each
    Add() add0; Add() add1; Add() add2; Add() add3;
    Add() add4; Add() add5; Add() add6; Add() add7;

    action joins(bit<8> worker_bit, bit<8> all_bits) {
        meta.bit_of = worker_bit;
        meta.all = all_bits;
    }

    table members {
        key = { hdr.vector.worker: exact; standard.ingress_port: exact; }
        actions = { joins; NoAction; }
        default_action = NoAction();
        size = 8;
    }

    apply {
        if (hdr.vector.isValid()) { members.apply(); }
        if (meta.bit_of == 0) {
            route.apply(hdr.ethernet, hdr.arp, hdr.ipv4, standard);
        } else {
            bit<32> slot = (bit<32>)hdr.vector.round & (SLOTS - 1);
            rounds.read(meta.round, slot);
            workers.read(meta.seen, slot);
            bool used = meta.seen != 0;
            bool first = !used || meta.round != hdr.vector.round;
            if (first) { meta.seen = 0; }
            bool again = (meta.seen & meta.bit_of) != 0;
            bool complete = meta.seen == meta.all;
            // the numbers of rounds go round: what is behind the place's is of the past
            if (used && first && meta.round - hdr.vector.round < 0x8000) {
                mark_to_drop(standard);
            } else {
                add0.apply(hdr.vector.v0, slot, first, again);
                add1.apply(hdr.vector.v1, slot, first, again);
                add2.apply(hdr.vector.v2, slot, first, again);
                add3.apply(hdr.vector.v3, slot, first, again);
                add4.apply(hdr.vector.v4, slot, first, again);
                add5.apply(hdr.vector.v5, slot, first, again);
                add6.apply(hdr.vector.v6, slot, first, again);
                add7.apply(hdr.vector.v7, slot, first, again);
                meta.seen = meta.seen | meta.bit_of;
                rounds.write(slot, hdr.vector.round);
                workers.write(slot, meta.seen);
                hdr.vector.kind = SUM;
                if (complete) {
                    standard.egress_spec = standard.ingress_port;
                } else if (meta.seen == meta.all) {
                    standard.mcast_grp = RESULTS;
                } else {
                    mark_to_drop(standard);
                }
            }
        }
    }
}

control ReduceEgress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    action deliver(bit<48> source_mac, bit<48> target_mac, bit<32> source, bit<32> target) {
        hdr.ethernet.src = source_mac;
        hdr.ethernet.dst = target_mac;
        hdr.ipv4.src = source;
        hdr.ipv4.dst = target;
        hdr.ipv4.ttl = 64;
        hdr.udp.src = PORT;
        hdr.udp.checksum = 0;           // IPv4 allows to leave it out
    }

    table deliveries {
        key = { standard.egress_port: exact; }
        actions = { deliver; NoAction; }
        default_action = NoAction();
        size = 8;
    }

    apply {
        if (hdr.vector.isValid() && hdr.vector.kind == SUM) { deliveries.apply(); }
    }
}

control ReduceUpdate(inout headers hdr, inout metadata meta) {
    apply { UPDATE_IPV4(hdr.ipv4); }
}

control ReduceDeparse(packet_out packet, in headers hdr) { apply { packet.emit(hdr); } }

V1Switch(ReduceParse(), NoVerify<headers, metadata>(), ReduceIngress(), ReduceEgress(),
         ReduceUpdate(), ReduceDeparse()) main;
