// SPDX-License-Identifier: Apache-2.0
// In-band network telemetry: INT-MD over TCP and UDP, marked by a DSCP bit (INT Dataplane
// Specification 2.1), also inside GRE; the sink reports to a collector (Telemetry Report 2.0).
//
// One program for all roles. `watch` says of which flows packets begin to carry telemetry,
// `sinks` behind which ports it ends. Times are microseconds of the switch's clock. Checksums of
// TCP and UDP stay as the sender made them: the sink gives the packet back as it was.
#include "network.p4"

const bit<8> MARK = 0x04;               // the lowest bit of the DSCP, in the byte of IPv4
const bit<16> KNOWN = 0xfc00;           // the instructions that this switch carries out
const bit<32> REPORT_HEAD = 54;         // bytes of a report in front of the packet it is about
const bit<32> REPORT_MOST = 448;        // bytes of that packet: all headers and all telemetry
const bit<32> COPY = 1;                 // instance type of a clone

header gre_t { bit<16> flags; bit<16> protocol; }
header tcp_options_t { varbit<320> data; }

header int_shim_t { bit<4> type; bit<2> npt; bit<2> r; bit<8> length; bit<8> r2; bit<6> dscp; bit<2> r3; }
header int_md_t {
    bit<4> version; bit<1> d; bit<1> e; bit<1> m; bit<12> r; bit<5> hop_words; bit<8> remaining;
    bit<16> instructions; bit<16> domain; bit<16> domain_instructions; bit<16> domain_flags;
}
header int_node_t { bit<32> id; }
header int_ports_t { bit<16> ingress; bit<16> egress; }
header int_latency_t { bit<32> microseconds; }
header int_queue_t { bit<8> id; bit<24> depth; }
header int_time_t { bit<64> microseconds; }
header int_stack_t { varbit<1920> data; }

header report_group_t { bit<4> version; bit<6> hardware; bit<22> sequence; bit<32> node; }
header report_t {
    bit<4> type; bit<4> inner_type; bit<8> words; bit<8> metadata_words;
    bit<1> d; bit<1> q; bit<1> f; bit<1> i; bit<4> r;
}

struct headers {
    ethernet_t report_ethernet;
    ipv4_t report_ipv4;
    udp_t report_udp;
    report_group_t group;
    report_t report;
    ethernet_t ethernet;
    arp_t arp;
    ipv4_t ipv4;
    gre_t gre;
    ipv4_t inner;
    tcp_t tcp;
    tcp_options_t tcp_options;
    udp_t udp;
    int_shim_t shim;
    int_md_t md;
    int_node_t node;
    int_ports_t ports;
    int_latency_t latency;
    int_queue_t queue;
    int_time_t arrived;
    int_time_t left;
    int_stack_t stack;
}

struct metadata {
    @field_list(1) bit<16> in_port;
    @field_list(1) bit<16> out_port;
    @field_list(1) bit<48> arrived;
    @field_list(1) bit<1> watched;
    @field_list(1) bit<16> instructions;
    @field_list(1) bit<5> hop_words;
    @field_list(1) bit<8> hops;
    bit<1> sink;
    bit<32> me;
    bit<16> grown;
    bit<32> src;
    bit<32> dst;
    bit<8> protocol;
    bit<16> src_port;
    bit<16> dst_port;
}

