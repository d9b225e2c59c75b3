/* The part of misuse.c about documents, which includes it. */
#ifndef DISTFLOW_TESTS_MISUSE_DOC_H
#define DISTFLOW_TESTS_MISUSE_DOC_H

static distflow_doc *doc, *stale_doc;
static void *bad_docs[BAD_MAX];

#define BAD_DOCS(call) BAD_HANDLES(distflow_doc, bad_docs, call)

static void make_docs(void) {
    OK(distflow_doc_open("misused", NULL, 0, NULL, 0, &doc));
    OK(distflow_doc_open("stale", NULL, 0, NULL, 0, &stale_doc));
    distflow_doc_free(stale_doc);
    make_bad(bad_docs, doc, stale_doc, a, client);
}

static void end_docs(void) {
    distflow_doc_free(doc);
}

/* A function that has nothing but a text to give. */
#define GIVES(function)                                                                            \
    do {                                                                                           \
        distflow_buf filled;                                                                       \
        BAD_DOCS(function(handle, &filled));                                                       \
        WRONG("_out is NULL", function(doc, NULL));                                                \
        WORKS(function(doc, &filled));                                                             \
        CHECK(filled.len > 0 && filled.data[filled.len] == 0);                                     \
        distflow_buf_free(&filled);                                                                \
    } while (0)

/* Bytes that are no text. */
static const char DAMAGED[] = "\xd1\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";

static void test_distflow_doc_open(void) {
    distflow_doc *opened = (distflow_doc *)own_memory;
    WRONG("doc_out is NULL", distflow_doc_open("new", NULL, 0, NULL, 0, NULL));
#define BAD_OPEN(status, words, ...)                                                               \
    do {                                                                                           \
        FAILS(status, words, distflow_doc_open(__VA_ARGS__, &opened));                             \
        CHECK(opened == NULL);                                                                     \
        opened = (distflow_doc *)own_memory;                                                       \
    } while (0)
    BAD_OPEN(DISTFLOW_INVALID_ARGUMENT, "replica is NULL", NULL, NULL, 0, NULL, 0);
    BAD_OPEN(DISTFLOW_INVALID_ARGUMENT, "name", "", NULL, 0, NULL, 0);
    BAD_TEXTS("replica", distflow_doc_open(text, NULL, 0, NULL, 0, &opened));
    BAD_OPEN(DISTFLOW_INVALID_ARGUMENT, "initial is NULL", "new", NULL, 1, NULL, 0);
    BAD_OPEN(DISTFLOW_INVALID_ARGUMENT, "initial cannot be", "new", "{}", SIZE_MAX, NULL, 0);
    BAD_OPEN(DISTFLOW_INVALID_ARGUMENT, "initial is not valid UTF-8", "new", "\"\xff\"", 3, NULL, 0);
    BAD_OPEN(DISTFLOW_INVALID_JSON, "JSON", "new", TEXT("{"), NULL, 0);
    BAD_OPEN(DISTFLOW_INVALID_ARGUMENT, "options is NULL", "new", NULL, 0, NULL, 1);
    BAD_OPEN(DISTFLOW_INVALID_ARGUMENT, "options is not valid UTF-8", "new", NULL, 0, "\xff", 1);
    BAD_OPEN(DISTFLOW_INVALID_ARGUMENT, "maxLog", "new", NULL, 0, TEXT("{\"maxLog\":1}"));
    BAD_OPEN(DISTFLOW_INVALID_ARGUMENT, "EOF", "new", NULL, 0, TEXT("{"));
    BAD_OPEN(DISTFLOW_INVALID_ARGUMENT, "", "new", NULL, 0, TEXT("{\"maxLogSize\":-1}"));
    BAD_OPEN(DISTFLOW_IO, "/dev/null", "new", NULL, 0, TEXT("{\"directory\":\"/dev/null/kept\"}"));
    char *name = long_text(256);
    BAD_OPEN(DISTFLOW_INVALID_ARGUMENT, "240", name, NULL, 0, NULL, 0);
    free(name);
    /* The pointer of what is not there does not matter. */
    WORKS(distflow_doc_open("new", (char *)1, 0, (char *)1, 0, &opened));
    distflow_doc_free(opened);
}

