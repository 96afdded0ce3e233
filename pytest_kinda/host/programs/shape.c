// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a kernel without netem does to the packets that leave an interface, in two tc programs:
 *
 *   interface, egress      shape_out:  lose, duplicate, and hand to the holder where packets wait
 *   the holder's TAP       shape_only: nothing but what shape_out has handed over
 *   interface, egress      shape_out:  what the holder sends carries a mark and passes
 *
 * Self-contained as gre.c is: a 64-bit constant 0x7ead000N is replaced by pytest_kinda/host/bpf.py.
 * tests/support/compile_bpf.py makes shape_out.bin and shape_only.bin from this file.
 */

typedef unsigned int u32;
typedef unsigned long long u64;

#define CONSTANT(tag) ({ u64 value; asm volatile("%0 = " #tag " ll" : "=r"(value)); value; })
#define LOSS ((u32)CONSTANT(0x7ead0001))	/* of 2^31 packets, how many are lost */
#define TWICE ((u32)CONSTANT(0x7ead0002))	/* of 2^31 packets, how many go twice */
#define NEXT ((u32)CONSTANT(0x7ead0003))	/* index of the interface itself, or of the TAP */
#define HELD ((u32)CONSTANT(0x7ead0004))	/* whether NEXT is a TAP */
#define MARK 0x6b686f6c				/* "khol": what has been here already */

#define PASS -1		/* TC_ACT_UNSPEC: as if we were not here */
#define VANISH 4	/* TC_ACT_STOLEN: gone, but the sender hears of no error, as with netem */

struct __sk_buff {	/* as far as it is used */
	u32 len, pkt_type, mark;
};

static u32 (*random32)(void) = (void *)7;
static long (*clone_redirect)(struct __sk_buff *, u32 ifindex, u64 flags) = (void *)13;
static long (*redirect)(u32 ifindex, u64 flags) = (void *)23;

__attribute__((section("shape_out"), used))
int out(struct __sk_buff *skb)
{
	if (skb->mark == MARK) {
		skb->mark = 0;
		return PASS;
	}
	u32 lost = random32() >> 1 < LOSS;
	u32 twice = random32() >> 1 < TWICE;
	if (lost && !twice)
		return VANISH;
	u32 mark = skb->mark;
	skb->mark = MARK;
	if (twice && !lost)
		clone_redirect(skb, NEXT, 0);
	if (HELD)
		return redirect(NEXT, 0);
	skb->mark = mark;
	return PASS;
}

__attribute__((section("shape_only"), used))
int only(struct __sk_buff *skb)
{
	return skb->mark == MARK ? PASS : VANISH;
}
