/* Shared documents: what replicas tell each other, and what is kept.
 *
 * usage: document obey                 carries out the lines of standard input, see below
 *        document CASE [DIRECTORY]     one case; some keep documents in a directory */
#include "check.h"

#include <sys/wait.h>


static const char *directory;

static distflow_doc *open_doc(const char *replica, const char *initial) {
    distflow_doc *doc = NULL;
    char options[100];
    snprintf(options, sizeof options, "{\"source\":\"%s\"}", replica);
    OK(distflow_doc_open(replica, TEXT(initial), TEXT(options), &doc));
    return doc;
}

/* Opens what is kept in the directory of this run. */
static distflow_status open_kept(distflow_doc **doc) {
    char options[4200];
    snprintf(options, sizeof options, "{\"directory\":\"%s\"}", directory);
    return distflow_doc_open("kept", NULL, 0, TEXT(options), doc);
}

static void set(distflow_doc *doc, const char *path, const char *json) {
    OK(distflow_doc_set(doc, path, TEXT(json), NULL));
}

/* What a function gives has to be this text. */
#define GIVES(function, doc, wanted)                                                               \
    do {                                                                                           \
        distflow_buf gives = {0};                                                                  \
        OK(function(doc, &gives));                                                                 \
        if (strcmp(gives.data, wanted) != 0) FAIL("%s gives %s", #function, gives.data);           \
        CHECK_EQ(gives.len, strlen(wanted));                                                       \
        distflow_buf_free(&gives);                                                                 \
    } while (0)

static void expect_value(distflow_doc *doc, const char *path, const char *wanted) {
    distflow_buf found;
    OK(distflow_doc_get(doc, path, &found));
    if (strcmp(found.data, wanted) != 0) FAIL("at %s is %s, not %s", path, found.data, wanted);
    distflow_buf_free(&found);
}

static void expect_same(distflow_doc *a, distflow_doc *b) {
    distflow_buf text, hash;
    OK(distflow_doc_canonical(a, &text));
    OK(distflow_doc_hash(a, &hash));
    CHECK_EQ(hash.len, 64);
    GIVES(distflow_doc_canonical, b, text.data);
    GIVES(distflow_doc_hash, b, hash.data);
    distflow_buf_free(&text);
    distflow_buf_free(&hash);
}

static bool has(distflow_buf *text, const char *words) {
    return strstr(text->data, words) != NULL;
}

/* --- what the driver says ------------------------------------------------------------------- */

/* Each line is a word and JSON: `new` an initial value, `op` an operation, `bad` one that is
 * refused; or `gc`, or `end`, which prints the canonical text and the metrics. */
static void obey(void) {
    distflow_doc *doc = NULL;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        line[strcspn(line, "\n")] = 0;
        char *json = strchr(line, ' ');
        if (json != NULL) *json++ = 0;
        if (strcmp(line, "new") == 0) {
            distflow_doc_free(doc);
            doc = open_doc("obs", json);
        } else if (strcmp(line, "op") == 0) {
            OK(distflow_doc_receive(doc, TEXT(json), NULL));
        } else if (strcmp(line, "bad") == 0) {
            EXPECT(DISTFLOW_INVALID_MESSAGE, distflow_doc_receive(doc, TEXT(json), NULL));
        } else if (strcmp(line, "gc") == 0) {
            OK(distflow_doc_gc_tombstones(doc));
        } else if (strcmp(line, "end") == 0) {
            distflow_buf text, metrics;
            OK(distflow_doc_canonical(doc, &text));
            OK(distflow_doc_metrics(doc, &metrics));
            printf("%s\n%s\n", text.data, metrics.data);
            distflow_buf_free(&text);
            distflow_buf_free(&metrics);
        } else {
            FAIL("what is '%s'?", line);
        }
    }
    free(line);
    distflow_doc_free(doc);
}

/* --- exchange ------------------------------------------------------------------------------- */

