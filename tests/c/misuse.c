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

/* --- options -------------------------------------------------------------------------------- */

/* Sizes that no version of these structs has had or will have. */
static const size_t BAD_SIZES[] = {0, 1, 7, 8, 16, 4097, 1u << 20, SIZE_MAX / 2, SIZE_MAX};
#define SIZES (sizeof BAD_SIZES / sizeof *BAD_SIZES)

#define INIT(type, function)                                                                       \
    do {                                                                                           \
        WRONG("NULL", function(NULL, sizeof(type)));                                               \
        for (size_t i = 0; i < SIZES; i++) {                                                       \
            type untouched;                                                                        \
            memset(&untouched, 0x5a, sizeof untouched);                                            \
            WRONG("struct_size", function(&untouched, BAD_SIZES[i]));                              \
            const unsigned char *bytes = (const unsigned char *)&untouched;                        \
            for (size_t k = 0; k < sizeof untouched; k++) CHECK_EQ(bytes[k], 0x5a);                \
        }                                                                                          \
        WRONG("struct_size", function((type *)own_memory, sizeof(type) - 1));                      \
        /* A program of a later version: what this one does not know is zero. */                   \
        size_t later = sizeof(type) + 64;                                                          \
        unsigned char *room = malloc(later);                                                       \
        CHECK(room != NULL);                                                                       \
        memset(room, 0x5a, later);                                                                 \
        WORKS(function((type *)(void *)room, later));                                              \
        CHECK_EQ(((type *)(void *)room)->struct_size, later);                                      \
        for (size_t i = sizeof(type); i < later; i++) CHECK_EQ(room[i], 0);                        \
        free(room);                                                                                \
    } while (0)

static void test_distflow_node_options_init(void) {
    INIT(distflow_node_options, distflow_node_options_init);
}

static void test_distflow_pmd_options_init(void) {
    INIT(distflow_pmd_options, distflow_pmd_options_init);
}

/* Opens a node that cannot be: the options are right but for one change. */
#define BAD_NODE_OPTION(status, words, change)                                                     \
    do {                                                                                           \
        distflow_node_options options = node_options(port, "new");                                 \
        distflow_node *node = (distflow_node *)own_memory;                                         \
        change;                                                                                    \
        FAILS(status, words, distflow_node_open(&options, &node));                                 \
        CHECK(node == NULL);                                                                       \
    } while (0)
#define WRONG_NODE_OPTION(words, change)                                                           \
    BAD_NODE_OPTION(DISTFLOW_INVALID_ARGUMENT, words, change)

static const char *set_text(const char **member, const char *text) {
    return *member = text;
}

