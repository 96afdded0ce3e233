/* SPDX-License-Identifier: Apache-2.0
 *
 * What a translated program is written against: bits, packets, tables, memory.
 * A program is one translation unit: packet.h, the generated code, then the other files.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef unsigned __int128 u128;
typedef __int128 i128;

#define NOTHING __attribute__((unused))
#define NO_LIMIT SIZE_MAX
#define FRAME_MOST 65535 /* a longer packet cannot be a frame: it is dropped and counted */
#define PASSES_MOST 1024 /* resubmitted, recirculated or cloned more often: dropped and counted */
#define PORT_MOST 511
#define QUEUE_MOST 4096  /* packets that wait; one more is dropped and counted */
#define STATES_MOST 4096 /* parser states for one packet: then the error is ParserTimeout */

/* Why a packet was not sent; each is counted. */
enum lost { LOST_BY_PROGRAM, LOST_TOO_LONG, LOST_TOO_MANY_PASSES, LOST_ASSERTION, LOST_PRIORITY,
            LOST_QUEUE, LOST_PORT, LOST_SEND, LOST_CONTROLLER, LOST_KINDS };

/* ---- bits: big-endian, as they stand in a packet ---- */

static inline uint64_t bits_get64(const uint8_t *data, size_t bit, unsigned width)
{
    const uint8_t *first = data + bit / 8;
    unsigned shift = bit % 8, bytes = (shift + width + 7) / 8;
    u128 value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | first[i];
    value >>= bytes * 8 - shift - width;
    return width == 64 ? (uint64_t)value : (uint64_t)value & ((1ull << width) - 1);
}

static inline u128 bits_get(const uint8_t *data, size_t bit, unsigned width)
{
    if (width <= 64)
        return bits_get64(data, bit, width);
    return (u128)bits_get64(data, bit, width - 64) << 64 | bits_get64(data, bit + width - 64, 64);
}

/* The bytes must be zero where the value goes. */
static inline void bits_or64(uint8_t *data, size_t bit, unsigned width, uint64_t value)
{
    uint8_t *first = data + bit / 8;
    unsigned shift = bit % 8, bytes = (shift + width + 7) / 8;
    if (width < 64)
        value &= (1ull << width) - 1;
    u128 wide = (u128)value << (bytes * 8 - shift - width);
    for (unsigned i = bytes; i-- > 0; wide >>= 8)
        first[i] |= (uint8_t)wide;
}

static inline void bits_or(uint8_t *data, size_t bit, unsigned width, u128 value)
{
    if (width <= 64) {
        bits_or64(data, bit, width, (uint64_t)value);
    } else {
        bits_or64(data, bit, width - 64, (uint64_t)(value >> 64));
        bits_or64(data, bit + width - 64, 64, (uint64_t)value);
    }
}

/* A value in whole bytes, as match keys have it. */
static inline void bytes_put(uint8_t *data, unsigned bytes, u128 value)
{
    for (unsigned i = bytes; i-- > 0; value >>= 8)
        data[i] = (uint8_t)value;
}

/* Whether two numbers in bytes are equal; their lengths may differ. */
static NOTHING bool bytes_equal(const uint8_t *one, size_t size, const uint8_t *two, size_t other)
{
    for (; size > other; size--)
        if (*one++)
            return false;
    for (; other > size; other--)
        if (*two++)
            return false;
    return !memcmp(one, two, size);
}

static inline u128 mask_of(unsigned width)
{
    return width >= 128 ? ~(u128)0 : ((u128)1 << width) - 1;
}

/* What a signed field of `width` bits keeps of a value (BMv2 keeps what its bytes can hold). */
static inline i128 signed_kept(i128 value, unsigned width)
{
    i128 least = -((i128)1 << (width - 1)), mask = ((i128)1 << width) - 1;
    if (value >= least && value <= mask)
        return value;
    value &= mask;
    return value > -(least + 1) ? value - mask - 1 : value;
}

static inline i128 sign_extended(u128 value, unsigned width)
{
    value &= mask_of(width);
    return value >> (width - 1) & 1 ? (i128)value - ((i128)1 << width) : (i128)value;
}

static inline u128 shift_left(u128 value, u128 count)
{
    return count < 128 ? value << count : 0;
}

static inline u128 shift_right(u128 value, u128 count)
{
    return count < 128 ? value >> count : 0;
}

static inline i128 shift_right_signed(i128 value, u128 count)
{
    return value >> (count < 127 ? count : 127);
}

/* ---- packets ---- */

