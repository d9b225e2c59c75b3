/* Calls as no program should make them. Each gives exactly the status that the header promises,
 * and a text that names what was wrong; memory is neither touched beyond what was lent nor lost.
 *
 * usage: misuse            every function of the table
 *        misuse --list     the names in the table
 *        misuse hosts      hosts that cannot be looked up
 *        misuse ended      a PMD that has ended by itself
 *        misuse emptied    structs that are filled in are emptied whatever the status
 *
 * Standard output says which statuses were seen, for the header's lists to be compared with. */
#include "check.h"

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

/* --- what is expected ---------------------------------------------------------------------- */

static void check_call(int line, const char *call, distflow_status got, distflow_status wanted,
                       const char *words) {
    char text[1024];
    size_t len;
    distflow_status last = distflow_last_error(text, sizeof text, &len);
    if (got != wanted)
        FAIL("line %d: %s gave %s (%s) and not %s", line, call, distflow_status_name(got), text,
             distflow_status_name(wanted));
    if (last != got) FAIL("line %d: %s: the last error is %d", line, call, last);
    if (len != strlen(text)) FAIL("line %d: %s: the text is %zu long", line, call, len);
    if ((got == DISTFLOW_OK) != (len == 0) || strstr(text, words) == NULL)
        FAIL("line %d: %s says '%s', without '%s'", line, call, text, words);
    printf("saw %.*s %s\n", (int)strcspn(call, "("), call, distflow_status_name(got));
}

#define FAILS(status, words, call) check_call(__LINE__, #call, call, status, words)
#define WORKS(call) check_call(__LINE__, #call, call, DISTFLOW_OK, "")
#define WRONG(words, call) FAILS(DISTFLOW_INVALID_ARGUMENT, words, call)

/* --- handles that are none ------------------------------------------------------------------ */

static uint16_t port;
/* A port of 127.0.0.1 that is taken, and at which nobody listens. */
static uint16_t deaf_port;
static distflow_pmd *pmd, *closed_pmd, *stale_pmd;
static distflow_node *a, *b, *closed_node, *stale_node;
static distflow_pmd_client *client, *closed_client, *stale_client;

/* Some memory of this program's own, which must not be taken for an object. */
static uint64_t own_memory[64];

#define BAD_MAX 100
static void *bad_nodes[BAD_MAX], *bad_pmds[BAD_MAX], *bad_clients[BAD_MAX];

/* What no function takes for a handle of one type: `live` is one, and `stale` was one. */
static void make_bad(void **bad, void *live, void *stale, void *other, void *another) {
    size_t count = 0;
    bad[count++] = NULL;
    bad[count++] = stale;
    bad[count++] = other;
    bad[count++] = another;
    bad[count++] = own_memory;
    bad[count++] = (char *)own_memory + 1;
    bad[count++] = (void *)(uintptr_t)1;
    bad[count++] = (void *)(uintptr_t)0xdeadbeef;
    bad[count++] = (void *)UINTPTR_MAX;
    bad[count++] = (void *)(UINTPTR_MAX / 2);
    for (int bit = 0; bit < 64; bit++) bad[count++] = (void *)((uintptr_t)live ^ (1ULL << bit));
    while (count < BAD_MAX) bad[count++] = (void *)(uintptr_t)random_number(own_memory);
}

#define BAD_HANDLES(type, list, call)                                                              \
    for (size_t bad_i = 0; bad_i < BAD_MAX; bad_i++) {                                             \
        type *handle = list[bad_i];                                                                \
        FAILS(DISTFLOW_INVALID_HANDLE, #type " *", call);                                          \
    }
#define BAD_NODES(call) BAD_HANDLES(distflow_node, bad_nodes, call)
#define BAD_PMDS(call) BAD_HANDLES(distflow_pmd, bad_pmds, call)
#define BAD_CLIENTS(call) BAD_HANDLES(distflow_pmd_client, bad_clients, call)

static void take_deaf_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(taken, (struct sockaddr *)&address, len) == 0);
    CHECK(getsockname(taken, (struct sockaddr *)&address, &len) == 0);
    deaf_port = ntohs(address.sin_port);
}

