/* What the library does to its process: ends, fork, signals. */
#include "../check.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* --- the process ends without closing anything -------------------------------------------- */

#define EXIT_CODE 7

static void *flood(void *pointer) {
    for (;;) distflow_node_send(pointer, "a", "[1,2,3]", 7, 100);
    return NULL;
}

static void count(distflow_node *node, const distflow_message *message, void *pointer) {
    (void)node, (void)message;
    atomic_fetch_add(&((context *)pointer)->calls, 1);
}

static void exit_in_callback(distflow_node *node, const distflow_message *message, void *pointer) {
    (void)node, (void)message;
    /* Not at the first, so that more arrive meanwhile. */
    if (atomic_fetch_add(&((context *)pointer)->calls, 1) == 10) exit(EXIT_CODE);
}

static void *exit_in_thread(void *pointer) {
    WAIT_UNTIL(atomic_load(&((context *)pointer)->calls) > 10);
    exit(EXIT_CODE);
}

static context busy;

/* A PMD, two nodes and a client at work. */
static distflow_node *at_work(distflow_message_fn callback) {
    uint16_t port;
    open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    distflow_pmd_client *client;
    OK(distflow_pmd_client_open(NULL, port, LIMIT_MS, &client));
    OK(distflow_node_watch(b));
    OK(distflow_node_on_message(a, callback, &busy, drop_context));
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, flood, b), 0);
    return b;
}

static void exit_from_main(void) {
    at_work(count);
    WAIT_UNTIL(atomic_load(&busy.calls) > 10);
    exit(EXIT_CODE);
}

static void exit_from_a_callback(void) {
    distflow_node *b = at_work(exit_in_callback);
    distflow_message message;
    distflow_node_recv(b, -1, &message);
    FAIL("received something");
}

static void exit_from_a_thread(void) {
    distflow_node *b = at_work(count);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, exit_in_thread, &busy), 0);
    distflow_message message;
    distflow_node_recv(b, -1, &message);
    FAIL("received something");
}

/* Every node is closed, and the process still ends by itself. */
static void return_from_main(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a");
    OK(distflow_node_on_message(a, count, &busy, drop_context));
    OK(distflow_node_close(a, -1));
    distflow_node_free(a);
    distflow_pmd_free(pmd);
    CHECK_EQ(busy.drops, 1);
}

/* --- fork ---------------------------------------------------------------------------------- */

static void ignore_messages(distflow_node *node, const distflow_message *messages, size_t len,
                            void *pointer) {
    (void)node, (void)messages, (void)len, (void)pointer;
}

static void ignore_event(distflow_node *node, const distflow_event *event, void *pointer) {
    (void)node, (void)event, (void)pointer;
}

static void ignore_pmd_event(distflow_pmd *pmd, const distflow_event *event, void *pointer) {
    (void)pmd, (void)event, (void)pointer;
}

/* Checks a call on an inherited handle. */
#define FORKED(call) EXPECT(DISTFLOW_FORKED, call)

static void every_call_says_forked(distflow_node *node, distflow_pmd *pmd,
                                   distflow_pmd_client *client) {
    distflow_buf buf = {0};
    distflow_peers peers = {0};
    distflow_message message = {0};
    distflow_messages messages = {0};
    distflow_event event = {0};
    distflow_stats stats = {.struct_size = sizeof stats};
    uint16_t port;
    int fd;
    bool yes;
    context self = {0};
    FORKED(distflow_node_id(node, &buf));
    FORKED(distflow_node_alias(node, &buf));
    FORKED(distflow_node_port(node, &port));
    FORKED(distflow_node_is_registered(node, &yes));
    FORKED(distflow_node_peers(node, &peers));
    FORKED(distflow_node_discover(node, NULL, -1, &peers));
    FORKED(distflow_node_stats(node, &stats));
    FORKED(distflow_node_close(node, -1));
    FORKED(distflow_node_send(node, "b", "1", 1, -1));
    FORKED(distflow_node_try_send(node, "b", "1", 1));
    FORKED(distflow_node_recv(node, -1, &message));
    FORKED(distflow_node_recv_many(node, 1, -1, &messages));
    FORKED(distflow_node_watch(node));
    FORKED(distflow_node_recv_event(node, -1, &event));
    FORKED(distflow_node_fd(node, &fd));
    FORKED(distflow_node_on_message(node, count, &self, drop_context));
    FORKED(distflow_node_on_messages(node, ignore_messages, &self, drop_context));
    FORKED(distflow_node_on_event(node, ignore_event, &self, drop_context));
    CHECK_EQ(self.drops, 3);
    FORKED(distflow_pmd_port(pmd, &port));
    FORKED(distflow_pmd_is_running(pmd, &yes));
    FORKED(distflow_pmd_snapshot(pmd, &peers));
    FORKED(distflow_pmd_recv_event(pmd, -1, &event));
    FORKED(distflow_pmd_fd(pmd, &fd));
    FORKED(distflow_pmd_on_event(pmd, ignore_pmd_event, &self, drop_context));
    FORKED(distflow_pmd_close(pmd, -1));
    CHECK_EQ(self.drops, 4);
    FORKED(distflow_pmd_client_list(client, NULL, -1, &peers));
    FORKED(distflow_pmd_client_resolve(client, "b", -1, &peers));
    FORKED(distflow_pmd_client_kill(client, -1));
    FORKED(distflow_pmd_client_close(client));
    /* These do nothing. */
    distflow_node_free(node);
    distflow_pmd_free(pmd);
    distflow_pmd_client_free(client);
    FORKED(distflow_node_port(node, &port));
    FORKED(distflow_pmd_port(pmd, &port));
    FORKED(distflow_pmd_client_close(client));
    char text[200];
    CHECK_EQ(distflow_last_error(text, sizeof text, NULL), DISTFLOW_FORKED);
    CHECK(strstr(text, "fork") != NULL);
}

