// SPDX-License-Identifier: Apache-2.0
// A node's network card: port 0 is the network, port 1 the node. It counts what passes, GRE (pods)
// apart, drops what `blocked` says, and writes a TTL by which what passed is known.
#include <core.p4>
#include <v1model.p4>

const bit<9> NETWORK = 0;
const bit<9> NODE = 1;

header ethernet_t { bit<48> dst; bit<48> src; bit<16> type; }

header ipv4_t {
    bit<4> version; bit<4> ihl; bit<8> diffserv; bit<16> total_length;
    bit<16> identification; bit<3> flags; bit<13> offset;
    bit<8> ttl; bit<8> protocol; bit<16> checksum; bit<32> src; bit<32> dst;
}

struct headers { ethernet_t ethernet; ipv4_t ipv4; }
struct metadata { }

parser NicParse(packet_in packet, out headers hdr, inout metadata meta,
                inout standard_metadata_t standard) {
    state start {
        packet.extract(hdr.ethernet);
        transition select(hdr.ethernet.type) {
            0x0800: ipv4;
            default: accept;
        }
    }
    state ipv4 { packet.extract(hdr.ipv4); transition accept; }
}

control NicVerify(inout headers hdr, inout metadata meta) { apply { } }

control NicIngress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    counter(2, CounterType.packets_and_bytes) passed;
    counter(2, CounterType.packets_and_bytes) gre;

    action mark(bit<8> ttl) { hdr.ipv4.ttl = ttl; }
    action drop() { mark_to_drop(standard); }

    table marking {
        key = { standard.ingress_port: exact; }
        actions = { mark; NoAction; }
        default_action = NoAction();
        size = 2;
    }

    table blocked {
        key = { hdr.ipv4.src: ternary; hdr.ipv4.dst: ternary; hdr.ipv4.protocol: ternary; }
        actions = { drop; NoAction; }
        default_action = NoAction();
        size = 256;
    }

    apply {
        passed.count((bit<32>)standard.ingress_port);
        standard.egress_spec = standard.ingress_port == NODE ? NETWORK : NODE;
        if (hdr.ipv4.isValid()) {
            if (hdr.ipv4.protocol == 47) {
                gre.count((bit<32>)standard.ingress_port);
            }
            marking.apply();
            blocked.apply();
        }
    }
}

control NicEgress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    apply { }
}

control NicUpdate(inout headers hdr, inout metadata meta) {
    apply {
        update_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5,
            { hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.diffserv, hdr.ipv4.total_length,
              hdr.ipv4.identification, hdr.ipv4.flags, hdr.ipv4.offset, hdr.ipv4.ttl,
              hdr.ipv4.protocol, hdr.ipv4.src, hdr.ipv4.dst },
            hdr.ipv4.checksum, HashAlgorithm.csum16);
    }
}

control NicDeparse(packet_out packet, in headers hdr) {
    apply { packet.emit(hdr.ethernet); packet.emit(hdr.ipv4); }
}

V1Switch(NicParse(), NicVerify(), NicIngress(), NicEgress(), NicUpdate(), NicDeparse()) main;
