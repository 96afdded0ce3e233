// SPDX-License-Identifier: Apache-2.0
// Contracts of flows: a rate, kept at a flow's first switch, and a bound on the time for which its
// packets wait in queues, watched at its last one.
//
// The first switch colours packets by the two rates of their contract (a two rate three color
// marker, RFC 2698): green ones go by the queue of the contract, yellow ones by that of everybody,
// red ones nowhere. Between switches they bear a label (EtherType 0x88b5, IEEE 802's for local
// experiments), to which each switch adds how long they waited there. The last one takes it off,
// and keeps what was late, by how much, and where the most of it was. Microseconds throughout.
// In front of Kubernetes nodes the program looks inside GRE, so that flows are those of pods.
#include "network.p4"

const bit<16> TYPE_LABEL = 0x88b5;
const bit<32> CONTRACTS = 64;
const bit<2> YELLOW = 1;
const bit<2> RED = 2;

header gre_t { bit<16> flags; bit<16> protocol; }
header label_t {
    bit<6> contract; bit<7> r; bit<3> queue; bit<16> worst_at;
    bit<32> worst; bit<32> waited; bit<16> type;
}

struct headers {
    ethernet_t ethernet; label_t label; arp_t arp; ipv4_t ipv4; gre_t gre; ipv4_t inner;
}
struct metadata {
    bit<6> contract; bit<3> queue; bit<2> color; bit<32> src; bit<32> dst; bit<16> me;
    bit<32> bound;
}

parser QosParse(packet_in packet, out headers hdr, inout metadata meta,
                inout standard_metadata_t standard) {
    state start {
        packet.extract(hdr.ethernet);
        transition select(hdr.ethernet.type) {
            TYPE_IPV4: ipv4;
            TYPE_ARP: arp;
            TYPE_LABEL: label;
            default: accept;
        }
    }
    state arp { packet.extract(hdr.arp); transition accept; }
    state label {
        packet.extract(hdr.label);
        transition select(hdr.label.type) {
            TYPE_IPV4: ipv4;
            default: accept;
        }
    }
    state ipv4 {
        packet.extract(hdr.ipv4);
        transition select(hdr.ipv4.ihl, hdr.ipv4.offset, hdr.ipv4.protocol) {
            (5, 0, 47): gre;
            default: accept;
        }
    }
    state gre {
        packet.extract(hdr.gre);
        transition select(hdr.gre.flags, hdr.gre.protocol) {
            (0, TYPE_IPV4): inner;
            default: accept;
        }
    }
    state inner { packet.extract(hdr.inner); transition accept; }
}

control QosIngress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    Route() route;
    meter(CONTRACTS, MeterType.bytes) rates;
    counter(CONTRACTS << 2, CounterType.packets_and_bytes) colors;

    action contract(bit<6> number, bit<3> queue) {
        meta.contract = number;
        meta.queue = queue;
    }

    table contracts {
        key = { meta.src: ternary; meta.dst: ternary; }
        actions = { contract; NoAction; }
        default_action = NoAction();
        size = 64;
    }

    action begin() {
        hdr.label.setValid();
        hdr.label = { meta.contract, 0, meta.queue, 0, 0, 0, hdr.ethernet.type };
        hdr.ethernet.type = TYPE_LABEL;
    }

    apply {
        route.apply(hdr.ethernet, hdr.arp, hdr.ipv4, standard);
        if (hdr.ipv4.isValid() && standard.egress_spec != DROPPED) {
            if (!hdr.label.isValid()) {
                meta.src = hdr.inner.isValid() ? hdr.inner.src : hdr.ipv4.src;
                meta.dst = hdr.inner.isValid() ? hdr.inner.dst : hdr.ipv4.dst;
                if (contracts.apply().hit) {
                    rates.execute_meter((bit<32>)meta.contract, meta.color);
                    colors.count((bit<32>)(meta.contract ++ meta.color));
                    if (meta.color == RED) {
                        mark_to_drop(standard);
                    } else {
                        if (meta.color == YELLOW) { meta.queue = 0; }
                        begin();
                    }
                }
            }
            if (hdr.label.isValid()) { standard.priority = hdr.label.queue; }
        }
    }
}

control QosEgress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    register<bit<32>>(CONTRACTS) late;
    register<bit<32>>(CONTRACTS) longest;
    register<bit<32>>(CONTRACTS) longest_at;
    counter(CONTRACTS, CounterType.packets_and_bytes) delivered;

    action me(bit<16> id) { meta.me = id; }

    table this_switch {
        actions = { me; NoAction; }
        default_action = NoAction();
    }

    // behind these ports are no switches
    table edges {
        key = { standard.egress_port: exact; }
        actions = { NoAction; }
        default_action = NoAction();
        size = 64;
    }

    action at_most(bit<32> bound) { meta.bound = bound; }

    table bounds {
        key = { hdr.label.contract: exact; }
        actions = { at_most; NoAction; }
        default_action = NoAction();
        size = 64;
    }

    action judge() {
        bit<32> cell = (bit<32>)hdr.label.contract;
        bit<32> count;
        bit<32> most;
        bit<32> most_at;
        late.read(count, cell);
        longest.read(most, cell);
        longest_at.read(most_at, cell);
        late.write(cell, hdr.label.waited > meta.bound ? count + 1 : count);
        longest_at.write(cell, hdr.label.waited > most ? (bit<32>)hdr.label.worst_at : most_at);
        longest.write(cell, hdr.label.waited > most ? hdr.label.waited : most);
        delivered.count(cell);
    }

    action end() {
        hdr.ethernet.type = hdr.label.type;
        hdr.label.setInvalid();
    }

    apply {
        if (hdr.label.isValid()) {
            this_switch.apply();
            hdr.label.waited = hdr.label.waited |+| standard.deq_timedelta;
            if (standard.deq_timedelta >= hdr.label.worst) {
                hdr.label.worst = standard.deq_timedelta;
                hdr.label.worst_at = meta.me;
            }
            if (edges.apply().hit) {
                if (bounds.apply().hit) { judge(); }
                end();
            }
        }
    }
}

control QosUpdate(inout headers hdr, inout metadata meta) {
    apply { UPDATE_IPV4(hdr.ipv4); }
}

control QosDeparse(packet_out packet, in headers hdr) { apply { packet.emit(hdr); } }

V1Switch(QosParse(), NoVerify<headers, metadata>(), QosIngress(), QosEgress(), QosUpdate(),
         QosDeparse()) main;
