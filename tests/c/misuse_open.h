/* The part of misuse.c about options and what opens with them, which includes it. */
#ifndef DISTFLOW_TESTS_MISUSE_OPEN_H
#define DISTFLOW_TESTS_MISUSE_OPEN_H

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
                     options.start_timeout_ms = 1000));
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

#endif
