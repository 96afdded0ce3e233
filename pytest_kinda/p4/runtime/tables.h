/* SPDX-License-Identifier: Apache-2.0
 *
 * Match-action tables: exact by hash, lpm by a hash for each prefix length in use, ternary and
 * range in order of priority. Handles are the lowest free ones, as BMv2 gives them, because
 * equal priorities are decided by them.
 */

static uint32_t chain_of(const struct table *t, const uint8_t *key, uint16_t prefix)
{
    uint64_t hash = 0xcbf29ce484222325ull ^ prefix; /* FNV-1a, draft-eastlake-fnv */
    for (unsigned i = 0; i < t->key_bytes; i++)
        hash = (hash ^ key[i]) * 0x100000001b3ull;
    return (uint32_t)(hash ^ hash >> 32) & (t->chains_count - 1);
}

static struct entry *chain_find(struct table *t, const uint8_t *key, uint16_t prefix)
{
    if (!t->chains_count)
        return NULL;
    for (uint32_t at = t->chains[chain_of(t, key, prefix)]; at; at = t->slots[at - 1]->next) {
        struct entry *e = t->slots[at - 1];
        if (e->prefix == prefix && !memcmp(e->key, key, t->key_bytes))
            return e;
    }
    return NULL;
}

static void chain_link(struct table *t, struct entry *e)
{
    uint32_t *chain = &t->chains[chain_of(t, e->key, e->prefix)];
    e->next = *chain;
    *chain = e->handle + 1;
}

static void chain_unlink(struct table *t, struct entry *e)
{
    uint32_t *at = &t->chains[chain_of(t, e->key, e->prefix)];
    while (*at != e->handle + 1)
        at = &t->slots[*at - 1]->next;
    *at = e->next;
}

static void chains_grow(struct table *t)
{
    if (t->used < t->chains_count)
        return;
    free(t->chains);
    t->chains_count = t->chains_count ? t->chains_count * 2 : 16;
    t->chains = owned(calloc(t->chains_count, sizeof *t->chains));
    for (uint32_t i = 0; i < t->slots_count; i++)
        if (t->slots[i])
            chain_link(t, t->slots[i]);
}

static bool entry_matches(const struct table *t, const struct entry *e, const uint8_t *key)
{
    for (unsigned f = 0; f < t->fields_count; f++) {
        const struct key_field *field = &t->fields[f];
        const uint8_t *want = e->key + field->offset, *mask = e->mask + field->offset;
        const uint8_t *have = key + field->offset;
        if (field->match == RANGE) {
            if (memcmp(have, want, field->bytes) < 0 || memcmp(have, mask, field->bytes) > 0)
                return false;
        } else {
            for (unsigned i = 0; i < field->bytes; i++)
                if ((have[i] & mask[i]) != want[i])
                    return false;
        }
    }
    return true;
}

/* The bytes of an lpm key of which only `prefix` bits of its lpm field count. */
static void key_cut(const struct table *t, uint8_t *to, const uint8_t *from, uint16_t prefix)
{
    memcpy(to, from, t->key_bytes);
    for (unsigned f = 0; f < t->fields_count; f++) {
        const struct key_field *field = &t->fields[f];
        if (field->match != LPM)
            continue;
        for (unsigned i = 0; i < field->bytes; i++) {
            unsigned bits = prefix > i * 8 ? prefix - i * 8 : 0;
            if (bits < 8)
                to[field->offset + i] &= (uint8_t)(0xff00 >> bits);
        }
    }
}

static struct entry *table_lookup(struct table *t, const uint8_t *key)
{
    if (!t->used)
        return NULL;
    if (t->match == EXACT)
        return chain_find(t, key, 0);
    if (t->match == LPM) {
        uint8_t cut[t->key_bytes];
        for (unsigned prefix = 129; prefix-- > 0;) {
            if (!t->prefixes[prefix])
                continue;
            key_cut(t, cut, key, (uint16_t)prefix);
            struct entry *e = chain_find(t, cut, (uint16_t)prefix);
            if (e)
                return e;
        }
        return NULL;
    }
    for (uint32_t i = 0; i < t->used; i++) {
        struct entry *e = t->slots[t->ordered[i]];
        if (entry_matches(t, e, key))
            return e;
    }
    return NULL;
}

