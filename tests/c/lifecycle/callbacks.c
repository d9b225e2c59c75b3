/* The six rules of callbacks, one case each or more. */
#include "../check.h"

#include <semaphore.h>

/* A context that does something to a node, or a PMD, in its callback. */
typedef struct actor {
    context common;
    distflow_node *victim;
    sem_t entered, go_on;
    atomic_int status;
    atomic_bool ended;
    atomic_long after_end;
} actor;

static void init_actor(actor *self) {
    memset(self, 0, sizeof *self);
    sem_init(&self->entered, 0, 0);
    sem_init(&self->go_on, 0, 0);
    atomic_store(&self->status, -1);
}

/* Waits with a limit, so that a failing test ends. */
static void await(sem_t *semaphore) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LIMIT_MS / 1000;
    while (sem_timedwait(semaphore, &until) != 0) {
        if (errno != EINTR) FAIL("nobody came");
    }
}

static void count_message(distflow_node *node, const distflow_message *message, void *pointer) {
    (void)node, (void)message;
    actor *self = pointer;
    if (atomic_load(&self->ended)) atomic_fetch_add(&self->after_end, 1);
    atomic_fetch_add(&self->common.calls, 1);
}

static void count_messages(distflow_node *node, const distflow_message *messages, size_t len,
                           void *pointer) {
    for (size_t i = 0; i < len; i++) count_message(node, &messages[i], pointer);
}

static void count_event(distflow_node *node, const distflow_event *event, void *pointer) {
    (void)node, (void)event;
    actor *self = pointer;
    if (atomic_load(&self->ended)) atomic_fetch_add(&self->after_end, 1);
    atomic_fetch_add(&self->common.calls, 1);
}

static void count_pmd_event(distflow_pmd *pmd, const distflow_event *event, void *pointer) {
    (void)pmd, (void)event;
    context *self = pointer;
    atomic_fetch_add(&self->calls, 1);
}

/* --- close inside a callback ------------------------------------------------------------- */

static void close_own(distflow_node *node, const distflow_message *message, void *pointer) {
    (void)message;
    actor *self = pointer;
    EXPECT(DISTFLOW_REENTRANT_CALL, distflow_node_close(node, -1));
    EXPECT(DISTFLOW_REENTRANT_CALL, distflow_node_close(node, 0));
    /* Nothing has happened to the node. The last event is its own end. */
    if (!atomic_load(&self->ended)) {
        distflow_peers peers;
        OK(distflow_node_peers(node, &peers));
        distflow_peers_free(&peers);
    }
    atomic_fetch_add(&self->common.calls, 1);
}

static void close_own_on_event(distflow_node *node, const distflow_event *event, void *pointer) {
    (void)event;
    close_own(node, NULL, pointer);
}

static void close_own_pmd(distflow_pmd *pmd, const distflow_event *event, void *pointer) {
    (void)event;
    actor *self = pointer;
    EXPECT(DISTFLOW_REENTRANT_CALL, distflow_pmd_close(pmd, -1));
    atomic_fetch_add(&self->common.calls, 1);
}

static void close_inside(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    actor on_message, on_event, on_pmd;
    init_actor(&on_message);
    init_actor(&on_event);
    init_actor(&on_pmd);
    await_peers(a, 1);
    OK(distflow_node_on_message(a, close_own, &on_message, drop_context));
    OK(distflow_node_on_event(a, close_own_on_event, &on_event, drop_context));
    OK(distflow_pmd_on_event(pmd, close_own_pmd, &on_pmd, drop_context));
    send_text(b, "a", "1");
    WAIT_UNTIL(on_message.common.calls == 1);
    send_text(b, "a", "2");
    WAIT_UNTIL(on_message.common.calls == 2);
    OK(distflow_node_close(b, -1));
    WAIT_UNTIL(on_event.common.calls == 1);
    /* Two joins and a leave. */
    WAIT_UNTIL(on_pmd.common.calls == 3);
    CHECK_EQ(on_message.common.drops, 0);
    CHECK_EQ(on_event.common.drops, 0);
    atomic_store(&on_event.ended, true);
    OK(distflow_node_close(a, -1));
    CHECK_EQ(on_message.common.drops, 1);
    CHECK_EQ(on_event.common.drops, 1);
    CHECK_EQ(on_pmd.common.drops, 0);
    OK(distflow_pmd_close(pmd, -1));
    CHECK_EQ(on_pmd.common.drops, 1);
    distflow_node_free(a);
    distflow_node_free(b);
    distflow_pmd_free(pmd);
    CHECK_EQ(on_message.common.drops + on_event.common.drops + on_pmd.common.drops, 3);
}

