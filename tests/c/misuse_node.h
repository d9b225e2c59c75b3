/* The part of misuse.c about nodes, which includes it. */
#ifndef DISTFLOW_TESTS_MISUSE_NODE_H
#define DISTFLOW_TESTS_MISUSE_NODE_H

static void test_distflow_node_id(void) {
    distflow_buf buf;
    BAD_NODES(distflow_node_id(handle, &buf));
    BAD_NODES(distflow_node_id(handle, NULL));
    WRONG("id_out is NULL", distflow_node_id(a, NULL));
    WORKS(distflow_node_id(closed_node, &buf));
    distflow_buf_free(&buf);
}

static void test_distflow_node_alias(void) {
    distflow_buf buf;
    BAD_NODES(distflow_node_alias(handle, &buf));
    WRONG("alias_out is NULL", distflow_node_alias(a, NULL));
    WORKS(distflow_node_alias(closed_node, &buf));
    CHECK(strcmp(buf.data, "closed") == 0);
    distflow_buf_free(&buf);
}

static void test_distflow_node_port(void) {
    uint16_t number;
    BAD_NODES(distflow_node_port(handle, &number));
    WRONG("port_out is NULL", distflow_node_port(a, NULL));
    WORKS(distflow_node_port(closed_node, &number));
}

static void test_distflow_node_is_registered(void) {
    bool yes = true;
    BAD_NODES(distflow_node_is_registered(handle, &yes));
    WRONG("registered_out is NULL", distflow_node_is_registered(a, NULL));
    WORKS(distflow_node_is_registered(closed_node, &yes));
    CHECK(!yes);
}

static void test_distflow_node_peers(void) {
    distflow_peers peers;
    BAD_NODES(distflow_node_peers(handle, &peers));
    WRONG("peers_out is NULL", distflow_node_peers(a, NULL));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_node_peers(closed_node, &peers));
}

static void test_distflow_node_discover(void) {
    distflow_peers peers;
    BAD_NODES(distflow_node_discover(handle, NULL, -1, &peers));
    WRONG("peers_out is NULL", distflow_node_discover(a, NULL, -1, NULL));
    BAD_TEXTS("prefix", distflow_node_discover(a, text, -1, &peers));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_node_discover(closed_node, NULL, -1, &peers));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_node_discover(a, NULL, 0, &peers));
    WORKS(distflow_node_discover(a, "", INT64_MAX, &peers));
    CHECK_EQ(peers.len, 1);
    distflow_peers_free(&peers);
    WORKS(distflow_node_discover(a, "no-such", INT64_MIN, &peers));
    CHECK_EQ(peers.len, 0);
}

static void test_distflow_node_stats(void) {
    distflow_stats stats = {.struct_size = sizeof stats};
    BAD_NODES(distflow_node_stats(handle, &stats));
    WRONG("stats is NULL", distflow_node_stats(a, NULL));
    for (size_t i = 0; i < SIZES; i++) {
        stats.struct_size = BAD_SIZES[i];
        WRONG("struct_size", distflow_node_stats(a, &stats));
    }
    size_t later = sizeof stats + 40;
    unsigned char *room = malloc(later);
    CHECK(room != NULL);
    memset(room, 0x5a, later);
    memcpy(room, &later, sizeof later);
    WORKS(distflow_node_stats(a, (distflow_stats *)(void *)room));
    for (size_t i = sizeof stats; i < later; i++) CHECK_EQ(room[i], 0);
    free(room);
    stats.struct_size = sizeof stats;
    WORKS(distflow_node_stats(closed_node, &stats));
}

static void test_distflow_node_close(void) {
    BAD_NODES(distflow_node_close(handle, -1));
    WORKS(distflow_node_close(closed_node, -1));
    WORKS(distflow_node_close(closed_node, 0));
    WORKS(distflow_node_close(closed_node, INT64_MIN));
    WORKS(distflow_node_close(closed_node, INT64_MAX));
}

static void test_distflow_node_free(void) {
    for (size_t i = 0; i < BAD_MAX; i++) distflow_node_free(bad_nodes[i]);
    uint16_t number;
    WORKS(distflow_node_port(a, &number));
    WORKS(distflow_pmd_port(pmd, &number));
    distflow_node *node = open_node(port, "twice");
    distflow_node_free(node);
    distflow_node_free(node);
    FAILS(DISTFLOW_INVALID_HANDLE, "freed", distflow_node_port(node, &number));
}

