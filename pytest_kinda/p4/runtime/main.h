/* SPDX-License-Identifier: Apache-2.0
 *
 * Where packets and commands come from.
 *
 *   PROGRAM --stdio                          records on standard input and output
 *   PROGRAM --socket PATH PORT=INTERFACE...  AF_PACKET sockets, commands on a Unix socket
 *
 * A record is its port and its length (big-endian, 32 bits each) and that many bytes. A record
 * of port COMMAND is a line of the control protocol; it is answered by such a record when
 * everything that came before it has been worked on.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#define COMMAND 0xffffffffu
#define BATCH 32
#define CLIENTS_MOST 16

__attribute__((noreturn, format(printf, 1, 2)))
static void fail(const char *format, ...)
{
    __builtin_va_list arguments;
    __builtin_va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

/* ---- records ---- */

static bool records;

static bool record_read(void *to, size_t size)
{
    return fread(to, 1, size, stdin) == size;
}

static void record_write(uint32_t port, const void *data, size_t size)
{
    uint32_t head[2] = {htonl(port), htonl((uint32_t)size)};
    if (fwrite(head, sizeof head, 1, stdout) != 1 || fwrite(data, 1, size, stdout) != size)
        exit(1);
}

static int records_run(void)
{
    static char line[LINE_MOST + 1];
    struct reply reply = {0};
    uint32_t head[2];

    records = clock_stands = true;
    while (record_read(head, sizeof head)) {
        uint32_t port = ntohl(head[0]), size = ntohl(head[1]);
        if (port == COMMAND) {
            if (size > LINE_MOST || !record_read(line, size))
                fail("a command is too long, or cut");
            line[size] = 0;
            reply.size = 0;
            command_run(line, &reply);
            record_write(COMMAND, reply.text, reply.size);
            if (fflush(stdout))
                return 1;
            continue;
        }
        struct packet *p = packet_new();
        if (size > FRAME_MOST || !record_read(p->data, size))
            fail("a packet is too long, or cut");
        p->size = size;
        packet_in(p, port);
        while (work(1024))
            ;
    }
    return fflush(stdout) != 0;
}

/* ---- interfaces ---- */

struct port { int socket; struct packet *out[BATCH]; unsigned waits; };

static struct port ports[PORT_MOST + 1];
static uint16_t used_ports[PORT_MOST + 1];
static unsigned used_count;

static void port_flush(struct port *port)
{
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    unsigned done = 0;

    memset(messages, 0, port->waits * sizeof *messages);
    for (unsigned i = 0; i < port->waits; i++) {
        parts[i] = (struct iovec){port->out[i]->data, size_of(port->out[i])};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (done < port->waits) {
        int n = sendmmsg(port->socket, messages + done, port->waits - done, MSG_DONTWAIT);
        if (n <= 0) {
            if (n < 0 && errno == EINTR)
                continue;
            lost_counts[LOST_SEND]++; /* too long for the interface, or it is down or full */
            sent--;
            done++;
            continue;
        }
        done += (unsigned)n;
    }
    for (unsigned i = 0; i < port->waits; i++)
        packet_free(port->out[i]);
    port->waits = 0;
}

static void packet_out(struct packet *p)
{
    if (records) {
        record_write(p->out_port, p->data, size_of(p));
        packet_free(p);
        return;
    }
    struct port *port = p->out_port <= PORT_MOST ? &ports[p->out_port] : NULL;
    if (!port || port->socket <= 0) {
        sent--;
        lose(p, LOST_PORT);
        return;
    }
    port->out[port->waits++] = p;
    if (port->waits == BATCH)
        port_flush(port);
}

static void port_open(uint16_t number, const char *name)
{
    int on = 1, buffer = 4 << 20;
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    struct packet_mreq everything = {.mr_type = PACKET_MR_PROMISC};

    address.sll_ifindex = everything.mr_ifindex = (int)if_nametoindex(name);
    if (!address.sll_ifindex)
        fail("port %u: there is no interface %s", number, name);
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        fail("port %u: no packet socket: %s", number, strerror(errno));
    if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) ||
        setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &everything, sizeof everything) ||
        bind(fd, (struct sockaddr *)&address, sizeof address))
        fail("port %u: interface %s: %s", number, name, strerror(errno));
    /* More is better, and neither is needed: a kernel may refuse them. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer))
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer))
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    ports[number].socket = fd;
    used_ports[used_count++] = number;
}

/* The kernel takes the outer VLAN tag out of what it receives: it is put back. */
static void tag_restore(struct packet *p, struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
            continue;
        struct tpacket_auxdata extra;
        memcpy(&extra, CMSG_DATA(c), sizeof extra);
        if (!(extra.tp_status & TP_STATUS_VLAN_VALID) || p->size < 12 ||
            p->size + 4 > FRAME_MOST)
            continue;
        uint16_t type = extra.tp_status & TP_STATUS_VLAN_TPID_VALID ? extra.tp_vlan_tpid : 0x8100;
        memmove(p->data - 4, p->data, 12);
        p->data -= 4;
        p->size += 4;
        p->data[12] = (uint8_t)(type >> 8);
        p->data[13] = (uint8_t)type;
        p->data[14] = (uint8_t)(extra.tp_vlan_tci >> 8);
        p->data[15] = (uint8_t)extra.tp_vlan_tci;
    }
}