static void test_distflow_doc_free(void) {
    for (size_t i = 0; i < BAD_MAX; i++) distflow_doc_free(bad_docs[i]);
    WORKS(distflow_doc_flush(doc));
    distflow_doc *twice;
    WORKS(distflow_doc_open("new", NULL, 0, NULL, 0, &twice));
    distflow_doc_free(twice);
    distflow_doc_free(twice);
    FAILS(DISTFLOW_INVALID_HANDLE, "freed", distflow_doc_flush(twice));
    /* A document that is passed for something else is left alone. */
    distflow_node_free((distflow_node *)doc);
    distflow_pmd_free((distflow_pmd *)doc);
    distflow_pmd_client_free((distflow_pmd_client *)doc);
    WORKS(distflow_doc_flush(doc));
}

static void test_distflow_doc_replica(void) { GIVES(distflow_doc_replica); }
static void test_distflow_doc_source(void) { GIVES(distflow_doc_source); }
static void test_distflow_doc_json(void) { GIVES(distflow_doc_json); }
static void test_distflow_doc_canonical(void) { GIVES(distflow_doc_canonical); }
static void test_distflow_doc_hash(void) { GIVES(distflow_doc_hash); }
static void test_distflow_doc_clock(void) { GIVES(distflow_doc_clock); }
static void test_distflow_doc_snapshot(void) { GIVES(distflow_doc_snapshot); }
static void test_distflow_doc_snapshot_json(void) { GIVES(distflow_doc_snapshot_json); }
static void test_distflow_doc_events(void) { GIVES(distflow_doc_events); }
static void test_distflow_doc_metrics(void) { GIVES(distflow_doc_metrics); }
static void test_distflow_doc_metrics_prometheus(void) { GIVES(distflow_doc_metrics_prometheus); }
static void test_distflow_doc_causal_graph(void) { GIVES(distflow_doc_causal_graph); }

static void test_distflow_doc_get(void) {
    distflow_buf found;
    BAD_DOCS(distflow_doc_get(handle, "/x", &found));
    WRONG("json_out is NULL", distflow_doc_get(doc, "/x", NULL));
    WRONG("path is NULL", distflow_doc_get(doc, NULL, &found));
    BAD_TEXTS("path", distflow_doc_get(doc, text, &found));
    WRONG("pointer", distflow_doc_get(doc, "x.y", &found));
    WRONG("pointer", distflow_doc_get(doc, "/~2", &found));
    FAILS(DISTFLOW_INVALID_JSON, "JSON", distflow_doc_get(doc, "[", &found));
    WRONG("path", distflow_doc_get(doc, "[{}]", &found));
    WRONG("", distflow_doc_get(doc, "[-1]", &found));
    CHECK(found.data == NULL && found.len == 0);
    WORKS(distflow_doc_get(doc, "/nothing/here", &found));
    CHECK(found.data != NULL && found.len == 0);
    distflow_buf_free(&found);
}