static void make_world(void) {
    own_memory[0] = 88172645463325252;
    take_deaf_port();
    closed_pmd = open_pmd(&port);
    stale_pmd = open_pmd(&port);
    pmd = open_pmd(&port);
    a = open_node(port, "a");
    b = open_node(port, "b");
    closed_node = open_node(port, "closed");
    stale_node = open_node(port, "stale");
    OK(distflow_pmd_client_open(NULL, port, LIMIT_MS, &client));
    OK(distflow_pmd_client_open(NULL, port, LIMIT_MS, &closed_client));
    OK(distflow_pmd_client_open("127.0.0.1", port, LIMIT_MS, &stale_client));
    OK(distflow_pmd_close(closed_pmd, -1));
    OK(distflow_node_close(closed_node, -1));
    OK(distflow_pmd_client_close(closed_client));
    distflow_node_free(stale_node);
    distflow_pmd_free(stale_pmd);
    distflow_pmd_client_free(stale_client);
    make_bad(bad_nodes, a, stale_node, pmd, client);
    make_bad(bad_pmds, pmd, stale_pmd, client, a);
    make_bad(bad_clients, client, stale_client, a, pmd);
    /* The link is up from here on. */
    send_text(b, "a", "1");
    distflow_message message;
    OK(distflow_node_recv(a, LIMIT_MS, &message));
    distflow_message_free(&message);
}

static void end_world(void) {
    distflow_pmd_client_free(client);
    distflow_pmd_client_free(closed_client);
    distflow_node_free(a);
    distflow_node_free(b);
    distflow_node_free(closed_node);
    distflow_pmd_free(pmd);
    distflow_pmd_free(closed_pmd);
}

/* --- texts that are none -------------------------------------------------------------------- */

#define TEXT_BYTES_MAX 65536

/* Exactly as long as what may be looked at, so that a byte more is one too many. */
static char *endless(void) {
    char *text = malloc(TEXT_BYTES_MAX);
    CHECK(text != NULL);
    memset(text, 'x', TEXT_BYTES_MAX);
    return text;
}

/* One longer than fits anything, but with its end. */
static char *long_text(size_t len) {
    char *text = malloc(len + 1);
    CHECK(text != NULL);
    memset(text, 'x', len);
    text[len] = 0;
    return text;
}

static const char *const NOT_UTF8[] = {"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf5\x80\x80\x80"};

/* Calls with each text that is no UTF-8, and with one that has no end; `what` is its name. */
#define BAD_TEXTS(what, call)                                                                      \
    do {                                                                                           \
        for (size_t text_i = 0; text_i < sizeof NOT_UTF8 / sizeof *NOT_UTF8; text_i++) {           \
            const char *text = NOT_UTF8[text_i];                                                   \
            WRONG(what " is not valid UTF-8", call);                                               \
        }                                                                                          \
        char *text = endless();                                                                    \
        WRONG(what " has no NUL byte", call);                                                      \
        free(text);                                                                                \
    } while (0)

/* JSON text of a depth, without anything inside. */
static char *nested(size_t depth) {
    char *text = long_text(2 * depth);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    return text;
}

/* --- the functions without a handle --------------------------------------------------------- */

static void test_distflow_version(void) {
    CHECK(strcmp(distflow_version(), DISTFLOW_VERSION) == 0);
}

static void test_distflow_check_abi(void) {
    WORKS(distflow_check_abi(DISTFLOW_ABI_VERSION));
    const uint32_t others[] = {0, DISTFLOW_ABI_VERSION + 1, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        char number[16];
        snprintf(number, sizeof number, "%u", others[i]);
        FAILS(DISTFLOW_ABI_MISMATCH, number, distflow_check_abi(others[i]));
    }
}

