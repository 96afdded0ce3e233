/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands on tables, register and counter arrays, multicast groups and mirror sessions. Each
 * answers NULL, or what is wrong.
 */

static struct table *table_word(struct words *w)
{
    return &tables[number(w, 0, TABLES - 1)];
}

static uint16_t action_word(struct words *w, const uint16_t *allowed, unsigned count)
{
    uint16_t action = (uint16_t)number(w, 0, ACTIONS - 1);
    for (unsigned i = 0; i < count; i++)
        if (allowed[i] == action)
            return action;
    if (!w->bad)
        w->bad = "the table or profile has no such action";
    return 0;
}

static u128 *arguments_words(struct words *w, uint16_t action)
{
    u128 *values = owned(calloc(actions[action].parameters + 1u, sizeof *values));
    for (unsigned i = 0; i < actions[action].parameters; i++)
        values[i] = hex_number(w, actions[action].widths[i]);
    if (more(w) && !w->bad)
        w->bad = "too many words";
    return values;
}

static struct profile *profile_word(struct words *w)
{
    return &profiles[PROFILES ? number(w, 0, PROFILES - 1) : 0];
}

/* What an entry does: an action with its arguments, or "m MEMBER" or "g GROUP" of a profile. */
static void entry_words(struct words *w, const struct table *t, struct entry *e)
{
    if (!t->profile) {
        e->action = action_word(w, t->actions, t->actions_count);
        e->arguments = arguments_words(w, e->action);
        return;
    }
    const char *kind = word(w);
    e->of_group = !strcmp(kind, "g");
    if (!e->of_group && strcmp(kind, "m") && !w->bad)
        w->bad = "neither a member nor a group";
    e->index = (uint32_t)number(w, 0, HANDLES_MOST - 1);
    if (more(w) && !w->bad)
        w->bad = "too many words";
    if (w->bad)
        return;
    if (e->of_group && !t->profile->selects)
        w->bad = "the profile has no groups";
    else if (e->of_group ? !group_of(t->profile, e->index) : !member_of(t->profile, e->index))
        w->bad = e->of_group ? "no group has this handle" : "no member has this handle";
}

static struct entry *handle_word(struct words *w, struct table *t)
{
    uint32_t handle = (uint32_t)number(w, 0, UINT32_MAX);
    if (handle < t->slots_count && t->slots[handle])
        return t->slots[handle];
    if (!w->bad)
        w->bad = "no entry has this handle";
    return NULL;
}

/* ---- commands ---- */

static void say_call(struct reply *reply, uint16_t action, const u128 *arguments)
{
    say(reply, " %u", action);
    for (unsigned i = 0; i < actions[action].parameters; i++) {
        say(reply, " ");
        say_number(reply, arguments[i]);
    }
    say(reply, "\n");
}

static void say_bound(struct reply *reply, const struct table *t, const struct entry *e)
{
    if (t->profile)
        say(reply, " %c %u\n", e->of_group ? 'g' : 'm', e->index);
    else
        say_call(reply, e->action, e->arguments);
}

static void say_entry(struct reply *reply, const struct table *t, const struct entry *e)
{
    say(reply, "- %u %d ", e->handle, e->priority);
    say_hex(reply, e->key, t->key_bytes);
    say(reply, " ");
    say_hex(reply, e->mask, t->key_bytes);
    say(reply, " %llu %llu", (unsigned long long)e->packets, (unsigned long long)e->bytes);
    say_bound(reply, t, e);
}

static const char *command_add(struct words *w, struct reply *reply)
{
    struct table *t = table_word(w);
    if (t->constant_entries)
        return "the program declares the table's entries constant";
    if (!t->fields_count)
        return "the table has no key";
    struct entry *e = entry_made(t, 0);
    e->priority = (int32_t)number(w, 0, INT32_MAX);
    hex_bytes(w, e->key, t->key_bytes);
    hex_bytes(w, e->mask, t->key_bytes);
    free(e->arguments);
    e->arguments = NULL;
    entry_words(w, t, e);
    const char *bad = w->bad ? w->bad : table_add(t, e);
    if (bad)
        entry_freed(e);
    else
        answer(w, reply, "ok %u\n", e->handle);
    return bad;
}