parser IntParse(packet_in packet, out headers hdr, inout metadata meta,
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
    // what has options or is a fragment is forwarded, and not looked into
    state ipv4 {
        packet.extract(hdr.ipv4);
        transition select(hdr.ipv4.ihl, hdr.ipv4.flags, hdr.ipv4.offset, hdr.ipv4.protocol) {
            (5, 0 &&& 1, 0, PROTOCOL_TCP): tcp;
            (5, 0 &&& 1, 0, PROTOCOL_UDP): udp;
            (5, 0 &&& 1, 0, 47): gre;
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
    state inner {
        packet.extract(hdr.inner);
        transition select(hdr.inner.ihl, hdr.inner.flags, hdr.inner.offset, hdr.inner.protocol) {
            (5, 0 &&& 1, 0, PROTOCOL_TCP): tcp;
            (5, 0 &&& 1, 0, PROTOCOL_UDP): udp;
            default: accept;
        }
    }
    state udp { packet.extract(hdr.udp); transition marked; }
    state tcp {
        packet.extract(hdr.tcp);
        transition select(hdr.tcp.data_offset) {
            5: marked;
            0..4: accept;
            default: tcp_options;
        }
    }
    state tcp_options {
        packet.extract(hdr.tcp_options, (bit<32>)(hdr.tcp.data_offset - 5) * 32);
        transition marked;
    }
    state marked {
        transition select(hdr.ipv4.diffserv) {
            MARK &&& MARK: telemetry;
            default: accept;
        }
    }
    // INT-MD (1) in the shim, version 2 in the header behind it: else somebody else's bit
    state telemetry {
        transition select(packet.lookahead<bit<64>>()) {
            0x1000000020000000 &&& 0xf0000000f0000000: telemetry_headers;
            default: accept;
        }
    }
    state telemetry_headers {
        packet.extract(hdr.shim);
        packet.extract(hdr.md);
        verify(hdr.shim.length >= 3 && hdr.shim.length <= 63, error.HeaderTooShort);
        packet.extract(hdr.stack, (bit<32>)(hdr.shim.length - 3) * 32);
        transition accept;
    }
}

control IntIngress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    Route() route;

    // `instructions` as the specification numbers them, `hop_words` their sum for a hop
    action watch(bit<16> instructions, bit<5> hop_words, bit<8> hops) {
        meta.watched = 1;
        meta.instructions = instructions;
        meta.hop_words = hop_words;
        meta.hops = hops;
    }

    table watchlist {
        key = {
            meta.src: ternary; meta.dst: ternary; meta.protocol: ternary;
            meta.src_port: ternary; meta.dst_port: ternary;
        }
        actions = { watch; NoAction; }
        default_action = NoAction();
        size = 256;
    }

    action sink(bit<32> session) {
        meta.sink = 1;
        clone_preserving_field_list(CloneType.I2E, session, 1);
    }

    table sinks {
        key = { standard.egress_spec: exact; }
        actions = { sink; NoAction; }
        default_action = NoAction();
        size = 64;
    }

    apply {
        if (standard.parser_error != error.NoError) {
            mark_to_drop(standard);
        } else {
            route.apply(hdr.ethernet, hdr.arp, hdr.ipv4, standard);
            if (standard.egress_spec != DROPPED && (hdr.tcp.isValid() || hdr.udp.isValid())) {
                meta.src = hdr.inner.isValid() ? hdr.inner.src : hdr.ipv4.src;
                meta.dst = hdr.inner.isValid() ? hdr.inner.dst : hdr.ipv4.dst;
                meta.protocol = hdr.inner.isValid() ? hdr.inner.protocol : hdr.ipv4.protocol;
                meta.src_port = hdr.tcp.isValid() ? hdr.tcp.src : hdr.udp.src;
                meta.dst_port = hdr.tcp.isValid() ? hdr.tcp.dst : hdr.udp.dst;
                meta.in_port = (bit<16>)standard.ingress_port;
                meta.out_port = (bit<16>)standard.egress_spec;
                meta.arrived = standard.ingress_global_timestamp;
                if (!hdr.md.isValid()) {
                    watchlist.apply();
                }
                if (hdr.md.isValid() || meta.watched == 1) {
                    sinks.apply();
                }
            }
        }
    }
}

control IntEgress(inout headers hdr, inout metadata meta, inout standard_metadata_t standard) {
    register<bit<32>>(1) reported;

    action me(bit<32> id) { meta.me = id; }

    table this_switch {
        actions = { me; NoAction; }
        default_action = NoAction();
    }

    action begin() {
        hdr.shim.setValid();
        hdr.shim = { 1, 0, 0, 3, 0, hdr.ipv4.diffserv[7:2], 0 };
        hdr.md.setValid();
        hdr.md = { 2, 0, 0, 0, 0, meta.hop_words, meta.hops, meta.instructions, 0, 0, 0 };
        hdr.ipv4.diffserv = hdr.ipv4.diffserv | MARK;
        meta.grown = meta.grown + 16;
    }

    action add_node() { hdr.node.setValid(); hdr.node.id = meta.me; }

    action add_ports() {
        hdr.ports.setValid();
        hdr.ports = { meta.in_port, meta.out_port };
    }

    action add_latency() {
        hdr.latency.setValid();
        hdr.latency.microseconds = (bit<32>)(standard.egress_global_timestamp - meta.arrived);
    }

    action add_queue() {
        hdr.queue.setValid();
        hdr.queue = { 0, (bit<24>)standard.enq_qdepth };
    }

    action add_arrived() {
        hdr.arrived.setValid();
        hdr.arrived.microseconds = (bit<64>)meta.arrived;
    }

    action add_left() {
        hdr.left.setValid();
        hdr.left.microseconds = (bit<64>)standard.egress_global_timestamp;
    }

    action add_own() {
        hdr.md.remaining = hdr.md.remaining - 1;
        hdr.shim.length = hdr.shim.length + (bit<8>)hdr.md.hop_words;
        meta.grown = meta.grown + ((bit<16>)hdr.md.hop_words << 2);
    }

    action grow(bit<16> bytes) {
        hdr.ipv4.total_length = hdr.ipv4.total_length + bytes;
        if (hdr.inner.isValid()) { hdr.inner.total_length = hdr.inner.total_length + bytes; }
        if (hdr.udp.isValid()) { hdr.udp.length = hdr.udp.length + bytes; }
    }

    action end() {
        hdr.ipv4.diffserv = hdr.shim.dscp ++ hdr.ipv4.diffserv[1:0];
        meta.grown = (bit<16>)0 - (((bit<16>)hdr.shim.length + 1) << 2);
        hdr.shim.setInvalid();
        hdr.md.setInvalid();
        hdr.stack.setInvalid();
    }

    action report(bit<48> source_mac, bit<48> target_mac, bit<32> source, bit<32> target,
                  bit<16> port) {
        bit<32> number;
        reported.read(number, 0);
        reported.write(0, number + 1);
        bit<32> size = standard.packet_length + (bit<32>)meta.grown;
        if (size > REPORT_MOST) { size = REPORT_MOST; }
        bit<16> payload = (bit<16>)size + 12;
        hdr.report_ethernet.setValid();
        hdr.report_ethernet = { target_mac, source_mac, TYPE_IPV4 };
        hdr.report_ipv4.setValid();
        hdr.report_ipv4 = { 4, 5, 0, payload + 28, number[15:0], 2, 0, 64, PROTOCOL_UDP, 0,
                            source, target };
        hdr.report_udp.setValid();
        hdr.report_udp = { port, port, payload + 8, 0 };
        hdr.group.setValid();
        hdr.group = { 2, 0, number[21:0], meta.me };
        hdr.report.setValid();
        hdr.report = { 0, 3, (bit<8>)((size + 3) >> 2), 0, 0, 0, 1, 0, 0 };
        truncate(REPORT_HEAD + size);
    }

    table reports {
        actions = { report; NoAction; }
        default_action = NoAction();
    }

    apply {
        this_switch.apply();
        if (hdr.md.isValid() && meta.sink == 1) {
            end();
        } else if (hdr.md.isValid() || (meta.watched == 1 && meta.sink == 0)) {
            if (!hdr.md.isValid()) {
                begin();
            }
            if (hdr.md.remaining == 0) {
                hdr.md.e = 1;
            } else if ((hdr.md.instructions & ~KNOWN) == 0) {
                if (hdr.md.instructions[15:15] == 1) { add_node(); }
                if (hdr.md.instructions[14:14] == 1) { add_ports(); }
                if (hdr.md.instructions[13:13] == 1) { add_latency(); }
                if (hdr.md.instructions[12:12] == 1) { add_queue(); }
                if (hdr.md.instructions[11:11] == 1) { add_arrived(); }
                if (hdr.md.instructions[10:10] == 1) { add_left(); }
                add_own();
            }
        }
        if (meta.grown != 0) {
            grow(meta.grown);
        }
        if (standard.instance_type == COPY) {
            reports.apply();
        }
    }
}

control IntUpdate(inout headers hdr, inout metadata meta) {
    apply {
        UPDATE_IPV4(hdr.report_ipv4);
        UPDATE_IPV4(hdr.ipv4);
        UPDATE_IPV4(hdr.inner);
    }
}

control IntDeparse(packet_out packet, in headers hdr) { apply { packet.emit(hdr); } }

V1Switch(IntParse(), NoVerify<headers, metadata>(), IntIngress(), IntEgress(), IntUpdate(),
         IntDeparse()) main;