static void test_distflow_status_name(void) {
    CHECK(strcmp(distflow_status_name(DISTFLOW_OK), "ok") == 0);
    CHECK(strcmp(distflow_status_name(DISTFLOW_PANIC), "panic") == 0);
    const distflow_status unknown[] = {-1, 6, 99, 902, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        CHECK(strcmp(distflow_status_name(unknown[i]), "unknown") == 0);
}

/* Whether a text is valid UTF-8 as far as it was cut: no character is left half. */
static bool ends_whole(const char *text, size_t len) {
    size_t at = 0;
    while (at < len) {
        unsigned char first = (unsigned char)text[at];
        at += first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    }
    return at == len;
}

static void test_distflow_last_error(void) {
    /* This text has a character of several bytes. */
    distflow_node_options options = node_options(port, NULL);
    options.overflow = 77;
    distflow_node *node;
    WRONG("DISTFLOW_OVERFLOW_\xe2\x80\xa6", distflow_node_open(&options, &node));
    size_t len = 0;
    CHECK_EQ(distflow_last_error(NULL, 0, &len), DISTFLOW_INVALID_ARGUMENT);
    CHECK_EQ(distflow_last_error(NULL, 1000, NULL), DISTFLOW_INVALID_ARGUMENT);
    CHECK(len > 20 && len < 500);
    bool was_cut = false;
    for (size_t capacity = 0; capacity <= len + 2; capacity++) {
        /* Not a byte more is touched than there is. */
        char *text = malloc(capacity ? capacity : 1);
        CHECK(text != NULL);
        text[0] = '?';
        size_t whole = 0;
        CHECK_EQ(distflow_last_error(text, capacity, &whole), DISTFLOW_INVALID_ARGUMENT);
        CHECK_EQ(whole, len);
        if (capacity == 0) {
            CHECK_EQ(text[0], '?');
        } else {
            size_t copied = strlen(text), fits = capacity - 1 < len ? capacity - 1 : len;
            CHECK(copied <= fits && fits - copied < 3);
            CHECK(ends_whole(text, copied));
            was_cut = was_cut || copied < fits;
        }
        free(text);
    }
    CHECK(was_cut);
    /* The functions that free leave it alone, a success clears it. */
    distflow_node_free(NULL);
    distflow_buf_free(NULL);
    CHECK_EQ(distflow_last_error(NULL, 0, NULL), DISTFLOW_INVALID_ARGUMENT);
    uint16_t ignored;
    WORKS(distflow_node_port(a, &ignored));
    CHECK_EQ(distflow_last_error(NULL, 0, &len), DISTFLOW_OK);
    CHECK_EQ(len, 0);
}

/* What is empty, was never filled in, was freed already, or is not there. */
#define FREES(type, function, make)                                                                \
    do {                                                                                           \
        type filled;                                                                               \
        memset(&filled, 0, sizeof filled);                                                         \
        function(NULL);                                                                            \
        function(&filled);                                                                         \
        function(&filled);                                                                         \
        make;                                                                                      \
        function(&filled);                                                                         \
        function(&filled);                                                                         \
    } while (0)

static void test_distflow_buf_free(void) {
    FREES(distflow_buf, distflow_buf_free, {
        WORKS(distflow_node_id(a, &filled));
        CHECK(filled.len > 0 && filled.data[filled.len] == 0);
    });
}

static void test_distflow_peers_free(void) {
    FREES(distflow_peers, distflow_peers_free, {
        WORKS(distflow_node_peers(a, &filled));
        CHECK(filled.len > 0 && filled.items != NULL);
    });
}

static void test_distflow_message_free(void) {
    FREES(distflow_message, distflow_message_free, {
        send_text(b, "a", "\"text\"");
        WORKS(distflow_node_recv(a, LIMIT_MS, &filled));
        CHECK(strcmp(filled.payload.data, "\"text\"") == 0);
    });
    /* One of several owns nothing, and freeing a copy of it does no harm. */
    send_text(b, "a", "1");
    distflow_messages several;
    WORKS(distflow_node_recv_many(a, 1, LIMIT_MS, &several));
    distflow_message copy = several.items[0];
    distflow_message_free(&copy);
    CHECK_EQ(several.items[0].payload.len, 1);
    distflow_messages_free(&several);
}

static void test_distflow_messages_free(void) {
    FREES(distflow_messages, distflow_messages_free, {
        send_text(b, "a", "1");
        WORKS(distflow_node_recv_many(a, 5, LIMIT_MS, &filled));
        CHECK_EQ(filled.len, 1);
    });
}

static void test_distflow_event_free(void) {
    FREES(distflow_event, distflow_event_free, {
        WORKS(distflow_pmd_recv_event(pmd, LIMIT_MS, &filled));
        CHECK_EQ(filled.kind, DISTFLOW_EVENT_PEER_JOIN);
    });
}

#include "misuse_open.h"
#include "misuse_node.h"
#include "misuse_pmd.h"

/* --- the log -------------------------------------------------------------------------------- */

static void on_record(const distflow_log_record *record, void *pointer) {
    context *self = pointer;
    CHECK(record->level >= DISTFLOW_LOG_ERROR && record->level <= DISTFLOW_LOG_INFO);
    CHECK_EQ(record->message.len, strlen(record->message.data));
    CHECK(record->fields.data[0] == '{');
    /* In the callback itself it does not wait. */
    if (atomic_fetch_add(&self->calls, 1) == 0)
        OK(distflow_log_set(DISTFLOW_LOG_OFF, NULL, NULL, NULL));
}

static void test_distflow_log_set(void) {
    context self = {0};
    const int32_t levels[] = {-1, 6, INT32_MIN, INT32_MAX};
    int drops = 0;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        WRONG("level", distflow_log_set(levels[i], on_record, &self, drop_context));
        CHECK_EQ(self.drops, ++drops);
    }
    WRONG("callback is NULL", distflow_log_set(DISTFLOW_LOG_INFO, NULL, &self, drop_context));
    CHECK_EQ(self.drops, ++drops);
    WORKS(distflow_log_set(DISTFLOW_LOG_OFF, NULL, NULL, NULL));
    /* A hook that is replaced has ended when the call returns. */
    WORKS(distflow_log_set(DISTFLOW_LOG_ERROR, on_record, &self, drop_context));
    CHECK_EQ(self.drops, drops);
    WORKS(distflow_log_set(DISTFLOW_LOG_INFO, on_record, &self, drop_context));
    CHECK_EQ(self.drops, ++drops);
    /* It logs that a node starts; the callback then ends itself. */
    distflow_node_free(open_node(port, "logged"));
    drops++;
    WAIT_UNTIL(self.drops == drops);
    CHECK(self.calls >= 1);
    WORKS(distflow_log_set(DISTFLOW_LOG_OFF, on_record, &self, NULL));
    CHECK_EQ(self.drops, drops);
}