static void test_distflow_doc_set(void) {
    distflow_buf op;
    BAD_DOCS(distflow_doc_set(handle, "/x", "1", 1, &op));
    WRONG("path is NULL", distflow_doc_set(doc, NULL, "1", 1, &op));
    BAD_TEXTS("path", distflow_doc_set(doc, text, "1", 1, &op));
    WRONG("pointer", distflow_doc_set(doc, "x.y", "1", 1, &op));
    FAILS(DISTFLOW_INVALID_JSON, "JSON", distflow_doc_set(doc, "[\"x\"", "1", 1, &op));
    WRONG("value is NULL", distflow_doc_set(doc, "/x", NULL, 1, &op));
    WRONG("value cannot be", distflow_doc_set(doc, "/x", "1", SIZE_MAX, &op));
    FAILS(DISTFLOW_INVALID_JSON, "JSON", distflow_doc_set(doc, "/x", NULL, 0, &op));
    FAILS(DISTFLOW_INVALID_JSON, "JSON", distflow_doc_set(doc, "/x", TEXT("{"), &op));
    FAILS(DISTFLOW_INVALID_JSON, "", distflow_doc_set(doc, "/x", "\"\xff\"", 3, &op));
    char *deep = nested(100), *large = long_text((4 << 20) + 100);
    FAILS(DISTFLOW_INVALID_JSON, "", distflow_doc_set(doc, "/x", TEXT(deep), &op));
    large[0] = large[(4 << 20) + 99] = '"';
    FAILS(DISTFLOW_TOO_LARGE, "", distflow_doc_set(doc, "/x", TEXT(large), &op));
    free(deep);
    free(large);
    CHECK(op.data == NULL && op.len == 0);
    WORKS(distflow_doc_set(doc, "/x", "1", 1, NULL));
    WRONG("Cannot set string key on non-object", distflow_doc_set(doc, "/x/y", "1", 1, NULL));
    WORKS(distflow_doc_set(doc, "[\"x\"]", " [0] ", 5, &op));
    CHECK(strstr(op.data, "\"value\":[0]") != NULL && op.data[op.len] == 0);
    distflow_buf_free(&op);
    WORKS(distflow_doc_get(doc, "/x/0", &op));
    CHECK(strcmp(op.data, "0") == 0);
    distflow_buf_free(&op);
}

static void test_distflow_doc_delete(void) {
    distflow_buf op;
    BAD_DOCS(distflow_doc_delete(handle, "/x", &op));
    WRONG("path is NULL", distflow_doc_delete(doc, NULL, &op));
    BAD_TEXTS("path", distflow_doc_delete(doc, text, &op));
    WRONG("pointer", distflow_doc_delete(doc, "x.y", &op));
    FAILS(DISTFLOW_INVALID_JSON, "JSON", distflow_doc_delete(doc, "[1", &op));
    CHECK(op.data == NULL && op.len == 0);
    WORKS(distflow_doc_delete(doc, "/never", &op));
    distflow_buf_free(&op);
    WORKS(distflow_doc_delete(doc, "/never", NULL));
}

