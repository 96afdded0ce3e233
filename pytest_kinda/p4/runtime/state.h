/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything that is not as it is in a switch without entries which has seen no packet, a line
 * each: what a client compares with what was declared. Names and numbers are the commands' own.
 */

static void say_meter(struct reply *reply, unsigned array, uint32_t index, const struct meter *m)
{
    if (m->configured)
        say(reply, "- meter %u %u %.17g %llu %.17g %llu\n", array, index, m->committed.rate,
            (unsigned long long)m->committed.burst, m->peak.rate,
            (unsigned long long)m->peak.burst);
}

static void say_tables(struct reply *reply)
{
    for (unsigned i = 0; i < TABLES; i++) {
        const struct table *t = &tables[i];
        for (uint32_t k = 0; k < t->slots_count; k++) {
            const struct entry *e = t->slots[k];
            if (!e)
                continue;
            say(reply, "- entry %u %d ", i, e->priority);
            say_hex(reply, e->key, t->key_bytes);
            say(reply, " ");
            say_hex(reply, e->mask, t->key_bytes);
            say_bound(reply, t, e);
            if (e->packets)
                say(reply, "- hits %u %u %llu %llu\n", i, k, (unsigned long long)e->packets,
                    (unsigned long long)e->bytes);
            if (t->metered)
                say_meter(reply, table_meters[i], k, e->meter);
        }
        if (t->has_fallback) {
            say(reply, "- default %u", i);
            say_bound(reply, t, &t->fallback);
        }
    }
}

static void say_cells(struct reply *reply, const char *kind, const struct cells *arrays,
                      unsigned count, unsigned each)
{
    for (unsigned i = 0; i < count; i++) {
        for (size_t k = 0; k < arrays[i].size; k++) {
            const u128 *values = arrays[i].values + k * each;
            if (!values[0] && !values[each - 1])
                continue;
            say(reply, "- %s %u %zu", kind, i, k);
            for (unsigned one = 0; one < each; one++) {
                say(reply, " ");
                say_number(reply, values[one]);
            }
            say(reply, "\n");
        }
    }
}

static void say_profiles(struct reply *reply)
{
    for (unsigned i = 0; i < PROFILES; i++) {
        const struct profile *f = &profiles[i];
        for (uint32_t k = 0; k < f->members_room; k++) {
            if (f->members[k].exists) {
                say(reply, "- member %u %u", i, k);
                say_call(reply, f->members[k].action, f->members[k].arguments);
            }
        }
        for (uint32_t k = 0; k < f->groups_room; k++) {
            if (!f->groups[k].exists)
                continue;
            say(reply, "- members %u %u", i, k);
            for (uint32_t one = 0; one < f->groups[k].count; one++)
                say(reply, " %u", f->groups[k].handles[one]);
            say(reply, "\n");
        }
    }
}

static void say_replication(struct reply *reply)
{
    for (uint32_t i = 0; i < SESSIONS; i++)
        if (sessions[i].exists)
            say(reply, "- mirror %u %d %u\n", i,
                sessions[i].has_port ? (int)sessions[i].port : -1, sessions[i].group);
    for (uint32_t i = 0; i < GROUPS; i++) {
        if (!groups[i].count)
            continue;
        say(reply, "- group %u", i);
        for (uint32_t k = 0; k < groups[i].count; k++)
            say(reply, " %u %u", groups[i].copies[k].port, groups[i].copies[k].replica);
        say(reply, "\n");
    }
}

static void say_queues(struct reply *reply)
{
    if (priorities != 1)
        say(reply, "- priorities %u\n", priorities);
    for (unsigned i = 0; i <= PORT_MOST; i++) {
        for (unsigned k = 0; k < PRIORITIES_MOST; k++) {
            const struct port_queue *q = &port_queues[i][k];
            if (q->gap || q->depth != DEPTH_DEFAULT)
                say(reply, "- queue %u %u %llu %u\n", i, k, (unsigned long long)q->gap, q->depth);
        }
    }
}

static const char *command_state(struct words *w, struct reply *reply)
{
    (void)w;
    say_tables(reply);
    say_cells(reply, "register", registers, REGISTERS, 1);
    say_cells(reply, "counter", counters, COUNTERS, 2);
    for (unsigned i = 0; i < METERS; i++)
        for (uint32_t k = 0; k < meters[i].size; k++)
            say_meter(reply, i, k, &meters[i].values[k]);
    say_profiles(reply);
    for (unsigned i = 0; i < VALUE_SETS; i++) {
        for (uint32_t k = 0; k < value_sets[i].count; k++) {
            say(reply, "- value %u ", i);
            say_number(reply, value_sets[i].values[k]);
            say(reply, "\n");
        }
    }
    for (unsigned i = 0; i < DIGESTS; i++)
        if (digests[i].count || digests[i].lost)
            say(reply, "- digest %u %u %llu\n", i, digests[i].count,
                (unsigned long long)digests[i].lost);
    say_replication(reply);
    say_queues(reply);
    if (controller_count || controller_lost)
        say(reply, "- controller %u %llu\n", controller_count,
            (unsigned long long)controller_lost);
    uint64_t seen = received | sent;
    for (int i = 0; i < LOST_KINDS; i++)
        seen |= lost_counts[i];
    if (seen)
        say(reply, "- statistics %llu %llu\n", (unsigned long long)received,
            (unsigned long long)sent);
    return NULL;
}