static void test_distflow_node_open(void) {
    distflow_node_options good = node_options(port, "new");
    WRONG("node_out is NULL", distflow_node_open(&good, NULL));
    WRONG("node_out is NULL", distflow_node_open(NULL, NULL));
    for (size_t i = 0; i < SIZES; i++)
        WRONG_NODE_OPTION("struct_size", options.struct_size = BAD_SIZES[i]);
    for (size_t i = 0; i < sizeof good.reserved; i++)
        WRONG_NODE_OPTION("reserved", options.reserved[i] = 1);

    /* A later program that uses nothing new, and one that does. */
    size_t later = sizeof good + 24;
    distflow_node_options *room = calloc(1, later);
    CHECK(room != NULL);
    *room = node_options(port, "new");
    room->struct_size = later;
    distflow_node *node;
    WORKS(distflow_node_open(room, &node));
    distflow_node_free(node);
    for (size_t i = sizeof good; i < later; i++) {
        ((unsigned char *)room)[i] = 1;
        WRONG("later", distflow_node_open(room, &node));
        CHECK(node == NULL);
        ((unsigned char *)room)[i] = 0;
    }
    free(room);

    /* Texts. */
    const size_t texts[] = {
        offsetof(distflow_node_options, alias),       offsetof(distflow_node_options, node_id),
        offsetof(distflow_node_options, pmd_host),    offsetof(distflow_node_options, pmd_executable),
        offsetof(distflow_node_options, listen_host), offsetof(distflow_node_options, advertised_host),
    };
    const char *const names[] = {"alias",          "node_id",     "pmd_host",
                                 "pmd_executable", "listen_host", "advertised_host"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char words[100];
#define MEMBER ((const char **)(void *)((char *)&options + texts[i]))
        snprintf(words, sizeof words, "%s is not valid UTF-8", names[i]);
        for (size_t k = 0; k < sizeof NOT_UTF8 / sizeof *NOT_UTF8; k++)
            WRONG_NODE_OPTION(words, set_text(MEMBER, NOT_UTF8[k]));
        snprintf(words, sizeof words, "%s has no NUL byte", names[i]);
        char *text = endless();
        WRONG_NODE_OPTION(words, set_text(MEMBER, text));
        free(text);
    }
    char *alias = long_text(256), *id = long_text(129);
    WRONG_NODE_OPTION("alias is 256 bytes long", options.alias = alias);
    WRONG_NODE_OPTION("nodeId is 129 bytes long", options.node_id = id);
    WRONG_NODE_OPTION("host is 256 bytes long", options.advertised_host = alias);
    free(alias);
    free(id);
    WRONG_NODE_OPTION("alias must not contain control", options.alias = "a\nb");
    WRONG_NODE_OPTION("nodeId must not contain control", options.node_id = "a\x7f");
    WRONG_NODE_OPTION("nodeId must not be empty", options.node_id = "");
    BAD_NODE_OPTION(DISTFLOW_PMD_LAUNCH_FAILED, "/no/such/program",
                    options.pmd_executable = "/no/such/program");

    /* Numbers. */
    const int32_t overflows[] = {-1, 3, 77, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof overflows / sizeof *overflows; i++)
        WRONG_NODE_OPTION("overflow", options.overflow = overflows[i]);
    WRONG_NODE_OPTION("pmd_port", options.pmd_port = 0);
    WRONG_NODE_OPTION("mailbox", options.mailbox_messages_max = 0);
    WRONG_NODE_OPTION("frame_bytes_max", options.frame_bytes_max = 0);
    WRONG_NODE_OPTION("frame_bytes_max", options.frame_bytes_max = 1023);
    WRONG_NODE_OPTION("frame_bytes_max", options.frame_bytes_max = 1ULL << 32);
    WRONG_NODE_OPTION("frame_bytes_max", options.frame_bytes_max = UINT64_MAX);
    WRONG_NODE_OPTION("heartbeat_interval_ms",
                      (options.use_heartbeat = 1, options.heartbeat_interval_ms = 49));
    WRONG_NODE_OPTION("heartbeat_interval_ms",
                      (options.use_heartbeat = 1, options.heartbeat_interval_ms = UINT64_MAX));

    /* Metadata. */
    char meta[4200];
    memset(meta, 'x', sizeof meta);
    memcpy(meta, "{\"a\":\"", 6);
    memcpy(meta + 4095, "\"}", 2);
    WRONG_NODE_OPTION("meta is NULL", options.meta_len = 2);
    WRONG_NODE_OPTION("meta is set, but meta_len is 0", options.meta = "{}");
    WRONG_NODE_OPTION("auto_start is 2", options.auto_start = 2);
    WRONG_NODE_OPTION("keepalive_idle", options.keepalive_idle_ms = 999);
    WRONG_NODE_OPTION("keepalive_probes", options.keepalive_probes = 0);
    WRONG_NODE_OPTION("queue_bytes_max", options.queue_bytes_max = 0);
    WRONG_NODE_OPTION("heartbeat_interval_ms", options.heartbeat_interval_ms = 10);
    WRONG_NODE_OPTION("meta cannot be", (options.meta = "{}", options.meta_len = SIZE_MAX));
    WRONG_NODE_OPTION("meta is not valid UTF-8", (options.meta = "\xff", options.meta_len = 1));
    WRONG_NODE_OPTION("meta must be a JSON object", (options.meta = "[]", options.meta_len = 2));
    WRONG_NODE_OPTION("meta is 4097 bytes long", (options.meta = meta, options.meta_len = 4097));
    BAD_NODE_OPTION(DISTFLOW_INVALID_JSON, "JSON", (options.meta = "{", options.meta_len = 1));

    /* Places that cannot be had. */
    BAD_NODE_OPTION(DISTFLOW_INSECURE, "0.0.0.0", options.listen_host = "0.0.0.0");
    BAD_NODE_OPTION(DISTFLOW_INSECURE, "''", options.listen_host = "");
    char number[16];
    snprintf(number, sizeof number, "%d", port);
    BAD_NODE_OPTION(DISTFLOW_ADDRESS_IN_USE, number, options.listen_port = port);
    BAD_NODE_OPTION(DISTFLOW_ALIAS_IN_USE, "'a'", options.alias = "a");
    distflow_buf taken;
    WORKS(distflow_node_id(a, &taken));
    BAD_NODE_OPTION(DISTFLOW_NODE_ID_IN_USE, taken.data, options.node_id = taken.data);
    distflow_buf_free(&taken);
    BAD_NODE_OPTION(DISTFLOW_PMD_UNAVAILABLE, "127.0.0.1",
                    (options.pmd_host = "127.0.0.1", options.pmd_port = deaf_port,
                     options.start_timeout_ms = 50));
    CHECK_EQ(registered(pmd), 2);
}