struct phv; /* the program's headers and metadata */

enum stage { INGRESS, EGRESS };

struct packet {
    struct packet *next;
    uint8_t *buffer;      /* HEADROOM + FRAME_MOST bytes */
    uint8_t *data;        /* what is not parsed yet; after the deparser, the whole packet */
    size_t size;
    size_t kept;          /* truncate(): bytes that count, NO_LIMIT without */
    uint32_t in_port, out_port;
    uint32_t length;      /* packet_length: follows added and removed headers */
    uint32_t arrived;     /* bytes that came in: what counters count */
    uint32_t passes;
    uint32_t behind;      /* packets in the port's queues when it left one */
    uint32_t priority;    /* which of them */
    uint64_t due;         /* when it leaves it: nanoseconds */
    enum stage stage;
    uint32_t error;       /* parser_error */
    bool checksum_error, exits, asserts;
    bool clones;
    uint32_t clone_session, clone_list;
    uint32_t resubmit_list, recirculate_list, digest; /* 0: it is not asked for */
    struct phv *phv;
};

static inline size_t size_of(const struct packet *p)
{
    return p->size < p->kept ? p->size : p->kept;
}

/* ---- tables ---- */

struct meter;
struct profile;

enum match { EXACT, LPM, TERNARY, RANGE };

struct key_field {
    uint16_t offset, bytes; /* in the packed key */
    uint16_t width;         /* bits that count */
    enum match match;
};

struct entry {
    u128 *arguments;
    uint8_t *key, *mask; /* mask: of a range field its end */
    uint64_t packets, bytes;
    int32_t priority;
    uint32_t handle, next; /* next in the hash chain: handle + 1 */
    uint16_t action, prefix;
    bool of_group;         /* with a profile: whether `index` is a group or a member of it */
    uint32_t index;
    struct meter *meter;   /* of a table with a direct meter */
    uint64_t hit;          /* of a table whose entries age: microseconds */
    uint32_t timeout;      /* milliseconds, 0: none */
};

struct table {
    const char *name;
    enum match match;
    uint16_t key_bytes, fields_count;
    const struct key_field *fields;
    uint32_t most;               /* entries */
    const uint16_t *actions;     /* ids of those it may run */
    uint16_t actions_count;
    bool constant_entries, constant_default, metered, ages;
    struct profile *profile; /* NULL: entries have actions of their own */

    struct entry **slots; /* by handle */
    uint32_t slots_count, used, first_free;
    uint32_t *chains, chains_count; /* exact and lpm */
    uint32_t *ordered;              /* ternary and range: handles, first to match first */
    uint32_t *prefixes;             /* lpm: how many entries have this prefix length */
    struct entry fallback, declared_fallback;
    bool has_fallback;
};

struct action {
    const char *name;
    uint16_t parameters;
    const uint16_t *widths;
};

struct cells { /* a register array, or a counter array with two cells for each index */
    const char *name;
    uint32_t size;
    uint16_t width;
    u128 *values;
};

static struct entry *table_lookup(struct table *t, const uint8_t *key);
static void lose(struct packet *p, enum lost why);

static uint64_t lost_counts[LOST_KINDS];
static uint64_t received, sent;

/* Microseconds since the program was started; 0 always where packets come from a file. */
static bool clock_stands;
static uint64_t clock_start;

static uint64_t clock_read(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline uint64_t microseconds(void)
{
    return clock_stands ? 0 : clock_read() - clock_start;
}

static void *owned(void *memory)
{
    if (!memory) {
        fputs("out of memory\n", stderr);
        exit(70);
    }
    return memory;
}

static u128 *cell(struct cells *array, u128 index)
{
    return index < array->size ? &array->values[(size_t)index] : NULL;
}

static inline u128 cell_value(struct cells *array, u128 index)
{
    u128 *found = cell(array, index);
    return found ? *found : 0;
}

static inline void count(struct cells *array, u128 index, const struct packet *p)
{
    if (index < array->size) {
        array->values[2 * (size_t)index] += 1;
        array->values[2 * (size_t)index + 1] += p->arrived;
    }
}

/* random(low, high): xorshift64*, see S. Vigna, "An experimental exploration of Marsaglia's
 * xorshift generators, scrambled", ACM TOMS 42 (2016). */
static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static NOTHING uint64_t random_between(uint64_t low, uint64_t high)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    uint64_t value = random_state * 0x2545f4914f6cdd1dull, span = high - low + 1;
    return span ? low + value % span : value;
}