static size_t count_found(distflow_node *node) {
    distflow_peers peers;
    OK(distflow_node_discover(node, NULL, LIMIT_MS, &peers));
    size_t count = peers.len;
    distflow_peers_free(&peers);
    return count;
}

/* Waits for a child and gives what it exited with. */
static int exit_code(pid_t child) {
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status)) FAIL("the child died of signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static void fork_leaves_the_parent_alone(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    distflow_pmd_client *client;
    OK(distflow_pmd_client_open(NULL, port, LIMIT_MS, &client));
    OK(distflow_node_on_message(a, count, &busy, drop_context));
    int fd;
    OK(distflow_node_watch(b));
    OK(distflow_node_fd(b, &fd));
    send_text(b, "a", "1");
    WAIT_UNTIL(busy.calls == 1);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        /* A hang is a failure. */
        alarm(LIMIT_MS / 1000);
        every_call_says_forked(a, pmd, client);
        /* A node of its own, found by the parent's PMD. */
        distflow_node *own = open_node(port, "of-the-child");
        CHECK_EQ(count_found(own), 2);
        send_text(own, "a", "2");
        /* The parent's nodes go on while this one exists. */
        distflow_message message;
        OK(distflow_node_recv(own, LIMIT_MS, &message));
        distflow_message_free(&message);
        /* And a PMD of its own. */
        uint16_t own_port;
        distflow_pmd *own_pmd = open_pmd(&own_port);
        CHECK(own_port != port);
        distflow_node *other = open_node(own_port, "a");
        CHECK_EQ(count_found(other), 0);
        distflow_node_free(other);
        distflow_pmd_free(own_pmd);
        CHECK_EQ(busy.drops, 0);
        /* Its own node is not closed. */
        exit(0);
    }
    WAIT_UNTIL(busy.calls == 2);
    OK(distflow_node_send(b, "of-the-child", "3", 1, LIMIT_MS));
    CHECK_EQ(exit_code(child), 0);
    /* The child's node goes with the child; nothing of the parent's was unregistered. */
    WAIT_UNTIL(registered(pmd) == 2);
    bool yes;
    OK(distflow_node_is_registered(a, &yes));
    CHECK(yes);
    CHECK_EQ(count_found(b), 1);
    send_text(b, "a", "4");
    WAIT_UNTIL(busy.calls == 3);
    distflow_peers peers;
    OK(distflow_pmd_client_list(client, NULL, LIMIT_MS, &peers));
    CHECK_EQ(peers.len, 2);
    distflow_peers_free(&peers);
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&readable, 1, LIMIT_MS), 1);
    distflow_pmd_client_free(client);
    OK(distflow_node_close(a, -1));
    CHECK_EQ(busy.drops, 1);
    distflow_node_free(a);
    distflow_node_free(b);
    distflow_pmd_free(pmd);
}

static void fork_here(distflow_node *node, const distflow_message *message, void *pointer) {
    (void)message;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(LIMIT_MS / 1000);
        FORKED(distflow_node_close(node, -1));
        FORKED(distflow_node_send(node, "b", "1", 1, -1));
        distflow_node_free(node);
        exit(EXIT_CODE);
    }
    CHECK_EQ(exit_code(child), EXIT_CODE);
    EXPECT(DISTFLOW_REENTRANT_CALL, distflow_node_close(node, -1));
    atomic_fetch_add(&((context *)pointer)->calls, 1);
}

