/* SPDX-License-Identifier: Apache-2.0
 *
 * The control protocol: lines of text, numbers for names (the client knows the program). Each
 * line is answered by any number of lines that start with "- " and one that starts with "ok" or
 * "error". Numbers are decimal, keys and values hexadecimal.
 */
#define LINE_MOST 65536

struct reply { char *text; size_t size, room; };

__attribute__((format(printf, 2, 3)))
static void say(struct reply *reply, const char *format, ...)
{
    for (;;) {
        __builtin_va_list arguments;
        __builtin_va_start(arguments, format);
        size_t room = reply->room - reply->size;
        int wanted = vsnprintf(reply->text + reply->size, room, format, arguments);
        __builtin_va_end(arguments);
        if (wanted >= 0 && (size_t)wanted < room) {
            reply->size += (size_t)wanted;
            return;
        }
        reply->room = reply->room * 2 + (size_t)(wanted > 0 ? wanted : 0) + 256;
        reply->text = owned(realloc(reply->text, reply->room));
    }
}

static void say_hex(struct reply *reply, const uint8_t *data, unsigned bytes)
{
    if (!bytes)
        say(reply, "-");
    for (unsigned i = 0; i < bytes; i++)
        say(reply, "%02x", data[i]);
}

static void say_number(struct reply *reply, u128 value)
{
    if (value >> 64)
        say(reply, "%llx%016llx", (unsigned long long)(value >> 64), (unsigned long long)value);
    else
        say(reply, "%llx", (unsigned long long)value);
}

/* ---- reading words; `bad` holds what is wrong, for the first thing that is ---- */

struct words { char *rest; const char *bad; };

static char *word(struct words *w)
{
    while (*w->rest == ' ')
        w->rest++;
    char *start = w->rest;
    while (*w->rest && *w->rest != ' ')
        w->rest++;
    if (*w->rest)
        *w->rest++ = 0;
    if (!*start && !w->bad)
        w->bad = "a word is missing";
    return start;
}

static bool more(struct words *w)
{
    while (*w->rest == ' ')
        w->rest++;
    return *w->rest;
}

static int64_t number(struct words *w, int64_t least, int64_t most)
{
    char *text = word(w), *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most) {
        if (!w->bad)
            w->bad = "a number is none, or outside its range";
        return least;
    }
    return value;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void hex_bytes(struct words *w, uint8_t *to, unsigned bytes)
{
    const char *text = word(w);
    if (!bytes && !strcmp(text, "-"))
        return;
    if (strlen(text) != 2 * (size_t)bytes) {
        if (!w->bad)
            w->bad = "a key or mask has not the table's size";
        return;
    }
    for (unsigned i = 0; i < bytes; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if ((high < 0 || low < 0) && !w->bad)
            w->bad = "not hexadecimal";
        to[i] = (uint8_t)(high << 4 | low);
    }
}

static u128 hex_number(struct words *w, unsigned width)
{
    const char *text = word(w);
    u128 value = 0;
    size_t digits = strlen(text);
    if (!digits || digits > 32)
        w->bad = w->bad ? w->bad : "a value has no digit, or too many";
    for (size_t i = 0; i < digits && !w->bad; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0)
            w->bad = "not hexadecimal";
        value = value << 4 | (unsigned)(digit & 15);
    }
    if (value & ~mask_of(width))
        w->bad = w->bad ? w->bad : "a value is wider than its place";
    return value;
}

static struct table *table_word(struct words *w)
{
    return &tables[number(w, 0, TABLES - 1)];
}

