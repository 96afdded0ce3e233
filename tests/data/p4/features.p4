// SPDX-License-Identifier: Apache-2.0
// As much of v1model as one program can hold, so that each construct is compared with BMv2.
// A frame is: kind (8), a, b (16 each), c (32), d (int<16>), then what the kind asks for.
#include <core.p4>
#include <v1model.p4>

header start_t { bit<8> kind; bit<16> a; bit<16> b; bit<32> c; int<16> d; }
header label_t { bit<20> value; bit<3> tc; bit<1> last; bit<8> ttl; }
header options_t { bit<4> length; bit<4> rest; varbit<120> data; }
header wide_t { bit<128> one; bit<7> seven; bit<65> many; bit<56> pad; }
header result_t {
    bit<32> sum; bit<16> low; bit<16> high; int<16> signed_sum; bit<16> saturated;
    int<16> signed_saturated; bit<8> flags; bit<8> error; bit<16> hash16; bit<32> hash32;
    bit<32> cell; bit<8> range_hit; bit<8> ternary_hit; bit<16> instance; bit<16> length;
    bit<128> turned; bit<16> checksum;
}

struct headers {
    start_t start; label_t[4] labels; options_t options; wide_t wide; result_t result;
}

struct metadata {
    @field_list(1) bit<16> kept;
    @field_list(1) bit<8> passes;
    bit<8> ahead;
    bit<8> range_hit;
    bit<8> ternary_hit;
}

error { OddKind }

parser Parse(packet_in packet, out headers hdr, inout metadata meta,
             inout standard_metadata_t standard) {
    state start {
        packet.extract(hdr.start);
        verify(hdr.start.kind != 0xff, error.OddKind);
        transition select(hdr.start.kind) {
            8w1 &&& 8w0x0f: labels;
            2: options;
            3: wide;
            4: skip;
            5 .. 7: peek;
            default: accept;
        }
    }
    state labels {
        packet.extract(hdr.labels.next);
        transition select(hdr.labels.last.last) {
            0: labels;
            1: accept;
        }
    }
    state options {
        options_t peeked = packet.lookahead<options_t>();
        packet.extract(hdr.options, (bit<32>)peeked.length * 8);
        transition accept;
    }
    state wide { packet.extract(hdr.wide); transition accept; }
    state skip {
        packet.advance((bit<32>)hdr.start.a[3:0] << 3);
        transition peek;
    }
    state peek {
        meta.ahead = packet.lookahead<bit<8>>();
        transition select(packet.lookahead<bit<16>>()) {
            0x0102: wide;
            default: accept;
        }
    }
}

control Verify(inout headers hdr, inout metadata meta) { apply { } }

