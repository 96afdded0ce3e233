// SPDX-License-Identifier: Apache-2.0
// Header unions, a stack of them, and varbit fields: what of them BMv2 can run.
#include <core.p4>
#include <v1model.p4>

header start_t { bit<8> kind; bit<8> count; }
header short_t { bit<8> tag; bit<8> data; }
header long_t { bit<8> tag; bit<24> data; }
header some_t { bit<8> tag; bit<8> length; varbit<64> data; }
header seen_t {
    bit<1> first; bit<1> chosen; bit<1> same; bit<1> zero; bit<1> short0; bit<1> long0;
    bit<1> some0; bit<1> equal; bit<8> count; bit<8> failed;
}

header_union choice_t { short_t small; long_t large; }
header_union option_t { short_t small; long_t large; some_t some; }

struct headers_t {
    seen_t seen;
    start_t start;
    choice_t choice;
    choice_t copy;
    option_t[3] options;
    some_t one;
    some_t two;
}

struct meta_t { bit<8> left; }

parser Parse(packet_in packet, out headers_t hdr, inout meta_t meta,
             inout standard_metadata_t standard) {
    state start {
        packet.extract(hdr.start);
        meta.left = hdr.start.count;
        transition select(hdr.start.kind) {
            0: small;
            1: large;
            2: both;
            3 &&& 0x0f: options;
            4: varied;
            default: accept;
        }
    }
    state small { packet.extract(hdr.choice.small); transition accept; }
    state large { packet.extract(hdr.choice.large); transition accept; }
    state both {
        packet.extract(hdr.choice.small);
        packet.extract(hdr.choice.large);
        transition accept;
    }
    state options {
        transition select(meta.left) { 0: accept; default: option; }
    }
    state option {
        meta.left = meta.left - 1;
        transition select(packet.lookahead<bit<8>>()) {
            1: option_small;
            2: option_large;
            3: option_some;
            default: accept;
        }
    }
    state option_small {
        packet.extract(hdr.options.next.small);
        transition options; // the tests make it select(hdr.options.last.small.data)
    }
    state option_large { packet.extract(hdr.options.next.large); transition options; }
    state option_some {
        packet.extract(hdr.options.next.some,
                       (bit<32>) packet.lookahead<bit<16>>()[7:0] << 3);
        transition options;
    }
    state varied {
        packet.extract(hdr.one, (bit<32>) packet.lookahead<bit<16>>()[7:0] << 3);
        packet.extract(hdr.two, (bit<32>) packet.lookahead<bit<16>>()[7:0] << 3);
        transition accept;
    }
}

control Verify(inout headers_t hdr, inout meta_t meta) { apply {} }

control In(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    action to_short() { hdr.options[0].small.setValid(); hdr.options[0].small.data = 7; }
    action to_long() { hdr.options[0].large.setValid(); hdr.options[0].large.data = 0x123456; }
    table change {
        key = { hdr.start.kind: exact; hdr.options[0].some.isValid(): exact; }
        actions = { to_short; to_long; NoAction; }
        const default_action = NoAction();
        const entries = {
            (0x13, false): to_short();
            (0x13, true): to_long();
        }
    }
    apply {
        standard.egress_spec = 2;
        hdr.seen.setValid();
        if (standard.parser_error != error.NoError) hdr.seen.failed = 1;
        hdr.seen.first = (bit<1>) hdr.start.isValid();
        if (hdr.choice.isValid()) hdr.seen.chosen = 1;
        change.apply();
        if (hdr.start.kind == 0x23) hdr.options.push_front(1);
        if (hdr.start.kind == 0x33) hdr.options.pop_front(1);
        if (hdr.start.kind == 0x43) hdr.options.push_front(2);
        if (hdr.start.kind == 0x53) hdr.options.pop_front(2);
        if (hdr.start.kind == 0x63) { hdr.options[1].large.setInvalid(); }
        if (hdr.options[0].small.isValid()) hdr.seen.short0 = 1;
        if (hdr.options[0].large.isValid()) hdr.seen.long0 = 1;
        if (hdr.options[0].some.isValid()) hdr.seen.some0 = 1;
        if (hdr.one.isValid() && hdr.two.isValid()) {
            if (hdr.one.data == hdr.two.data) hdr.seen.equal = 1;
            if (hdr.one == hdr.two) hdr.seen.same = 1;
            if (hdr.one.data != hdr.two.data) hdr.one.data = hdr.two.data;
        }
        if (hdr.choice.isValid()) {
            if (hdr.start.count[0:0] == 1) {
                hdr.copy = hdr.choice;
                if (hdr.copy == hdr.choice) hdr.seen.same = 1;
                if (hdr.copy.small.isValid()) {
                    hdr.copy.large.setValid();
                    hdr.copy.large.tag = 9;
                    hdr.copy.large.data = 0xabcdef;
                }
            }
        }
        hdr.seen.count = meta.left;
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