#define BAD_PMD_OPTION(status, words, change)                                                      \
    do {                                                                                           \
        distflow_pmd_options options;                                                              \
        WORKS(distflow_pmd_options_init(&options, sizeof options));                                \
        options.port = 0;                                                                          \
        distflow_pmd *opened = (distflow_pmd *)own_memory;                                         \
        change;                                                                                    \
        FAILS(status, words, distflow_pmd_open(&options, &opened));                                \
        CHECK(opened == NULL);                                                                     \
    } while (0)

static void test_distflow_pmd_open(void) {
    distflow_pmd_options good;
    WORKS(distflow_pmd_options_init(&good, sizeof good));
    WRONG("pmd_out is NULL", distflow_pmd_open(&good, NULL));
    WRONG("pmd_out is NULL", distflow_pmd_open(NULL, NULL));
    for (size_t i = 0; i < SIZES; i++)
        BAD_PMD_OPTION(DISTFLOW_INVALID_ARGUMENT, "struct_size", options.struct_size = BAD_SIZES[i]);
    for (size_t i = 0; i < sizeof good.reserved; i++)
        BAD_PMD_OPTION(DISTFLOW_INVALID_ARGUMENT, "reserved", options.reserved[i] = 1);
    size_t later = sizeof good + 24;
    distflow_pmd_options *room = calloc(1, later);
    CHECK(room != NULL);
    *room = good;
    room->port = 0;
    room->struct_size = later;
    distflow_pmd *opened;
    WORKS(distflow_pmd_open(room, &opened));
    distflow_pmd_free(opened);
    for (size_t i = sizeof good; i < later; i++) {
        ((unsigned char *)room)[i] = 0x80;
        WRONG("later", distflow_pmd_open(room, &opened));
        ((unsigned char *)room)[i] = 0;
    }
    free(room);
    for (size_t i = 0; i < sizeof NOT_UTF8 / sizeof *NOT_UTF8; i++)
        BAD_PMD_OPTION(DISTFLOW_INVALID_ARGUMENT, "host is not valid UTF-8",
                       options.host = NOT_UTF8[i]);
    char *text = endless();
    BAD_PMD_OPTION(DISTFLOW_INVALID_ARGUMENT, "host has no NUL byte", options.host = text);
    free(text);
    BAD_PMD_OPTION(DISTFLOW_INSECURE, "0.0.0.0", options.host = "0.0.0.0");
    BAD_PMD_OPTION(DISTFLOW_INSECURE, "::", options.host = "::");
    BAD_PMD_OPTION(DISTFLOW_INSECURE, "''", options.host = "");
    char number[16];
    snprintf(number, sizeof number, "%d", port);
    BAD_PMD_OPTION(DISTFLOW_ADDRESS_IN_USE, number, options.port = port);
}

static void test_distflow_pmd_client_open(void) {
    distflow_pmd_client *opened = (distflow_pmd_client *)own_memory;
    WRONG("client_out is NULL", distflow_pmd_client_open(NULL, port, -1, NULL));
    WRONG("port", distflow_pmd_client_open(NULL, 0, -1, &opened));
    CHECK(opened == NULL);
    BAD_TEXTS("host", distflow_pmd_client_open(text, port, -1, &opened));
    FAILS(DISTFLOW_PMD_UNAVAILABLE, "127.0.0.1",
          distflow_pmd_client_open("127.0.0.1", deaf_port, LIMIT_MS, &opened));
    FAILS(DISTFLOW_TIMEOUT, "localhost", distflow_pmd_client_open(NULL, port, 0, &opened));
    /* A node is no PMD. */
    uint16_t of_node;
    WORKS(distflow_node_port(a, &of_node));
    FAILS(DISTFLOW_NOT_PMD, "localhost",
          distflow_pmd_client_open(NULL, of_node, LIMIT_MS, &opened));
    CHECK(opened == NULL);
    WORKS(distflow_pmd_client_open("localhost", port, INT64_MAX, &opened));
    distflow_pmd_client_free(opened);
    WORKS(distflow_pmd_client_open("::1", port, INT64_MIN, &opened));
    distflow_pmd_client_free(opened);
}