/* --- documents ------------------------------------------------------------------------------- */

#include "misuse_doc.h"

/* --- game sessions --------------------------------------------------------------------------- */

#include "misuse_session.h"

/* --- hosts that cannot be looked up --------------------------------------------------------- */

/* Whatever the status is, the header has to list it, and the text names the host. */
#define FAILS_SOMEHOW(words, call)                                                                 \
    do {                                                                                           \
        distflow_status somehow = call;                                                            \
        CHECK(somehow != DISTFLOW_OK);                                                             \
        check_call(__LINE__, #call, somehow, somehow, words);                                      \
    } while (0)

static void hosts(void) {
    /* No resolver takes a label this long, and none asks anybody for it. */
    char *host = long_text(200);
    distflow_pmd_options of_pmd;
    distflow_pmd *opened;
    WORKS(distflow_pmd_options_init(&of_pmd, sizeof of_pmd));
    of_pmd.host = host;
    of_pmd.insecure = 1;
    FAILS_SOMEHOW(host, distflow_pmd_open(&of_pmd, &opened));
    distflow_pmd_client *asks;
    FAILS_SOMEHOW(host, distflow_pmd_client_open(host, port, 1000, &asks));
    distflow_node *node;
    distflow_node_options options = node_options(port, "new");
    options.listen_host = host;
    options.insecure = 1;
    FAILS_SOMEHOW(host, distflow_node_open(&options, &node));
    options = node_options(port, "new");
    options.pmd_host = host;
    options.start_timeout_ms = 1000;
    FAILS_SOMEHOW(host, distflow_node_open(&options, &node));
    free(host);
}

/* --- a PMD that has ended by itself --------------------------------------------------------- */

/* It has no turn any more that could be waited for: asking it fails at once. */
static void ended(void) {
    uint16_t own;
    distflow_pmd *victim = open_pmd(&own);
    distflow_pmd_client *killer;
    WORKS(distflow_pmd_client_open(NULL, own, LIMIT_MS, &killer));
    WORKS(distflow_pmd_client_kill(killer, LIMIT_MS));
    bool yes = true;
    WAIT_UNTIL(distflow_pmd_is_running(victim, &yes) == DISTFLOW_OK && !yes);
    /* Generous, and the best of three, for a machine under load; the header says: well under a
     * millisecond. */
    long long took = LIMIT_MS;
    for (int i = 0; i < 3 && took >= 4000; i++) {
        long long begun = now_ms();
        distflow_peers peers;
        FAILS(DISTFLOW_CLOSED, "ended", distflow_pmd_snapshot(victim, &peers));
        took = now_ms() - begun;
    }
    if (took >= 4000) FAIL("it took %lld ms", took);
    distflow_pmd_client_free(killer);
    distflow_pmd_free(victim);
}

/* --- structs that are filled in ------------------------------------------------------------- */

/* Whether a word of the struct was not written. Single bytes say nothing: an address may have
 * any. */
static bool has_untouched_word(const void *filled, size_t size) {
    for (size_t at = 0; at + sizeof(uint64_t) <= size; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, (const char *)filled + at, sizeof word);
        if (word == 0xa5a5a5a5a5a5a5a5) return true;
    }
    return false;
}

