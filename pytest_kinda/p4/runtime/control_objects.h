/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands on value sets, meters, action profiles, digests, and timeouts of entries.
 */

/* ---- value sets ---- */

static struct value_set *value_set_word(struct words *w)
{
    if (!VALUE_SETS)
        w->bad = "the program has none";
    return &value_sets[VALUE_SETS ? number(w, 0, VALUE_SETS - 1) : 0];
}

static const char *command_value_add(struct words *w, struct reply *reply)
{
    struct value_set *set = value_set_word(w);
    u128 value = hex_number(w, set->width);
    (void)reply;
    if (!w->bad)
        value_set_add(set, value);
    return w->bad;
}

static const char *command_value_remove(struct words *w, struct reply *reply)
{
    struct value_set *set = value_set_word(w);
    u128 value = hex_number(w, set->width);
    (void)reply;
    return w->bad ? w->bad : value_set_remove(set, value) ? NULL : "the set has no such value";
}

static const char *command_value_clear(struct words *w, struct reply *reply)
{
    struct value_set *set = value_set_word(w);
    (void)reply;
    if (!w->bad)
        set->count = 0;
    return w->bad;
}

static const char *command_value_read(struct words *w, struct reply *reply)
{
    const struct value_set *set = value_set_word(w);
    for (uint32_t i = 0; !w->bad && i < set->count; i++) {
        say(reply, "- ");
        say_number(reply, set->values[i]);
        say(reply, "\n");
    }
    return w->bad;
}

/* ---- meters: INDEX is the entry's handle where the meter belongs to a table ---- */

static struct meter *meter_word(struct words *w, struct meters **array)
{
    if (!METERS) {
        w->bad = "the program has none";
        return NULL;
    }
    int64_t which = number(w, 0, METERS - 1);
    *array = &meters[which];
    for (unsigned i = 0; i < TABLES; i++) {
        if (tables[i].metered && table_meters[i] == which) {
            struct entry *e = handle_word(w, &tables[i]);
            return e ? e->meter : NULL;
        }
    }
    uint32_t index = (uint32_t)number(w, 0, UINT32_MAX);
    if (index >= (*array)->size) {
        if (!w->bad)
            w->bad = "a number is none, or outside its range";
        return NULL;
    }
    return &(*array)->values[index];
}

static struct bucket bucket_words(struct words *w)
{
    const char *text = word(w);
    char *end;
    struct bucket b = {.rate = strtod(text, &end)};
    if ((end == text || *end || !(b.rate >= 0 && b.rate <= 1e12)) && !w->bad)
        w->bad = "a rate is none";
    b.burst = (uint64_t)number(w, 0, INT64_MAX);
    return b;
}

/* METER INDEX, then the rates and bursts of both buckets; none of them: as it was in the start. */
static const char *command_meter_write(struct words *w, struct reply *reply)
{
    struct meters *array = NULL;
    struct meter *m = meter_word(w, &array);
    (void)reply;
    if (w->bad || !m)
        return w->bad;
    if (!more(w)) {
        m->configured = false;
        return NULL;
    }
    struct bucket committed = bucket_words(w), peak = bucket_words(w);
    if (!w->bad && committed.rate > peak.rate)
        w->bad = "the committed rate is above the peak rate";
    if (!w->bad)
        meter_configure(m, &committed, &peak);
    return w->bad;
}

static const char *command_meter_read(struct words *w, struct reply *reply)
{
    struct meters *array = NULL;
    const struct meter *m = meter_word(w, &array);
    if (w->bad || !m)
        return w->bad;
    if (m->configured)
        say(reply, "- %.17g %llu %.17g %llu\n", m->committed.rate,
            (unsigned long long)m->committed.burst, m->peak.rate,
            (unsigned long long)m->peak.burst);
    return NULL;
}

/* ---- action profiles ---- */

static struct profile *profile_of_words(struct words *w)
{
    if (!PROFILES)
        w->bad = "the program has none";
    return profile_word(w);
}

static struct member *member_word(struct words *w, struct profile *f, uint32_t *handle)
{
    *handle = (uint32_t)number(w, 0, HANDLES_MOST - 1);
    struct member *found = w->bad ? NULL : member_of(f, *handle);
    if (!found && !w->bad)
        w->bad = "no member has this handle";
    return found;
}

static struct member_group *group_word(struct words *w, struct profile *f)
{
    uint32_t handle = (uint32_t)number(w, 0, HANDLES_MOST - 1);
    struct member_group *found = w->bad ? NULL : group_of(f, handle);
    if (!found && !w->bad)
        w->bad = "no group has this handle";
    return found;
}

static const char *command_member_add(struct words *w, struct reply *reply)
{
    struct profile *f = profile_of_words(w);
    uint16_t action = action_word(w, f->actions, f->actions_count);
    u128 *arguments = arguments_words(w, action);
    if (w->bad) {
        free(arguments);
        return w->bad;
    }
    answer(w, reply, "ok %u\n", member_add(f, action, arguments));
    return NULL;
}