static const char *command_modify(struct words *w, struct reply *reply)
{
    struct table *t = table_word(w);
    (void)reply;
    if (t->constant_entries)
        return "the program declares the table's entries constant";
    struct entry *e = handle_word(w, t), made = {0};
    entry_words(w, t, &made);
    if (w->bad) {
        free(made.arguments);
        return w->bad;
    }
    entry_bind(t, e, &made);
    return NULL;
}

static const char *command_delete(struct words *w, struct reply *reply)
{
    struct table *t = table_word(w);
    (void)reply;
    if (t->constant_entries)
        return "the program declares the table's entries constant";
    struct entry *e = handle_word(w, t);
    if (!w->bad)
        table_delete(t, e);
    return w->bad;
}

static const char *command_clear(struct words *w, struct reply *reply)
{
    struct table *t = table_word(w);
    (void)reply;
    if (w->bad)
        return w->bad;
    if (t->constant_entries)
        return "the program declares the table's entries constant";
    table_clear(t);
    return NULL;
}

static void fallback_forget(struct table *t)
{
    if (t->profile && t->has_fallback)
        profile_use(t->profile, &t->fallback, -1);
    if (t->fallback.arguments != t->declared_fallback.arguments)
        free(t->fallback.arguments);
    t->fallback = (struct entry){0};
}

static const char *command_default(struct words *w, struct reply *reply)
{
    struct table *t = table_word(w);
    (void)reply;
    if (t->constant_default)
        return "the program declares the table's default action constant";
    struct entry made = {0};
    entry_words(w, t, &made);
    if (w->bad) {
        free(made.arguments);
        return w->bad;
    }
    fallback_forget(t);
    t->fallback = made;
    t->has_fallback = true;
    if (t->profile)
        profile_use(t->profile, &made, 1);
    return NULL;
}

static void fallback_declared(struct table *t)
{
    fallback_forget(t);
    t->fallback = t->declared_fallback;
    t->has_fallback = t->declared_fallback.arguments != NULL;
}

static const char *command_default_reset(struct words *w, struct reply *reply)
{
    struct table *t = table_word(w);
    (void)reply;
    if (!w->bad)
        fallback_declared(t);
    return w->bad;
}

static const char *command_dump(struct words *w, struct reply *reply)
{
    const struct table *t = table_word(w);
    if (w->bad)
        return w->bad;
    for (uint32_t i = 0; i < t->slots_count; i++)
        if (t->slots[i])
            say_entry(reply, t, t->slots[i]);
    if (t->has_fallback) {
        say(reply, "- default");
        say_bound(reply, t, &t->fallback);
    }
    answer(w, reply, "ok %u\n", t->used);
    return NULL;
}

/* Reads `count` cells from `index`, or writes one value into them. */
static const char *command_cells(struct words *w, struct reply *reply, struct cells *arrays,
                                 unsigned arrays_count, unsigned each, bool write)
{
    if (!arrays_count)
        return "the program has none";
    struct cells *array = &arrays[number(w, 0, arrays_count - 1)];
    uint32_t index = (uint32_t)number(w, 0, array->size ? array->size - 1 : 0);
    uint32_t most = array->size - index;
    uint32_t length = (uint32_t)number(w, 0, most);
    u128 value[2] = {0, 0};
    for (unsigned i = 0; write && i < each; i++)
        value[i] = hex_number(w, array->width);
    if (w->bad)
        return w->bad;
    for (uint32_t i = index; i < index + length; i++) {
        if (write) {
            memcpy(&array->values[i * (size_t)each], value, each * sizeof *value);
            continue;
        }
        say(reply, "- ");
        for (unsigned k = 0; k < each; k++) {
            say_number(reply, array->values[i * (size_t)each + k]);
            say(reply, k + 1 < each ? " " : "\n");
        }
    }
    return NULL;
}

