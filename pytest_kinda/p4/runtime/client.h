/* SPDX-License-Identifier: Apache-2.0
 *
 * The other end of a switch's control socket, so that the container it runs in needs no tool for
 * that: the same program asks the process which runs there.
 *
 *   PROGRAM --ask FOLDER COMMAND...   ends with 1 if one was refused
 *   PROGRAM --ask FOLDER              carries standard input there and the answers back
 *   PROGRAM --ready FOLDER HASH PORT=INTERFACE...
 *       ends with 0 if the process answers, runs the program of that hash, and each port is up
 */
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A connected socket; -1 where nobody answers, which is said together with the log's end. */
static int switch_of(const char *folder)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[4096], end[600];
    int n = snprintf(address.sun_path, sizeof address.sun_path, "%s/control", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (n > 0 && (size_t)n < sizeof address.sun_path && fd >= 0 &&
        !connect(fd, (struct sockaddr *)&address, sizeof address))
        return fd;
    fprintf(stderr, "no P4 switch answers in %s: %s", folder, strerror(errno));
    snprintf(path, sizeof path, "%s/log", folder);
    FILE *log = fopen(path, "r");
    if (log) {
        (void)fseek(log, 0, SEEK_END);
        long size = ftell(log);
        (void)fseek(log, size > 500 ? size - 500 : 0, SEEK_SET);
        size_t got = fread(end, 1, 500, log);
        while (got && end[got - 1] == '\n')
            got--;
        fprintf(stderr, "; its log %s%.*s", got ? "ends with: " : "is empty", (int)got, end);
        fclose(log);
    }
    fputc('\n', stderr);
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool all_written(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

static int relay(int fd)
{
    static char data[65536];
    struct pollfd ends[2] = {{.fd = 0, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

    while (poll(ends, 2, -1) >= 0 || errno == EINTR) {
        for (int i = 0; i < 2; i++) {
            if (!ends[i].revents)
                continue;
            ssize_t n = read(ends[i].fd, data, sizeof data);
            if (n <= 0 || !all_written(i ? 1 : fd, data, (size_t)n))
                return i; /* nothing more to ask, or the switch is gone */
        }
    }
    return 1;
}

/* The next line of an answer; false where the switch is gone. */
static bool answer_line(FILE *from, char *line, size_t room)
{
    if (!fgets(line, (int)room, from)) {
        fprintf(stderr, "the P4 switch is gone\n");
        return false;
    }
    return true;
}

static int ask(const char *folder, char **commands, int count)
{
    static char line[65536];
    int fd = switch_of(folder), refused = 0;

    if (fd < 0)
        return 1;
    if (!count)
        return relay(fd);
    FILE *from = fdopen(fd, "r");
    for (int i = 0; from && i < count; i++) {
        if (!all_written(fd, commands[i], strlen(commands[i])) || !all_written(fd, "\n", 1))
            return 1;
        do {
            if (!answer_line(from, line, sizeof line))
                return 1;
            fputs(line, strncmp(line, "error", 5) ? stdout : stderr);
        } while (!strncmp(line, "- ", 2));
        refused |= !strncmp(line, "error", 5);
    }
    return refused;
}

static int ready(const char *folder, const char *hash, char **wanted, int count)
{
    static char line[65536];
    int fd = switch_of(folder), missing = 0;
    FILE *from = fd < 0 ? NULL : fdopen(fd, "r");
    static const char question[] = "program\nports\n";

    if (!from || !all_written(fd, question, sizeof question - 1) ||
        !answer_line(from, line, sizeof line))
        return 1;
    if (strncmp(line, "ok ", 3) || strncmp(line + 3, hash, strlen(hash))) {
        fprintf(stderr, "it runs the program %.20s, expected %.16s\n", line, hash);
        return 1;
    }
    bool up[count + 1];
    memset(up, 0, sizeof up);
    while (answer_line(from, line, sizeof line) && !strncmp(line, "- ", 2)) {
        char port[32], name[32], state[32], both[80];
        if (sscanf(line, "- %31s %31s %31s", port, name, state) != 3)
            continue;
        snprintf(both, sizeof both, "%s=%s", port, name);
        for (int i = 0; i < count; i++)
            up[i] |= !strcmp(both, wanted[i]) && !strcmp(state, "up");
    }
    for (int i = 0; i < count; i++) {
        if (!up[i])
            fprintf(stderr, "%s%s", missing++ ? ", " : "ports not up: ", wanted[i]);
    }
    if (missing)
        fputc('\n', stderr);
    return missing != 0;
}
