// SPDX-License-Identifier: Apache-2.0
// What the experiments of this folder share: headers, and a router whose tables the plan fills.
#include <core.p4>
#include <v1model.p4>

const bit<16> TYPE_IPV4 = 0x0800;
const bit<16> TYPE_ARP = 0x0806;
const bit<8> PROTOCOL_ICMP = 1;
const bit<8> PROTOCOL_TCP = 6;
const bit<8> PROTOCOL_UDP = 17;
const bit<9> DROPPED = 511;

header ethernet_t { bit<48> dst; bit<48> src; bit<16> type; }

header arp_t {
    bit<16> hardware; bit<16> protocol; bit<8> hardware_size; bit<8> protocol_size;
    bit<16> operation; bit<48> sender_mac; bit<32> sender; bit<48> target_mac; bit<32> target;
}

header ipv4_t {
    bit<4> version; bit<4> ihl; bit<8> diffserv; bit<16> total_length;
    bit<16> identification; bit<3> flags; bit<13> offset;
    bit<8> ttl; bit<8> protocol; bit<16> checksum; bit<32> src; bit<32> dst;
}

header udp_t { bit<16> src; bit<16> dst; bit<16> length; bit<16> checksum; }

header tcp_t {
    bit<16> src; bit<16> dst; bit<32> sequence; bit<32> acknowledgement;
    bit<4> data_offset; bit<4> reserved; bit<8> flags;
    bit<16> window; bit<16> checksum; bit<16> urgent;
}

header icmp_t { bit<8> type; bit<8> code; bit<16> checksum; }

// Of an IPv4 header without options, in the control that computes checksums.
#define UPDATE_IPV4(h) update_checksum((h).isValid() && (h).ihl == 5, \
    { (h).version, (h).ihl, (h).diffserv, (h).total_length, (h).identification, (h).flags, \
      (h).offset, (h).ttl, (h).protocol, (h).src, (h).dst }, (h).checksum, HashAlgorithm.csum16)

control NoVerify<H, M>(inout H hdr, inout M meta) { apply { } }

// Sends IPv4 to its next hop, answers ARP for the router's own addresses, and drops the rest.
control Route(inout ethernet_t ethernet, inout arp_t arp, inout ipv4_t ipv4,
              inout standard_metadata_t standard) {
    action drop() { mark_to_drop(standard); }

    action forward(bit<9> port, bit<48> source, bit<48> target) {
        standard.egress_spec = port;
        ethernet.src = source;
        ethernet.dst = target;
        ipv4.ttl = ipv4.ttl - 1;
    }

    action answer(bit<48> mac) {
        standard.egress_spec = standard.ingress_port;
        ethernet.dst = ethernet.src;
        ethernet.src = mac;
        arp.operation = 2;
        bit<32> wanted = arp.target;
        arp.target_mac = arp.sender_mac;
        arp.target = arp.sender;
        arp.sender_mac = mac;
        arp.sender = wanted;
    }

    table ipv4_lpm {
        key = { ipv4.dst: lpm; }
        actions = { forward; drop; }
        default_action = drop();
        size = 1024;
    }

    table arp_exact {
        key = { arp.target: exact; }
        actions = { answer; drop; }
        default_action = drop();
        size = 1024;
    }

    apply {
        if (ipv4.isValid() && ipv4.ttl > 1) {
            ipv4_lpm.apply();
        } else if (arp.isValid() && arp.operation == 1) {
            arp_exact.apply();
        } else {
            drop();
        }
    }
}