static void port_receive(uint16_t number)
{
    static struct packet *in[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    static _Alignas(struct cmsghdr) char extra[BATCH][CMSG_SPACE(sizeof(struct tpacket_auxdata))];

    memset(messages, 0, sizeof messages);
    for (unsigned i = 0; i < BATCH; i++) {
        if (!in[i])
            in[i] = packet_new();
        parts[i] = (struct iovec){in[i]->data, FRAME_MOST};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_control = extra[i];
        messages[i].msg_hdr.msg_controllen = sizeof extra[i];
    }
    int count = recvmmsg(ports[number].socket, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        struct packet *p = in[i];
        in[i] = NULL;
        p->size = messages[i].msg_len;
        if (messages[i].msg_hdr.msg_flags & MSG_TRUNC) {
            received++;
            lose(p, LOST_TOO_LONG);
            continue;
        }
        tag_restore(p, &messages[i].msg_hdr);
        packet_in(p, number);
    }
}

/* ---- control socket ---- */

struct client { int fd; char *line; size_t size; struct reply reply; size_t written; };

static struct client clients[CLIENTS_MOST];
static int control = -1;
static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static void control_open(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        fail("the control socket's path is too long: %s", path);
    strcpy(address.sun_path, path);
    control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)unlink(path);
    if (control < 0 || bind(control, (struct sockaddr *)&address, sizeof address) ||
        listen(control, CLIENTS_MOST))
        fail("control socket %s: %s", path, strerror(errno));
}

static void client_close(struct client *c)
{
    close(c->fd);
    free(c->line);
    free(c->reply.text);
    memset(c, 0, sizeof *c);
}

static void client_write(struct client *c)
{
    while (c->written < c->reply.size) {
        ssize_t n = send(c->fd, c->reply.text + c->written, c->reply.size - c->written,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            client_close(c);
            return;
        }
        c->written += (size_t)n;
    }
    c->written = c->reply.size = 0;
}

static void client_read(struct client *c)
{
    if (!c->line)
        c->line = owned(malloc(LINE_MOST + 1));
    ssize_t n = recv(c->fd, c->line + c->size, LINE_MOST - c->size, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_close(c);
        return;
    }
    c->size += (size_t)n;
    char *start = c->line, *end;
    while ((end = memchr(start, '\n', c->size - (size_t)(start - c->line)))) {
        *end = 0;
        command_run(start, &c->reply);
        start = end + 1;
    }
    c->size -= (size_t)(start - c->line);
    memmove(c->line, start, c->size);
    if (c->size == LINE_MOST) {
        client_close(c); /* no command is that long */
        return;
    }
    client_write(c);
}