static uint16_t action_word(struct words *w, const struct table *t)
{
    uint16_t action = (uint16_t)number(w, 0, ACTIONS - 1);
    for (unsigned i = 0; i < t->actions_count; i++)
        if (t->actions[i] == action)
            return action;
    if (!w->bad)
        w->bad = "the table has no such action";
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

static void say_entry(struct reply *reply, const struct table *t, const struct entry *e)
{
    say(reply, "- %u %d ", e->handle, e->priority);
    say_hex(reply, e->key, t->key_bytes);
    say(reply, " ");
    say_hex(reply, e->mask, t->key_bytes);
    say(reply, " %llu %llu %u", (unsigned long long)e->packets, (unsigned long long)e->bytes,
        e->action);
    for (unsigned i = 0; i < actions[e->action].parameters; i++) {
        say(reply, " ");
        say_number(reply, e->arguments[i]);
    }
    say(reply, "\n");
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
    e->action = action_word(w, t);
    free(e->arguments);
    e->arguments = arguments_words(w, e->action);
    const char *bad = w->bad ? w->bad : table_add(t, e);
    if (bad)
        entry_freed(e);
    else
        say(reply, "ok %u\n", e->handle);
    return bad;
}

static const char *command_modify(struct words *w)
{
    struct table *t = table_word(w);
    if (t->constant_entries)
        return "the program declares the table's entries constant";
    struct entry *e = handle_word(w, t);
    uint16_t action = action_word(w, t);
    u128 *values = arguments_words(w, action);
    if (w->bad) {
        free(values);
        return w->bad;
    }
    free(e->arguments);
    e->arguments = values;
    e->action = action;
    return NULL;
}

static const char *command_delete(struct words *w)
{
    struct table *t = table_word(w);
    if (t->constant_entries)
        return "the program declares the table's entries constant";
    struct entry *e = handle_word(w, t);
    if (!w->bad)
        table_delete(t, e);
    return w->bad;
}

static const char *command_default(struct words *w)
{
    struct table *t = table_word(w);
    if (t->constant_default)
        return "the program declares the table's default action constant";
    uint16_t action = action_word(w, t);
    u128 *values = arguments_words(w, action);
    if (w->bad) {
        free(values);
        return w->bad;
    }
    if (t->fallback.arguments != t->declared_fallback.arguments)
        free(t->fallback.arguments);
    t->fallback.action = action;
    t->fallback.arguments = values;
    t->has_fallback = true;
    return NULL;
}

static void fallback_declared(struct table *t)
{
    if (t->fallback.arguments != t->declared_fallback.arguments)
        free(t->fallback.arguments);
    t->fallback = t->declared_fallback;
    t->has_fallback = t->declared_fallback.arguments != NULL;
}

static void command_dump(struct table *t, struct reply *reply)
{
    for (uint32_t i = 0; i < t->slots_count; i++)
        if (t->slots[i])
            say_entry(reply, t, t->slots[i]);
    if (t->has_fallback) {
        say(reply, "- default %u", t->fallback.action);
        for (unsigned i = 0; i < actions[t->fallback.action].parameters; i++) {
            say(reply, " ");
            say_number(reply, t->fallback.arguments[i]);
        }
        say(reply, "\n");
    }
    say(reply, "ok %u\n", t->used);
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

static const char *command_group(struct words *w)
{
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

static const char *command_mirror(struct words *w)
{
    uint32_t number_of = (uint32_t)number(w, 0, SESSIONS - 1);
    int64_t port = number(w, -1, UINT16_MAX), group = number(w, 0, GROUPS - 1);
    if (!w->bad)
        sessions[number_of] = (struct session){
            .exists = port >= 0 || group, .has_port = port >= 0, .port = (uint32_t)port,
            .group = (uint16_t)group};
    return w->bad;
}

/* As it was when the program was started: entries, registers, counters, groups, sessions. */
static void everything_reset(void)
{
    for (unsigned i = 0; i < TABLES; i++) {
        table_clear(&tables[i]);
        fallback_declared(&tables[i]);
    }
    for (unsigned i = 0; i < REGISTERS; i++)
        memset(registers[i].values, 0, registers[i].size * sizeof(u128));
    for (unsigned i = 0; i < COUNTERS; i++)
        memset(counters[i].values, 0, 2 * (size_t)counters[i].size * sizeof(u128));
    for (uint32_t i = 0; i < GROUPS; i++)
        group_set(i, NULL, 0);
    memset(sessions, 0, sizeof sessions);
    memset(lost_counts, 0, sizeof lost_counts);
    received = sent = 0;
    declared_entries();
}

static void command_run(char *line, struct reply *reply)
{
    struct words w = {line, NULL};
    const char *name = word(&w), *bad = NULL;
    size_t before = reply->size;

    if (!strcmp(name, "add")) {
        bad = command_add(&w, reply);
        if (!bad)
            return;
    } else if (!strcmp(name, "modify")) {
        bad = command_modify(&w);
    } else if (!strcmp(name, "delete")) {
        bad = command_delete(&w);
    } else if (!strcmp(name, "clear")) {
        struct table *t = table_word(&w);
        bad = w.bad ? w.bad
              : t->constant_entries ? "the program declares the table's entries constant" : NULL;
        if (!bad)
            table_clear(t);
    } else if (!strcmp(name, "default")) {
        bad = command_default(&w);
    } else if (!strcmp(name, "default-reset")) {
        struct table *t = table_word(&w);
        bad = w.bad;
        if (!bad)
            fallback_declared(t);
    } else if (!strcmp(name, "dump")) {
        struct table *t = table_word(&w);
        bad = w.bad;
        if (!bad) {
            command_dump(t, reply);
            return;
        }
    } else if (!strcmp(name, "register-read")) {
        bad = command_cells(&w, reply, registers, REGISTERS, 1, false);
    } else if (!strcmp(name, "register-write")) {
        bad = command_cells(&w, reply, registers, REGISTERS, 1, true);
    } else if (!strcmp(name, "counter-read")) {
        bad = command_cells(&w, reply, counters, COUNTERS, 2, false);
    } else if (!strcmp(name, "counter-write")) {
        bad = command_cells(&w, reply, counters, COUNTERS, 2, true);
    } else if (!strcmp(name, "group")) {
        bad = command_group(&w);
    } else if (!strcmp(name, "mirror")) {
        bad = command_mirror(&w);
    } else if (!strcmp(name, "reset")) {
        everything_reset();
    } else if (!strcmp(name, "program")) {
        say(reply, "ok %s\n", PROGRAM_HASH);
        return;
    } else if (!strcmp(name, "statistics")) {
        say(reply, "ok %llu %llu", (unsigned long long)received, (unsigned long long)sent);
        for (int i = 0; i < LOST_KINDS; i++)
            say(reply, " %llu", (unsigned long long)lost_counts[i]);
        say(reply, "\n");
        return;
    } else {
        bad = "no such command";
    }
    if (bad) {
        reply->size = before;
        say(reply, "error %s\n", bad);
    } else {
        say(reply, "ok\n");
    }
}
