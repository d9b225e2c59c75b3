/* Receiving: the descriptor for polling, the order, the bounds, the memory. */
#include "../check.h"

#include <malloc.h>

static bool readable(int fd) {
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    int ready = poll(&pollfd, 1, 0);
    CHECK(ready >= 0);
    CHECK((pollfd.revents & ~POLLIN) == 0);
    return ready == 1;
}

/* A node's descriptor says after each of many random steps exactly whether something waits. */
static void descriptor_of_a_node(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        uint64_t random = seed * 0x9E3779B97F4A7C15u;
        distflow_node *a = open_node(port, "a"), *b = open_node(port, "b"), *c = NULL;
        await_peers(a, 1);
        bool is_watched = false;
        int fd, again;
        uint64_t messages = 0, events = 0;
        /* The first of these seeds makes the descriptor while something waits already. */
        if (seed == 1) fill(b, a, "a", (int)(messages = 3));
        OK(distflow_node_fd(a, &fd));
        CHECK_EQ(readable(fd), messages > 0);
        /* The link is up from here on, so that a queued message is on its way. */
        send_text(b, "a", "0");
        messages++;
        for (int step = 0; step < 1500; step++) {
            uint64_t amount = random_number(&random) % 3 + 1;
            switch (random_number(&random) % 16) {
            case 0:
                /* A node joins or leaves, which is an event for who watches. */
                if (c == NULL) {
                    c = open_node(port, NULL);
                    await_peers(a, 2);
                } else {
                    distflow_node_free(c);
                    c = NULL;
                    await_peers(a, 1);
                }
                if (is_watched) events++;
                break;
            case 1:
                /* In one run before there is an event, in others after. */
                if (step > 100 * (int)seed) {
                    OK(distflow_node_watch(a));
                    is_watched = true;
                }
                break;
            case 2: case 3: case 4: {
                distflow_event event;
                if (!is_watched) {
                    EXPECT(DISTFLOW_NOT_STARTED, distflow_node_recv_event(a, 0, &event));
                } else if (events == 0) {
                    EXPECT(DISTFLOW_TIMEOUT, distflow_node_recv_event(a, 0, &event));
                } else {
                    OK(distflow_node_recv_event(a, 0, &event));
                    events--;
                }
                distflow_event_free(&event);
                break;
            }
            case 5: case 6: case 7: case 8: {
                distflow_message message;
                EXPECT(messages ? DISTFLOW_OK : DISTFLOW_TIMEOUT,
                       distflow_node_recv(a, 0, &message));
                if (messages) messages--;
                distflow_message_free(&message);
                break;
            }
            case 9: case 10: {
                distflow_messages many;
                EXPECT(messages ? DISTFLOW_OK : DISTFLOW_TIMEOUT,
                       distflow_node_recv_many(a, amount, 0, &many));
                CHECK_EQ(many.len, messages < amount ? messages : amount);
                messages -= many.len;
                distflow_messages_free(&many);
                break;
            }
            default:
                for (uint64_t i = 0; i < amount; i++) OK(distflow_node_try_send(b, "a", "1", 1));
                messages += amount;
            }
            WAIT_UNTIL(waiting(a) == messages);
            if (readable(fd) != (messages > 0 || events > 0))
                FAIL("seed %d, step %d: %d messages and %d events wait, but poll says %d",
                     (int)seed, step, (int)messages, (int)events, readable(fd));
            OK(distflow_node_fd(a, &again));
            CHECK_EQ(fd, again);
        }
        /* Readable for ever once it has ended. */
        OK(distflow_node_close(a, -1));
        CHECK(readable(fd));
        distflow_message message;
        for (; messages > 0; messages--) {
            OK(distflow_node_recv(a, 0, &message));
            distflow_message_free(&message);
            CHECK(readable(fd));
        }
        EXPECT(DISTFLOW_CLOSED, distflow_node_recv(a, 0, &message));
        distflow_event event;
        while (distflow_node_recv_event(a, 0, &event) == DISTFLOW_OK) {
            distflow_event_free(&event);
            CHECK(readable(fd));
        }
        EXPECT(DISTFLOW_CLOSED, distflow_node_recv_event(a, 0, &event));
        CHECK(readable(fd));
        OK(distflow_node_fd(a, &again));
        CHECK_EQ(fd, again);
        distflow_node_free(a);
        distflow_node_free(b);
        distflow_node_free(c);
    }
    distflow_pmd_free(pmd);
}