static void fork_in_a_callback(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    OK(distflow_node_on_message(a, fork_here, &busy, drop_context));
    for (int i = 0; i < 10; i++) send_text(b, "a", "1");
    WAIT_UNTIL(busy.calls == 10);
    OK(distflow_node_close(a, -1));
    CHECK_EQ(busy.drops, 1);
    WAIT_UNTIL(registered(pmd) == 1);
    distflow_node_free(a);
    distflow_node_free(b);
    distflow_pmd_free(pmd);
}

/* Other threads are in the middle of calls, with whatever they hold, when the child is made. */
static void fork_beside_busy_threads(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    OK(distflow_node_on_message(a, count, &busy, drop_context));
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, flood, b), 0);
    WAIT_UNTIL(busy.calls > 10);
    for (int i = 0; i < 50; i++) {
        long calls = busy.calls;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(LIMIT_MS / 1000);
            FORKED(distflow_node_try_send(a, "b", "1", 1));
            FORKED(distflow_node_close(b, -1));
            distflow_node_free(a);
            distflow_node *own = open_node(port, "of-the-child");
            OK(distflow_node_close(own, LIMIT_MS));
            distflow_node_free(own);
            exit(EXIT_CODE);
        }
        CHECK_EQ(exit_code(child), EXIT_CODE);
        WAIT_UNTIL(busy.calls > calls);
    }
    WAIT_UNTIL(registered(pmd) == 2);
    /* The flood does not end by itself. */
    _exit(0);
}

static void count_record(const distflow_log_record *record, void *pointer) {
    CHECK(record->message.len > 0);
    atomic_fetch_add(&((context *)pointer)->calls, 1);
}

/* The log's hook is its process's own, too. */
static void fork_with_a_log(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    context parents = {0}, childs = {0};
    OK(distflow_log_set(DISTFLOW_LOG_INFO, count_record, &parents, drop_context));
    distflow_node_free(open_node(port, "a"));
    WAIT_UNTIL(parents.calls > 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(LIMIT_MS / 1000);
        long calls = parents.calls;
        OK(distflow_log_set(DISTFLOW_LOG_INFO, count_record, &childs, drop_context));
        distflow_node_free(open_node(port, "of-the-child"));
        WAIT_UNTIL(childs.calls > 0);
        OK(distflow_log_set(DISTFLOW_LOG_OFF, NULL, NULL, NULL));
        CHECK_EQ(childs.drops, 1);
        /* Nothing of the parent's was called, or ended. */
        CHECK_EQ(parents.calls, calls);
        CHECK_EQ(parents.drops, 0);
        exit(EXIT_CODE);
    }
    CHECK_EQ(exit_code(child), EXIT_CODE);
    long calls = parents.calls;
    distflow_node_free(open_node(port, "a"));
    WAIT_UNTIL(parents.calls > calls);
    CHECK_EQ(parents.drops, 0);
    OK(distflow_log_set(DISTFLOW_LOG_OFF, NULL, NULL, NULL));
    CHECK_EQ(parents.drops, 1);
    distflow_pmd_free(pmd);
}

/* For the driver: says the port of the PMD, and lives in a child until the input ends. */
static void fork_and_die(void) {
    uint16_t port;
    open_pmd(&port);
    open_node(port, "a");
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        printf("port %d\nchild %d\n", port, (int)getpid());
        fflush(stdout);
        char byte;
        CHECK_EQ(read(0, &byte, 1), 0);
        exit(0);
    }
    for (;;) pause();
}

/* --- signals ------------------------------------------------------------------------------- */

static void all_actions(struct sigaction *actions, sigset_t *mask) {
    for (int signal = 1; signal < NSIG; signal++) {
        memset(&actions[signal], 0, sizeof *actions);
        /* Those of the C library itself cannot be asked for. */
        sigaction(signal, NULL, &actions[signal]);
    }
    pthread_sigmask(SIG_SETMASK, NULL, mask);
}