/* --- free inside a callback -------------------------------------------------------------- */

static void free_own(distflow_node *node, const distflow_message *message, void *pointer) {
    actor *self = pointer;
    long calls = atomic_fetch_add(&self->common.calls, 1);
    CHECK_EQ(calls, 0);
    distflow_node_free(node);
    uint16_t port;
    EXPECT(DISTFLOW_INVALID_HANDLE, distflow_node_port(node, &port));
    /* Harmless, and what the callback got is still valid. */
    distflow_node_free(node);
    if (message) CHECK(strcmp(message->payload.data, "1") == 0);
    CHECK_EQ(self->common.drops, 0);
}

static void free_own_batch(distflow_node *node, const distflow_message *messages, size_t len,
                           void *pointer) {
    CHECK(len > 0);
    free_own(node, &messages[len - 1], pointer);
}

static void free_own_on_event(distflow_node *node, const distflow_event *event, void *pointer) {
    CHECK_EQ(event->kind, DISTFLOW_EVENT_PEER_LEAVE);
    free_own(node, NULL, pointer);
    CHECK(strcmp(event->peer.alias.data, "c") == 0);
}

static void free_own_pmd(distflow_pmd *pmd, const distflow_event *event, void *pointer) {
    actor *self = pointer;
    long calls = atomic_fetch_add(&self->common.calls, 1);
    CHECK_EQ(calls, 0);
    distflow_pmd_free(pmd);
    uint16_t port;
    EXPECT(DISTFLOW_INVALID_HANDLE, distflow_pmd_port(pmd, &port));
    CHECK_EQ(event->kind, DISTFLOW_EVENT_PEER_JOIN);
    CHECK_EQ(self->common.drops, 0);
}

static void free_inside(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *b = open_node(port, "b");
    for (int form = 0; form < 3; form++) {
        distflow_node *a = open_node(port, "a");
        /* More wait than one batch holds, so that a further call would come at once. */
        fill(b, a, "a", 600);
        actor self;
        init_actor(&self);
        if (form == 0) OK(distflow_node_on_message(a, free_own, &self, drop_context));
        if (form == 1) OK(distflow_node_on_messages(a, free_own_batch, &self, drop_context));
        if (form == 2) {
            distflow_node *c = open_node(port, "c");
            await_peers(a, 2);
            OK(distflow_node_on_event(a, free_own_on_event, &self, drop_context));
            distflow_node_free(c);
        }
        WAIT_UNTIL(self.common.drops == 1);
        WAIT_UNTIL(registered(pmd) == 1);
        CHECK_EQ(self.common.calls, 1);
        CHECK_EQ(self.common.drops, 1);
    }
    distflow_node_free(b);
    actor self;
    init_actor(&self);
    distflow_pmd *freed = open_pmd(&port);
    distflow_node *c = open_node(port, "c"), *d = open_node(port, "d");
    /* Two joins wait. */
    OK(distflow_pmd_on_event(freed, free_own_pmd, &self, drop_context));
    WAIT_UNTIL(self.common.drops == 1);
    CHECK_EQ(self.common.calls, 1);
    distflow_node_free(c);
    distflow_node_free(d);
    distflow_pmd_free(pmd);
    CHECK_EQ(self.common.drops, 1);
}

/* Blocks until the test has arranged what comes next. */
static void hold(distflow_node *node, const distflow_event *event, void *pointer) {
    (void)node, (void)event;
    actor *self = pointer;
    if (atomic_fetch_add(&self->common.calls, 1) == 0) {
        sem_post(&self->entered);
        await(&self->go_on);
    } else {
        distflow_node_free(node);
    }
}

