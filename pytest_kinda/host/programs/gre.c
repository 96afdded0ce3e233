// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * GRE (RFC 2784, protocol 47, no options) between the nodes of a testbed, in two tc programs:
 *
 *   kgre (routes point here) ==veth== kgrep   ingress: kinda_encap -> by FIB to the underlay
 *   underlay interface                        ingress: kinda_decap -> kgrep -> kgre
 *
 * Self-contained on purpose: no header, no relocation, no BTF. What is known only at load time is
 * a 64-bit constant 0x7ead000N in the instructions, which pytest_kinda/host/bpf.py replaces.
 * The numbers of helpers and flags and the layouts are those of the kernel's BPF interface.
 * tests/support/compile_bpf.py makes gre_encap.bin and gre_decap.bin from this file.
 */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define INLINE static inline __attribute__((always_inline))
#define CONSTANT(tag) ({ u64 value; asm volatile("%0 = " #tag " ll" : "=r"(value)); value; })
#define PEERS ((void *)CONSTANT(0x7ead0000))	/* LPM map: pod prefix -> underlay address */
#define LOCAL ((u32)CONSTANT(0x7ead0001))	/* this node's underlay address */
#define CARRIER ((u32)CONSTANT(0x7ead0002))	/* index of kgrep */
#define INNER ((u32)CONSTANT(0x7ead0003))	/* index of kgre */

#define BE16(x) ((u16)(((x) >> 8 & 0xff) | ((x) & 0xff) << 8))
#define ETHER 14
#define IPV4 BE16(0x0800)
#define IPV6 BE16(0x86dd)
#define GRE 47
#define DONT_FRAGMENT BE16(0x4000)
#define FRAGMENT_BITS BE16(0x3fff)
#define CONGESTION 3
#define LOOPBACK 1

#define PASS -1	/* TC_ACT_UNSPEC: as if we were not here */
#define DROP 2	/* TC_ACT_SHOT */

#define ROOM_MAC 1
#define ROOM_FIXED_GSO (1ULL << 0)
#define ROOM_ENCAP_IPV4 (1ULL << 1)
#define ROOM_ENCAP_GRE (1ULL << 3)
#define ROOM_DECAP_IPV6 (1ULL << 8)	/* since Linux 6.3 */
#define REDIRECT_INGRESS 1
#define FIB_SUCCESS 0
#define FIB_NO_NEIGHBOUR 7
#define INET 2

struct packet {		/* the head of struct __sk_buff */
	u32 len, pkt_type, mark, queue_mapping, protocol;
};
struct ipv4 {
	u8 version_and_length, tos;
	u16 length, id, fragment;
	u8 ttl, protocol;
	u16 check;
	u32 source, destination;
};
struct outer {
	struct ipv4 ip;
	u16 flags, protocol;
};
struct prefix {		/* IPv4 as ::ffff:a.b.c.d: one trie for both families */
	u32 bits, address[4];
};
struct fib {
	u8 family, protocol;
	u16 source_port, destination_port, length;
	u32 interface, flow, source[4], destination[4], table;
	u8 macs[12];
};
struct neighbour {
	u32 family, address[4];
};

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*store)(void *, u32 at, const void *, u32 size, u64 flags) = (void *)9;
static long (*redirect)(u32 interface, u64 flags) = (void *)23;
static long (*load)(const void *, u32 at, void *, u32 size) = (void *)26;
static long (*adjust_room)(void *, int by, u32 mode, u64 flags) = (void *)50;
static long (*fib_lookup)(void *, struct fib *, int size, u32 flags) = (void *)69;
static long (*set_congestion)(void *) = (void *)97;
static long (*redirect_neighbour)(u32, struct neighbour *, int size, u64 flags) = (void *)152;