/* JSON text that is none. */
static const char *const NOT_JSON[] = {
    " ",      "{",       "}",        "[1,]",     "{\"a\":}", "{a:1}",     "{\"a\" 1}", "nope",
    "NaN",    "01",      "1.",       "-",        "1 2",      "'a'",       "\"a",       "\"\n\"",
    "\"\\x\"", "\"\xff\"", "\xff\xfe", "[1}",      "tru",      "\"\\u12\"", "+1",       "1e",
    "[]]",    "{},",     "\xef\xbb\xbf" "1",
};

#define SENDS(send)                                                                                \
    do {                                                                                           \
        BAD_NODES(send(handle, "b", "1", 1));                                                      \
        BAD_NODES(send(handle, NULL, NULL, SIZE_MAX));                                             \
        FAILS(DISTFLOW_CLOSED, "closed", send(closed_node, "b", "1", 1));                          \
        FAILS(DISTFLOW_CLOSED, "closed", send(closed_node, NULL, NULL, 1));                        \
        WRONG("target is NULL", send(a, NULL, "1", 1));                                            \
        BAD_TEXTS("target", send(a, text, "1", 1));                                                \
        FAILS(DISTFLOW_RESOLVE_FAILED, "no-such", send(a, "no-such", "1", 1));                     \
        WRONG("target is empty", send(a, "", "1", 1));                                               \
        WRONG("payload is NULL", send(a, "b", NULL, 1));                                           \
        WRONG("payload is NULL", send(a, "b", NULL, SIZE_MAX));                                    \
        WRONG("payload cannot be", send(a, "b", "1", SIZE_MAX));                                   \
        WRONG("payload cannot be", send(a, "b", "1", SIZE_MAX / 2 + 1));                           \
        FAILS(DISTFLOW_TOO_LARGE, "payload", send(a, "b", "1", SIZE_MAX / 2));                     \
        FAILS(DISTFLOW_TOO_LARGE, "payload", send(a, "b", "1", (16u << 20) + 1));                  \
        for (size_t i = 0; i < sizeof NOT_JSON / sizeof *NOT_JSON; i++)                            \
            FAILS(DISTFLOW_INVALID_JSON, "JSON", send(a, "b", NOT_JSON[i], strlen(NOT_JSON[i])));  \
        FAILS(DISTFLOW_INVALID_JSON, "JSON", send(a, "b", "1", 2)); /* With its NUL. */            \
        char *deep = nested(65), *deepest = nested(100000), *allowed = nested(64);                 \
        FAILS(DISTFLOW_INVALID_JSON, "64", send(a, "b", deep, strlen(deep)));                      \
        FAILS(DISTFLOW_INVALID_JSON, "64", send(a, "b", deepest, strlen(deepest)));                \
        FAILS(DISTFLOW_TOO_LARGE, "1024", send(small, "b", frame, 1025));                          \
        FAILS(DISTFLOW_TOO_LARGE, "1024", send(small, "b", frame, 1024));                          \
        WORKS(send(a, "b", allowed, strlen(allowed)));                                             \
        WORKS(send(a, "b", NULL, 0));                                                              \
        WORKS(send(a, "b", (const char *)(uintptr_t)1, 0));                                        \
        free(deep);                                                                                \
        free(deepest);                                                                             \
        free(allowed);                                                                             \
    } while (0)

/* A node with the smallest frames, and a payload that fills one, without room for its envelope. */
static distflow_node *open_small(void) {
    distflow_node_options options = node_options(port, "small");
    options.frame_bytes_max = 1024;
    distflow_node *small;
    OK(distflow_node_open(&options, &small));
    send_text(small, "b", "1");
    return small;
}

static char *frame_text(void) {
    char *text = long_text(1025);
    text[0] = text[1023] = '"';
    text[1024] = ' ';
    return text;
}

#define SEND(node, target, payload, len) distflow_node_send(node, target, payload, len, LIMIT_MS)

static void test_distflow_node_send(void) {
    send_text(a, "b", "1");
    distflow_node *small = open_small();
    char *frame = frame_text();
    SENDS(SEND);
    WORKS(distflow_node_send(a, "b", "1", 1, 0));
    WORKS(distflow_node_send(a, "b", "1", 1, INT64_MAX));
    WORKS(distflow_node_send(a, "b", "1", 1, INT64_MIN));
    free(frame);
    distflow_node_free(small);
}

static void test_distflow_node_try_send(void) {
    send_text(a, "b", "1");
    distflow_node *small = open_small();
    char *frame = frame_text();
    SENDS(distflow_node_try_send);
    free(frame);
    distflow_node_free(small);
}