/* A node that was freed calls none of its callbacks any more, whatever had been taken for them. */
static void free_inside_ends_the_others(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    actor holds, counts;
    init_actor(&holds);
    init_actor(&counts);
    await_peers(a, 1);
    OK(distflow_node_on_event(a, hold, &holds, drop_context));
    OK(distflow_node_on_message(a, count_message, &counts, drop_context));
    distflow_node *c = open_node(port, "c");
    await(&holds.entered);
    /* An event and a message wait together; the event's callback frees the node. */
    distflow_node *d = open_node(port, "d");
    await_peers(a, 3);
    send_text(b, "a", "1");
    WAIT_UNTIL(waiting(a) == 1);
    sem_post(&holds.go_on);
    WAIT_UNTIL(holds.common.drops == 1 && counts.common.drops == 1);
    CHECK_EQ(holds.common.calls, 2);
    CHECK_EQ(counts.common.calls, 0);
    distflow_node_free(b);
    distflow_node_free(c);
    distflow_node_free(d);
    distflow_pmd_free(pmd);
}

/* The same for a callback of single messages beside one of batches, and for the messages that
 * were taken together. */
static void free_inside_ends_the_batch(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    actor gate, frees, counts;
    init_actor(&gate);
    init_actor(&frees);
    init_actor(&counts);
    /* Holds the callback thread until both callbacks and the messages are there. */
    await_peers(a, 1);
    OK(distflow_node_on_event(a, hold, &gate, drop_context));
    distflow_node *c = open_node(port, "c");
    await(&gate.entered);
    fill(b, a, "a", 10);
    OK(distflow_node_on_message(a, free_own, &frees, drop_context));
    OK(distflow_node_on_messages(a, count_messages, &counts, drop_context));
    sem_post(&gate.go_on);
    WAIT_UNTIL(frees.common.drops == 1 && counts.common.drops == 1);
    CHECK_EQ(frees.common.calls, 1);
    CHECK_EQ(counts.common.calls, 0);
    distflow_node_free(b);
    distflow_node_free(c);
    distflow_pmd_free(pmd);
}

/* --- another node inside a callback ------------------------------------------------------ */

static void end_victim(distflow_node *node, const distflow_message *message, void *pointer) {
    (void)node, (void)message;
    actor *self = pointer;
    if (atomic_load(&self->common.calls) == 0) {
        OK(distflow_node_close(self->victim, -1));
        distflow_node_free(self->victim);
    }
    atomic_fetch_add(&self->common.calls, 1);
}

static void free_another_inside(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    actor kills, counts;
    init_actor(&kills);
    init_actor(&counts);
    kills.victim = open_node(port, "victim");
    OK(distflow_node_on_message(kills.victim, count_message, &counts, drop_context));
    OK(distflow_node_on_message(a, end_victim, &kills, drop_context));
    send_text(b, "victim", "1");
    WAIT_UNTIL(counts.common.calls == 1);
    send_text(b, "a", "1");
    WAIT_UNTIL(kills.common.calls == 1);
    CHECK_EQ(counts.common.drops, 1);
    EXPECT(DISTFLOW_INVALID_HANDLE, distflow_node_close(kills.victim, 0));
    send_text(b, "a", "2");
    WAIT_UNTIL(kills.common.calls == 2);
    WAIT_UNTIL(registered(pmd) == 2);
    /* Without closing it first. */
    kills.victim = open_node(port, "victim");
    distflow_node_free(a);
    CHECK_EQ(kills.common.drops, 1);
    distflow_node_free(kills.victim);
    distflow_node_free(b);
    distflow_pmd_free(pmd);
    CHECK_EQ(counts.common.drops, 1);
}

/* --- drop exactly once ------------------------------------------------------------------- */

static void drop_of_log(const distflow_log_record *record, void *pointer) {
    (void)record, (void)pointer;
}