static void client_accept(void)
{
    int fd = accept4(control, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    for (unsigned i = 0; fd >= 0 && i < CLIENTS_MOST; i++) {
        if (!clients[i].fd) {
            clients[i].fd = fd;
            return;
        }
    }
    if (fd >= 0)
        close(fd);
}

static int interfaces_run(void)
{
    struct pollfd polled[PORT_MOST + 2 + CLIENTS_MOST];
    bool busy = false;

    while (!stopped) {
        unsigned n = 0;
        for (unsigned i = 0; i < used_count; i++)
            polled[n++] = (struct pollfd){.fd = ports[used_ports[i]].socket, .events = POLLIN};
        polled[n++] = (struct pollfd){.fd = control, .events = POLLIN};
        for (unsigned i = 0; i < CLIENTS_MOST; i++)
            polled[n++] = (struct pollfd){
                .fd = clients[i].fd ? clients[i].fd : -1,
                .events = (short)(clients[i].reply.size ? POLLOUT : POLLIN)};
        int64_t rest = busy ? 0 : queues_rest();
        struct timespec wait = {rest / 1000000000, rest % 1000000000};
        if (ppoll(polled, n, rest < 0 ? NULL : &wait, NULL) < 0) {
            if (errno == EINTR)
                continue;
            fail("poll: %s", strerror(errno));
        }
        for (unsigned i = 0; i < used_count; i++) {
            if (polled[i].revents & POLLERR) { /* the interface went down: read the error away */
                int error;
                socklen_t size = sizeof error;
                (void)getsockopt(polled[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
            }
            if (polled[i].revents & POLLIN && !busy)
                port_receive(used_ports[i]);
        }
        busy = work(BATCH * 16);
        for (unsigned i = 0; i < used_count; i++)
            if (ports[used_ports[i]].waits)
                port_flush(&ports[used_ports[i]]);
        if (polled[used_count].revents & POLLIN)
            client_accept();
        for (unsigned i = 0; i < CLIENTS_MOST; i++) {
            short happened = polled[used_count + 1 + i].revents;
            if (clients[i].fd && happened & POLLOUT)
                client_write(&clients[i]);
            else if (clients[i].fd && happened)
                client_read(&clients[i]);
        }
    }
    return 0;
}

int main(int count, char **words)
{
    for (unsigned i = 0; i < TABLES; i++)
        if (tables[i].match == LPM)
            tables[i].prefixes = owned(calloc(130, sizeof *tables[i].prefixes));
    for (unsigned i = 0; i < REGISTERS; i++)
        registers[i].values = owned(calloc(registers[i].size + 1u, sizeof(u128)));
    for (unsigned i = 0; i < COUNTERS; i++)
        counters[i].values = owned(calloc(2 * (size_t)counters[i].size + 1, sizeof(u128)));
    for (unsigned i = 0; i < METERS; i++)
        meters[i].values = owned(calloc(meters[i].size + 1u, sizeof *meters[i].values));
    clock_start = clock_read();
    everything_reset();

    if (count == 2 && !strcmp(words[1], "--stdio"))
        return records_run();
    if (count >= 3 && !strcmp(words[1], "--socket")) {
        struct sigaction action = {.sa_handler = stop};
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGINT, &action, NULL);
        random_state ^= clock_start | 1;
        for (int i = 3; i < count; i++) {
            char *name = strchr(words[i], '='), *end;
            long number_of = strtol(words[i], &end, 10);
            if (!name || end != name || number_of < 0 || number_of > PORT_MOST)
                fail("not PORT=INTERFACE: %s", words[i]);
            port_open((uint16_t)number_of, name + 1);
        }
        control_open(words[2]);
        return interfaces_run();
    }
    fail("usage: %s --stdio | --socket PATH PORT=INTERFACE...", words[0]);
}