static bool same_entry(const struct table *t, const struct entry *e, const struct entry *other)
{
    return e->priority == other->priority && !memcmp(e->key, other->key, t->key_bytes) &&
           !memcmp(e->mask, other->mask, t->key_bytes);
}

static struct entry *entry_made(const struct table *t, unsigned arguments)
{
    struct entry *e = owned(calloc(1, sizeof *e));
    e->arguments = owned(calloc(arguments + 1, sizeof *e->arguments));
    e->key = owned(calloc(1, t->key_bytes + 1u));
    e->mask = owned(calloc(1, t->key_bytes + 1u));
    if (t->metered)
        e->meter = owned(calloc(1, sizeof *e->meter));
    return e;
}

static void entry_freed(struct entry *e)
{
    free(e->arguments);
    free(e->key);
    free(e->mask);
    free(e->meter);
    free(e);
}

/* Takes the entry when it answers NULL; else says what is wrong with it. */
static const char *table_add(struct table *t, struct entry *e)
{
    for (unsigned f = 0; f < t->fields_count; f++) {
        const struct key_field *field = &t->fields[f];
        if (field->match == RANGE)
            continue;
        for (unsigned i = 0; i < field->bytes; i++)
            e->key[field->offset + i] &= e->mask[field->offset + i];
        if (t->match == LPM && field->match == LPM)
            for (unsigned i = 0; i < field->bytes; i++)
                e->prefix += (uint16_t)__builtin_popcount(e->mask[field->offset + i]);
    }
    if (t->match == EXACT || t->match == LPM) {
        if (chain_find(t, e->key, e->prefix))
            return "duplicate";
    } else {
        for (uint32_t i = 0; i < t->used; i++)
            if (same_entry(t, t->slots[t->ordered[i]], e))
                return "duplicate";
    }
    if (t->used >= t->most)
        return "full";
    uint32_t handle = t->first_free;
    while (handle < t->slots_count && t->slots[handle])
        handle++;
    if (handle == t->slots_count) {
        uint32_t count = t->slots_count ? t->slots_count * 2 : 16;
        t->slots = owned(realloc(t->slots, count * sizeof *t->slots));
        t->ordered = owned(realloc(t->ordered, count * sizeof *t->ordered));
        memset(t->slots + t->slots_count, 0, (count - t->slots_count) * sizeof *t->slots);
        t->slots_count = count;
    }
    e->handle = handle;
    t->first_free = handle + 1;
    t->used++;
    if (t->profile)
        profile_use(t->profile, e, 1);
    if (t->match == EXACT || t->match == LPM) {
        chains_grow(t); /* before the entry has its slot: it is linked once */
        t->slots[handle] = e;
        chain_link(t, e);
        if (t->match == LPM)
            t->prefixes[e->prefix]++;
        return NULL;
    }
    t->slots[handle] = e;
    uint32_t at = t->used - 1;
    for (; at > 0; at--) {
        const struct entry *before = t->slots[t->ordered[at - 1]];
        if (before->priority < e->priority ||
            (before->priority == e->priority && before->handle < handle))
            break;
        t->ordered[at] = t->ordered[at - 1];
    }
    t->ordered[at] = handle;
    return NULL;
}

static void table_delete(struct table *t, struct entry *e)
{
    if (t->match == EXACT || t->match == LPM) {
        chain_unlink(t, e);
        if (t->match == LPM)
            t->prefixes[e->prefix]--;
    } else {
        uint32_t at = 0;
        while (t->ordered[at] != e->handle)
            at++;
        memmove(t->ordered + at, t->ordered + at + 1, (t->used - at - 1) * sizeof *t->ordered);
    }
    t->slots[e->handle] = NULL;
    if (e->handle < t->first_free)
        t->first_free = e->handle;
    t->used--;
    if (t->profile)
        profile_use(t->profile, e, -1);
    entry_freed(e);
}

/* Gives an entry what `made` does, and takes its arguments. */
static void entry_bind(struct table *t, struct entry *e, const struct entry *made)
{
    if (t->profile)
        profile_use(t->profile, e, -1);
    free(e->arguments);
    e->arguments = made->arguments;
    e->action = made->action;
    e->of_group = made->of_group;
    e->index = made->index;
    if (t->profile)
        profile_use(t->profile, e, 1);
}

static void table_clear(struct table *t)
{
    for (uint32_t i = 0; i < t->slots_count; i++)
        if (t->slots[i])
            table_delete(t, t->slots[i]);
}
