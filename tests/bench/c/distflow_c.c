/* The C ABI between two processes: the same streams and round trips as the core's own.
 *
 *   distflow_c receive SIZE PMD                   polls; "ready ALIAS", then "result COUNT NS CPU_NS"
 *   distflow_c receive-callback SIZE PMD          the same, by batch callbacks
 *   distflow_c send MS PMD ALIAS PAYLOAD          "result COUNT NS CPU_NS"
 *   distflow_c echo PMD                           "ready ALIAS"
 *   distflow_c ping COUNT PMD ALIAS PAYLOAD       "result P50_NS P99_NS"
 *
 * The payload's bytes 7 to 16 are a number that counts the messages; 9999999999 is the end. */

#include <distflow.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define FIRST 1000000000ULL
#define END 9999999999ULL
/* Room in the receiver's mailbox; past it the sender feels the pressure. */
#define MAILBOX_MESSAGES 16384
/* Messages taken at once. */
#define TAKE 1024
/* Messages between two looks at the clock. */
#define LOOK 256
#define NO_LIMIT (-1)

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static uint64_t cpu_ns(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000ULL +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000ULL;
}

/* What a side has done since its first message. */
static uint64_t start_ns, start_cpu_ns;

static void start(void)
{
    start_ns = now_ns();
    start_cpu_ns = cpu_ns();
}

static void report(uint64_t count)
{
    printf("result %llu %llu %llu\n", (unsigned long long)count,
           (unsigned long long)(now_ns() - start_ns),
           (unsigned long long)(cpu_ns() - start_cpu_ns));
    fflush(stdout);
}

static void check(distflow_status status, const char *what)
{
    if (status == DISTFLOW_OK)
        return;
    char text[512];
    distflow_last_error(text, sizeof text, NULL);
    printf("failed %s: %s: %s\n", what, distflow_status_name(status), text);
    fflush(stdout);
    exit(1);
}