/* Gives to one what it lacks of the other, as text or as bytes. */
static void catch_up(distflow_doc *from, distflow_doc *to, bool as_bytes, uint64_t wanted) {
    distflow_buf clock, ops;
    bool is_complete = false;
    distflow_doc_received received;
    OK(distflow_doc_clock(to, &clock));
    OK((as_bytes ? distflow_doc_encode_since : distflow_doc_since)(from, clock.data, clock.len,
                                                                   &ops, &is_complete));
    CHECK(is_complete);
    OK(distflow_doc_receive_batch(to, ops.data, ops.len, &received));
    CHECK_EQ(received.applied, wanted);
    CHECK_EQ(received.duplicates + received.pending, 0);
    /* Once more changes nothing. */
    OK(distflow_doc_receive_batch(to, ops.data, ops.len, &received));
    CHECK_EQ(received.duplicates, wanted);
    CHECK_EQ(received.applied + received.pending, 0);
    distflow_buf_free(&clock);
    distflow_buf_free(&ops);
}

static void operations(void) {
    distflow_doc *a = open_doc("a", "{\"users\":{}}"), *b = open_doc("b", "{\"users\":{}}");
    GIVES(distflow_doc_replica, a, "a");
    GIVES(distflow_doc_source, a, "a");
    GIVES(distflow_doc_clock, a, "{}");
    distflow_buf ops[3];
    OK(distflow_doc_set(a, "/users/alice", TEXT("{\"age\":[41]}"), &ops[0]));
    OK(distflow_doc_set(a, "[\"users\",\"alice\",\"age\",0]", TEXT("42"), &ops[1]));
    OK(distflow_doc_delete(a, "/users/nobody", &ops[2]));
    expect_value(a, "/users/alice/age/0", "42");
    expect_value(a, "/users/bob", "");
    expect_value(a, "", "{\"users\":{\"alice\":{\"age\":[42]}}}");
    /* The last one waits for those before it. */
    int32_t outcome = 77;
    OK(distflow_doc_receive(b, ops[2].data, ops[2].len, &outcome));
    CHECK_EQ(outcome, DISTFLOW_DOC_PENDING);
    OK(distflow_doc_receive(b, ops[0].data, ops[0].len, &outcome));
    CHECK_EQ(outcome, DISTFLOW_DOC_APPLIED);
    OK(distflow_doc_receive(b, ops[1].data, ops[1].len, &outcome));
    CHECK_EQ(outcome, DISTFLOW_DOC_APPLIED);
    for (int i = 0; i < 3; i++) {
        OK(distflow_doc_receive(b, ops[i].data, ops[i].len, &outcome));
        CHECK_EQ(outcome, DISTFLOW_DOC_DUPLICATE);
        distflow_buf_free(&ops[i]);
    }
    GIVES(distflow_doc_clock, b, "{\"a\":3}");
    expect_same(a, b);
    /* Both write, without having seen the other's. */
    set(a, "/users/carol", "1");
    set(b, "/users/carol", "2");
    set(b, "/users/dave", "3");
    catch_up(a, b, false, 1);
    catch_up(b, a, true, 2);
    expect_same(a, b);
    GIVES(distflow_doc_clock, a, "{\"a\":4,\"b\":2}");
    distflow_doc_free(a);
    distflow_doc_free(b);
}

