// SPDX-License-Identifier: Apache-2.0
// What it has no entry for goes to the controller, who answers by the same port.
#include <core.p4>
#include <v1model.p4>

const bit<9> CPU = 510;

@controller_header("packet_in")
header packet_in_t {
    bit<9> ingress_port;
    @padding bit<7> fill;
    bit<8> reason;
}

@controller_header("packet_out")
header packet_out_t {
    bit<9> egress_port;
    bit<3> priority;
    @padding bit<4> fill;
}

header ethernet_t {
    bit<48> target;
    bit<48> source;
    bit<16> type;
}

struct headers {
    packet_in_t to_controller;
    packet_out_t from_controller;
    ethernet_t ethernet;
}

struct metadata { bit<2> color; }

parser PuntParser(packet_in packet, out headers hdr, inout metadata meta,
                  inout standard_metadata_t standard) {
    state start {
        transition select(standard.ingress_port) {
            CPU: from_controller;
            default: from_network;
        }
    }
    state from_controller {
        packet.extract(hdr.from_controller);
        transition from_network;
    }
    state from_network {
        packet.extract(hdr.ethernet);
        transition accept;
    }
}

control PuntVerify(inout headers hdr, inout metadata meta) { apply { } }

control PuntIngress(inout headers hdr, inout metadata meta,
                    inout standard_metadata_t standard) {
    register<bit<48>>(16) last_source;
    counter(16, CounterType.packets_and_bytes) received;
    meter(16, MeterType.packets) rates;

    action forward(bit<9> port, bit<3> priority) {
        standard.egress_spec = port;
        standard.priority = priority;
    }
    action punt() {
        standard.egress_spec = CPU;
        hdr.to_controller.setValid();
        hdr.to_controller.ingress_port = standard.ingress_port;
        hdr.to_controller.reason = 1;
    }
    action flood(bit<16> group) {
        standard.mcast_grp = group;
    }
    action drop() {
        mark_to_drop(standard);
    }
    table known {
        key = { hdr.ethernet.target: exact; }
        actions = { forward; flood; punt; drop; }
        default_action = punt();
        size = 1024;
    }
    apply {
        if (hdr.from_controller.isValid()) {
            standard.egress_spec = hdr.from_controller.egress_port;
            standard.priority = hdr.from_controller.priority;
            hdr.from_controller.setInvalid();
        } else {
            bit<32> port = (bit<32>)standard.ingress_port;
            received.count(port);
            last_source.write(port, hdr.ethernet.source);
            rates.execute_meter(port, meta.color);
            known.apply();
        }
    }
}

control PuntEgress(inout headers hdr, inout metadata meta,
                   inout standard_metadata_t standard) { apply { } }

control PuntCompute(inout headers hdr, inout metadata meta) { apply { } }

control PuntDeparser(packet_out packet, in headers hdr) {
    apply {
        packet.emit(hdr.to_controller);
        packet.emit(hdr.ethernet);
    }
}

V1Switch(PuntParser(), PuntVerify(), PuntIngress(), PuntEgress(), PuntCompute(),
         PuntDeparser()) main;
