/* SPDX-License-Identifier: Apache-2.0
 *
 * What a program keeps beside tables and arrays: value sets, meters, action profiles, digests.
 */

/* ---- parser value sets ---- */

struct value_set { const char *name; uint16_t width; uint32_t count; u128 *values; };

static NOTHING bool value_set_has(const struct value_set *set, u128 value)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->values[i] == value)
            return true;
    return false;
}

static void value_set_add(struct value_set *set, u128 value)
{
    if (value_set_has(set, value))
        return;
    set->values = owned(realloc(set->values, (set->count + 1) * sizeof *set->values));
    set->values[set->count++] = value;
}

static bool value_set_remove(struct value_set *set, u128 value)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->values[i] == value) {
            set->values[i] = set->values[--set->count];
            return true;
        }
    }
    return false;
}

/* ---- meters: two token buckets, the larger rate first, as a two rate three color marker has
 * them (RFC 2698). Until rates are set every packet is green. ---- */

enum color { GREEN, YELLOW, RED };

struct bucket { double rate; uint64_t burst, tokens, earned; }; /* rate: units a microsecond */

struct meter {
    bool configured;
    uint64_t since;
    struct bucket committed, peak;
};

struct meters { const char *name; uint32_t size; bool counts_bytes; struct meter *values; };

static void meter_configure(struct meter *m, const struct bucket *committed,
                            const struct bucket *peak)
{
    m->configured = true;
    m->since = microseconds();
    m->committed = *committed;
    m->peak = *peak;
    m->committed.tokens = committed->burst;
    m->peak.tokens = peak->burst;
}

static bool bucket_takes(struct bucket *b, uint64_t elapsed, uint64_t wanted)
{
    double all = (double)elapsed * b->rate;
    uint64_t earned = all < 9e18 ? (uint64_t)all : (uint64_t)9e18;
    uint64_t room = b->burst - b->tokens, fresh = earned - b->earned;
    b->earned = earned;
    b->tokens += fresh < room ? fresh : room;
    if (b->tokens < wanted)
        return false;
    b->tokens -= wanted;
    return true;
}

static NOTHING enum color meter_color(struct meter *m, bool counts_bytes, const struct packet *p)
{
    if (!m->configured)
        return GREEN;
    uint64_t elapsed = microseconds() - m->since, wanted = counts_bytes ? p->arrived : 1;
    if (!bucket_takes(&m->peak, elapsed, wanted))
        return RED;
    return bucket_takes(&m->committed, elapsed, wanted) ? GREEN : YELLOW;
}

/* ---- action profiles: members that entries share, and groups of them to choose from ---- */

#define HANDLES_MOST (1u << 24)

struct member { bool exists; uint16_t action; uint32_t uses; u128 *arguments; };
struct member_group { bool exists; uint32_t uses, count, *handles; /* ascending */ };

struct profile {
    const char *name;
    bool selects;
    const uint16_t *actions;
    uint16_t actions_count;
    struct member *members;
    struct member_group *groups;
    uint32_t members_room, groups_room;
};

static struct member *member_of(const struct profile *f, uint32_t handle)
{
    return handle < f->members_room && f->members[handle].exists ? &f->members[handle] : NULL;
}

static struct member_group *group_of(const struct profile *f, uint32_t handle)
{
    return handle < f->groups_room && f->groups[handle].exists ? &f->groups[handle] : NULL;
}

/* The member that an entry means; of a group the one that the hash says, NULL of an empty one. */
static NOTHING struct member *member_chosen(const struct profile *f, const struct entry *e,
                                            uint32_t hash)
{
    if (!e->of_group)
        return member_of(f, e->index);
    const struct member_group *g = group_of(f, e->index);
    return g && g->count ? member_of(f, g->handles[hash % g->count]) : NULL;
}

/* How many entries use it; a member is also used by each group that has it. */
static void profile_use(struct profile *f, const struct entry *e, int change)
{
    uint32_t *uses = NULL;
    if (e->of_group && group_of(f, e->index))
        uses = &f->groups[e->index].uses;
    else if (!e->of_group && member_of(f, e->index))
        uses = &f->members[e->index].uses;
    if (uses)
        *uses += (uint32_t)change;
}

/* Handles are the lowest free ones, as BMv2 gives them: they decide which member is chosen. */
static uint32_t member_add(struct profile *f, uint16_t action, u128 *arguments)
{
    uint32_t handle = 0;
    while (handle < f->members_room && f->members[handle].exists)
        handle++;
    if (handle == f->members_room) {
        f->members_room = f->members_room ? f->members_room * 2 : 16;
        f->members = owned(realloc(f->members, f->members_room * sizeof *f->members));
        memset(f->members + handle, 0, (f->members_room - handle) * sizeof *f->members);
    }
    f->members[handle] = (struct member){true, action, 0, arguments};
    return handle;
}

static uint32_t group_add(struct profile *f)
{
    uint32_t handle = 0;
    while (handle < f->groups_room && f->groups[handle].exists)
        handle++;
    if (handle == f->groups_room) {
        f->groups_room = f->groups_room ? f->groups_room * 2 : 16;
        f->groups = owned(realloc(f->groups, f->groups_room * sizeof *f->groups));
        memset(f->groups + handle, 0, (f->groups_room - handle) * sizeof *f->groups);
    }
    f->groups[handle] = (struct member_group){.exists = true};
    return handle;
}

static const char *group_join(struct profile *f, struct member_group *g, uint32_t handle)
{
    uint32_t at = 0;
    while (at < g->count && g->handles[at] < handle)
        at++;
    if (at < g->count && g->handles[at] == handle)
        return "the group has this member already";
    g->handles = owned(realloc(g->handles, (g->count + 1) * sizeof *g->handles));
    memmove(g->handles + at + 1, g->handles + at, (g->count - at) * sizeof *g->handles);
    g->handles[at] = handle;
    g->count++;
    f->members[handle].uses++;
    return NULL;
}

static const char *group_leave(struct profile *f, struct member_group *g, uint32_t handle)
{
    for (uint32_t i = 0; i < g->count; i++) {
        if (g->handles[i] == handle) {
            g->count--;
            memmove(g->handles + i, g->handles + i + 1, (g->count - i) * sizeof *g->handles);
            f->members[handle].uses--;
            return NULL;
        }
    }
    return "the group has no such member";
}

static void group_remove(struct profile *f, struct member_group *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        f->members[g->handles[i]].uses--;
    free(g->handles);
    *g = (struct member_group){0};
}

static void profile_clear(struct profile *f)
{
    for (uint32_t i = 0; i < f->groups_room; i++)
        group_remove(f, &f->groups[i]);
    for (uint32_t i = 0; i < f->members_room; i++) {
        free(f->members[i].arguments);
        f->members[i] = (struct member){0};
    }
}

/* ---- digests: samples wait until they are taken; one that waits is not kept twice ---- */

#define SAMPLES_MOST 1024

struct digest {
    const char *name;
    uint16_t id;
    uint32_t bytes, count;
    uint8_t *samples;
    uint64_t lost;
};

static void digest_clear(struct digest *d)
{
    d->count = 0;
    d->lost = 0;
}

static void digest_keep(struct digest *d, const uint8_t *sample)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (!memcmp(d->samples + (size_t)i * d->bytes, sample, d->bytes))
            return;
    if (d->count == SAMPLES_MOST) {
        d->lost++;
        return;
    }
    if (!d->samples)
        d->samples = owned(malloc((size_t)SAMPLES_MOST * d->bytes + 1));
    memcpy(d->samples + (size_t)d->count++ * d->bytes, sample, d->bytes);
}
