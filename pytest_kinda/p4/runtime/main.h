/* SPDX-License-Identifier: Apache-2.0
 *
 * Where packets and commands come from.
 *
 *   PROGRAM --stdio                          records on standard input and output
 *   PROGRAM --socket PATH PORT=INTERFACE...  AF_PACKET sockets, commands on a Unix socket
 *   PROGRAM --switch FOLDER PORT=INTERFACE...
 *       the same in the background, once all is ready: commands on FOLDER/control, messages in
 *       FOLDER/log; the commands in FOLDER/declared, where it is there, are carried out first
 *       and after each reset. An interface that is missing is a port to be attached later
 *   PROGRAM --swap FOLDER DECLARED PORT=INTERFACE...
 *       takes the place of the switch that runs there, which ends; DECLARED is the name of the
 *       file of commands in FOLDER, or - for none
 *   PROGRAM --ask FOLDER [COMMAND...]        asks such a switch, see client.h
 *   PROGRAM --ready FOLDER HASH PORT=INTERFACE...
 *
 * The interface @controller makes a port the CPU port, see controller.h.
 *
 * A record is its port and its length (big-endian, 32 bits each) and that many bytes. A record
 * of port COMMAND is a line of the control protocol; it is answered by such a record when
 * everything that came before it has been worked on.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define COMMAND 0xffffffffu
#define BATCH 32
#define CLIENTS_MOST 16
#define CONTROLLER "@controller"

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

struct port {
    int socket; /* 0: no interface */
    bool used;
    int index;
    char name[IFNAMSIZ];
    struct packet *out[BATCH];
    unsigned waits;
};

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
    if ((int64_t)p->out_port == controller_port) {
        controller_keep(p);
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

/* What is wrong, NULL if nothing is. A port that is open already gets the new interface. */
static const char *port_open(uint16_t number, const char *name)
{
    static char bad[128];
    struct port *port = &ports[number];
    int on = 1, buffer = 4 << 20, fd = -1;
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    struct packet_mreq everything = {.mr_type = PACKET_MR_PROMISC};

    if (!strcmp(name, CONTROLLER)) {
        controller_port = number;
        return NULL;
    }
    if (strlen(name) >= sizeof port->name) {
        snprintf(bad, sizeof bad, "port %u: %.40s... is no name of an interface", number, name);
        return bad;
    }
    if (!port->used)
        used_ports[used_count++] = number;
    port->used = true;
    strcpy(port->name, name);
    if (port->socket > 0)
        close(port->socket);
    port->socket = 0;
    port->index = address.sll_ifindex = everything.mr_ifindex = (int)if_nametoindex(name);
    if (!port->index) {
        snprintf(bad, sizeof bad, "port %u: there is no interface %s", number, name);
        return bad;
    }
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) ||
        setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &everything, sizeof everything) ||
        bind(fd, (struct sockaddr *)&address, sizeof address)) {
        snprintf(bad, sizeof bad, "port %u: interface %s: %s", number, name, strerror(errno));
        if (fd >= 0)
            close(fd);
        return bad;
    }
    /* More is better, and neither is needed: a kernel may refuse them. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer))
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer))
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    port->socket = fd;
    return NULL;
}

static const char *command_attach(struct words *w, struct reply *reply)
{
    (void)reply;
    uint16_t number_of = (uint16_t)number(w, 0, PORT_MOST);
    const char *name = word(w);
    return w->bad ? w->bad : port_open(number_of, name);
}

/* Port, interface, and whether that is up, down or gone. */
static const char *command_ports(struct words *w, struct reply *reply)
{
    (void)w;
    for (unsigned i = 0; i < used_count; i++) {
        struct port *port = &ports[used_ports[i]];
        struct ifreq flags = {0};
        const char *state = "gone";
        strcpy(flags.ifr_name, port->name);
        if (port->socket > 0 && (int)if_nametoindex(port->name) == port->index &&
            !ioctl(port->socket, SIOCGIFFLAGS, &flags))
            state = flags.ifr_flags & IFF_UP && flags.ifr_flags & IFF_RUNNING ? "up" : "down";
        say(reply, "- %u %s %s\n", used_ports[i], port->name, state);
    }
    if (controller_port >= 0)
        say(reply, "- %d " CONTROLLER " up\n", controller_port);
    return NULL;
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

static const char *command_end(struct words *w, struct reply *reply)
{
    (void)w, (void)reply;
    stopped = 1;
    return NULL;
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
        unsigned n = 0, used = used_count; /* a command may attach another port */
        for (unsigned i = 0; i < used; i++)
            polled[n++] = (struct pollfd){
                .fd = ports[used_ports[i]].socket > 0 ? ports[used_ports[i]].socket : -1,
                .events = POLLIN};
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
        for (unsigned i = 0; i < used; i++) {
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
        if (polled[used].revents & POLLIN)
            client_accept();
        for (unsigned i = 0; i < CLIENTS_MOST; i++) {
            short happened = polled[used + 1 + i].revents;
            if (clients[i].fd && happened & POLLOUT)
                client_write(&clients[i]);
            else if (clients[i].fd && happened)
                client_read(&clients[i]);
        }
        busy |= waiting.first != NULL; /* a client has sent a packet */
    }
    return 0;
}

/* ---- a switch in the background ---- */

static char *declared_text;

/* Carry out the declared commands; a line that begins with # names those after it. */
static const char *declared_run(void)
{
    static struct reply reply, bad;
    const char *note = "declared commands";

    for (char *start = declared_text, *end; start && *start; start = end + 1) {
        char line[LINE_MOST];
        end = strchrnul(start, '\n');
        size_t size = (size_t)(end - start);
        if (size >= sizeof line)
            return "a declared command is too long";
        memcpy(line, start, size);
        line[size] = 0;
        if (*line == '#') {
            note = start + 1 + strspn(start + 1, " ");
        } else if (size) {
            reply.size = 0;
            command_run(line, &reply);
            if (reply.size >= 5 && !memcmp(reply.text, "error", 5)) {
                bad.size = 0;
                say(&bad, "%.*s: %.*s", (int)strcspn(note, "\n"), note,
                    (int)strcspn(reply.text, "\n"), reply.text);
                return bad.text;
            }
        }
        if (!*end)
            break;
    }
    return NULL;
}

static void declared_load(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        if (errno != ENOENT)
            fail("%s: %s", path, strerror(errno));
        return;
    }
    size_t size = 0, n;
    do {
        declared_text = owned(realloc(declared_text, size + LINE_MOST + 1));
        n = fread(declared_text + size, 1, LINE_MOST, file);
        size += n;
    } while (n);
    declared_text[size] = 0;
    fclose(file);
    declared_state = declared_run;
    const char *bad = declared_run();
    if (bad)
        fail("%s", bad);
}

