// SPDX-License-Identifier: Apache-2.0
// An IPv4 router: longest prefix, TTL, checksum; answers nothing itself.
#include <core.p4>
#include <v1model.p4>

header ethernet_t { bit<48> dst; bit<48> src; bit<16> type; }

header ipv4_t {
    bit<4> version; bit<4> ihl; bit<8> diffserv; bit<16> total_length;
    bit<16> identification; bit<3> flags; bit<13> offset;
    bit<8> ttl; bit<8> protocol; bit<16> checksum; bit<32> src; bit<32> dst;
}

header arp_t {
    bit<16> hardware; bit<16> protocol; bit<8> hardware_size; bit<8> protocol_size;
    bit<16> operation; bit<48> sender_mac; bit<32> sender; bit<48> target_mac; bit<32> target;
}

struct headers { ethernet_t ethernet; arp_t arp; ipv4_t ipv4; }
struct metadata { }

parser RouterParse(packet_in packet, out headers hdr, inout metadata meta,
             inout standard_metadata_t standard) {
    state start {
        packet.extract(hdr.ethernet);
        transition select(hdr.ethernet.type) {
            0x0800: ipv4;
            0x0806: arp;
            default: accept;
        }
    }
    state arp { packet.extract(hdr.arp); transition accept; }
    state ipv4 { packet.extract(hdr.ipv4); transition accept; }
}

control RouterVerify(inout headers hdr, inout metadata meta) {
    apply {
        verify_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5,
            { hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.diffserv, hdr.ipv4.total_length,
              hdr.ipv4.identification, hdr.ipv4.flags, hdr.ipv4.offset, hdr.ipv4.ttl,
              hdr.ipv4.protocol, hdr.ipv4.src, hdr.ipv4.dst },
            hdr.ipv4.checksum, HashAlgorithm.csum16);
    }
}

control RouterIngress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    direct_counter(CounterType.packets_and_bytes) routed;
    counter(512, CounterType.packets_and_bytes) received;

    action drop() { mark_to_drop(standard); }

    action forward(bit<9> port, bit<48> source, bit<48> target) {
        standard.egress_spec = port;
        hdr.ethernet.src = source;
        hdr.ethernet.dst = target;
        hdr.ipv4.ttl = hdr.ipv4.ttl - 1;
        routed.count();
    }

    // An ARP request for one of the router's addresses becomes its answer.
    action answer(bit<48> mac) {
        standard.egress_spec = standard.ingress_port;
        hdr.ethernet.dst = hdr.ethernet.src;
        hdr.ethernet.src = mac;
        hdr.arp.operation = 2;
        bit<32> wanted = hdr.arp.target;
        hdr.arp.target_mac = hdr.arp.sender_mac;
        hdr.arp.target = hdr.arp.sender;
        hdr.arp.sender_mac = mac;
        hdr.arp.sender = wanted;
    }

    table ipv4_lpm {
        key = { hdr.ipv4.dst: lpm; }
        actions = { forward; drop; }
        default_action = drop();
        counters = routed;
        size = 4096;
    }

    table arp_exact {
        key = { hdr.arp.target: exact; }
        actions = { answer; drop; }
        default_action = drop();
        size = 1024;
    }

    apply {
        received.count((bit<32>)standard.ingress_port);
        if (hdr.ipv4.isValid() && hdr.ipv4.ttl > 1 && standard.checksum_error == 0) {
            ipv4_lpm.apply();
        } else if (hdr.arp.isValid() && hdr.arp.operation == 1) {
            arp_exact.apply();
        } else {
            drop();
        }
    }
}

control RouterEgress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    apply { }
}

control RouterUpdate(inout headers hdr, inout metadata meta) {
    apply {
        update_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5,
            { hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.diffserv, hdr.ipv4.total_length,
              hdr.ipv4.identification, hdr.ipv4.flags, hdr.ipv4.offset, hdr.ipv4.ttl,
              hdr.ipv4.protocol, hdr.ipv4.src, hdr.ipv4.dst },
            hdr.ipv4.checksum, HashAlgorithm.csum16);
    }
}

control RouterDeparse(packet_out packet, in headers hdr) {
    apply { packet.emit(hdr.ethernet); packet.emit(hdr.arp); packet.emit(hdr.ipv4); }
}

V1Switch(RouterParse(), RouterVerify(), RouterIngress(), RouterEgress(), RouterUpdate(),
         RouterDeparse()) main;