static void test_distflow_doc_receive(void) {
    int32_t outcome = 77;
    BAD_DOCS(distflow_doc_receive(handle, "{}", 2, &outcome));
    WRONG("op is NULL", distflow_doc_receive(doc, NULL, 1, &outcome));
    FAILS(DISTFLOW_INVALID_JSON, "", distflow_doc_receive(doc, NULL, 0, &outcome));
    FAILS(DISTFLOW_INVALID_JSON, "", distflow_doc_receive(doc, TEXT("{"), &outcome));
    FAILS(DISTFLOW_INVALID_JSON, "", distflow_doc_receive(doc, DAMAGED, sizeof DAMAGED, &outcome));
    const char *const wrong[] = {"1", "null", "[]", "{}", "\"op\"", "{\"id\":\"a\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        FAILS(DISTFLOW_INVALID_MESSAGE, "", distflow_doc_receive(doc, TEXT(wrong[i]), &outcome));
    CHECK_EQ(outcome, 77);
    distflow_doc *other;
    distflow_buf op;
    WORKS(distflow_doc_open("other", NULL, 0, NULL, 0, &other));
    WORKS(distflow_doc_set(other, "/of", TEXT("\"other\""), &op));
    /* Every part of an operation is no operation. */
    for (size_t len = 1; len < op.len; len++)
        FAILS(DISTFLOW_INVALID_JSON, "", distflow_doc_receive(doc, op.data, len, &outcome));
    WORKS(distflow_doc_receive(doc, op.data, op.len, &outcome));
    CHECK_EQ(outcome, DISTFLOW_DOC_APPLIED);
    WORKS(distflow_doc_receive(doc, op.data, op.len, NULL));
    WORKS(distflow_doc_receive(doc, op.data, op.len, &outcome));
    CHECK_EQ(outcome, DISTFLOW_DOC_DUPLICATE);
    distflow_buf_free(&op);
    distflow_doc_free(other);
}

static void test_distflow_doc_receive_batch(void) {
    distflow_doc_received received;
    BAD_DOCS(distflow_doc_receive_batch(handle, "[]", 2, &received));
    WRONG("ops is NULL", distflow_doc_receive_batch(doc, NULL, 1, &received));
    FAILS(DISTFLOW_INVALID_JSON, "", distflow_doc_receive_batch(doc, NULL, 0, &received));
    FAILS(DISTFLOW_INVALID_JSON, "", distflow_doc_receive_batch(doc, TEXT("[1"), &received));
    FAILS(DISTFLOW_INVALID_MESSAGE, "", distflow_doc_receive_batch(doc, TEXT("[1]"), &received));
    FAILS(DISTFLOW_INVALID_JSON, "neither a batch", distflow_doc_receive_batch(doc, "\xff\xfe", 2, &received));
    WORKS(distflow_doc_receive_batch(doc, TEXT("[]"), &received));
    distflow_doc *other;
    distflow_buf bytes;
    WORKS(distflow_doc_open("another", NULL, 0, NULL, 0, &other));
    WORKS(distflow_doc_set(other, "/of", TEXT("\"another\""), NULL));
    WORKS(distflow_doc_encode_since(other, NULL, 0, &bytes, NULL));
    /* Bytes that are cut or damaged are taken for what they are, or say so; never more. */
    for (size_t len = 1; len < bytes.len; len++) {
        distflow_status status = distflow_doc_receive_batch(doc, bytes.data, len, &received);
        if (status != DISTFLOW_INVALID_MESSAGE && status != DISTFLOW_INVALID_JSON &&
            status != DISTFLOW_INVALID_ARGUMENT)
            FAIL("%zu of %zu bytes gave %s", len, bytes.len, distflow_status_name(status));
        CHECK(received.applied == 0 && received.duplicates == 0 && received.pending == 0);
    }
    /* It may take in what it is made to, and then what it was made from is of another history. */
    distflow_doc *damaged;
    WORKS(distflow_doc_open("damaged", NULL, 0, NULL, 0, &damaged));
    for (size_t at = 0; at < bytes.len; at++) {
        bytes.data[at] ^= 0x55;
        distflow_status status =
            distflow_doc_receive_batch(damaged, bytes.data, bytes.len, &received);
        if (status == DISTFLOW_PANIC || status == DISTFLOW_INTERNAL)
            FAIL("byte %zu gave %s", at, distflow_status_name(status));
        bytes.data[at] ^= 0x55;
    }
    distflow_doc_free(damaged);
    WORKS(distflow_doc_receive_batch(doc, bytes.data, bytes.len, NULL));
    WORKS(distflow_doc_receive_batch(doc, bytes.data, bytes.len, &received));
    CHECK(received.applied == 0 && received.duplicates == 1 && received.pending == 0);
    distflow_buf_free(&bytes);
    distflow_doc_free(other);
}

/* Calls that take a clock and give bytes. */
#define SINCE(function)                                                                            \
    do {                                                                                           \
        distflow_buf filled;                                                                       \
        bool is_complete = true;                                                                   \
        BAD_DOCS(function(handle, NULL, 0, &filled, &is_complete));                                \
        CHECK(!is_complete);                                                                       \
        WRONG("_out is NULL", function(doc, NULL, 0, NULL, &is_complete));                         \
        WRONG("clock is NULL", function(doc, NULL, 1, &filled, &is_complete));                     \
        WRONG("clock is not valid UTF-8", function(doc, "\xff", 1, &filled, NULL));                \
        const char *const wrong[] = {"1", "{", "[]", "{\"a\":-1}", "{\"a\":1.5}", "{\"a\":\"1\"}"};\
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)                                  \
            WRONG("clock", function(doc, TEXT(wrong[i]), &filled, NULL));                          \
        CHECK(filled.data == NULL && filled.len == 0);                                             \
        WORKS(function(doc, TEXT("{\"unknown\":7}"), &filled, NULL));                              \
        distflow_buf_free(&filled);                                                                \
        WORKS(function(doc, (char *)1, 0, &filled, &is_complete));                                 \
        CHECK(is_complete);                                                                        \
        distflow_buf_free(&filled);                                                                \
    } while (0)

