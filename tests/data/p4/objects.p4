// SPDX-License-Identifier: Apache-2.0
// Action profiles and selectors, meters, value sets, digests, entries that age.
#include <core.p4>
#include <v1model.p4>

header start_t { bit<8> kind; bit<17> flow; bit<6> high; bit<9> low; bit<8> cell; }
header result_t {
    bit<8> profile; bit<8> selected; bit<8> again; bit<8> narrow; bit<8> color; bit<8> direct;
    bit<8> bytes; bit<8> known;
}

struct headers_t { result_t result; start_t start; }
struct meta_t { bit<8> color; bit<8> direct; bit<8> bytes; bit<8> known; }

struct pair_t { bit<6> high; bit<9> low; }
struct seen_t { bit<17> flow; bit<6> high; bit<9> port; }

parser Parse(packet_in packet, out headers_t hdr, inout meta_t meta,
             inout standard_metadata_t standard) {
    value_set<bit<17>>(4) flows;
    value_set<pair_t>(4) pairs;
    state start {
        packet.extract(hdr.start);
        transition select(hdr.start.flow) {
            flows: in_flows;
            default: next;
        }
    }
    state in_flows { meta.known = 1; transition next; }
    state next {
        transition select(hdr.start.high, hdr.start.low) {
            pairs: in_pairs;
            (1, 7): one_and_seven;
            default: accept;
        }
    }
    state in_pairs { meta.known = meta.known | 2; transition accept; }
    state one_and_seven { meta.known = meta.known | 4; transition accept; }
}

control Verify(inout headers_t hdr, inout meta_t meta) { apply {} }

control In(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    action_profile(16) shared_ways;
    action_selector(HashAlgorithm.crc16, 64, 16) ways;
    action_selector(HashAlgorithm.crc32, 64, 10) others;
    meter(8, MeterType.packets) rates;
    meter(8, MeterType.bytes) byte_rates;
    direct_meter<bit<8>>(MeterType.packets) entry_rate;

    action profile(bit<8> value) { hdr.result.profile = value; }
    action profile_twice(bit<8> value) { hdr.result.profile = value << 1; }
    action select_way(bit<8> value) { hdr.result.selected = value; }
    action drop() { mark_to_drop(standard); }
    action again(bit<8> value) { hdr.result.again = value; }
    action metered(bit<8> value) { hdr.result.narrow = value; entry_rate.read(meta.direct); }
    action learn() {
        digest<seen_t>(1, {hdr.start.flow, hdr.start.high, standard.ingress_port});
    }

    table by_profile {
        key = { hdr.start.kind: exact; }
        actions = { profile; profile_twice; NoAction; }
        implementation = shared_ways;
    }
    table by_selector {
        key = {
            hdr.start.kind: ternary;
            hdr.start.flow: selector;
            hdr.start.low: selector;
            hdr.start.high: selector;
        }
        actions = { select_way; drop; }
        implementation = ways;
    }
    table by_default {
        key = { hdr.start.cell: exact; hdr.start.flow: selector; }
        actions = { again; NoAction; }
        implementation = others;
    }
    table by_meter {
        key = { hdr.start.cell: exact; }
        actions = { metered; NoAction; }
        meters = entry_rate;
        default_action = NoAction();
        support_timeout = true;
    }
    table learning {
        key = { hdr.start.kind: exact; }
        actions = { learn; NoAction; }
        default_action = NoAction();
    }
    apply {
        standard.egress_spec = 2;
        hdr.result.setValid();
        if (hdr.start.isValid()) {
            meta.direct = 9;
            if (by_profile.apply().hit) hdr.result.again = 0x55;
            switch (by_selector.apply().action_run) {
                select_way: { by_default.apply(); }
                default: { }
            }
            by_meter.apply();
            learning.apply();
            rates.execute_meter((bit<32>) hdr.start.cell, meta.color);
            byte_rates.execute_meter((bit<32>) (hdr.start.cell & 7), meta.bytes);
        }
        hdr.result.color = meta.color;
        hdr.result.direct = meta.direct;
        hdr.result.bytes = meta.bytes;
        hdr.result.known = meta.known;
    }
}

control Out(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    apply {}
}

control Update(inout headers_t hdr, inout meta_t meta) { apply {} }

control Deparse(packet_out packet, in headers_t hdr) {
    apply { packet.emit(hdr); }
}

V1Switch(Parse(), Verify(), In(), Out(), Update(), Deparse()) main;