/* "Every other struct that distflow fills in is emptied first, so it can be given to its _free
 * function whatever the status was." */
#define EMPTIES(type, function, call)                                                              \
    do {                                                                                           \
        type filled;                                                                               \
        memset(&filled, 0xa5, sizeof filled);                                                      \
        distflow_status status = call;                                                             \
        CHECK(status != DISTFLOW_OK);                                                              \
        if (has_untouched_word(&filled, sizeof filled)) {                                          \
            fprintf(stderr, "line %d: %s gave %s and left the struct as it was\n", __LINE__,       \
                    #call, distflow_status_name(status));                                          \
            failures++;                                                                            \
        } else {                                                                                   \
            function(&filled);                                                                     \
        }                                                                                          \
    } while (0)

static int failures;

static void emptied(void) {
    distflow_node *nodes[] = {NULL, stale_node, (distflow_node *)pmd, closed_node, a};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        distflow_node *node = nodes[i];
        bool is_open = node == a, is_node = is_open || node == closed_node;
        if (!is_node) {
            EMPTIES(distflow_buf, distflow_buf_free, distflow_node_id(node, &filled));
            EMPTIES(distflow_buf, distflow_buf_free, distflow_node_alias(node, &filled));
        }
        if (!is_open)
            EMPTIES(distflow_peers, distflow_peers_free, distflow_node_peers(node, &filled));
        EMPTIES(distflow_peers, distflow_peers_free,
                distflow_node_discover(node, "\xff", 0, &filled));
        EMPTIES(distflow_message, distflow_message_free, distflow_node_recv(node, 0, &filled));
        EMPTIES(distflow_messages, distflow_messages_free,
                distflow_node_recv_many(node, 0, 0, &filled));
        EMPTIES(distflow_event, distflow_event_free, distflow_node_recv_event(node, 0, &filled));
    }
    distflow_pmd *pmds[] = {NULL, stale_pmd, (distflow_pmd *)a};
    for (size_t i = 0; i < sizeof pmds / sizeof *pmds; i++) {
        EMPTIES(distflow_peers, distflow_peers_free, distflow_pmd_snapshot(pmds[i], &filled));
        EMPTIES(distflow_event, distflow_event_free, distflow_pmd_recv_event(pmds[i], 0, &filled));
    }
    EMPTIES(distflow_peers, distflow_peers_free, distflow_pmd_snapshot(closed_pmd, &filled));
    distflow_pmd_client *clients[] = {NULL, stale_client, (distflow_pmd_client *)a, closed_client,
                                      client};
    for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
        EMPTIES(distflow_peers, distflow_peers_free,
                distflow_pmd_client_list(clients[i], NULL, 0, &filled));
        EMPTIES(distflow_peers, distflow_peers_free,
                distflow_pmd_client_resolve(clients[i], "a", 0, &filled));
    }
    distflow_doc *docs[] = {NULL, stale_doc, (distflow_doc *)a};
    for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) {
        EMPTIES(distflow_buf, distflow_buf_free, distflow_doc_json(docs[i], &filled));
        EMPTIES(distflow_buf, distflow_buf_free, distflow_doc_snapshot(docs[i], &filled));
        EMPTIES(distflow_buf, distflow_buf_free, distflow_doc_get(docs[i], "/x", &filled));
        EMPTIES(distflow_buf, distflow_buf_free, distflow_doc_set(docs[i], "/x", "1", 1, &filled));
        EMPTIES(distflow_buf, distflow_buf_free, distflow_doc_delete(docs[i], "/x", &filled));
        EMPTIES(distflow_buf, distflow_buf_free,
                distflow_doc_since(docs[i], NULL, 0, &filled, NULL));
    }
    EMPTIES(distflow_buf, distflow_buf_free, distflow_doc_set(doc, "x.y", "1", 1, &filled));
    EMPTIES(distflow_buf, distflow_buf_free, distflow_doc_delete(doc, "x.y", &filled));
    EMPTIES(distflow_buf, distflow_buf_free, distflow_doc_get(doc, "x.y", &filled));
    EMPTIES(distflow_buf, distflow_buf_free,
            distflow_doc_diff_snapshots(NULL, 0, NULL, 0, &filled));
    distflow_session *sessions[] = {NULL, stale_session, (distflow_session *)a, left_session};
    for (size_t i = 0; i < sizeof sessions / sizeof *sessions; i++) {
        distflow_session_event event;
        while (distflow_session_recv_event(sessions[i], 0, &event) == DISTFLOW_OK)
            distflow_session_event_free(&event);
        EMPTIES(distflow_session_event, distflow_session_event_free,
                distflow_session_recv_event(sessions[i], 0, &filled));
        if (sessions[i] == left_session) break;
        EMPTIES(distflow_buf, distflow_buf_free, distflow_session_id(sessions[i], &filled));
        EMPTIES(distflow_buf, distflow_buf_free, distflow_session_instance(sessions[i], &filled));
        EMPTIES(distflow_buf, distflow_buf_free, distflow_session_view(sessions[i], &filled));
    }
    EMPTIES(distflow_buf, distflow_buf_free,
            distflow_session_list_sessions(stale_list, NULL, &filled));
    EMPTIES(distflow_buf, distflow_buf_free, distflow_session_list_sessions(list, "\xff", &filled));
    if (failures > 0) FAIL("%d calls left a struct as it was", failures);
}