static const char *command_member_modify(struct words *w, struct reply *reply)
{
    struct profile *f = profile_of_words(w);
    uint32_t handle;
    struct member *m = member_word(w, f, &handle);
    uint16_t action = action_word(w, f->actions, f->actions_count);
    u128 *arguments = arguments_words(w, action);
    (void)reply;
    if (w->bad) {
        free(arguments);
        return w->bad;
    }
    free(m->arguments);
    m->action = action;
    m->arguments = arguments;
    return NULL;
}

static const char *command_member_delete(struct words *w, struct reply *reply)
{
    struct profile *f = profile_of_words(w);
    uint32_t handle;
    struct member *m = member_word(w, f, &handle);
    (void)reply;
    if (w->bad)
        return w->bad;
    if (m->uses)
        return "an entry or a group still has the member";
    free(m->arguments);
    *m = (struct member){0};
    return NULL;
}

static const char *command_group_add(struct words *w, struct reply *reply)
{
    struct profile *f = profile_of_words(w);
    if (w->bad)
        return w->bad;
    if (!f->selects)
        return "the profile has no groups";
    answer(w, reply, "ok %u\n", group_add(f));
    return NULL;
}

static const char *command_group_delete(struct words *w, struct reply *reply)
{
    struct profile *f = profile_of_words(w);
    struct member_group *g = group_word(w, f);
    (void)reply;
    if (w->bad)
        return w->bad;
    if (g->uses)
        return "an entry still has the group";
    group_remove(f, g);
    return NULL;
}

static const char *group_change(struct words *w, bool joins)
{
    struct profile *f = profile_of_words(w);
    struct member_group *g = group_word(w, f);
    uint32_t handle;
    (void)member_word(w, f, &handle);
    if (w->bad)
        return w->bad;
    return joins ? group_join(f, g, handle) : group_leave(f, g, handle);
}

static const char *command_group_join(struct words *w, struct reply *reply)
{
    (void)reply;
    return group_change(w, true);
}

static const char *command_group_leave(struct words *w, struct reply *reply)
{
    (void)reply;
    return group_change(w, false);
}

/* Members as "- m HANDLE ACTION ARGUMENT...", groups as "- g HANDLE MEMBER...". */
static const char *command_profile_dump(struct words *w, struct reply *reply)
{
    const struct profile *f = profile_of_words(w);
    if (w->bad)
        return w->bad;
    for (uint32_t i = 0; i < f->members_room; i++) {
        if (f->members[i].exists) {
            say(reply, "- m %u", i);
            say_call(reply, f->members[i].action, f->members[i].arguments);
        }
    }
    for (uint32_t i = 0; i < f->groups_room; i++) {
        if (!f->groups[i].exists)
            continue;
        say(reply, "- g %u", i);
        for (uint32_t k = 0; k < f->groups[i].count; k++)
            say(reply, " %u", f->groups[i].handles[k]);
        say(reply, "\n");
    }
    return NULL;
}

/* ---- digests ---- */

/* Gives what waits, and forgets it; "ok" says how many more did not fit. */
static const char *command_digest_take(struct words *w, struct reply *reply)
{
    if (!DIGESTS)
        return "the program has none";
    struct digest *d = &digests[number(w, 0, DIGESTS - 1)];
    if (w->bad)
        return w->bad;
    for (uint32_t i = 0; i < d->count; i++) {
        say(reply, "- ");
        say_hex(reply, d->samples + (size_t)i * d->bytes, d->bytes);
        say(reply, "\n");
    }
    answer(w, reply, "ok %llu\n", (unsigned long long)d->lost);
    digest_clear(d);
    return NULL;
}

/* ---- timeouts of entries ---- */

static const char *command_timeout(struct words *w, struct reply *reply)
{
    struct table *t = table_word(w);
    struct entry *e = handle_word(w, t);
    uint32_t timeout = (uint32_t)number(w, 0, UINT32_MAX);
    (void)reply;
    if (w->bad)
        return w->bad;
    if (!t->ages)
        return "the table's entries have no timeout";
    e->timeout = timeout;
    e->hit = microseconds();
    return NULL;
}

/* The handles of those entries that no packet has hit for as long as their timeout. */
static const char *command_idle(struct words *w, struct reply *reply)
{
    const struct table *t = table_word(w);
    uint64_t now = microseconds();
    if (w->bad)
        return w->bad;
    if (!t->ages)
        return "the table's entries have no timeout";
    for (uint32_t i = 0; i < t->slots_count; i++) {
        const struct entry *e = t->slots[i];
        if (e && e->timeout && now - e->hit >= (uint64_t)e->timeout * 1000)
            say(reply, "- %u\n", i);
    }
    return NULL;
}
