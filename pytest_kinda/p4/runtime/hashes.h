/* SPDX-License-Identifier: Apache-2.0
 *
 * Hashes and checksums of v1model, over the bytes of a calculation's input.
 */

/* The Internet checksum (RFC 1071); an odd last byte is padded with zero. */
static NOTHING uint64_t hash_csum16(const uint8_t *data, size_t size)
{
    uint64_t sum = 0;
    size_t i = 0;
    for (; i + 1 < size; i += 2)
        sum += (uint64_t)data[i] << 8 | data[i + 1];
    if (i < size)
        sum += (uint64_t)data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

/* CRC with reflected input and output, bit by bit (Williams, "A painless guide to CRC error
 * detection algorithms", 1993); the polynomial is given reflected. */
static inline uint64_t crc_reflected(const uint8_t *data, size_t size, uint64_t polynomial,
                                     uint64_t start)
{
    uint64_t rest = start;
    for (size_t i = 0; i < size; i++) {
        rest ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            rest = rest >> 1 ^ (rest & 1 ? polynomial : 0);
    }
    return rest;
}

static NOTHING uint64_t hash_crc16(const uint8_t *data, size_t size)
{
    return crc_reflected(data, size, 0xa001, 0);
}

static NOTHING uint64_t hash_crc32(const uint8_t *data, size_t size)
{
    return crc_reflected(data, size, 0xedb88320, 0xffffffff) ^ 0xffffffff;
}

/* CRC-16/CCITT-FALSE: polynomial 0x1021, starts with 0xffff, nothing reflected. */
static NOTHING uint64_t hash_crcCCITT(const uint8_t *data, size_t size)
{
    uint16_t rest = 0xffff;
    for (size_t i = 0; i < size; i++) {
        rest ^= (uint16_t)(data[i] << 8);
        for (int bit = 0; bit < 8; bit++)
            rest = (uint16_t)(rest & 0x8000 ? rest << 1 ^ 0x1021 : rest << 1);
    }
    return rest;
}

/* CRC-64 with the polynomial 0x1b (ISO 3309), reflected. */
static NOTHING uint64_t hash_crc64(const uint8_t *data, size_t size)
{
    return crc_reflected(data, size, 0xd800000000000000, 0);
}

static NOTHING uint64_t hash_crc8(const uint8_t *data, size_t size)
{
    uint8_t rest = 0;
    for (size_t i = 0; i < size; i++) {
        rest ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            rest = (uint8_t)(rest & 0x80 ? rest << 1 ^ 0x07 : rest << 1);
    }
    return rest;
}

static NOTHING uint64_t hash_xor32(const uint8_t *data, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum ^= (uint32_t)data[i] << (24 - i % 4 * 8);
    return sum;
}

static NOTHING uint64_t hash_xor16(const uint8_t *data, size_t size)
{
    uint16_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum ^= (uint16_t)(i % 2 ? data[i] : data[i] << 8);
    return sum;
}

/* The first eight bytes as a number; fewer count as they are. */
static NOTHING uint64_t hash_identity(const uint8_t *data, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size && i < 8; i++)
        value = value << 8 | data[i];
    return value;
}

/* XXH64 with the seed 0, as the xxHash fast digest algorithm's specification has it. */

#define XXH_1 0x9e3779b185ebca87ull
#define XXH_2 0xc2b2ae3d27d4eb4full
#define XXH_3 0x165667b19e3779f9ull
#define XXH_4 0x85ebca77c2b2ae63ull
#define XXH_5 0x27d4eb2f165667c5ull

static inline uint64_t rotated(uint64_t value, unsigned count)
{
    return value << count | value >> (64 - count);
}

static inline uint64_t little_endian(const uint8_t *data, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | data[bytes];
    return value;
}

static inline uint64_t xxh_round(uint64_t sum, uint64_t lane)
{
    return rotated(sum + lane * XXH_2, 31) * XXH_1;
}

static NOTHING uint64_t hash_xxh64(const uint8_t *data, size_t size)
{
    uint64_t sums[4] = {XXH_1 + XXH_2, XXH_2, 0, 0 - XXH_1}, value = XXH_5;
    size_t i = 0;
    for (; i + 32 <= size; i += 32)
        for (unsigned k = 0; k < 4; k++)
            sums[k] = xxh_round(sums[k], little_endian(data + i + 8 * k, 8));
    if (size >= 32) {
        value = rotated(sums[0], 1) + rotated(sums[1], 7) + rotated(sums[2], 12) +
                rotated(sums[3], 18);
        for (unsigned k = 0; k < 4; k++)
            value = (value ^ xxh_round(0, sums[k])) * XXH_1 + XXH_4;
    }
    value += size;
    for (; i + 8 <= size; i += 8)
        value = rotated(value ^ xxh_round(0, little_endian(data + i, 8)), 27) * XXH_1 + XXH_4;
    if (i + 4 <= size) {
        value = rotated(value ^ little_endian(data + i, 4) * XXH_1, 23) * XXH_2 + XXH_3;
        i += 4;
    }
    for (; i < size; i++)
        value = rotated(value ^ data[i] * XXH_5, 11) * XXH_1;
    value = (value ^ value >> 33) * XXH_2;
    value = (value ^ value >> 29) * XXH_3;
    return value ^ value >> 32;
}

/* ---- the input of a calculation ---- */

#define INPUT_MOST (FRAME_MOST + 4096)

struct input {
    size_t bits;
    uint8_t *bytes; /* INPUT_MOST of them, zero beyond `bits` */
};

static uint8_t input_bytes[INPUT_MOST + 32];

static NOTHING void input_start(struct input *in)
{
    in->bits = 0;
    in->bytes = input_bytes;
}

static inline void input_clear(struct input *in, size_t bits)
{
    size_t from = (in->bits + 7) / 8, to = (in->bits + bits + 7) / 8;
    memset(in->bytes + from, 0, to - from);
}

static NOTHING void input_value(struct input *in, u128 value, unsigned width)
{
    input_clear(in, width);
    bits_or(in->bytes, in->bits, width, value);
    in->bits += width;
}

static NOTHING void input_data(struct input *in, const uint8_t *data, size_t size)
{
    if (in->bits % 8 == 0) {
        memcpy(in->bytes + in->bits / 8, data, size);
        in->bits += size * 8;
    } else {
        for (size_t i = 0; i < size; i++)
            input_value(in, data[i], 8);
    }
}

/* The payload starts at a byte, whatever stands before it. */
static NOTHING void input_payload(struct input *in, const struct packet *p)
{
    in->bits = (in->bits + 7) / 8 * 8;
    size_t size = size_of(p), room = INPUT_MOST - in->bits / 8;
    input_data(in, p->data, size < room ? size : room);
}