/* Two processes of one name are two sources, and one source in two hands is told. */
static void sources(void) {
    distflow_doc *a = NULL, *b = NULL, *c = open_doc("c", "{}");
    OK(distflow_doc_open("same", NULL, 0, NULL, 0, &a));
    OK(distflow_doc_open("same", NULL, 0, NULL, 0, &b));
    GIVES(distflow_doc_source, a, "same");
    set(a, "/x", "1");
    set(b, "/y", "2");
    distflow_buf of_a, of_b, op;
    OK(distflow_doc_source(a, &of_a));
    OK(distflow_doc_source(b, &of_b));
    CHECK(strncmp(of_a.data, "same~", 5) == 0 && strcmp(of_a.data, of_b.data) != 0);
    GIVES(distflow_doc_replica, a, "same");
    distflow_buf_free(&of_a);
    distflow_buf_free(&of_b);
    catch_up(a, c, true, 1);
    catch_up(b, c, false, 1);
    catch_up(c, a, true, 1);
    expect_same(a, c);
    distflow_doc_free(a);
    distflow_doc_free(b);

    a = open_doc("twice", "{}");
    b = open_doc("twice", "{}");
    set(a, "/x", "3");
    catch_up(a, c, true, 1);
    OK(distflow_doc_set(b, "/y", TEXT("4"), &op));
    EXPECT(DISTFLOW_SOURCE_CONFLICT, distflow_doc_receive(c, op.data, op.len, NULL));
    EXPECT(DISTFLOW_SOURCE_CONFLICT, distflow_doc_receive_batch(c, op.data, op.len, NULL));
    expect_value(c, "", "{\"x\":3,\"y\":2}");
    distflow_buf_free(&op);
    distflow_doc_free(b);
    /* All of it, in pieces, the last one first. */
    b = open_doc("d", "{}");
    distflow_buf pieces;
    bool is_whole = true;
    OK(distflow_doc_snapshot_pieces(c, 0, &pieces));
    CHECK(pieces.data[pieces.len - 1] == '\n' && strchr(pieces.data, '\n') == pieces.data + pieces.len - 1);
    OK(distflow_doc_merge_piece(b, pieces.data, pieces.len - 1, &is_whole));
    CHECK(is_whole);
    expect_same(b, c);
    EXPECT(DISTFLOW_INVALID_MESSAGE, distflow_doc_merge_piece(b, pieces.data, pieces.len, &is_whole));
    CHECK(!is_whole);
    distflow_buf_free(&pieces);
    EXPECT(DISTFLOW_INVALID_ARGUMENT, distflow_doc_snapshot_pieces(c, 5, &pieces));
    distflow_doc_free(a);
    distflow_doc_free(b);
    distflow_doc_free(c);
}

static void snapshots(void) {
    distflow_doc *a = open_doc("a", "{}"), *b = open_doc("b", "{}"), *c = open_doc("c", "{}");
    set(a, "/x", "1");
    set(b, "/y", "2");
    set(c, "/z", "3");
    distflow_buf before, after, bytes, found;
    OK(distflow_doc_snapshot_json(a, &before));
    /* Each takes in what the other has, and keeps its own. */
    OK(distflow_doc_snapshot(b, &bytes));
    OK(distflow_doc_merge(a, bytes.data, bytes.len));
    distflow_buf_free(&bytes);
    OK(distflow_doc_snapshot_json(a, &bytes));
    OK(distflow_doc_merge(b, bytes.data, bytes.len));
    distflow_buf_free(&bytes);
    expect_same(a, b);
    GIVES(distflow_doc_canonical, b, "{\"x\":1,\"y\":2}");
    /* What is restored, replaces. */
    OK(distflow_doc_snapshot(a, &bytes));
    OK(distflow_doc_restore(c, bytes.data, bytes.len));
    distflow_buf_free(&bytes);
    expect_same(a, c);
    OK(distflow_doc_snapshot_json(a, &after));
    OK(distflow_doc_diff_snapshots(before.data, before.len, after.data, after.len, &found));
    CHECK(has(&found, "\"y\"") && !has(&found, "\"x\""));
    distflow_buf_free(&found);
    distflow_buf_free(&before);
    distflow_buf_free(&after);
    /* One that goes back does not count its operations anew under the same name. */
    OK(distflow_doc_snapshot(a, &bytes));
    set(a, "/gone", "1");
    OK(distflow_doc_restore(a, bytes.data, bytes.len));
    distflow_buf_free(&bytes);
    expect_same(a, b);
    set(a, "/back", "1");
    OK(distflow_doc_source(a, &found));
    CHECK(strncmp(found.data, "a~", 2) == 0);
    distflow_buf_free(&found);
    GIVES(distflow_doc_replica, a, "a");
    /* A peer that comes late is told that the operations are not all there. */
    bool is_complete = true;
    OK(distflow_doc_gc_log(a, 0));
    OK(distflow_doc_since(a, NULL, 0, &found, &is_complete));
    CHECK(!is_complete && strcmp(found.data, "[]") == 0);
    distflow_buf_free(&found);
    distflow_doc_free(a);
    distflow_doc_free(b);
    distflow_doc_free(c);
}

/* --- what happens --------------------------------------------------------------------------- */