static void drop_on_failure(void) {
    uint16_t port;
    distflow_pmd *closed_pmd = open_pmd(&port), *pmd = open_pmd(&port);
    distflow_node *node = open_node(port, "a"), *closed = open_node(port, "b");
    OK(distflow_node_close(closed, -1));
    OK(distflow_pmd_close(closed_pmd, -1));
    distflow_node *stale = open_node(port, "c");
    distflow_node_free(stale);
    struct {
        distflow_node *node;
        distflow_status status;
        bool callback;
    } bad[] = {
        {NULL, DISTFLOW_INVALID_HANDLE, true},
        {stale, DISTFLOW_INVALID_HANDLE, true},
        {(distflow_node *)pmd, DISTFLOW_INVALID_HANDLE, true},
        {(distflow_node *)(uintptr_t)0x1235, DISTFLOW_INVALID_HANDLE, true},
        {closed, DISTFLOW_CLOSED, true},
        {node, DISTFLOW_INVALID_ARGUMENT, false},
        {NULL, DISTFLOW_INVALID_HANDLE, false},
    };
    int drops = 0;
    context self = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        distflow_node *handle = bad[i].node;
        bool callback = bad[i].callback;
        EXPECT(bad[i].status, distflow_node_on_message(handle, callback ? count_message : NULL,
                                                       &self, drop_context));
        CHECK_EQ(self.drops, ++drops);
        EXPECT(bad[i].status, distflow_node_on_messages(handle, callback ? count_messages : NULL,
                                                        &self, drop_context));
        CHECK_EQ(self.drops, ++drops);
        EXPECT(bad[i].status, distflow_node_on_event(handle, callback ? count_event : NULL, &self,
                                                     drop_context));
        CHECK_EQ(self.drops, ++drops);
        /* Without a drop function there is nothing to run. */
        EXPECT(bad[i].status,
               distflow_node_on_message(handle, callback ? count_message : NULL, &self, NULL));
        CHECK_EQ(self.drops, drops);
    }
    distflow_pmd *bad_pmds[] = {NULL, (distflow_pmd *)node, (distflow_pmd *)(uintptr_t)0x1235};
    for (size_t i = 0; i < sizeof bad_pmds / sizeof *bad_pmds; i++) {
        EXPECT(DISTFLOW_INVALID_HANDLE,
               distflow_pmd_on_event(bad_pmds[i], count_pmd_event, &self, drop_context));
        CHECK_EQ(self.drops, ++drops);
    }
    EXPECT(DISTFLOW_CLOSED,
           distflow_pmd_on_event(closed_pmd, count_pmd_event, &self, drop_context));
    CHECK_EQ(self.drops, ++drops);
    EXPECT(DISTFLOW_INVALID_ARGUMENT, distflow_pmd_on_event(pmd, NULL, &self, drop_context));
    CHECK_EQ(self.drops, ++drops);
    EXPECT(DISTFLOW_INVALID_ARGUMENT, distflow_log_set(6, drop_of_log, &self, drop_context));
    CHECK_EQ(self.drops, ++drops);
    EXPECT(DISTFLOW_INVALID_ARGUMENT,
           distflow_log_set(DISTFLOW_LOG_INFO, NULL, &self, drop_context));
    CHECK_EQ(self.drops, ++drops);
    /* What nothing will be called with ends at once. */
    OK(distflow_log_set(DISTFLOW_LOG_OFF, NULL, &self, drop_context));
    CHECK_EQ(self.drops, ++drops);
    CHECK_EQ(self.calls, 0);
    distflow_node_free(node);
    distflow_node_free(closed);
    distflow_pmd_free(pmd);
    distflow_pmd_free(closed_pmd);
    CHECK_EQ(self.drops, drops);
}

/* --- close during a flood ---------------------------------------------------------------- */

typedef struct flood {
    distflow_node *node;
    atomic_bool stop;
    atomic_long sent;
} flood;

static void *run_flood(void *pointer) {
    flood *self = pointer;
    while (!atomic_load(&self->stop)) {
        /* The receiver comes and goes. */
        if (distflow_node_send(self->node, "sink", "\"flood\"", 7, 100) == DISTFLOW_OK)
            atomic_fetch_add(&self->sent, 1);
    }
    return NULL;
}