static void set_number(char *payload, uint64_t number)
{
    for (int i = 16; i >= 7; i--) {
        payload[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

static uint64_t number_of(const distflow_message *message)
{
    uint64_t sum = 0;
    for (int i = 7; i < 17; i++)
        sum = sum * 10 + (uint64_t)(message->payload.data[i] - '0');
    return sum;
}

static distflow_node *open_node(const char *alias, const char *pmd)
{
    distflow_node_options options;
    check(distflow_node_options_init(&options, sizeof options), "options");
    options.alias = alias;
    options.pmd_port = (uint16_t)atoi(pmd);
    options.auto_start = 0;
    options.mailbox_messages_max = MAILBOX_MESSAGES;
    options.overflow = DISTFLOW_OVERFLOW_BLOCK;
    distflow_node *node = NULL;
    check(distflow_node_open(&options, &node), "open");
    return node;
}

static void ready(const char *alias)
{
    printf("ready %s\n", alias);
    fflush(stdout);
}

/* Takes messages in order; true when the stream has ended. */
static bool take(const distflow_message *messages, size_t len, size_t size, uint64_t *count)
{
    for (size_t i = 0; i < len; i++) {
        uint64_t number = messages[i].payload.len < 17 ? 0 : number_of(&messages[i]);
        if (number == END)
            return true;
        if (number != FIRST + *count || messages[i].payload.len != size) {
            printf("failed order: message %llu\n", (unsigned long long)number);
            fflush(stdout);
            exit(1);
        }
        ++*count;
    }
    return false;
}

static void receive(size_t size, const char *pmd)
{
    distflow_node *node = open_node("receiver", pmd);
    ready("receiver");
    uint64_t count = 0;
    for (bool first = true, ended = false; !ended; first = false) {
        distflow_messages messages;
        check(distflow_node_recv_many(node, TAKE, NO_LIMIT, &messages), "receive");
        if (first)
            start();
        ended = take(messages.items, messages.len, size, &count);
        distflow_messages_free(&messages);
    }
    report(count);
    distflow_node_free(node);
}

struct stream {
    size_t size;
    uint64_t count;
    int done;
};

static void on_messages(distflow_node *node, const distflow_message *messages, size_t len,
                        void *context)
{
    struct stream *stream = context;
    (void)node;
    if (stream->count == 0)
        start();
    if (take(messages, len, stream->size, &stream->count)) {
        report(stream->count);
        if (write(stream->done, "", 1) != 1)
            exit(1);
    }
}

static void receive_by_callback(size_t size, const char *pmd)
{
    distflow_node *node = open_node("receiver", pmd);
    int ends[2];
    if (pipe(ends) != 0)
        exit(1);
    struct stream stream = {.size = size, .done = ends[1]};
    check(distflow_node_on_messages(node, on_messages, &stream, NULL), "on_messages");
    ready("receiver");
    char byte;
    if (read(ends[0], &byte, 1) != 1)
        exit(1);
    distflow_node_free(node);
}

static void send_all(uint64_t ms, const char *pmd, const char *target, char *payload)
{
    distflow_node *node = open_node("sender", pmd);
    size_t len = strlen(payload);
    uint64_t sent = 0;
    start();
    while (sent % LOOK != 0 || now_ns() - start_ns < ms * 1000000ULL) {
        set_number(payload, FIRST + sent);
        check(distflow_node_send(node, target, payload, len, NO_LIMIT), "send");
        sent++;
    }
    set_number(payload, END);
    check(distflow_node_send(node, target, payload, len, NO_LIMIT), "send");
    report(sent);
    /* Flushes what is queued. */
    check(distflow_node_close(node, NO_LIMIT), "close");
    distflow_node_free(node);
}

static void echo(const char *pmd)
{
    distflow_node *node = open_node("echo", pmd);
    ready("echo");
    for (;;) {
        distflow_message message;
        check(distflow_node_recv(node, NO_LIMIT, &message), "receive");
        check(distflow_node_send(node, message.from.data, message.payload.data,
                                 message.payload.len, NO_LIMIT),
              "send");
        distflow_message_free(&message);
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void ping(uint64_t count, const char *pmd, const char *target, char *payload)
{
    distflow_node *node = open_node("ping", pmd);
    size_t len = strlen(payload);
    uint64_t warm = count / 10;
    uint64_t *times = malloc(count * sizeof *times);
    if (times == NULL)
        exit(1);
    for (uint64_t i = 0; i < count + warm; i++) {
        uint64_t begun = now_ns();
        set_number(payload, FIRST + i);
        check(distflow_node_send(node, target, payload, len, NO_LIMIT), "send");
        distflow_message message;
        check(distflow_node_recv(node, NO_LIMIT, &message), "receive");
        if (number_of(&message) != FIRST + i) {
            printf("failed ping: an answer to another question\n");
            exit(1);
        }
        distflow_message_free(&message);
        if (i >= warm)
            times[i - warm] = now_ns() - begun;
    }
    qsort(times, count, sizeof *times, compare);
    printf("result %llu %llu\n", (unsigned long long)times[count / 2],
           (unsigned long long)times[count * 99 / 100]);
    fflush(stdout);
    free(times);
    distflow_node_free(node);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "receive") == 0)
        receive(strtoul(argv[2], NULL, 10), argv[3]);
    else if (argc == 4 && strcmp(argv[1], "receive-callback") == 0)
        receive_by_callback(strtoul(argv[2], NULL, 10), argv[3]);
    else if (argc == 6 && strcmp(argv[1], "send") == 0)
        send_all(strtoull(argv[2], NULL, 10), argv[3], argv[4], argv[5]);
    else if (argc == 3 && strcmp(argv[1], "echo") == 0)
        echo(argv[2]);
    else if (argc == 6 && strcmp(argv[1], "ping") == 0)
        ping(strtoull(argv[2], NULL, 10), argv[3], argv[4], argv[5]);
    else {
        printf("failed: unknown role\n");
        return 2;
    }
    return 0;
}
