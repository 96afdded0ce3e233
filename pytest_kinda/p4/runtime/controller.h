/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU port: what the program sends there waits for the controller, who may send packets in by
 * it. It has no interface; both go over the control socket.
 */
#define WAITING_MOST 1024 /* packets; one more is lost, and counted */

struct waiting_packet { uint8_t *data; size_t size; };

static int32_t controller_port = -1; /* -1: none */
static struct waiting_packet controller_packets[WAITING_MOST];
static uint32_t controller_count;
static uint64_t controller_lost;

static void controller_keep(struct packet *p)
{
    if (controller_count == WAITING_MOST) {
        sent--;
        controller_lost++;
        lose(p, LOST_CONTROLLER);
        return;
    }
    size_t size = size_of(p);
    struct waiting_packet *kept = &controller_packets[controller_count++];
    kept->data = owned(malloc(size + 1));
    kept->size = size;
    memcpy(kept->data, p->data, size);
    packet_free(p);
}

static void controller_clear(void)
{
    while (controller_count)
        free(controller_packets[--controller_count].data);
    controller_lost = 0;
}

/* Gives the packets that wait, and forgets them; "ok" says how many more did not fit. */
static const char *command_packets_take(struct words *w, struct reply *reply)
{
    if (controller_port < 0)
        return "the switch has no CPU port";
    for (uint32_t i = 0; i < controller_count; i++) {
        say(reply, "- ");
        say_hex(reply, controller_packets[i].data, (unsigned)controller_packets[i].size);
        say(reply, "\n");
    }
    answer(w, reply, "ok %llu\n", (unsigned long long)controller_lost);
    controller_clear();
    return NULL;
}

static const char *command_packet_send(struct words *w, struct reply *reply)
{
    (void)reply;
    if (controller_port < 0)
        return "the switch has no CPU port";
    size_t digits = strlen(w->rest);
    struct packet *p = packet_new();
    p->size = digits / 2;
    if (digits % 2 || !digits)
        w->bad = "a packet is whole bytes, one at the least";
    else
        hex_bytes(w, p->data, (unsigned)p->size);
    if (w->bad)
        packet_free(p);
    else
        packet_in(p, (uint32_t)controller_port);
    return w->bad;
}