static void descriptor_of_a_pmd(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    uint64_t random = 7, events = 0;
    distflow_node *nodes[4] = {NULL};
    size_t open = 0;
    int fd, again;
    OK(distflow_pmd_fd(pmd, &fd));
    CHECK(!readable(fd));
    for (int step = 0; step < 400; step++) {
        distflow_event event;
        uint64_t slot = random_number(&random) % 4;
        if (random_number(&random) % 4 == 0) {
            if (nodes[slot] == NULL) {
                nodes[slot] = open_node(port, NULL);
                open++;
            } else {
                distflow_node_free(nodes[slot]);
                nodes[slot] = NULL;
                open--;
            }
            events++;
            WAIT_UNTIL(registered(pmd) == open);
        } else {
            EXPECT(events ? DISTFLOW_OK : DISTFLOW_TIMEOUT,
                   distflow_pmd_recv_event(pmd, 0, &event));
            if (events) events--;
            distflow_event_free(&event);
        }
        CHECK_EQ(readable(fd), events > 0);
    }
    OK(distflow_pmd_close(pmd, -1));
    CHECK(readable(fd));
    distflow_event event;
    int kind = 0;
    while (distflow_pmd_recv_event(pmd, 0, &event) == DISTFLOW_OK) {
        kind = event.kind;
        distflow_event_free(&event);
    }
    CHECK_EQ(kind, DISTFLOW_EVENT_PMD_STOPPED);
    EXPECT(DISTFLOW_CLOSED, distflow_pmd_recv_event(pmd, 0, &event));
    CHECK(readable(fd));
    OK(distflow_pmd_fd(pmd, &again));
    CHECK_EQ(fd, again);
    for (int i = 0; i < 4; i++) distflow_node_free(nodes[i]);
    distflow_pmd_free(pmd);
}

/* --- nothing is lost or out of order ------------------------------------------------------ */

#define MESSAGES 100000

static void *send_numbers(void *pointer) {
    char text[32];
    for (long i = 0; i < MESSAGES; i++) {
        int len = snprintf(text, sizeof text, "%ld", i);
        OK(distflow_node_send(pointer, "a", text, (size_t)len, LIMIT_MS));
    }
    return NULL;
}

static void expect_next(const distflow_message *message, long next) {
    CHECK_EQ(strtol(message->payload.data, NULL, 10), next);
    CHECK_EQ(message->payload.len, strlen(message->payload.data));
}

static void take_batch(distflow_node *node, const distflow_message *messages, size_t len,
                       void *pointer) {
    (void)node;
    context *self = pointer;
    CHECK(len > 0 && len <= 256);
    for (size_t i = 0; i < len; i++) {
        expect_next(&messages[i], self->calls);
        atomic_fetch_add(&self->calls, 1);
    }
}

static void take_one(distflow_node *node, const distflow_message *message, void *pointer) {
    take_batch(node, message, 1, pointer);
}

/* A mailbox much smaller than what comes. */
static distflow_node *open_small(uint16_t port) {
    distflow_node_options options = node_options(port, "a");
    options.mailbox_messages_max = 300;
    options.overflow = DISTFLOW_OVERFLOW_BLOCK;
    distflow_node *node;
    OK(distflow_node_open(&options, &node));
    return node;
}

static void check_nothing_lost(distflow_node *node) {
    distflow_stats stats = {.struct_size = sizeof stats};
    OK(distflow_node_stats(node, &stats));
    CHECK_EQ(stats.delivered, MESSAGES);
    CHECK_EQ(stats.dropped + stats.lost_inbound + stats.waiting + stats.bad_frames, 0);
}