static void events(void) {
    distflow_doc *a = open_doc("a", "{}"), *b = open_doc("b", "{}");
    distflow_buf found, op;
    uint64_t id, other;
    set(a, "/before", "1");
    GIVES(distflow_doc_events, a, "[]");
    OK(distflow_doc_listen(a, 1));
    OK(distflow_doc_watch(a, "users.*.name", &id));
    OK(distflow_doc_watch(a, "[\"users\",\"a.b\"]", &other));
    CHECK(id != 0 && other != id);
    set(a, "/users/alice/name", "\"Alice\"");
    set(a, "/users/alice/age", "1");
    OK(distflow_doc_set(b, "/users/a.b", TEXT("7"), &op));
    OK(distflow_doc_receive(a, op.data, op.len, NULL));
    distflow_buf_free(&op);
    char watch[64], watch_other[64];
    snprintf(watch, sizeof watch, "[\"watch\",{\"id\":%d,", (int)id);
    snprintf(watch_other, sizeof watch_other, "[\"watch\",{\"id\":%d,", (int)other);
    OK(distflow_doc_events(a, &found));
    const char *first = strstr(found.data, watch);
    CHECK(strncmp(found.data, "[[\"change\",{\"type\":\"set\",", 25) == 0);
    CHECK(!has(&found, "before") && has(&found, "[\"sync\",{"));
    CHECK(first != NULL && strstr(first, "\"local\":true") != NULL);
    CHECK(has(&found, watch_other) && has(&found, "\"local\":false"));
    distflow_buf_free(&found);
    GIVES(distflow_doc_events, a, "[]");
    OK(distflow_doc_unwatch(a, id));
    set(a, "/users/alice/name", "\"Al\"");
    OK(distflow_doc_events(a, &found));
    CHECK(has(&found, "\"change\"") && !has(&found, watch));
    distflow_buf_free(&found);
    set(a, "/after", "1");
    OK(distflow_doc_listen(a, 0));
    OK(distflow_doc_listen(a, 1));
    GIVES(distflow_doc_events, a, "[]");
    distflow_doc_free(a);
    distflow_doc_free(b);
}

static void looking(void) {
    distflow_doc *a = open_doc("a", "{\"kept\":true}"), *b = open_doc("b", "{\"kept\":true}");
    distflow_buf found, op;
    set(a, "/x", "1");
    set(a, "/y", "2");
    OK(distflow_doc_delete(a, "/x", &op));
    OK(distflow_doc_receive(b, op.data, op.len, NULL));
    GIVES(distflow_doc_json, a, "{\"kept\":true,\"y\":2}");
    OK(distflow_doc_replay(a, 0, 2, &found));
    CHECK(strcmp(found.data, "{\"x\":1,\"y\":2}") == 0);
    distflow_buf_free(&found);
    OK(distflow_doc_logged(a, 2, 99, &found));
    CHECK_EQ(found.len, op.len + 2);
    CHECK(strncmp(found.data + 1, op.data, op.len) == 0);
    distflow_buf_free(&found);
    distflow_buf_free(&op);
    OK(distflow_doc_metrics(b, &found));
    CHECK(has(&found, "\"pendingSize\":1"));
    distflow_buf_free(&found);
    OK(distflow_doc_metrics_prometheus(b, &found));
    CHECK(has(&found, "=\"b\"}"));
    distflow_buf_free(&found);
    OK(distflow_doc_causal_graph(a, &found));
    CHECK(found.data[0] == '[' && found.len > 10);
    distflow_buf_free(&found);
    OK(distflow_doc_inspect(a, TEXT("{\"includeCausalGraph\":true,\"logSampleSize\":1}"), &found));
    CHECK(has(&found, "causalGraph"));
    distflow_buf_free(&found);
    /* It has not waited long enough to be given up. */
    OK(distflow_doc_clean_pending(b));
    OK(distflow_doc_drain_pending(b));
    OK(distflow_doc_metrics(b, &found));
    CHECK(has(&found, "\"pendingSize\":1"));
    distflow_buf_free(&found);
    distflow_doc_free(a);
    distflow_doc_free(b);
}

/* --- what is kept --------------------------------------------------------------------------- */