static void signals_are_the_hosts(void) {
    static struct sigaction before[NSIG], after[NSIG];
    sigset_t mask_before, mask_after;
    all_actions(before, &mask_before);
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    OK(distflow_node_on_message(a, count, &busy, drop_context));
    send_text(b, "a", "1");
    WAIT_UNTIL(busy.calls == 1);
    for (int round = 0; round < 2; round++) {
        all_actions(after, &mask_after);
        for (int signal = 1; signal < NSIG; signal++) {
            if (before[signal].sa_handler != after[signal].sa_handler ||
                before[signal].sa_flags != after[signal].sa_flags)
                FAIL("the action of signal %d has changed", signal);
            CHECK_EQ(sigismember(&mask_before, signal), sigismember(&mask_after, signal));
        }
        if (round == 1) break;
        distflow_node_free(a);
        distflow_node_free(b);
        distflow_pmd_free(pmd);
    }
}

/* A host that reads signals from a descriptor, after threads of the library have been started. */
static void signals_reach_only_the_host(void) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    OK(distflow_node_on_message(a, count, &busy, drop_context));
    send_text(b, "a", "1");
    WAIT_UNTIL(busy.calls == 1);
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGALRM};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaddset(&set, signals[i]);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    int descriptor = signalfd(-1, &set, SFD_CLOEXEC);
    CHECK(descriptor >= 0);
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
            /* The default of each ends the process, whichever thread takes it. */
            CHECK_EQ(kill(getpid(), signals[i]), 0);
            struct signalfd_siginfo got;
            CHECK_EQ(read(descriptor, &got, sizeof got), sizeof got);
            CHECK_EQ(got.ssi_signo, signals[i]);
        }
    }
    close(descriptor);
    distflow_node_free(a);
    distflow_node_free(b);
    distflow_pmd_free(pmd);
}

/* --- descriptors --------------------------------------------------------------------------- */

#define CLOSED(call) CHECK_EQ(call, DISTFLOW_CLOSED)

/* What a program that becomes a daemon does to the library's descriptors; whichever call is the
 * first afterwards. */
static void closed_by_the_host(int first) {
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a"), *b = open_node(port, "b");
    context self = {0};
    OK(distflow_node_on_message(a, count, &self, drop_context));
    send_text(b, "a", "1");
    WAIT_UNTIL(self.calls == 1);
    for (int fd = 3; fd < 256; fd++) close(fd);
    /* The numbers are the host's again. */
    char name[] = "/tmp/distflow-test-XXXXXX";
    int files[100] = {mkstemp(name)};
    CHECK(files[0] >= 0);
    unlink(name);
    for (int i = 1; i < 100; i++) CHECK((files[i] = dup(files[0])) >= 0);
    distflow_message message;
    distflow_event event;
    distflow_peers peers;
    switch (first) {
    case 0: CLOSED(distflow_node_send(b, "a", "1", 1, LIMIT_MS)); break;
    case 1: CLOSED(distflow_node_recv(b, -1, &message)); break;
    case 2: CLOSED(distflow_node_discover(b, NULL, -1, &peers)); break;
    case 3: CLOSED(distflow_node_send(b, "not-yet-known", "1", 1, -1)); break;
    case 4: CLOSED(distflow_pmd_snapshot(pmd, &peers)); break;
    case 5: OK(distflow_node_close(a, LIMIT_MS)); break;
    case 6: distflow_node_free(open_node(open_pmd(&port) ? port : 0, "a")); break;
    }
    CLOSED(distflow_node_send(b, "a", "1", 1, -1));
    CLOSED(distflow_node_try_send(b, "a", "1", 1));
    CLOSED(distflow_node_recv(b, -1, &message));
    CLOSED(distflow_node_discover(b, NULL, -1, &peers));
    CLOSED(distflow_pmd_snapshot(pmd, &peers));
    (void)event;
    OK(distflow_node_close(b, LIMIT_MS));
    distflow_node_free(a);
    distflow_node_free(b);
    CHECK_EQ(self.drops, 1);
    distflow_pmd_free(pmd);
    /* Nothing was written into the host's files, and none was closed. */
    for (int i = 0; i < 100; i++) {
        struct stat stat;
        CHECK_EQ(fstat(files[i], &stat), 0);
        CHECK_EQ(stat.st_size, 0);
        CHECK_EQ(close(files[i]), 0);
    }
    /* What is opened from here on works. */
    pmd = open_pmd(&port);
    a = open_node(port, "a"), b = open_node(port, "b");
    context again = {0};
    OK(distflow_node_on_message(a, count, &again, drop_context));
    send_text(b, "a", "1");
    WAIT_UNTIL(again.calls == 1);
    distflow_node_free(a);
    distflow_node_free(b);
    distflow_pmd_free(pmd);
}

