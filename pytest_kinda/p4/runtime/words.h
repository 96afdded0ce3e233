/* SPDX-License-Identifier: Apache-2.0
 *
 * The control protocol: lines of text, numbers for names (the client knows the program). Each
 * line is answered by any number of lines that start with "- " and one that starts with "ok" or
 * "error". Numbers are decimal, keys and values hexadecimal. Here: how lines are read and made.
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

struct words { char *rest; const char *bad; bool answered; };

/* The line that ends an answer, where it says more than "ok". */
#define answer(w, reply, ...) ((w)->answered = true, say(reply, __VA_ARGS__))

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
        to[i] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
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
