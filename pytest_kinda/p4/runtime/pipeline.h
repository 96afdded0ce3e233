/* SPDX-License-Identifier: Apache-2.0
 *
 * The way of a packet: parser, ingress, replication, egress, deparser. The order of the steps
 * and what each copy inherits are those of BMv2's simple_switch, which is v1model's reference.
 */

static struct packet *idle_packets;
static struct { struct packet *first, *last; } waiting, again;
static unsigned queued;

/* `first`: before all that waits, as resubmitted and recirculated packets are. */
static void queue_put(struct packet *p, bool first)
{
    if (queued >= QUEUE_MOST) {
        lose(p, LOST_QUEUE);
        return;
    }
    queued++;
    p->next = NULL;
    if (first) {
        *(again.last ? &again.last->next : &again.first) = p;
        again.last = p;
    } else {
        *(waiting.last ? &waiting.last->next : &waiting.first) = p;
        waiting.last = p;
    }
}

static struct packet *queue_get(void)
{
    struct packet *p = again.first;
    queued -= queued > 0;
    if (p) {
        again.first = p->next;
        if (!again.first)
            again.last = NULL;
        return p;
    }
    p = waiting.first;
    if (p) {
        waiting.first = p->next;
        if (!waiting.first)
            waiting.last = NULL;
    }
    return p;
}

/* An empty packet whose buffer has room for FRAME_MOST bytes at `data`. */
static struct packet *packet_new(void)
{
    struct packet *p = idle_packets;
    if (p) {
        idle_packets = p->next;
        uint8_t *buffer = p->buffer;
        struct phv *phv = p->phv;
        memset(p, 0, sizeof *p);
        p->buffer = buffer;
        p->phv = phv;
    } else {
        p = owned(calloc(1, sizeof *p));
        p->buffer = owned(malloc(HEADROOM + FRAME_MOST + 1));
        p->phv = owned(aligned_alloc(16, (sizeof *p->phv + 15) / 16 * 16));
    }
    memset(p->phv, 0, sizeof *p->phv);
    p->data = p->buffer + HEADROOM;
    p->kept = NO_LIMIT;
    return p;
}

static void packet_free(struct packet *p)
{
    p->next = idle_packets;
    idle_packets = p;
}

static void lose(struct packet *p, enum lost why)
{
    lost_counts[why]++;
    packet_free(p);
}

/* A copy of what is left of the packet's bytes. A truncated packet is copied from its end, as
 * BMv2's PacketBuffer::clone does. */
static struct packet *packet_copy(const struct packet *p, bool headers)
{
    struct packet *copy = packet_new();
    copy->size = size_of(p);
    memcpy(copy->data, p->data + p->size - copy->size, copy->size);
    copy->in_port = p->in_port;
    copy->arrived = p->arrived;
    copy->passes = p->passes + 1;
    copy->error = p->error;
    if (headers)
        *copy->phv = *p->phv;
    return copy;
}

static void to_egress(struct packet *p, uint32_t port)
{
    p->out_port = port;
    p->stage = EGRESS;
    p->exits = false;
    p->priority = metadata_priority(p);
    if (p->priority >= priorities) {
        lose(p, LOST_PRIORITY);
        return;
    }
    struct port_queue *q = queue_of(port, p->priority);
    metadata_enqueued(p, microseconds(), q ? queued_at(port) : 0);
    if (q)
        queue_wait(q, p);
    else
        queue_put(p, false);
}

static void multicast(struct packet *p, uint32_t group)
{
    if (group >= GROUPS)
        return;
    for (uint32_t i = 0; i < groups[group].count; i++) {
        metadata_replica(p, groups[group].copies[i].replica);
        struct packet *copy = packet_copy(p, true);
        copy->length = p->length;
        to_egress(copy, groups[group].copies[i].port);
    }
}

/* Takes the copy: to the session's group, to its port, or nowhere. */
static void mirror(struct packet *copy, const struct session *session)
{
    if (session->group)
        multicast(copy, session->group);
    if (session->has_port)
        to_egress(copy, session->port);
    else
        packet_free(copy);
}