INLINE u16 folded_sum(const struct ipv4 *ip)
{
	const u16 *words = (const void *)ip;
	u32 sum = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

__attribute__((section("gre_encap"), used))
int kinda_encap(struct packet *packet)
{
	struct prefix key = { .bits = 128 };
	struct outer outer = { .protocol = packet->protocol };
	struct fib fib = { .family = INET, .protocol = GRE, .interface = LOOPBACK };
	struct neighbour next = {};
	u16 ipv4 = IPV4;

	if (outer.protocol == IPV4) {
		struct ipv4 inner;
		if (load(packet, ETHER, &inner, sizeof(inner)))
			return DROP;
		key.address[2] = 0xffff0000;
		key.address[3] = inner.destination;
		outer.ip.tos = inner.tos;
	} else if (outer.protocol == IPV6) {
		u8 start[2];
		if (load(packet, ETHER, start, 2) || load(packet, ETHER + 24, key.address, 16))
			return DROP;
		outer.ip.tos = start[0] << 4 | start[1] >> 4;
	} else {
		return DROP;
	}
	u32 *remote = map_lookup(PEERS, &key);
	if (!remote)
		return DROP;

	/* DF always: the other side's decap sees packets before they are put together again. */
	outer.ip.version_and_length = 0x45;
	u32 length = packet->len - ETHER + sizeof(outer);
	outer.ip.length = BE16(length);
	outer.ip.fragment = DONT_FRAGMENT;
	outer.ip.ttl = 64;
	outer.ip.protocol = GRE;
	outer.ip.source = LOCAL;
	outer.ip.destination = *remote;
	outer.ip.check = ~folded_sum(&outer.ip);

	/* FIXED_GSO: the MTU of kgre left the room already, segments keep their size. */
	if (adjust_room(packet, sizeof(outer), ROOM_MAC,
			ROOM_FIXED_GSO | ROOM_ENCAP_IPV4 | ROOM_ENCAP_GRE))
		return DROP;
	if (store(packet, ETHER, &outer, sizeof(outer), 0))
		return DROP;
	if (outer.protocol != IPV4 && store(packet, ETHER - 2, &ipv4, 2, 0))
		return DROP;

	/* From the loopback interface, as a packet that the node itself sends. */
	fib.source[0] = outer.ip.source;
	fib.destination[0] = outer.ip.destination;
	long found = fib_lookup(packet, &fib, sizeof(fib), 0);
	if (found != FIB_SUCCESS && found != FIB_NO_NEIGHBOUR)
		return DROP;
	next.family = fib.family;
	next.address[0] = fib.destination[0];
	if (fib.family != INET) {	/* an IPv4 route by way of an IPv6 router */
		next.address[1] = fib.destination[1];
		next.address[2] = fib.destination[2];
		next.address[3] = fib.destination[3];
	}
	return redirect_neighbour(fib.interface, &next, sizeof(next), 0);
}

__attribute__((section("gre_decap"), used))
int kinda_decap(struct packet *packet)
{
	struct outer outer;
	u8 mac[6] = { 2, 0, 0, 0, 0, 47 };	/* kgre's, or the frame would be another host's */
	int by = -(int)sizeof(outer);
	u8 class;

	if (packet->protocol != IPV4 || load(packet, ETHER, &outer, sizeof(outer)))
		return PASS;
	if (outer.ip.protocol != GRE || outer.ip.version_and_length != 0x45 ||
	    (outer.ip.fragment & FRAGMENT_BITS) || outer.flags || outer.ip.destination != LOCAL)
		return PASS;
	if (outer.protocol != IPV4 && outer.protocol != IPV6)
		return PASS;
	if (folded_sum(&outer.ip) != 0xffff)	/* the kernel counts and drops it */
		return PASS;
	u32 interface = CARRIER;	/* sent by kgrep is received by kgre */
	u64 flags = 0;
	if (outer.protocol == IPV4) {
		if (adjust_room(packet, by, ROOM_MAC, ROOM_FIXED_GSO))
			return DROP;
	} else if (adjust_room(packet, by, ROOM_MAC, ROOM_FIXED_GSO | ROOM_DECAP_IPV6)) {
		/*
		 * An older kernel refuses the flag before it changes anything, and goes on taking
		 * the packet for IPv4: kgrep would drop it where it holds several segments. Given
		 * straight to kgre it is looked at anew (and not counted there).
		 */
		if (adjust_room(packet, by, ROOM_MAC, ROOM_FIXED_GSO))
			return DROP;
		interface = INNER;
		flags = REDIRECT_INGRESS;
	}
	if (store(packet, 0, mac, 6, 0) || store(packet, ETHER - 2, &outer.protocol, 2, 0))
		return DROP;
	/* RFC 6040: a router on the way marked the outer header. */
	if ((outer.ip.tos & CONGESTION) == CONGESTION) {
		if (outer.protocol == IPV4) {
			set_congestion(packet);
		} else if (!load(packet, ETHER + 1, &class, 1) && (class & CONGESTION << 4)) {
			class |= CONGESTION << 4;
			store(packet, ETHER + 1, &class, 1, 0);
		}
	}
	return redirect(interface, flags);
}