static void test_distflow_doc_since(void) { SINCE(distflow_doc_since); }
static void test_distflow_doc_encode_since(void) { SINCE(distflow_doc_encode_since); }

/* Calls that take a snapshot: what is none changes nothing. */
#define TAKES_SNAPSHOT(function)                                                                   \
    do {                                                                                           \
        BAD_DOCS(function(handle, "{}", 2));                                                       \
        WRONG("snapshot is NULL", function(doc, NULL, 1));                                         \
        WRONG("snapshot cannot be", function(doc, "{}", SIZE_MAX));                                \
        distflow_buf before, after, snapshot;                                                      \
        WORKS(distflow_doc_canonical(doc, &before));                                               \
        FAILS(DISTFLOW_INVALID_JSON, "", function(doc, NULL, 0));                                  \
        FAILS(DISTFLOW_INVALID_JSON, "", function(doc, TEXT("{")));                                \
        FAILS(DISTFLOW_INVALID_MESSAGE, "", function(doc, TEXT("{}")));                            \
        WORKS(distflow_doc_snapshot(doc, &snapshot));                                              \
        for (size_t len = 1; len < snapshot.len; len++) {                                          \
            distflow_status status = function(doc, snapshot.data, len);                            \
            if (status != DISTFLOW_INVALID_MESSAGE && status != DISTFLOW_INVALID_JSON)             \
                FAIL("%zu of %zu bytes gave %s", len, snapshot.len, distflow_status_name(status)); \
        }                                                                                          \
        WORKS(distflow_doc_canonical(doc, &after));                                                \
        CHECK(strcmp(before.data, after.data) == 0);                                               \
        WORKS(function(doc, snapshot.data, snapshot.len));                                         \
        distflow_buf_free(&before);                                                                \
        distflow_buf_free(&after);                                                                 \
        distflow_buf_free(&snapshot);                                                              \
    } while (0)

static void test_distflow_doc_restore(void) { TAKES_SNAPSHOT(distflow_doc_restore); }
static void test_distflow_doc_merge(void) { TAKES_SNAPSHOT(distflow_doc_merge); }

static void test_distflow_doc_snapshot_pieces(void) {
    distflow_buf filled;
    BAD_DOCS(distflow_doc_snapshot_pieces(handle, 0, &filled));
    WRONG("_out is NULL", distflow_doc_snapshot_pieces(doc, 0, NULL));
    WRONG("1024", distflow_doc_snapshot_pieces(doc, 1023, &filled));
    CHECK(filled.data == NULL && filled.len == 0);
    WORKS(distflow_doc_snapshot_pieces(doc, SIZE_MAX, &filled));
    CHECK(filled.len > 0 && filled.data[filled.len - 1] == '\n');
    distflow_buf_free(&filled);
}

static void test_distflow_doc_merge_piece(void) {
    bool is_whole = true;
    BAD_DOCS(distflow_doc_merge_piece(handle, "RA==", 4, &is_whole));
    CHECK(!is_whole);
    WRONG("piece is NULL", distflow_doc_merge_piece(doc, NULL, 1, &is_whole));
    WRONG("piece cannot be", distflow_doc_merge_piece(doc, "RA==", SIZE_MAX, &is_whole));
    FAILS(DISTFLOW_INVALID_MESSAGE, "base64", distflow_doc_merge_piece(doc, "\xff", 1, NULL));
    FAILS(DISTFLOW_INVALID_MESSAGE, "", distflow_doc_merge_piece(doc, NULL, 0, &is_whole));
    FAILS(DISTFLOW_INVALID_MESSAGE, "", distflow_doc_merge_piece(doc, TEXT("RA=="), &is_whole));
    distflow_buf pieces;
    WORKS(distflow_doc_snapshot_pieces(doc, 0, &pieces));
    for (size_t len = 1; len < pieces.len - 1; len++) {
        distflow_status status = distflow_doc_merge_piece(doc, pieces.data, len, &is_whole);
        if (status != DISTFLOW_INVALID_MESSAGE || is_whole)
            FAIL("%zu of %zu bytes gave %s", len, pieces.len, distflow_status_name(status));
    }
    WORKS(distflow_doc_merge_piece(doc, pieces.data, pieces.len - 1, NULL));
    distflow_buf_free(&pieces);
}