/* --- nodes ---------------------------------------------------------------------------------- */

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

/* --- PMDs ----------------------------------------------------------------------------------- */

static void test_distflow_pmd_port(void) {
    uint16_t number;
    BAD_PMDS(distflow_pmd_port(handle, &number));
    WRONG("port_out is NULL", distflow_pmd_port(pmd, NULL));
    WORKS(distflow_pmd_port(closed_pmd, &number));
}

static void test_distflow_pmd_is_running(void) {
    bool yes = true;
    BAD_PMDS(distflow_pmd_is_running(handle, &yes));
    WRONG("running_out is NULL", distflow_pmd_is_running(pmd, NULL));
    WORKS(distflow_pmd_is_running(closed_pmd, &yes));
    CHECK(!yes);
}

static void test_distflow_pmd_snapshot(void) {
    distflow_peers peers;
    BAD_PMDS(distflow_pmd_snapshot(handle, &peers));
    WRONG("peers_out is NULL", distflow_pmd_snapshot(pmd, NULL));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_pmd_snapshot(closed_pmd, &peers));
}

static void test_distflow_pmd_recv_event(void) {
    distflow_event event;
    BAD_PMDS(distflow_pmd_recv_event(handle, -1, &event));
    WRONG("event_out is NULL", distflow_pmd_recv_event(pmd, -1, NULL));
    uint16_t own;
    distflow_pmd *quiet = open_pmd(&own);
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_pmd_recv_event(quiet, 0, &event));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_pmd_recv_event(quiet, 1, &event));
    distflow_pmd_free(quiet);
    while (distflow_pmd_recv_event(closed_pmd, -1, &event) == DISTFLOW_OK)
        distflow_event_free(&event);
    FAILS(DISTFLOW_CLOSED, "ended", distflow_pmd_recv_event(closed_pmd, -1, &event));
}

static void test_distflow_pmd_fd(void) {
    int fd;
    BAD_PMDS(distflow_pmd_fd(handle, &fd));
    WRONG("fd_out is NULL", distflow_pmd_fd(pmd, NULL));
    WORKS(distflow_pmd_fd(closed_pmd, &fd));
}

static void test_distflow_pmd_on_event(void) {
    context self = {0};
    BAD_PMDS(distflow_pmd_on_event(handle, on_pmd_event, &self, drop_context));
    CHECK_EQ(self.drops, BAD_MAX);
    WRONG("callback is NULL", distflow_pmd_on_event(pmd, NULL, &self, drop_context));
    FAILS(DISTFLOW_CLOSED, "closed",
          distflow_pmd_on_event(closed_pmd, on_pmd_event, &self, drop_context));
    CHECK_EQ(self.drops, BAD_MAX + 2);
}

static void test_distflow_pmd_close(void) {
    BAD_PMDS(distflow_pmd_close(handle, -1));
    WORKS(distflow_pmd_close(closed_pmd, -1));
    WORKS(distflow_pmd_close(closed_pmd, 0));
    WORKS(distflow_pmd_close(closed_pmd, INT64_MAX));
}

static void test_distflow_pmd_free(void) {
    for (size_t i = 0; i < BAD_MAX; i++) distflow_pmd_free(bad_pmds[i]);
    bool yes = false;
    WORKS(distflow_pmd_is_running(pmd, &yes));
    CHECK(yes);
    uint16_t number;
    distflow_pmd *twice = open_pmd(&number);
    distflow_pmd_free(twice);
    distflow_pmd_free(twice);
    FAILS(DISTFLOW_INVALID_HANDLE, "freed", distflow_pmd_port(twice, &number));
}

/* --- clients -------------------------------------------------------------------------------- */