static const char *command_register_read(struct words *w, struct reply *reply)
{
    return command_cells(w, reply, registers, REGISTERS, 1, false);
}

static const char *command_register_write(struct words *w, struct reply *reply)
{
    return command_cells(w, reply, registers, REGISTERS, 1, true);
}

static const char *command_counter_read(struct words *w, struct reply *reply)
{
    return command_cells(w, reply, counters, COUNTERS, 2, false);
}

static const char *command_counter_write(struct words *w, struct reply *reply)
{
    return command_cells(w, reply, counters, COUNTERS, 2, true);
}

static const char *command_group(struct words *w, struct reply *reply)
{
    (void)reply;
    uint32_t group = (uint32_t)number(w, 1, GROUPS - 1), count = 0;
    struct copy *copies = NULL;
    while (!w->bad && more(w)) {
        copies = owned(realloc(copies, (count + 1) * sizeof *copies));
        copies[count].port = (uint32_t)number(w, 0, UINT16_MAX);
        copies[count++].replica = (uint16_t)number(w, 0, UINT16_MAX);
    }
    if (w->bad)
        free(copies);
    else
        group_set(group, copies, count);
    return w->bad;
}

static const char *command_mirror(struct words *w, struct reply *reply)
{
    (void)reply;
    uint32_t number_of = (uint32_t)number(w, 0, SESSIONS - 1);
    int64_t port = number(w, -1, UINT16_MAX), group = number(w, 0, GROUPS - 1);
    if (!w->bad)
        sessions[number_of] = (struct session){
            .exists = port >= 0 || group, .has_port = port >= 0, .port = (uint32_t)port,
            .group = (uint16_t)group};
    return w->bad;
}

/* Which queues: PORT, or -1 for all, and after the VALUE perhaps a priority; else all of them. */
static void queues_words(struct words *w, int64_t most, int64_t *value, int64_t first[2],
                         int64_t last[2])
{
    int64_t port = number(w, -1, PORT_MOST);
    *value = number(w, 0, most);
    int64_t priority = more(w) ? number(w, 0, PRIORITIES_MOST - 1) : -1;
    first[0] = port < 0 ? 0 : port;
    last[0] = port < 0 ? PORT_MOST : port;
    first[1] = priority < 0 ? 0 : priority;
    last[1] = priority < 0 ? PRIORITIES_MOST - 1 : priority;
}

/* Packets a second; 0: as fast as they come. */
static const char *command_queue_rate(struct words *w, struct reply *reply)
{
    int64_t rate, first[2], last[2];
    queues_words(w, 1000000000, &rate, first, last);
    (void)reply;
    for (int64_t i = first[0]; !w->bad && i <= last[0]; i++)
        for (int64_t k = first[1]; k <= last[1]; k++)
            queue_rate_set((uint16_t)i, (unsigned)k, (uint64_t)rate);
    return w->bad;
}

/* How many packets may wait. */
static const char *command_queue_depth(struct words *w, struct reply *reply)
{
    int64_t depth, first[2], last[2];
    queues_words(w, DEPTH_MOST, &depth, first, last);
    (void)reply;
    for (int64_t i = first[0]; !w->bad && i <= last[0]; i++)
        for (int64_t k = first[1]; k <= last[1]; k++)
            port_queues[i][k].depth = (uint32_t)depth;
    return w->bad;
}

/* How many queues each port has; what waits is for the priorities there are. */
static const char *command_queue_priorities(struct words *w, struct reply *reply)
{
    uint32_t count = (uint32_t)number(w, 1, PRIORITIES_MOST);
    (void)reply;
    if (w->bad)
        return w->bad;
    for (unsigned i = 0; i < listed_count; i++)
        if (queued_at(listed_queues[i]))
            return "packets wait in the queues there are";
    priorities = count;
    return NULL;
}