static void test_distflow_node_recv(void) {
    distflow_message message;
    BAD_NODES(distflow_node_recv(handle, -1, &message));
    BAD_NODES(distflow_node_recv(handle, -1, NULL));
    WRONG("message_out is NULL", distflow_node_recv(a, -1, NULL));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_node_recv(a, 0, &message));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_node_recv(a, 1, &message));
    FAILS(DISTFLOW_CLOSED, "ended", distflow_node_recv(closed_node, -1, &message));
    FAILS(DISTFLOW_CLOSED, "ended", distflow_node_recv(closed_node, INT64_MAX, &message));
}

static void test_distflow_node_recv_many(void) {
    distflow_messages messages;
    BAD_NODES(distflow_node_recv_many(handle, 1, -1, &messages));
    WRONG("messages_out is NULL", distflow_node_recv_many(a, 1, -1, NULL));
    WRONG("max is 0", distflow_node_recv_many(a, 0, -1, &messages));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_node_recv_many(a, SIZE_MAX, 0, &messages));
    FAILS(DISTFLOW_CLOSED, "ended", distflow_node_recv_many(closed_node, 1, -1, &messages));
}

static void test_distflow_node_watch(void) {
    BAD_NODES(distflow_node_watch(handle));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_node_watch(closed_node));
    WORKS(distflow_node_watch(b));
    WORKS(distflow_node_watch(b));
}

static void test_distflow_node_recv_event(void) {
    distflow_event event;
    BAD_NODES(distflow_node_recv_event(handle, -1, &event));
    WRONG("event_out is NULL", distflow_node_recv_event(a, -1, NULL));
    FAILS(DISTFLOW_NOT_STARTED, "distflow_node_watch", distflow_node_recv_event(a, -1, &event));
    FAILS(DISTFLOW_NOT_STARTED, "distflow_node_watch",
          distflow_node_recv_event(closed_node, -1, &event));
    distflow_node *node = open_node(port, "watches");
    WORKS(distflow_node_watch(node));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_node_recv_event(node, 0, &event));
    WORKS(distflow_node_close(node, -1));
    while (distflow_node_recv_event(node, 0, &event) == DISTFLOW_OK) distflow_event_free(&event);
    FAILS(DISTFLOW_CLOSED, "ended", distflow_node_recv_event(node, INT64_MAX, &event));
    distflow_node_free(node);
}

static void test_distflow_node_fd(void) {
    int fd;
    BAD_NODES(distflow_node_fd(handle, &fd));
    WRONG("fd_out is NULL", distflow_node_fd(a, NULL));
    WORKS(distflow_node_fd(closed_node, &fd));
}

static void on_message(distflow_node *node, const distflow_message *message, void *pointer) {
    (void)node, (void)message, (void)pointer;
    FAIL("called");
}

static void on_messages(distflow_node *node, const distflow_message *messages, size_t len,
                        void *pointer) {
    (void)node, (void)messages, (void)len, (void)pointer;
    FAIL("called");
}

static void on_event(distflow_node *node, const distflow_event *event, void *pointer) {
    (void)node, (void)event, (void)pointer;
    FAIL("called");
}

static void on_pmd_event(distflow_pmd *object, const distflow_event *event, void *pointer) {
    (void)object, (void)event, (void)pointer;
    FAIL("called");
}

#define REGISTERS(function, callback)                                                              \
    do {                                                                                           \
        context self = {0};                                                                        \
        BAD_NODES(function(handle, callback, &self, drop_context));                                \
        CHECK_EQ(self.drops, BAD_MAX);                                                             \
        BAD_NODES(function(handle, NULL, NULL, NULL));                                             \
        WRONG("callback is NULL", function(a, NULL, &self, drop_context));                         \
        WRONG("callback is NULL", function(a, NULL, NULL, NULL));                                  \
        FAILS(DISTFLOW_CLOSED, "closed", function(closed_node, callback, &self, drop_context));    \
        CHECK_EQ(self.drops, BAD_MAX + 2);                                                         \
    } while (0)

static void test_distflow_node_on_message(void) {
    REGISTERS(distflow_node_on_message, on_message);
}

static void test_distflow_node_on_messages(void) {
    REGISTERS(distflow_node_on_messages, on_messages);
}

static void test_distflow_node_on_event(void) {
    REGISTERS(distflow_node_on_event, on_event);
}

#endif