static void test_distflow_doc_flush(void) {
    BAD_DOCS(distflow_doc_flush(handle));
    WORKS(distflow_doc_flush(doc));
}

static void test_distflow_doc_checkpoint(void) {
    BAD_DOCS(distflow_doc_checkpoint(handle));
    WORKS(distflow_doc_checkpoint(doc));
}

static void test_distflow_doc_listen(void) {
    BAD_DOCS(distflow_doc_listen(handle, 1));
    WRONG("is_listening is 2", distflow_doc_listen(doc, 2));
    WRONG("is_listening is 255", distflow_doc_listen(doc, 255));
    WORKS(distflow_doc_listen(doc, 1));
    WORKS(distflow_doc_listen(doc, 0));
}

static void test_distflow_doc_watch(void) {
    uint64_t id = 77;
    BAD_DOCS(distflow_doc_watch(handle, "x", &id));
    CHECK_EQ(id, 0);
    id = 77;
    WRONG("id_out is NULL", distflow_doc_watch(doc, "x", NULL));
    WRONG("pattern is NULL", distflow_doc_watch(doc, NULL, &id));
    CHECK_EQ(id, 0);
    BAD_TEXTS("pattern", distflow_doc_watch(doc, text, &id));
    FAILS(DISTFLOW_INVALID_JSON, "", distflow_doc_watch(doc, "[\"x\"", &id));
    WRONG("path", distflow_doc_watch(doc, "[null]", &id));
    char *dots = long_text(100);
    memset(dots, '.', 100);
    WRONG("segments", distflow_doc_watch(doc, dots, &id));
    free(dots);
    WORKS(distflow_doc_watch(doc, "", &id));
    WORKS(distflow_doc_unwatch(doc, id));
}

static void test_distflow_doc_unwatch(void) {
    BAD_DOCS(distflow_doc_unwatch(handle, 1));
    WRONG("18446744073709551615", distflow_doc_unwatch(doc, UINT64_MAX));
    uint64_t id;
    WORKS(distflow_doc_watch(doc, "users.*.name", &id));
    WORKS(distflow_doc_unwatch(doc, id));
    WRONG("no watch", distflow_doc_unwatch(doc, id));
}

static void test_distflow_doc_set_members(void) {
    BAD_DOCS(distflow_doc_set_members(handle, NULL, 0));
    WRONG("members is NULL", distflow_doc_set_members(doc, NULL, 1));
    WRONG("members is not valid UTF-8", distflow_doc_set_members(doc, "\xff", 1));
    WRONG("members must be", distflow_doc_set_members(doc, TEXT("{}")));
    WRONG("members must be", distflow_doc_set_members(doc, TEXT("[1]")));
    WRONG("members must be", distflow_doc_set_members(doc, TEXT("[")));
    WORKS(distflow_doc_set_members(doc, TEXT("[\"misused\",\"other\"]")));
    WORKS(distflow_doc_set_members(doc, NULL, 0));
}

static void test_distflow_doc_drain_pending(void) {
    BAD_DOCS(distflow_doc_drain_pending(handle));
    WORKS(distflow_doc_drain_pending(doc));
}

static void test_distflow_doc_clean_pending(void) {
    BAD_DOCS(distflow_doc_clean_pending(handle));
    WORKS(distflow_doc_clean_pending(doc));
}