static void kept(void) {
    distflow_doc *doc, *again;
    distflow_buf source, next;
    OK(open_kept(&doc));
    set(doc, "/x", "[1,2,3]");
    OK(distflow_doc_source(doc, &source));
    EXPECT(DISTFLOW_ALREADY_RUNNING, open_kept(&again));
    CHECK(again == NULL);
    OK(distflow_doc_flush(doc));
    set(doc, "/y", "1");
    OK(distflow_doc_checkpoint(doc));
    set(doc, "/z", "2");
    distflow_doc_free(doc);
    OK(open_kept(&again));
    GIVES(distflow_doc_replica, again, "kept");
    GIVES(distflow_doc_canonical, again, "{\"x\":[1,2,3],\"y\":1,\"z\":2}");
    OK(distflow_doc_source(again, &next));
    CHECK(strncmp(source.data, "kept~", 5) == 0 && strcmp(next.data, source.data) == 0);
    distflow_buf_free(&source);
    distflow_buf_free(&next);
    distflow_doc_free(again);
}

/* What is in the directory was damaged by the driver. */
static void damaged(void) {
    distflow_doc *doc;
    EXPECT(DISTFLOW_INVALID_MESSAGE, open_kept(&doc));
    CHECK(doc == NULL);
    char text[512];
    distflow_last_error(text, sizeof text, NULL);
    CHECK(strstr(text, "damaged") != NULL && strstr(text, directory) != NULL);
}

/* --- threads and processes ------------------------------------------------------------------ */

#define THREADS 4
#define WRITES 500

static distflow_doc *shared;
static atomic_int next_thread;

static void *write_some(void *pointer) {
    (void)pointer;
    int me = atomic_fetch_add(&next_thread, 1);
    for (int i = 0; i < WRITES; i++) {
        char path[32];
        snprintf(path, sizeof path, "/%d/%d", me, i);
        set(shared, path, "1");
    }
    return NULL;
}

/* Until the handle is stale. */
static void *read_on(void *pointer) {
    atomic_long *reads = pointer;
    for (;;) {
        distflow_buf found;
        distflow_status status = distflow_doc_snapshot(shared, &found);
        if (status == DISTFLOW_INVALID_HANDLE) return NULL;
        CHECK_EQ(status, DISTFLOW_OK);
        distflow_buf_free(&found);
        atomic_fetch_add(reads, 1);
    }
}

static void threads(void) {
    shared = open_doc("shared", "{}");
    pthread_t writers[THREADS], reader;
    atomic_long reads = 0;
    CHECK_EQ(pthread_create(&reader, NULL, read_on, &reads), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&writers[i], NULL, write_some, NULL), 0);
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_join(writers[i], NULL), 0);
    char clock[64];
    snprintf(clock, sizeof clock, "{\"shared\":%d}", THREADS * WRITES);
    GIVES(distflow_doc_clock, shared, clock);
    WAIT_UNTIL(atomic_load(&reads) > 0);
    /* While the other one reads. */
    distflow_doc_free(shared);
    CHECK_EQ(pthread_join(reader, NULL), 0);
}

static void forked(void) {
    distflow_doc *doc;
    OK(open_kept(&doc));
    set(doc, "/x", "1");
    pid_t child = fork();
    if (child == 0) {
        distflow_buf found;
        EXPECT(DISTFLOW_FORKED, distflow_doc_set(doc, "/y", "1", 1, &found));
        EXPECT(DISTFLOW_FORKED, distflow_doc_json(doc, &found));
        EXPECT(DISTFLOW_FORKED, distflow_doc_flush(doc));
        distflow_doc_free(doc);
        /* It can have documents of its own. */
        distflow_doc *own = open_doc("own", "{}");
        set(own, "/x", "1");
        distflow_doc_free(own);
        _exit(7);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 7);
    set(doc, "/y", "2");
    GIVES(distflow_doc_json, doc, "{\"x\":1,\"y\":2}");
    distflow_doc_free(doc);
    OK(open_kept(&doc));
    GIVES(distflow_doc_json, doc, "{\"x\":1,\"y\":2}");
    distflow_doc_free(doc);
}

static const test_case CASES_OF_THIS[] = {
    {"obey", obey},     {"operations", operations}, {"sources", sources}, {"snapshots", snapshots},
    {"events", events}, {"looking", looking},       {"kept", kept},
    {"damaged", damaged}, {"threads", threads},     {"forked", forked},
};

int main(int argc, char **argv) {
    if (argc == 3) directory = argv[2];
    return CASES(CASES_OF_THIS, argc, argv);
}