static void callbacks_keep_the_order(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *b = open_node(port, "b");
    for (int batch = 0; batch < 2; batch++) {
        distflow_node *a = open_small(port);
        context self = {0};
        if (batch) OK(distflow_node_on_messages(a, take_batch, &self, drop_context));
        else OK(distflow_node_on_message(a, take_one, &self, drop_context));
        send_numbers(b);
        WAIT_UNTIL(self.calls == MESSAGES);
        OK(distflow_node_close(a, -1));
        CHECK_EQ(self.calls, MESSAGES);
        CHECK_EQ(self.drops, 1);
        check_nothing_lost(a);
        distflow_node_free(a);
    }
    distflow_node_free(b);
    distflow_pmd_free(pmd);
}

static void polling_keeps_the_order(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_small(port), *b = open_node(port, "b");
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, send_numbers, b), 0);
    uint64_t random = 99;
    for (long next = 0; next < MESSAGES;) {
        size_t max = random_number(&random) % 500 + 1;
        if (max % 10 == 0) {
            distflow_message message;
            OK(distflow_node_recv(a, LIMIT_MS, &message));
            expect_next(&message, next++);
            distflow_message_free(&message);
        } else {
            distflow_messages many;
            OK(distflow_node_recv_many(a, max, LIMIT_MS, &many));
            CHECK(many.len > 0 && many.len <= max);
            for (size_t i = 0; i < many.len; i++) expect_next(&many.items[i], next++);
            distflow_messages_free(&many);
        }
    }
    pthread_join(thread, NULL);
    check_nothing_lost(a);
    distflow_node_free(a);
    distflow_node_free(b);
    distflow_pmd_free(pmd);
}

/* Driven by the descriptor alone, as an event loop does it. */
static void an_event_loop_misses_nothing(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_small(port), *b = open_node(port, "b");
    struct pollfd pollfd = {.events = POLLIN};
    OK(distflow_node_fd(a, &pollfd.fd));
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, send_numbers, b), 0);
    for (long next = 0; next < MESSAGES;) {
        CHECK_EQ(poll(&pollfd, 1, LIMIT_MS), 1);
        distflow_messages many;
        distflow_status status;
        while ((status = distflow_node_recv_many(a, 64, 0, &many)) == DISTFLOW_OK) {
            for (size_t i = 0; i < many.len; i++) expect_next(&many.items[i], next++);
            distflow_messages_free(&many);
        }
        CHECK_EQ(status, DISTFLOW_TIMEOUT);
    }
    pthread_join(thread, NULL);
    CHECK(!readable(pollfd.fd));
    check_nothing_lost(a);
    distflow_node_free(a);
    distflow_node_free(b);
    distflow_pmd_free(pmd);
}

static void count(distflow_node *node, const distflow_message *message, void *pointer) {
    (void)node, (void)message;
    atomic_fetch_add(&((context *)pointer)->calls, 1);
}

static size_t memory_in_use(void) {
    return mallinfo2().uordblks;
}

/* A node that has taken many messages holds no more memory than one that has taken few. */
static void callbacks_keep_no_memory(void) {
    enum { COUNT = 20000, ROUNDS = 6 };
    /* One arena, so that every thread's memory is counted. */
    CHECK(mallopt(M_ARENA_MAX, 1) == 1);
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_small(port), *b = open_node(port, "b");
    context self = {0};
    OK(distflow_node_on_message(a, count, &self, drop_context));
    size_t before = 0, least = SIZE_MAX;
    for (int round = 1; round <= ROUNDS; round++) {
        for (int i = 0; i < COUNT; i++) send_text(b, "a", "1");
        WAIT_UNTIL(self.calls == (long)round * COUNT);
        size_t after = memory_in_use();
        size_t growth = after > before ? after - before : 0;
        if (round > 1 && growth < least) least = growth;
        before = after;
    }
    /* Buffers grow and shrink with the load. What is kept for each message makes every round
     * grow, by far more than a byte for each. */
    if (least > COUNT / 2) FAIL("%d messages cost %zu bytes for good", COUNT, least);
    distflow_node_free(a);
    CHECK_EQ(self.drops, 1);
    distflow_node_free(b);
    distflow_pmd_free(pmd);
}

