/* SPDX-License-Identifier: Apache-2.0
 *
 * Egress queues: a port with a rate keeps at most `depth` packets and lets one go each `gap`,
 * as BMv2's do. Without a rate, or where time stands, packets do not wait. A port has one, or one
 * for each priority, with rates and depths of their own: the highest that has a packet goes first.
 */
#define DEPTH_DEFAULT 64 /* BMv2's */
#define DEPTH_MOST 65536
#define PRIORITIES_MOST 8

struct port_queue {
    uint64_t gap, last; /* nanoseconds; gap 0: no rate */
    uint32_t depth, count;
    struct packet *first, *end;
};

static struct port_queue port_queues[PORT_MOST + 1][PRIORITIES_MOST];
static uint32_t priorities = 1;
static uint16_t listed_queues[PORT_MOST + 1];
static bool is_listed[PORT_MOST + 1];
static unsigned listed_count;

static void packet_free(struct packet *p);

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The queue in which packets for this port wait, NULL where they do not. */
static struct port_queue *queue_of(uint32_t port, uint32_t priority)
{
    struct port_queue *q = port <= PORT_MOST ? &port_queues[port][priority] : NULL;
    return q && !clock_stands && (q->gap || q->count) ? q : NULL;
}

/* Packets in all queues of a port. */
static uint32_t queued_at(uint32_t port)
{
    uint32_t found = 0;
    for (unsigned i = 0; port <= PORT_MOST && i < priorities; i++)
        found += port_queues[port][i].count;
    return found;
}

static void queue_rate_set(uint16_t port, unsigned priority, uint64_t rate)
{
    port_queues[port][priority].gap = rate ? 1000000000 / rate : 0;
    if (!is_listed[port])
        listed_queues[listed_count++] = port;
    is_listed[port] = true;
}

static void queue_wait(struct port_queue *q, struct packet *p)
{
    if (q->count >= q->depth) {
        lose(p, LOST_QUEUE);
        return;
    }
    uint64_t now = nanoseconds();
    q->last = q->last + q->gap > now ? q->last + q->gap : now;
    p->due = q->last;
    p->next = NULL;
    *(q->first ? &q->end->next : &q->first) = p;
    q->end = p;
    q->count++;
}

/* The next packet whose time has come. */
static struct packet *queue_due(uint64_t now)
{
    for (unsigned i = 0; i < listed_count; i++) {
        for (unsigned k = priorities; k-- > 0;) {
            struct port_queue *q = &port_queues[listed_queues[i]][k];
            struct packet *p = q->first;
            if (p && p->due <= now) {
                q->first = p->next;
                q->count--;
                p->behind = queued_at(listed_queues[i]);
                return p;
            }
        }
    }
    return NULL;
}

/* Nanoseconds until a packet's time comes, -1 where none waits. */
static int64_t queues_rest(void)
{
    uint64_t now = listed_count ? nanoseconds() : 0;
    int64_t rest = -1;
    for (unsigned i = 0; i < listed_count * priorities; i++) {
        const struct packet *p =
            port_queues[listed_queues[i / priorities]][i % priorities].first;
        int64_t wanted = p && p->due > now ? (int64_t)(p->due - now) : 0;
        if (p && (rest < 0 || wanted < rest))
            rest = wanted;
    }
    return rest;
}

/* Without rates, and without what waits. */
static void queues_reset(void)
{
    priorities = 1;
    for (unsigned i = 0; i < (PORT_MOST + 1) * PRIORITIES_MOST; i++) {
        struct port_queue *q = &port_queues[i / PRIORITIES_MOST][i % PRIORITIES_MOST];
        for (struct packet *p; (p = q->first); packet_free(p))
            q->first = p->next;
        q->gap = q->last = q->count = 0;
        q->depth = DEPTH_DEFAULT;
    }
}
