/* What every C test shares: checks that name the line, waiting without sleeping blindly, and a
 * PMD, nodes and contexts made in one line. */
#ifndef DISTFLOW_TESTS_CHECK_H
#define DISTFLOW_TESTS_CHECK_H

#include <distflow.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long a test waits for what must happen. It only bounds a failing run. */
#define LIMIT_MS 60000

/* Ends the process: threads of a failing test must not hold it. */
#define FAIL(...)                                                                                  \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fputc('\n', stderr);                                                                       \
        _exit(1);                                                                                  \
    } while (0)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) FAIL("%s is not so", #condition);                                        \
    } while (0)

#define CHECK_EQ(left, right)                                                                      \
    do {                                                                                           \
        long long check_left = (long long)(left), check_right = (long long)(right);                \
        if (check_left != check_right)                                                             \
            FAIL("%s is %lld, but %s is %lld", #left, check_left, #right, check_right);            \
    } while (0)

/* Checks the status of a call, and that the last error has the same. */
#define EXPECT(status, call)                                                                       \
    do {                                                                                           \
        distflow_status check_got = (call);                                                        \
        char check_text[512] = "";                                                                 \
        distflow_status check_last = distflow_last_error(check_text, sizeof check_text, NULL);     \
        if (check_got != (status))                                                                 \
            FAIL("%s gave %s (%s) and not %s", #call, distflow_status_name(check_got), check_text, \
                 distflow_status_name(status));                                                    \
        if (check_last != check_got)                                                               \
            FAIL("%s gave %s, but the last error is %s", #call, distflow_status_name(check_got),   \
                 distflow_status_name(check_last));                                                \
    } while (0)

#define OK(call) EXPECT(DISTFLOW_OK, call)

/* Text and its length. */
#define TEXT(text) text, strlen(text)

/* Waits until a condition holds. */
#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        long long check_deadline = now_ms() + LIMIT_MS;                                            \
        while (!(condition)) {                                                                     \
            if (now_ms() > check_deadline) FAIL("waited in vain until %s", #condition);            \
            poll(NULL, 0, 1);                                                                      \
        }                                                                                          \
    } while (0)

static inline long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Numbers that are the same in every run. */
static inline uint64_t random_number(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* What a context has seen. */
typedef struct context {
    atomic_long calls;
    atomic_int drops;
} context;

static inline void drop_context(void *pointer) {
    context *self = pointer;
    atomic_fetch_add(&self->drops, 1);
}

/* An embedded PMD on a free port. */
static inline distflow_pmd *open_pmd(uint16_t *port) {
    distflow_pmd_options options;
    OK(distflow_pmd_options_init(&options, sizeof options));
    options.port = 0;
    distflow_pmd *pmd = NULL;
    OK(distflow_pmd_open(&options, &pmd));
    OK(distflow_pmd_port(pmd, port));
    return pmd;
}

/* Options of a node that launches nothing; alias may be NULL. */
static inline distflow_node_options node_options(uint16_t pmd_port, const char *alias) {
    distflow_node_options options;
    OK(distflow_node_options_init(&options, sizeof options));
    options.pmd_port = pmd_port;
    options.alias = alias;
    options.auto_start = 0;
    /* A machine under load is no failure. */
    options.start_timeout_ms = LIMIT_MS;
    options.request_timeout_ms = LIMIT_MS;
    return options;
}

static inline distflow_node *open_node(uint16_t pmd_port, const char *alias) {
    distflow_node_options options = node_options(pmd_port, alias);
    distflow_node *node = NULL;
    OK(distflow_node_open(&options, &node));
    return node;
}

static inline void send_text(distflow_node *node, const char *target, const char *json) {
    OK(distflow_node_send(node, target, json, strlen(json), LIMIT_MS));
}

static inline uint64_t waiting(distflow_node *node) {
    distflow_stats stats = {.struct_size = sizeof stats};
    OK(distflow_node_stats(node, &stats));
    return stats.waiting;
}

static inline size_t registered(distflow_pmd *pmd) {
    distflow_peers peers;
    OK(distflow_pmd_snapshot(pmd, &peers));
    size_t count = peers.len;
    distflow_peers_free(&peers);
    return count;
}

static inline size_t known_peers(distflow_node *node) {
    distflow_peers peers;
    OK(distflow_node_peers(node, &peers));
    size_t count = peers.len;
    distflow_peers_free(&peers);
    return count;
}

/* Waits until a node knows so many others: the news of who came before it is an event as well. */
static inline void await_peers(distflow_node *node, size_t count) {
    WAIT_UNTIL(known_peers(node) == count);
}

/* Sends until that many messages wait at the target. */
static inline void fill(distflow_node *from, distflow_node *to, const char *alias, int messages) {
    for (int i = 0; i < messages; i++) send_text(from, alias, "1");
    WAIT_UNTIL(waiting(to) >= (uint64_t)messages);
}

/* A case of a program, run by its name. */
typedef struct test_case {
    const char *name;
    void (*run)(void);
} test_case;

static inline int run_case(const test_case *cases, size_t count, int argc, char **argv) {
    if (argc < 2) FAIL("the name of a case is missing");
    for (size_t i = 0; i < count; i++) {
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].run();
            printf("passed %s\n", argv[1]);
            return 0;
        }
    }
    FAIL("there is no case %s", argv[1]);
}

#define CASES(list, argc, argv) run_case(list, sizeof(list) / sizeof *(list), argc, argv)

#endif