static void close_during_a_flood(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    flood floods = {.node = open_node(port, "source")};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, run_flood, &floods), 0);
    /* Kept, so that a late call is seen at the end, too. */
    static actor actors[200];
    long calls_at_close[200];
    for (int i = 0; i < 200; i++) {
        actor *self = &actors[i];
        init_actor(self);
        distflow_node *sink = open_node(port, "sink");
        if (i % 2) OK(distflow_node_on_message(sink, count_message, self, drop_context));
        if (i % 2 == 0) OK(distflow_node_on_messages(sink, count_messages, self, drop_context));
        OK(distflow_node_on_event(sink, count_event, self, drop_context));
        WAIT_UNTIL(self->common.calls > 5);
        OK(distflow_node_close(sink, i % 3 ? LIMIT_MS : -1));
        atomic_store(&self->ended, true);
        CHECK_EQ(self->common.drops, 2);
        calls_at_close[i] = self->common.calls;
        distflow_node_free(sink);
    }
    atomic_store(&floods.stop, true);
    pthread_join(thread, NULL);
    CHECK(floods.sent > 200);
    distflow_node_free(floods.node);
    distflow_pmd_free(pmd);
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(actors[i].after_end, 0);
        CHECK_EQ(actors[i].common.calls, calls_at_close[i]);
        CHECK_EQ(actors[i].common.drops, 2);
    }
}

/* --- a callback that blocks -------------------------------------------------------------- */

static void block(distflow_node *node, const distflow_message *message, void *pointer) {
    (void)node, (void)message;
    actor *self = pointer;
    sem_post(&self->entered);
    await(&self->go_on);
    atomic_fetch_add(&self->common.calls, 1);
}

static void block_pmd(distflow_pmd *pmd, const distflow_event *event, void *pointer) {
    (void)pmd, (void)event;
    block(NULL, NULL, pointer);
}

static void close_waits_for_a_callback(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    actor self;
    init_actor(&self);
    OK(distflow_node_on_message(a, block, &self, drop_context));
    send_text(b, "a", "1");
    await(&self.entered);
    for (int timeout_ms = 0; timeout_ms <= 40; timeout_ms += 20) {
        EXPECT(DISTFLOW_TIMEOUT, distflow_node_close(a, timeout_ms));
        CHECK_EQ(self.common.calls, 0);
        CHECK_EQ(self.common.drops, 0);
    }
    EXPECT(DISTFLOW_CLOSED, distflow_node_try_send(a, "b", "1", 1));
    sem_post(&self.go_on);
    OK(distflow_node_close(a, -1));
    CHECK_EQ(self.common.calls, 1);
    CHECK_EQ(self.common.drops, 1);
    OK(distflow_node_close(a, 0));
    distflow_node_free(a);
    distflow_node_free(b);
    /* A PMD does the same. */
    actor of_pmd;
    init_actor(&of_pmd);
    distflow_pmd *other = open_pmd(&port);
    OK(distflow_pmd_on_event(other, block_pmd, &of_pmd, drop_context));
    distflow_node *c = open_node(port, "c");
    await(&of_pmd.entered);
    EXPECT(DISTFLOW_TIMEOUT, distflow_pmd_close(other, 20));
    CHECK_EQ(of_pmd.common.drops, 0);
    for (int i = 0; i < 3; i++) sem_post(&of_pmd.go_on);
    OK(distflow_pmd_close(other, -1));
    CHECK_EQ(of_pmd.common.drops, 1);
    distflow_node_free(c);
    distflow_pmd_free(other);
    distflow_pmd_free(pmd);
    CHECK_EQ(self.common.drops, 1);
    CHECK_EQ(of_pmd.common.drops, 1);
}

static void free_leaves_a_callback_undisturbed(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    actor self;
    init_actor(&self);
    OK(distflow_node_on_message(a, block, &self, drop_context));
    send_text(b, "a", "1");
    await(&self.entered);
    distflow_node_free(a);
    CHECK_EQ(self.common.calls, 0);
    CHECK_EQ(self.common.drops, 0);
    uint16_t ignored;
    EXPECT(DISTFLOW_INVALID_HANDLE, distflow_node_port(a, &ignored));
    sem_post(&self.go_on);
    WAIT_UNTIL(self.common.drops == 1);
    CHECK_EQ(self.common.calls, 1);
    distflow_node_free(b);
    distflow_pmd_free(pmd);
    CHECK_EQ(self.common.drops, 1);
}