static void test_distflow_pmd_client_list(void) {
    distflow_peers peers;
    BAD_CLIENTS(distflow_pmd_client_list(handle, NULL, -1, &peers));
    WRONG("peers_out is NULL", distflow_pmd_client_list(client, NULL, -1, NULL));
    BAD_TEXTS("prefix", distflow_pmd_client_list(client, text, -1, &peers));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_pmd_client_list(closed_client, NULL, -1, &peers));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_pmd_client_list(client, NULL, 0, &peers));
    /* The connection is as good as before. */
    WORKS(distflow_pmd_client_list(client, "", INT64_MAX, &peers));
    CHECK_EQ(peers.len, 2);
    distflow_peers_free(&peers);
}

static void test_distflow_pmd_client_resolve(void) {
    distflow_peers peers;
    BAD_CLIENTS(distflow_pmd_client_resolve(handle, "a", -1, &peers));
    WRONG("peers_out is NULL", distflow_pmd_client_resolve(client, "a", -1, NULL));
    WRONG("name is NULL", distflow_pmd_client_resolve(client, NULL, -1, &peers));
    BAD_TEXTS("name", distflow_pmd_client_resolve(client, text, -1, &peers));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_pmd_client_resolve(closed_client, "a", -1, &peers));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_pmd_client_resolve(client, "a", 0, &peers));
    FAILS(DISTFLOW_NODE_NOT_FOUND, "", distflow_pmd_client_resolve(client, "no-such", -1, &peers));
    WORKS(distflow_pmd_client_resolve(client, "a", INT64_MIN, &peers));
    CHECK_EQ(peers.len, 1);
    distflow_peers_free(&peers);
}

static void test_distflow_pmd_client_kill(void) {
    BAD_CLIENTS(distflow_pmd_client_kill(handle, -1));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_pmd_client_kill(closed_client, -1));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_pmd_client_kill(client, 0));
    uint16_t own;
    distflow_pmd *victim = open_pmd(&own);
    distflow_pmd_client *killer;
    distflow_peers peers;
    WORKS(distflow_pmd_client_open(NULL, own, LIMIT_MS, &killer));
    WORKS(distflow_pmd_client_kill(killer, LIMIT_MS));
    bool yes = true;
    WAIT_UNTIL(distflow_pmd_is_running(victim, &yes) == DISTFLOW_OK && !yes);
    FAILS(DISTFLOW_PMD_UNAVAILABLE, "", distflow_pmd_client_kill(killer, LIMIT_MS));
    FAILS(DISTFLOW_PMD_UNAVAILABLE, "", distflow_pmd_client_list(killer, NULL, LIMIT_MS, &peers));
    distflow_pmd_client_free(killer);
    distflow_pmd_free(victim);
}

static void test_distflow_pmd_client_close(void) {
    BAD_CLIENTS(distflow_pmd_client_close(handle));
    WORKS(distflow_pmd_client_close(closed_client));
    WORKS(distflow_pmd_client_close(closed_client));
}

static void test_distflow_pmd_client_free(void) {
    for (size_t i = 0; i < BAD_MAX; i++) distflow_pmd_client_free(bad_clients[i]);
    distflow_peers peers;
    WORKS(distflow_pmd_client_list(client, NULL, LIMIT_MS, &peers));
    distflow_peers_free(&peers);
    distflow_pmd_client *twice;
    WORKS(distflow_pmd_client_open(NULL, port, LIMIT_MS, &twice));
    distflow_pmd_client_free(twice);
    distflow_pmd_client_free(twice);
    FAILS(DISTFLOW_INVALID_HANDLE, "freed", distflow_pmd_client_close(twice));
}

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
    long long begun = now_ms();
    distflow_peers peers;
    FAILS(DISTFLOW_CLOSED, "ended", distflow_pmd_snapshot(victim, &peers));
    /* Generous, for a machine under load; the header says: well under a millisecond. */
    if (now_ms() - begun >= 4000) FAIL("it took %lld ms", now_ms() - begun);
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
};

int main(int argc, char **argv) {
    const size_t count = sizeof FUNCTIONS / sizeof *FUNCTIONS;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < count; i++) puts(FUNCTIONS[i].name);
        return 0;
    }
    make_world();
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
    end_world();
    puts("passed");
    return 0;
}