control Ingress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    register<bit<32>>(64) cells;
    counter(16, CounterType.packets_and_bytes) kinds;

    action found_range(bit<8> value) { meta.range_hit = value; }
    action found_ternary(bit<8> value) { meta.ternary_hit = value; }

    table ranges {
        key = { hdr.start.a: range; hdr.start.kind: exact; }
        actions = { found_range; NoAction; }
        const entries = {
            (0 .. 99, 0): found_range(1);
            (50 .. 200, 0): found_range(2);
            (0x8000 .. 0xffff, 1): found_range(3);
        }
    }

    table ternaries {
        key = { hdr.start.a: ternary; hdr.start.c: ternary; hdr.labels[0].isValid(): exact; }
        actions = { found_ternary; NoAction; }
        size = 64;
    }

    action arithmetic() {
        hdr.result.setValid();
        hdr.result.sum = hdr.start.c + (bit<32>)hdr.start.a * (bit<32>)hdr.start.b;
        hdr.result.low = hdr.start.a - hdr.start.b;
        hdr.result.high = (hdr.start.a << hdr.start.kind) ^ ~hdr.start.b;
        hdr.result.signed_sum = hdr.start.d + (int<16>)hdr.start.a;
        hdr.result.saturated = hdr.start.a |-| hdr.start.b;
        hdr.result.signed_saturated = hdr.start.d |+| (int<16>)hdr.start.b;
    }

    apply {
        kinds.count((bit<32>)hdr.start.kind);
        standard.egress_spec = (bit<9>)hdr.start.kind[1:0];
        if (!hdr.start.isValid()) { standard.egress_spec = 5; exit; }
        arithmetic();
        hdr.result.error = standard.parser_error == error.NoError ? 8w0
            : standard.parser_error == error.PacketTooShort ? 8w1
            : standard.parser_error == error.StackOutOfBounds ? 8w2
            : standard.parser_error == error.NoMatch ? 8w3
            : standard.parser_error == error.OddKind ? 8w4 : 8w9;
        bit<8> flags = 0;
        if (hdr.start.d < (int<16>)hdr.start.b) { flags[0:0] = 1; }
        if (hdr.start.a >= hdr.start.b && hdr.start.c > 0x80000000) { flags[1:1] = 1; }
        if ((hdr.start.d >> 3) == -1) { flags[2:2] = 1; }
        if (hdr.wide.isValid() && hdr.wide.many > 0x10000000000000000) { flags[3:3] = 1; }
        hdr.result.flags = flags | meta.ahead;
        ranges.apply();
        switch (ternaries.apply().action_run) {
            found_ternary: { hdr.result.flags = hdr.result.flags ^ 0x80; }
            default: { hdr.result.flags = hdr.result.flags ^ 0x40; }
        }
        hash(hdr.result.hash16, HashAlgorithm.crc16, 16w7,
             { hdr.start.a, hdr.start.c, hdr.labels[1].value, 4w9 }, 32w65000);
        hash(hdr.result.hash32, HashAlgorithm.crc32, 32w0,
             { hdr.start.kind, hdr.start.c, hdr.start.d }, 64w0x100000000);
        bit<32> cell;
        cells.read(cell, (bit<32>)hdr.start.a[5:0]);
        cell = cell + 1;
        cells.write((bit<32>)hdr.start.a[5:0], cell);
        hdr.result.cell = cell;
        if (hdr.wide.isValid()) {
            hdr.result.turned = hdr.wide.one + 1;
            hdr.wide.many = hdr.wide.many << hdr.wide.seven[3:0];
        }
        if (hdr.labels[0].isValid()) {
            if (hdr.start.b[0:0] == 1) { hdr.labels.pop_front(1); }
            else {
                hdr.labels.push_front(1);
                hdr.labels[0].setValid();
                hdr.labels[0].value = hdr.start.a ++ 4w5;
                hdr.labels[0].last = 0;
            }
        }
        if (hdr.start.kind == 9) { standard.mcast_grp = 1; }
        if (hdr.start.kind == 10) { meta.kept = hdr.start.a; clone_preserving_field_list(CloneType.I2E, 1, 1); }
        if (hdr.start.kind == 11 && meta.passes < 2) {
            meta.passes = meta.passes + 1;
            resubmit_preserving_field_list(1);
        }
        if (hdr.start.kind == 12) { truncate(30); }
        if (hdr.start.kind == 13) { mark_to_drop(standard); }
        if (hdr.options.isValid()) { hdr.options.rest = hdr.options.rest + 1; }
    }
}

control Egress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    apply {
        if (hdr.result.isValid()) {
            hdr.result.instance = standard.instance_type[15:0];
            hdr.result.length = standard.packet_length[15:0];
            hdr.result.range_hit = meta.range_hit;
            hdr.result.ternary_hit = meta.ternary_hit;
            if (standard.egress_rid != 0) { hdr.result.high = standard.egress_rid; }
            if (standard.instance_type == 1) { hdr.result.high = meta.kept; }
        }
        if (hdr.start.kind == 14 && standard.instance_type != 2) {
            clone(CloneType.E2E, 2);
        }
        if (hdr.start.kind == 15 && meta.passes < 3) {
            meta.passes = meta.passes + 1;
            hdr.start.a = hdr.start.a + 0x100;
            recirculate_preserving_field_list(1);
        }
    }
}

control Update(inout headers hdr, inout metadata meta) {
    apply {
        update_checksum_with_payload(hdr.result.isValid() && hdr.start.kind != 3,
            { hdr.start.a, hdr.start.b, hdr.options.data, hdr.result.sum },
            hdr.result.checksum, HashAlgorithm.csum16);
    }
}

control Deparse(packet_out packet, in headers hdr) {
    apply {
        packet.emit(hdr.result); packet.emit(hdr.start); packet.emit(hdr.labels);
        packet.emit(hdr.options); packet.emit(hdr.wide);
    }
}

V1Switch(Parse(), Verify(), Ingress(), Egress(), Update(), Deparse()) main;