static void descriptors_are_closed_by_the_host(void) {
    for (int first = 0; first <= 6; first++) closed_by_the_host(first);
}

static uint16_t small_port;

static void *on_a_small_stack(void *ignored) {
    (void)ignored;
    distflow_node *node = open_node(small_port, "small");
    send_text(node, "small", "{\"a\":[1,2,3]}");
    distflow_message message;
    OK(distflow_node_recv(node, LIMIT_MS, &message));
    distflow_message_free(&message);
    distflow_peers peers;
    OK(distflow_node_discover(node, NULL, LIMIT_MS, &peers));
    distflow_peers_free(&peers);
    distflow_node_free(node);
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_pmd_client *client;
    OK(distflow_pmd_client_open("localhost", port, LIMIT_MS, &client));
    OK(distflow_pmd_client_list(client, NULL, LIMIT_MS, &peers));
    distflow_peers_free(&peers);
    distflow_pmd_client_free(client);
    distflow_pmd_free(pmd);
    return NULL;
}

static void a_small_stack(void) {
    distflow_pmd *pmd = open_pmd(&small_port);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    /* Code that is not optimised takes more. */
    CHECK_EQ(pthread_attr_setstacksize(&attributes, 192 << 10), 0);
    for (int round = 0; round < 20; round++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, &attributes, on_a_small_stack, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    pthread_attr_destroy(&attributes);
    distflow_pmd_free(pmd);
}

/* The other side of no_sigpipe: takes messages until it is killed. */
static void peer(const char *port) {
    open_node((uint16_t)atoi(port), "peer");
    for (;;) pause();
}

static const char *this_program;

static void no_sigpipe(void) {
    struct sigaction action;
    /* A host of which nothing else is known: the default ends the process. */
    signal(SIGPIPE, SIG_DFL);
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&port);
    distflow_node *a = open_node(port, "a");
    static char payload[65536];
    memset(payload, 'x', sizeof payload);
    payload[0] = payload[sizeof payload - 1] = '"';
    for (int round = 0; round < 10; round++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            char text[16];
            snprintf(text, sizeof text, "%d", port);
            execl(this_program, this_program, "peer", text, (char *)NULL);
            _exit(1);
        }
        WAIT_UNTIL(registered(pmd) == 2);
        WAIT_UNTIL(distflow_node_try_send(a, "peer", "1", 1) == DISTFLOW_OK);
        for (int i = 0; i < 200; i++) distflow_node_try_send(a, "peer", payload, sizeof payload);
        CHECK_EQ(kill(child, SIGKILL), 0);
        /* Writes go on while the peer goes. */
        long long sent = 0;
        distflow_status status;
        do {
            status = distflow_node_try_send(a, "peer", payload, sizeof payload);
            if (status == DISTFLOW_OK) sent++;
        } while (status == DISTFLOW_OK || status == DISTFLOW_BUSY);
        CHECK_EQ(status, DISTFLOW_RESOLVE_FAILED);
        int ignored;
        CHECK_EQ(waitpid(child, &ignored, 0), child);
        WAIT_UNTIL(registered(pmd) == 1);
    }
    sigaction(SIGPIPE, NULL, &action);
    CHECK(action.sa_handler == SIG_DFL);
    distflow_stats stats = {.struct_size = sizeof stats};
    OK(distflow_node_stats(a, &stats));
    CHECK(stats.lost_outbound > 0);
    distflow_node_free(a);
    distflow_pmd_free(pmd);
}

int main(int argc, char **argv) {
    static const test_case cases[] = {
        {"exit_from_main", exit_from_main},
        {"exit_from_a_callback", exit_from_a_callback},
        {"exit_from_a_thread", exit_from_a_thread},
        {"return_from_main", return_from_main},
        {"fork_leaves_the_parent_alone", fork_leaves_the_parent_alone},
        {"fork_in_a_callback", fork_in_a_callback},
        {"fork_beside_busy_threads", fork_beside_busy_threads},
        {"fork_with_a_log", fork_with_a_log},
        {"fork_and_die", fork_and_die},
        {"signals_are_the_hosts", signals_are_the_hosts},
        {"signals_reach_only_the_host", signals_reach_only_the_host},
        {"descriptors_are_closed_by_the_host", descriptors_are_closed_by_the_host},
        {"a_small_stack", a_small_stack},
        {"no_sigpipe", no_sigpipe},
    };
    this_program = argv[0];
    if (argc == 3 && strcmp(argv[1], "peer") == 0) {
        peer(argv[2]);
        return 1;
    }
    return CASES(cases, argc, argv);
}