static uint16_t port_word(char *text, char **name)
{
    char *end;
    long found = strtol(text, &end, 10);
    if (end == text || *end != '=' || found < 0 || found > PORT_MOST)
        fail("not PORT=INTERFACE: %s", text);
    *name = end + 1;
    return (uint16_t)found;
}

/* Ends the switch that runs in this folder, if one does. */
static void predecessor_end(void)
{
    static const char end[] = "end\n";
    char answer[64];
    int fd = switch_of(".");
    if (fd < 0)
        return;
    if (all_written(fd, end, sizeof end - 1))
        while (read(fd, answer, sizeof answer) > 0)
            ; /* until it is gone */
    close(fd);
}

/* Everything that can fail has failed, or not, before the caller goes on. */
static void into_background(bool awaits)
{
    int log = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (log < 0 || nothing < 0)
        fail("log: %s", strerror(errno));
    alarm(awaits ? 10 : 0);
    if (flock(log, awaits ? LOCK_EX : LOCK_EX | LOCK_NB))
        fail("a switch runs there already");
    alarm(0);
    control_open("control");
    pid_t child = fork();
    if (child < 0)
        fail("no process: %s", strerror(errno));
    if (child)
        _exit(0);
    setsid();
    dup2(nothing, 0);
    dup2(log, 1);
    dup2(log, 2);
}

int main(int count, char **words)
{
    if (count >= 3 && !strcmp(words[1], "--ask"))
        return ask(words[2], words + 3, count - 3);
    if (count >= 4 && !strcmp(words[1], "--ready"))
        return ready(words[2], words[3], words + 4, count - 4);

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
    bool swaps = count >= 4 && !strcmp(words[1], "--swap");
    bool background = swaps || (count >= 3 && !strcmp(words[1], "--switch"));
    if (background || (count >= 3 && !strcmp(words[1], "--socket"))) {
        struct sigaction action = {.sa_handler = stop};
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGINT, &action, NULL);
        random_state ^= clock_start | 1;
        if (background && chdir(words[2]))
            fail("%s: %s", words[2], strerror(errno));
        if (background)
            declared_load(declared_name = swaps ? words[3] : "declared");
        if (swaps)
            predecessor_end();
        for (int i = swaps ? 4 : 3; i < count; i++) {
            char *name;
            uint16_t port = port_word(words[i], &name);
            const char *bad = port_open(port, name);
            if (bad && !(background && !ports[port].index))
                fail("%s", bad);
        }
        if (background)
            into_background(swaps);
        else
            control_open(words[2]);
        return interfaces_run();
    }
    fail("usage: %s --stdio | --socket PATH PORT=INTERFACE... | --switch FOLDER "
         "PORT=INTERFACE... | --swap FOLDER DECLARED PORT=INTERFACE... | "
         "--ask FOLDER [COMMAND...] | --ready FOLDER HASH PORT=INTERFACE...",
         words[0]);
}