static const struct session *session_of(uint32_t number)
{
    return number < SESSIONS && sessions[number].exists ? &sessions[number] : NULL;
}

static void ingress_step(struct packet *p)
{
    uint8_t *data = p->data;
    size_t size = p->size;
    uint32_t length = p->length;

    parser_run(p);
    metadata_parsed(p);
    if (!p->asserts)
        ingress_run(p);
    if (p->asserts) {
        lose(p, LOST_ASSERTION);
        return;
    }
    p->exits = false;

    const struct session *session = p->clones ? session_of(p->clone_session) : NULL;
    p->clones = false;
    if (session) {
        struct packet whole = *p;
        whole.data = data;
        whole.size = size;
        struct packet *copy = packet_copy(&whole, false);
        copy->length = length;
        metadata_arrived(copy, p->in_port, 0, 0); /* parsers may ask for the port */
        parser_run(copy);
        metadata_clear(copy);
        list_copy(copy, p, p->clone_list);
        metadata_instance(copy, 1);
        mirror(copy, session);
    }
    if (p->digest) {
        digest_take(p);
        p->digest = 0;
    }
    if (p->resubmit_list) {
        struct packet whole = *p;
        whole.data = data;
        whole.size = size;
        struct packet *copy = packet_copy(&whole, false);
        copy->length = length;
        list_copy(copy, p, p->resubmit_list);
        metadata_instance(copy, 6);
        metadata_length(copy, length);
        packet_free(p);
        queue_put(copy, true);
        return;
    }
    uint32_t group = metadata_group(p);
    if (group) {
        metadata_instance(p, 5);
        multicast(p, group);
        packet_free(p);
        return;
    }
    uint32_t port = metadata_egress_spec(p);
    if (port == DROP_PORT) {
        lose(p, LOST_BY_PROGRAM);
        return;
    }
    metadata_instance(p, 0);
    to_egress(p, port);
}

static void packet_out(struct packet *p);

static void egress_step(struct packet *p)
{
    metadata_egress(p, p->out_port, microseconds());
    egress_run(p);
    if (p->asserts) {
        lose(p, LOST_ASSERTION);
        return;
    }
    const struct session *session = p->clones ? session_of(p->clone_session) : NULL;
    p->clones = false;
    if (session) {
        struct packet *copy = packet_copy(p, true);
        metadata_clear(copy);
        list_copy(copy, p, p->clone_list);
        metadata_instance(copy, 2);
        copy->length = p->length;
        mirror(copy, session);
    }
    if (metadata_egress_spec(p) == DROP_PORT) {
        lose(p, LOST_BY_PROGRAM);
        return;
    }
    deparser_run(p);
    if (p->size > FRAME_MOST) {
        lose(p, LOST_TOO_LONG);
        return;
    }
    if (p->recirculate_list) {
        struct packet *copy = packet_copy(p, false);
        list_copy(copy, p, p->recirculate_list);
        metadata_instance(copy, 4);
        copy->length = (uint32_t)copy->size;
        metadata_length(copy, copy->length);
        copy->arrived = copy->length;
        packet_free(p);
        queue_put(copy, true);
        return;
    }
    sent++;
    packet_out(p);
}

/* A packet whose bytes stand at `data` came in. */
static void packet_in(struct packet *p, uint32_t port)
{
    received++;
    p->in_port = port;
    p->length = p->arrived = (uint32_t)p->size;
    metadata_arrived(p, port, p->length, microseconds());
    queue_put(p, false);
}

/* Works until nothing waits, for `most` steps at the most. */
static bool work(unsigned most)
{
    for (struct packet *p; listed_count && (p = queue_due(nanoseconds()));)
        queue_put(p, false);
    while (most-- > 0) {
        struct packet *p = queue_get();
        if (!p)
            return false;
        if (p->passes > PASSES_MOST)
            lose(p, LOST_TOO_MANY_PASSES);
        else if (p->stage == INGRESS)
            ingress_step(p);
        else
            egress_step(p);
    }
    return waiting.first || again.first;
}