/* --- two threads close ------------------------------------------------------------------- */

typedef struct closing {
    distflow_node *node;
    pthread_barrier_t *start;
    actor *self;
} closing;

static void *run_close(void *pointer) {
    closing *self = pointer;
    pthread_barrier_wait(self->start);
    OK(distflow_node_close(self->node, -1));
    CHECK_EQ(self->self->common.drops, 1);
    return NULL;
}

static void two_threads_close(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *b = open_node(port, "b");
    for (int i = 0; i < 100; i++) {
        actor self;
        init_actor(&self);
        distflow_node *a = open_node(port, "a");
        bool blocked = i % 2;
        OK(distflow_node_on_message(a, blocked ? block : count_message, &self, drop_context));
        send_text(b, "a", "1");
        if (blocked) await(&self.entered);
        pthread_barrier_t start;
        pthread_barrier_init(&start, NULL, 3);
        closing closings[2] = {{a, &start, &self}, {a, &start, &self}};
        pthread_t threads[2];
        for (int k = 0; k < 2; k++)
            CHECK_EQ(pthread_create(&threads[k], NULL, run_close, &closings[k]), 0);
        pthread_barrier_wait(&start);
        sem_post(&self.go_on);
        for (int k = 0; k < 2; k++) pthread_join(threads[k], NULL);
        CHECK_EQ(self.common.drops, 1);
        distflow_node_free(a);
        pthread_barrier_destroy(&start);
    }
    distflow_node_free(b);
    distflow_pmd_free(pmd);
}

/* A callback may do anything else: open, ask, send, receive, register and end other objects. */
static void do_everything(distflow_node *node, const distflow_message *message, void *pointer) {
    (void)message;
    actor *self = pointer;
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *own = open_node(port, "own");
    distflow_pmd_client *client = NULL;
    OK(distflow_pmd_client_open(NULL, port, LIMIT_MS, &client));
    distflow_peers peers;
    OK(distflow_pmd_client_resolve(client, "own", LIMIT_MS, &peers));
    distflow_peers_free(&peers);
    OK(distflow_node_discover(node, NULL, LIMIT_MS, &peers));
    distflow_peers_free(&peers);
    OK(distflow_node_send(node, "a", "[]", 2, LIMIT_MS));
    distflow_message next;
    distflow_status status = distflow_node_recv(node, 0, &next);
    CHECK(status == DISTFLOW_OK || status == DISTFLOW_TIMEOUT);
    distflow_message_free(&next);
    OK(distflow_node_on_event(node, count_event, self, drop_context));
    distflow_pmd_client_free(client);
    OK(distflow_node_close(own, -1));
    distflow_node_free(own);
    distflow_pmd_free(pmd);
    atomic_fetch_add(&self->common.calls, 1);
}

static void everything_inside(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    actor self;
    init_actor(&self);
    OK(distflow_node_on_message(b, do_everything, &self, drop_context));
    send_text(a, "b", "1");
    WAIT_UNTIL(self.common.calls == 1);
    OK(distflow_node_close(b, -1));
    CHECK_EQ(self.common.drops, 2);
    distflow_node_free(a);
    distflow_node_free(b);
    distflow_pmd_free(pmd);
}

int main(int argc, char **argv) {
    static const test_case cases[] = {
        {"close_inside", close_inside},
        {"free_inside", free_inside},
        {"free_inside_ends_the_others", free_inside_ends_the_others},
        {"free_inside_ends_the_batch", free_inside_ends_the_batch},
        {"free_another_inside", free_another_inside},
        {"drop_on_failure", drop_on_failure},
        {"close_during_a_flood", close_during_a_flood},
        {"close_waits_for_a_callback", close_waits_for_a_callback},
        {"free_leaves_a_callback_undisturbed", free_leaves_a_callback_undisturbed},
        {"two_threads_close", two_threads_close},
        {"everything_inside", everything_inside},
    };
    return CASES(cases, argc, argv);
}