/* --- bounds -------------------------------------------------------------------------------- */

static void bounds(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    fill(b, a, "a", 10);
    distflow_messages many;
    EXPECT(DISTFLOW_INVALID_ARGUMENT, distflow_node_recv_many(a, 0, -1, &many));
    CHECK(many.len == 0 && many.items == NULL && many.memory == NULL);
    CHECK_EQ(waiting(a), 10);
    OK(distflow_node_recv_many(a, 1, -1, &many));
    CHECK_EQ(many.len, 1);
    distflow_messages_free(&many);
    OK(distflow_node_recv_many(a, SIZE_MAX, 0, &many));
    CHECK_EQ(many.len, 9);
    distflow_messages_free(&many);
    CHECK(many.len == 0 && many.items == NULL && many.memory == NULL);
    distflow_messages_free(&many);
    EXPECT(DISTFLOW_TIMEOUT, distflow_node_recv_many(a, SIZE_MAX, 0, &many));
    CHECK(many.len == 0 && many.items == NULL);
    distflow_message message;
    EXPECT(DISTFLOW_TIMEOUT, distflow_node_recv(a, 1, &message));
    CHECK(message.payload.len == 0 && message.payload.data[0] == 0 && message.memory == NULL);
    /* No payload at all, and the smallest ones. */
    OK(distflow_node_send(b, "a", NULL, 0, -1));
    OK(distflow_node_send(b, "a", "0", 1, -1));
    OK(distflow_node_recv(a, -1, &message));
    CHECK_EQ(message.payload.len, 0);
    CHECK_EQ(message.payload.data[0], 0);
    CHECK(strcmp(message.from.data, "") != 0 && message.from.len == strlen(message.from.data));
    CHECK(message.timestamp_ms > 1600000000000);
    distflow_message_free(&message);
    OK(distflow_node_recv(a, -1, &message));
    CHECK_EQ(message.payload.len, 1);
    CHECK(strcmp(message.payload.data, "0") == 0);
    distflow_message_free(&message);
    CHECK(message.memory == NULL && message.payload.len == 0);
    distflow_message_free(&message);
    /* A mailbox of one message drops the newest, or the oldest. */
    for (int policy = 0; policy < 2; policy++) {
        distflow_node_options options = node_options(port, "one");
        options.mailbox_messages_max = 1;
        options.overflow = policy ? DISTFLOW_OVERFLOW_DROP_OLDEST : DISTFLOW_OVERFLOW_DROP_NEWEST;
        distflow_node *one;
        OK(distflow_node_open(&options, &one));
        for (int i = 0; i < 3; i++) send_text(b, "one", i == 0 ? "0" : i == 1 ? "1" : "2");
        distflow_stats stats = {.struct_size = sizeof stats};
        WAIT_UNTIL(distflow_node_stats(one, &stats) == DISTFLOW_OK && stats.dropped == 2);
        CHECK_EQ(stats.waiting, 1);
        OK(distflow_node_recv(one, 0, &message));
        CHECK(strcmp(message.payload.data, policy ? "2" : "0") == 0);
        distflow_message_free(&message);
        distflow_node_free(one);
    }
    distflow_node_free(a);
    distflow_node_free(b);
    distflow_pmd_free(pmd);
}

int main(int argc, char **argv) {
    static const test_case cases[] = {
        {"descriptor_of_a_node", descriptor_of_a_node},
        {"descriptor_of_a_pmd", descriptor_of_a_pmd},
        {"callbacks_keep_the_order", callbacks_keep_the_order},
        {"polling_keeps_the_order", polling_keeps_the_order},
        {"an_event_loop_misses_nothing", an_event_loop_misses_nothing},
        {"callbacks_keep_no_memory", callbacks_keep_no_memory},
        {"bounds", bounds},
    };
    return CASES(cases, argc, argv);
}