/* --- the table ------------------------------------------------------------------------------ */

#define FUNCTION(name) {#name, test_##name}

/* Every function of the header; the driver compares. */
static const test_case FUNCTIONS[] = {
    FUNCTION(distflow_version),
    FUNCTION(distflow_check_abi),
    FUNCTION(distflow_status_name),
    FUNCTION(distflow_last_error),
    FUNCTION(distflow_buf_free),
    FUNCTION(distflow_peers_free),
    FUNCTION(distflow_message_free),
    FUNCTION(distflow_messages_free),
    FUNCTION(distflow_event_free),
    FUNCTION(distflow_node_options_init),
    FUNCTION(distflow_node_open),
    FUNCTION(distflow_node_id),
    FUNCTION(distflow_node_alias),
    FUNCTION(distflow_node_port),
    FUNCTION(distflow_node_is_registered),
    FUNCTION(distflow_node_peers),
    FUNCTION(distflow_node_discover),
    FUNCTION(distflow_node_stats),
    FUNCTION(distflow_node_close),
    FUNCTION(distflow_node_free),
    FUNCTION(distflow_node_send),
    FUNCTION(distflow_node_try_send),
    FUNCTION(distflow_node_recv),
    FUNCTION(distflow_node_recv_many),
    FUNCTION(distflow_node_watch),
    FUNCTION(distflow_node_recv_event),
    FUNCTION(distflow_node_fd),
    FUNCTION(distflow_node_on_message),
    FUNCTION(distflow_node_on_messages),
    FUNCTION(distflow_node_on_event),
    FUNCTION(distflow_pmd_options_init),
    FUNCTION(distflow_pmd_open),
    FUNCTION(distflow_pmd_port),
    FUNCTION(distflow_pmd_is_running),
    FUNCTION(distflow_pmd_snapshot),
    FUNCTION(distflow_pmd_recv_event),
    FUNCTION(distflow_pmd_fd),
    FUNCTION(distflow_pmd_on_event),
    FUNCTION(distflow_pmd_close),
    FUNCTION(distflow_pmd_free),
    FUNCTION(distflow_pmd_client_open),
    FUNCTION(distflow_pmd_client_list),
    FUNCTION(distflow_pmd_client_resolve),
    FUNCTION(distflow_pmd_client_kill),
    FUNCTION(distflow_pmd_client_close),
    FUNCTION(distflow_pmd_client_free),
    FUNCTION(distflow_log_set),
    FUNCTION(distflow_doc_open),
    FUNCTION(distflow_doc_free),
    FUNCTION(distflow_doc_replica),
    FUNCTION(distflow_doc_source),
    FUNCTION(distflow_doc_json),
    FUNCTION(distflow_doc_canonical),
    FUNCTION(distflow_doc_hash),
    FUNCTION(distflow_doc_clock),
    FUNCTION(distflow_doc_snapshot),
    FUNCTION(distflow_doc_snapshot_json),
    FUNCTION(distflow_doc_events),
    FUNCTION(distflow_doc_metrics),
    FUNCTION(distflow_doc_metrics_prometheus),
    FUNCTION(distflow_doc_causal_graph),
    FUNCTION(distflow_doc_get),
    FUNCTION(distflow_doc_set),
    FUNCTION(distflow_doc_delete),
    FUNCTION(distflow_doc_receive),
    FUNCTION(distflow_doc_receive_batch),
    FUNCTION(distflow_doc_since),
    FUNCTION(distflow_doc_encode_since),
    FUNCTION(distflow_doc_restore),
    FUNCTION(distflow_doc_merge),
    FUNCTION(distflow_doc_snapshot_pieces),
    FUNCTION(distflow_doc_merge_piece),
    FUNCTION(distflow_doc_flush),
    FUNCTION(distflow_doc_checkpoint),
    FUNCTION(distflow_doc_listen),
    FUNCTION(distflow_doc_watch),
    FUNCTION(distflow_doc_unwatch),
    FUNCTION(distflow_doc_set_members),
    FUNCTION(distflow_doc_drain_pending),
    FUNCTION(distflow_doc_clean_pending),
    FUNCTION(distflow_doc_gc_log),
    FUNCTION(distflow_doc_gc_tombstones),
    FUNCTION(distflow_doc_inspect),
    FUNCTION(distflow_doc_logged),
    FUNCTION(distflow_doc_replay),
    FUNCTION(distflow_doc_diff_snapshots),
    FUNCTION(distflow_session_create),
    FUNCTION(distflow_session_join),
    FUNCTION(distflow_session_observe),
    FUNCTION(distflow_session_id),
    FUNCTION(distflow_session_instance),
    FUNCTION(distflow_session_view),
    FUNCTION(distflow_session_leave),
    FUNCTION(distflow_session_free),
    FUNCTION(distflow_session_start),
    FUNCTION(distflow_session_end),
    FUNCTION(distflow_session_hand_over),
    FUNCTION(distflow_session_reserve),
    FUNCTION(distflow_session_release),
    FUNCTION(distflow_session_register),
    FUNCTION(distflow_session_publish),
    FUNCTION(distflow_session_event_free),
    FUNCTION(distflow_session_recv_event),
    FUNCTION(distflow_session_fd),
    FUNCTION(distflow_session_on_event),
    FUNCTION(distflow_session_list_open),
    FUNCTION(distflow_session_list_sessions),
    FUNCTION(distflow_session_list_wait),
    FUNCTION(distflow_session_list_free),
};

int main(int argc, char **argv) {
    const size_t count = sizeof FUNCTIONS / sizeof *FUNCTIONS;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < count; i++) puts(FUNCTIONS[i].name);
        return 0;
    }
    make_world();
    make_docs();
    make_sessions();
    if (argc == 2 && strcmp(argv[1], "emptied") == 0) {
        emptied();
    } else if (argc == 2 && strcmp(argv[1], "hosts") == 0) {
        hosts();
    } else if (argc == 2 && strcmp(argv[1], "ended") == 0) {
        ended();
    } else {
        CHECK_EQ(argc, 1);
        for (size_t i = 0; i < count; i++) FUNCTIONS[i].run();
    }
    end_sessions();
    end_docs();
    end_world();
    puts("passed");
    return 0;
}
