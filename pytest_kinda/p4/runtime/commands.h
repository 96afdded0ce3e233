/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands by their names.
 */

static const char *declared_name = "-"; /* the file of declared commands, "-" for none */
static unsigned long resets;

/* As it was when the program was started: entries, arrays, profiles, groups, sessions. */
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
    for (unsigned i = 0; i < METERS; i++)
        memset(meters[i].values, 0, meters[i].size * sizeof(struct meter));
    for (unsigned i = 0; i < PROFILES; i++)
        profile_clear(&profiles[i]);
    for (unsigned i = 0; i < VALUE_SETS; i++)
        value_sets[i].count = 0;
    for (unsigned i = 0; i < DIGESTS; i++)
        digest_clear(&digests[i]);
    for (uint32_t i = 0; i < GROUPS; i++)
        group_set(i, NULL, 0);
    memset(sessions, 0, sizeof sessions);
    queues_reset();
    controller_clear();
    memset(lost_counts, 0, sizeof lost_counts);
    received = sent = 0;
    declared_entries();
}

/* What comes after each reset, if anything; NULL is that it went well. */
static const char *(*declared_state)(void);

static const char *command_reset(struct words *w, struct reply *reply)
{
    everything_reset();
    resets++;
    const char *bad = declared_state ? declared_state() : NULL;
    return bad ? bad : command_state(w, reply); /* before the next packet */
}

/* What runs, what was declared for it, and how often it was reset: what a client may rely on. */
static const char *command_program(struct words *w, struct reply *reply)
{
    answer(w, reply, "ok %s %s %lu\n", PROGRAM_HASH, declared_name, resets);
    return NULL;
}

static const char *command_statistics(struct words *w, struct reply *reply)
{
    answer(w, reply, "ok %llu %llu", (unsigned long long)received, (unsigned long long)sent);
    for (int i = 0; i < LOST_KINDS; i++)
        say(reply, " %llu", (unsigned long long)lost_counts[i]);
    say(reply, "\n");
    return NULL;
}

/* When its clock began: what makes its times those of the machine's monotonic clock. */
static const char *command_clock(struct words *w, struct reply *reply)
{
    answer(w, reply, "ok %llu\n", (unsigned long long)(clock_stands ? 0 : clock_start));
    return NULL;
}

/* Of a switch with interfaces, see main.h. */
static const char *command_end(struct words *w, struct reply *reply);
static const char *command_attach(struct words *w, struct reply *reply);
static const char *command_ports(struct words *w, struct reply *reply);

static const struct command {
    const char *name;
    const char *(*run)(struct words *w, struct reply *reply);
} known_commands[] = {
    {"add", command_add},
    {"modify", command_modify},
    {"delete", command_delete},
    {"clear", command_clear},
    {"default", command_default},
    {"default-reset", command_default_reset},
    {"dump", command_dump},
    {"timeout", command_timeout},
    {"idle", command_idle},
    {"register-read", command_register_read},
    {"register-write", command_register_write},
    {"counter-read", command_counter_read},
    {"counter-write", command_counter_write},
    {"meter-read", command_meter_read},
    {"meter-write", command_meter_write},
    {"member-add", command_member_add},
    {"member-modify", command_member_modify},
    {"member-delete", command_member_delete},
    {"group-add", command_group_add},
    {"group-delete", command_group_delete},
    {"group-join", command_group_join},
    {"group-leave", command_group_leave},
    {"profile-dump", command_profile_dump},
    {"value-add", command_value_add},
    {"value-remove", command_value_remove},
    {"value-clear", command_value_clear},
    {"value-read", command_value_read},
    {"digest-take", command_digest_take},
    {"group", command_group},
    {"mirror", command_mirror},
    {"queue-rate", command_queue_rate},
    {"queue-depth", command_queue_depth},
    {"queue-priorities", command_queue_priorities},
    {"packets-take", command_packets_take},
    {"packet-send", command_packet_send},
    {"state", command_state},
    {"reset", command_reset},
    {"end", command_end},
    {"attach", command_attach},
    {"ports", command_ports},
    {"program", command_program},
    {"clock", command_clock},
    {"statistics", command_statistics},
};

static void command_run(char *line, struct reply *reply)
{
    struct words w = {.rest = line};
    const char *name = word(&w), *bad = "no such command";
    size_t before = reply->size;

    for (size_t i = 0; i < sizeof known_commands / sizeof *known_commands; i++) {
        if (!strcmp(name, known_commands[i].name)) {
            w.bad = NULL;
            bad = known_commands[i].run(&w, reply);
            break;
        }
    }
    if (bad) {
        reply->size = before;
        say(reply, "error %s\n", bad);
    } else if (!w.answered) {
        say(reply, "ok\n");
    }
}