static void test_distflow_doc_gc_log(void) {
    BAD_DOCS(distflow_doc_gc_log(handle, 1));
    WORKS(distflow_doc_gc_log(doc, INT64_MAX));
    WORKS(distflow_doc_gc_log(doc, -1));
    WORKS(distflow_doc_gc_log(doc, INT64_MIN));
}

static void test_distflow_doc_gc_tombstones(void) {
    BAD_DOCS(distflow_doc_gc_tombstones(handle));
    WORKS(distflow_doc_gc_tombstones(doc));
}

static void test_distflow_doc_inspect(void) {
    distflow_buf found;
    BAD_DOCS(distflow_doc_inspect(handle, NULL, 0, &found));
    WRONG("json_out is NULL", distflow_doc_inspect(doc, NULL, 0, NULL));
    WRONG("options is NULL", distflow_doc_inspect(doc, NULL, 1, &found));
    WRONG("options is not valid UTF-8", distflow_doc_inspect(doc, "\xff", 1, &found));
    WRONG("logSize", distflow_doc_inspect(doc, TEXT("{\"logSize\":1}"), &found));
    WRONG("", distflow_doc_inspect(doc, TEXT("{"), &found));
    CHECK(found.data == NULL && found.len == 0);
    WORKS(distflow_doc_inspect(doc, TEXT("{\"logSampleSize\":1}"), &found));
    distflow_buf_free(&found);
}

/* Any place of the log can be asked for. */
#define PLACES(function)                                                                           \
    do {                                                                                           \
        distflow_buf filled;                                                                       \
        BAD_DOCS(function(handle, 0, 1, &filled));                                                 \
        WRONG("_out is NULL", function(doc, 0, 1, NULL));                                          \
        const uint64_t places[][2] = {                                                             \
            {0, 0}, {0, UINT64_MAX}, {UINT64_MAX, 0}, {UINT64_MAX, UINT64_MAX}, {5, 2}};           \
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {                              \
            WORKS(function(doc, places[i][0], places[i][1], &filled));                             \
            CHECK(filled.len >= 2);                                                                \
            distflow_buf_free(&filled);                                                            \
        }                                                                                          \
    } while (0)

static void test_distflow_doc_logged(void) { PLACES(distflow_doc_logged); }
static void test_distflow_doc_replay(void) { PLACES(distflow_doc_replay); }

static void test_distflow_doc_diff_snapshots(void) {
    distflow_buf snapshot, found;
    WORKS(distflow_doc_snapshot_json(doc, &snapshot));
    WRONG("json_out is NULL", distflow_doc_diff_snapshots(snapshot.data, snapshot.len,
                                                          snapshot.data, snapshot.len, NULL));
    WRONG("before is NULL",
          distflow_doc_diff_snapshots(NULL, 1, snapshot.data, snapshot.len, &found));
    WRONG("after is NULL",
          distflow_doc_diff_snapshots(snapshot.data, snapshot.len, NULL, 1, &found));
    WRONG("before is not valid UTF-8",
          distflow_doc_diff_snapshots("\xff", 1, snapshot.data, snapshot.len, &found));
    FAILS(DISTFLOW_INVALID_JSON, "",
          distflow_doc_diff_snapshots(snapshot.data, snapshot.len, "{", 1, &found));
    FAILS(DISTFLOW_INVALID_JSON, "",
          distflow_doc_diff_snapshots(NULL, 0, snapshot.data, snapshot.len, &found));
    FAILS(DISTFLOW_INVALID_MESSAGE, "snapshot",
          distflow_doc_diff_snapshots("{}", 2, snapshot.data, snapshot.len, &found));
    CHECK(found.data == NULL && found.len == 0);
    WORKS(distflow_doc_diff_snapshots(snapshot.data, snapshot.len, snapshot.data, snapshot.len,
                                      &found));
    distflow_buf_free(&found);
    distflow_buf_free(&snapshot);
}

#endif
