/* Game sessions: what instances see of each other.
 *
 * usage: session CASE      DISTFLOW_TEST_BROKER says where the broker is, DISTFLOW_TEST_AUTHORITY
 *                          which file of certificates to trust */
#include "check.h"

#include <sys/stat.h>
#include <sys/wait.h>

static char broker[1024];

static void find_broker(void) {
    const char *url = getenv("DISTFLOW_TEST_BROKER"), *authority = getenv("DISTFLOW_TEST_AUTHORITY");
    if (url == NULL) FAIL("DISTFLOW_TEST_BROKER does not say where the broker is");
    int length = snprintf(broker, sizeof broker, "{\"url\":\"%s\",\"connectTimeoutMs\":%d", url, LIMIT_MS);
    snprintf(broker + length, sizeof broker - (size_t)length, authority ? ",\"caFile\":\"%s\"}" : "}",
             authority);
}

static distflow_session *create(const char *options) {
    distflow_session *session;
    OK(distflow_session_create(TEXT(broker), NULL, TEXT(options), &session));
    return session;
}

/* Of a session, into memory of the caller's. */
static void text_of(distflow_status (*give)(const distflow_session *, distflow_buf *),
                    distflow_session *session, char *text, size_t size) {
    distflow_buf buf;
    OK(give(session, &buf));
    CHECK(buf.len < size);
    memcpy(text, buf.data, buf.len + 1);
    distflow_buf_free(&buf);
}

static distflow_session *join(distflow_session *other) {
    char id[256];
    text_of(distflow_session_id, other, id, sizeof id);
    distflow_session *session;
    OK(distflow_session_join(TEXT(broker), id, &session));
    return session;
}

static bool view_has(distflow_session *session, const char *words) {
    distflow_buf json;
    OK(distflow_session_view(session, &json));
    bool has = strstr(json.data, words) != NULL;
    distflow_buf_free(&json);
    return has;
}

/* The next event of a type. */
static distflow_session_event next(distflow_session *session, const char *kind) {
    for (;;) {
        distflow_session_event event;
        OK(distflow_session_recv_event(session, LIMIT_MS, &event));
        if (strcmp(event.kind.data, kind) == 0) return event;
        distflow_session_event_free(&event);
    }
}

/* --- cases ----------------------------------------------------------------------------------- */

static void members(void) {
    distflow_session *one = create("{\"playersMax\":2,\"modelName\":\"Lake\",\"seed\":77}");
    CHECK(view_has(one, "\"role\":\"creator\"") && view_has(one, "\"state\":\"open\""));
    distflow_session *two = join(one);
    char id[256], second[256];
    text_of(distflow_session_instance, two, second, sizeof second);
    CHECK(view_has(two, "\"role\":\"member\"") && view_has(two, "\"model_name\":\"Lake\""));
    distflow_session_event event = next(one, "member_joined");
    CHECK(strcmp(event.instance.data, second) == 0);
    CHECK(event.player.len == 0 && event.payload.len == 0);
    distflow_session_event_free(&event);
    CHECK(view_has(one, second));
    WAIT_UNTIL(view_has(two, "\"seed\":77"));

    text_of(distflow_session_id, one, id, sizeof id);
    distflow_session *three;
    EXPECT(DISTFLOW_REFUSED, distflow_session_join(TEXT(broker), id, &three));
    OK(distflow_session_observe(TEXT(broker), id, &three));
    WAIT_UNTIL(view_has(three, second));
    CHECK(view_has(three, "\"role\":\"observer\"") && view_has(three, "\"is_in\":false"));

    OK(distflow_session_leave(two, LIMIT_MS));
    event = next(one, "member_left");
    CHECK(strcmp(event.instance.data, second) == 0);
    distflow_session_event_free(&event);
    event = next(three, "member_left");
    distflow_session_event_free(&event);
    distflow_session_free(two);
    distflow_session_free(three);
    distflow_session_free(one);
}

static void playing(void) {
    distflow_session *one = create("{\"playersMin\":2,\"playersMax\":2}");
    EXPECT(DISTFLOW_REFUSED, distflow_session_start(one, 0));
    distflow_session *two = join(one);
    EXPECT(DISTFLOW_REFUSED, distflow_session_start(two, 0));
    OK(distflow_session_reserve(two, "Farmer"));
    distflow_session_event event = next(one, "reserved");
    CHECK(strcmp(event.player.data, "Farmer") == 0 && event.instance.len == 32);
    distflow_session_event_free(&event);
    EXPECT(DISTFLOW_REFUSED, distflow_session_register(one, "Farmer"));
    OK(distflow_session_register(two, "Farmer"));
    OK(distflow_session_register(one, "Judge"));
    event = next(two, "all_players_selected");
    distflow_session_event_free(&event);
    OK(distflow_session_start(one, 1));
    event = next(one, "countdown");
    CHECK(strstr(event.json.data, "\"seconds\":1") != NULL);
    distflow_session_event_free(&event);
    event = next(two, "game_started");
    CHECK(event.instance.len == 32);
    distflow_session_event_free(&event);

    /* Any bytes, also those that are no text. */
    const char move[] = "\x00\xff\x01";
    OK(distflow_session_publish(two, "move", move, sizeof move));
    event = next(one, "game");
    CHECK(strcmp(event.name.data, "move") == 0);
    CHECK(event.payload.len == sizeof move && memcmp(event.payload.data, move, sizeof move) == 0);
    distflow_session_event_free(&event);

    OK(distflow_session_end(one));
    event = next(two, "ended");
    CHECK(strstr(event.json.data, "\"reason\"") != NULL);
    distflow_session_event_free(&event);
    EXPECT(DISTFLOW_CLOSED, distflow_session_register(two, "Farmer"));
    CHECK(view_has(two, "\"state\":\"closed\""));
    distflow_session_free(two);
    distflow_session_free(one);
}

static void handing_over(void) {
    distflow_session *one = create("{\"handOver\":true}");
    distflow_session *two = join(one);
    char second[256];
    text_of(distflow_session_instance, two, second, sizeof second);
    EXPECT(DISTFLOW_REFUSED, distflow_session_hand_over(one, "nobody"));
    EXPECT(DISTFLOW_REFUSED, distflow_session_hand_over(two, NULL));
    OK(distflow_session_hand_over(one, second));
    distflow_session_event event = next(one, "creator_changed");
    CHECK(strcmp(event.instance.data, second) == 0);
    distflow_session_event_free(&event);
    WAIT_UNTIL(view_has(two, "\"role\":\"creator\""));
    distflow_session_free(one);
    event = next(two, "member_left");
    distflow_session_event_free(&event);
    distflow_session_free(two);
}

static bool list_has(distflow_session_list *list, const char *own, const char *words) {
    distflow_buf json;
    OK(distflow_session_list_sessions(list, own, &json));
    bool has = strstr(json.data, words) != NULL;
    distflow_buf_free(&json);
    return has;
}

static void await_list(distflow_session_list *list, const char *own, const char *words) {
    uint64_t version = UINT64_MAX;
    long long deadline = now_ms() + LIMIT_MS;
    while (!list_has(list, own, words)) {
        if (now_ms() > deadline) FAIL("the list never had %s", words);
        distflow_session_list_wait(list, version, 1000, &version);
    }
}

static void *wait_for_change(void *pointer) {
    distflow_session_list *list = pointer;
    uint64_t version = 0;
    distflow_status status;
    while ((status = distflow_session_list_wait(list, version, -1, &version)) == DISTFLOW_OK) {}
    /* The list may be gone before the first wait began. */
    CHECK(status == DISTFLOW_CLOSED || status == DISTFLOW_INVALID_HANDLE);
    return NULL;
}

static void listing(void) {
    distflow_session_list *list;
    OK(distflow_session_list_open(TEXT(broker), &list));
    CHECK(list_has(list, NULL, "\"rows\":[]"));
    distflow_session *one = create("{\"modelName\":\"Lake\",\"playersMax\":3}");
    await_list(list, NULL, "\"text\":\"Lake (1/1-3 instances (Ready))\"");
    char id[256];
    text_of(distflow_session_id, one, id, sizeof id);
    await_list(list, id, "\"text\":\"Lake \xe2\x9c\x93 (1/1-3 instances (Ready))\"");
    distflow_session *two = join(one);
    await_list(list, NULL, "2/1-3 instances");
    CHECK(list_has(list, NULL, "\"is_connected\":true"));
    distflow_session_free(two);
    await_list(list, NULL, "1/1-3 instances");
    distflow_session_free(one);
    await_list(list, NULL, "\"rows\":[]");
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_change, list) == 0);
    distflow_session_list_free(list);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void descriptor(void) {
    distflow_session *one = create("{}");
    int fd, again;
    OK(distflow_session_fd(one, &fd));
    OK(distflow_session_fd(one, &again));
    CHECK_EQ(fd, again);
    distflow_session_event event;
    while (distflow_session_recv_event(one, 0, &event) == DISTFLOW_OK)
        distflow_session_event_free(&event);
    struct pollfd waits = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&waits, 1, 0), 0);
    distflow_session *two = join(one);
    CHECK_EQ(poll(&waits, 1, LIMIT_MS), 1);
    event = next(one, "member_joined");
    distflow_session_event_free(&event);
    distflow_session_free(two);
    OK(distflow_session_leave(one, LIMIT_MS));
    while (distflow_session_recv_event(one, 0, &event) == DISTFLOW_OK)
        distflow_session_event_free(&event);
    /* For ever, once it is over. */
    CHECK_EQ(poll(&waits, 1, 0), 1);
    EXPECT(DISTFLOW_CLOSED, distflow_session_recv_event(one, -1, &event));
    distflow_session_free(one);
}

/* What callbacks have seen. */
typedef struct seen {
    context context;
    atomic_int joined, ended, refused_to_leave;
} seen;

static void on_event(distflow_session *session, const distflow_session_event *event,
                     void *pointer) {
    seen *self = pointer;
    CHECK_EQ(self->context.drops, 0);
    atomic_fetch_add(&self->context.calls, 1);
    if (strcmp(event->kind.data, "ended") == 0) atomic_fetch_add(&self->ended, 1);
    if (strcmp(event->kind.data, "game") == 0 && strcmp(event->name.data, "go") == 0)
        distflow_session_free(session);
    if (strcmp(event->kind.data, "member_joined") != 0) return;
    /* It may ask, but not wait for itself. */
    CHECK(view_has(session, event->instance.data));
    OK(distflow_session_publish(session, "hello", TEXT("\"hello\"")));
    EXPECT(DISTFLOW_REENTRANT_CALL, distflow_session_leave(session, LIMIT_MS));
    atomic_fetch_add(&self->refused_to_leave, 1);
    atomic_fetch_add(&self->joined, 1);
}

static void callbacks(void) {
    distflow_session *one = create("{}");
    static seen first, second;
    OK(distflow_session_on_event(one, on_event, &first, drop_context));
    OK(distflow_session_on_event(one, on_event, &second, drop_context));
    distflow_session *two = join(one);
    distflow_session_event event = next(two, "game");
    CHECK(strcmp(event.payload.data, "\"hello\"") == 0);
    distflow_session_event_free(&event);
    WAIT_UNTIL(first.joined == 1 && second.joined == 1);
    OK(distflow_session_leave(one, LIMIT_MS));
    /* Nothing runs any more, and both have seen the last event. */
    CHECK(first.context.drops == 1 && second.context.drops == 1);
    CHECK(first.ended == 1 && second.ended == 1 && first.refused_to_leave == 1);
    EXPECT(DISTFLOW_CLOSED, distflow_session_on_event(one, on_event, &first, drop_context));
    CHECK_EQ(first.context.drops, 2);
    event = next(two, "ended");
    distflow_session_event_free(&event);
    distflow_session_free(two);
    distflow_session_free(one);
}

static void free_inside(void) {
    distflow_session *one = create("{}");
    static seen self;
    OK(distflow_session_on_event(one, on_event, &self, drop_context));
    distflow_session *two = join(one);
    OK(distflow_session_publish(two, "go", NULL, 0));
    WAIT_UNTIL(self.context.drops == 1);
    CHECK_EQ(self.joined, 1);
    distflow_buf id;
    EXPECT(DISTFLOW_INVALID_HANDLE, distflow_session_id(one, &id));
    /* It was left for good, not only forgotten. */
    distflow_session_event event = next(two, "ended");
    distflow_session_event_free(&event);
    distflow_session_free(two);
}

static void forked(void) {
    distflow_session *one = create("{}");
    distflow_session *two = join(one);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        distflow_buf id;
        EXPECT(DISTFLOW_FORKED, distflow_session_id(one, &id));
        EXPECT(DISTFLOW_FORKED, distflow_session_leave(one, -1));
        distflow_session_free(one);
        distflow_session_free(two);
        /* One of its own. */
        distflow_session_free(create("{}"));
        exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    /* The child has neither left nor disturbed it. */
    OK(distflow_session_publish(one, "still", TEXT("1")));
    distflow_session_event event = next(two, "game");
    distflow_session_event_free(&event);
    distflow_session_free(two);
    distflow_session_free(one);
}

#define CLOSED(call) CHECK_EQ(call, DISTFLOW_CLOSED)

enum { FIRST_CALLS = 8 };

/* What a program that becomes a daemon does to the descriptors of sessions and of a kept document;
 * whichever call is the first afterwards. */
static void closed_by_the_host(int first) {
    char folder[] = "/tmp/distflow-test-XXXXXX", options[256], name[256];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(options, sizeof options, "{\"directory\":\"%s\"}", folder);
    distflow_session *one = create("{}");
    distflow_session *two = join(one);
    distflow_session_list *list;
    OK(distflow_session_list_open(TEXT(broker), &list));
    distflow_doc *doc;
    OK(distflow_doc_open("d", NULL, 0, TEXT(options), &doc));
    OK(distflow_doc_set(doc, "before", TEXT("1"), NULL));
    for (int fd = 3; fd < 256; fd++) close(fd);
    /* The numbers are the host's again. */
    snprintf(name, sizeof name, "%s/of-the-host-XXXXXX", folder);
    int files[100] = {mkstemp(name)};
    CHECK(files[0] >= 0);
    for (int i = 1; i < 100; i++) CHECK((files[i] = dup(files[0])) >= 0);

    distflow_session_event event;
    switch (first) {
    case 0: CLOSED(distflow_session_publish(one, "move", TEXT("1"))); break;
    case 1: CLOSED(distflow_session_reserve(two, "red")); break;
    case 2: OK(distflow_session_leave(two, LIMIT_MS)); break;
    case 3: distflow_session_free(one); one = NULL; break;
    case 4: distflow_session_list_free(list); list = NULL; break;
    case 5: CLOSED(distflow_doc_set(doc, "after", TEXT("1"), NULL)); break;
    case 6: distflow_doc_free(doc); doc = NULL; break;
    case 7: distflow_session_free(create("{}")); break;
    }
    if (one != NULL) {
        CLOSED(distflow_session_publish(one, "move", TEXT("1")));
        CLOSED(distflow_session_start(one, 0));
        distflow_status status;
        while ((status = distflow_session_recv_event(one, -1, &event)) == DISTFLOW_OK)
            distflow_session_event_free(&event);
        CLOSED(status);
    }
    if (doc != NULL) {
        CLOSED(distflow_doc_set(doc, "after", TEXT("1"), NULL));
        CLOSED(distflow_doc_flush(doc));
    }
    distflow_session_free(one);
    distflow_session_free(two);
    distflow_session_list_free(list);
    distflow_doc_free(doc);
    /* Nothing was written into the host's files, and none was closed. */
    for (int i = 0; i < 100; i++) {
        struct stat stat;
        CHECK_EQ(fstat(files[i], &stat), 0);
        CHECK_EQ(stat.st_size, 0);
        CHECK_EQ(close(files[i]), 0);
    }
    unlink(name);
    /* What is opened from here on works, and what was kept is there. */
    one = create("{}");
    OK(distflow_session_publish(one, "move", TEXT("1")));
    distflow_session_free(one);
    OK(distflow_doc_open("d", NULL, 0, TEXT(options), &doc));
    distflow_buf value;
    OK(distflow_doc_get(doc, "before", &value));
    CHECK(strcmp(value.data, "1") == 0);
    distflow_buf_free(&value);
    distflow_doc_free(doc);
    static const char *const kept[] = {"lock", "journal-0", "journal-1", "snapshot-1"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        snprintf(name, sizeof name, "%s/%s", folder, kept[i]);
        unlink(name);
    }
    rmdir(folder);
}

static void descriptors_are_closed_by_the_host(void) {
    for (int first = 0; first < FIRST_CALLS; first++) closed_by_the_host(first);
}

/* With a value as deep as may be, which is where documents take most. */
static void document_on_a_small_stack(void) {
    enum { DEPTH = 59 };
    char deep[8 * DEPTH] = "";
    for (int level = 0; level < DEPTH; level++) strcat(deep, level % 2 ? "[" : "{\"a\":");
    strcat(deep, "1");
    for (int level = DEPTH; level-- > 0;) strcat(deep, level % 2 ? "]" : "}");
    distflow_doc *one, *two;
    distflow_buf op, buf;
    OK(distflow_doc_open("one", TEXT("{}"), NULL, 0, &one));
    OK(distflow_doc_open("two", TEXT("{}"), NULL, 0, &two));
    OK(distflow_doc_set(one, "a", TEXT(deep), &op));
    OK(distflow_doc_receive(two, op.data, op.len, NULL));
    distflow_buf_free(&op);
    OK(distflow_doc_delete(two, "a", &op));
    OK(distflow_doc_receive(one, op.data, op.len, NULL));
    distflow_buf_free(&op);
    OK(distflow_doc_set(one, "b", TEXT(deep), NULL));
    OK(distflow_doc_snapshot(one, &buf));
    OK(distflow_doc_merge(two, buf.data, buf.len));
    distflow_buf_free(&buf);
    OK(distflow_doc_canonical(two, &buf));
    CHECK(strstr(buf.data, deep) != NULL);
    distflow_buf_free(&buf);
    distflow_doc_free(one);
    distflow_doc_free(two);
}

/* A host may have many threads with little memory. A session and all that is done with it, and
 * documents. */
static void *with_a_small_stack(void *ignored) {
    (void)ignored;
    distflow_session *one = create("{\"playersMax\":2}");
    distflow_session *two = join(one);
    OK(distflow_session_reserve(two, "Farmer"));
    OK(distflow_session_register(two, "Farmer"));
    OK(distflow_session_register(one, "Judge"));
    OK(distflow_session_start(one, 0));
    distflow_session_event event = next(two, "game_started");
    distflow_session_event_free(&event);
    OK(distflow_session_publish(two, "move", "{\"a\":[1,2]}", 11));
    event = next(one, "game");
    distflow_session_event_free(&event);
    CHECK(view_has(one, "Farmer"));

    distflow_session_list *list;
    OK(distflow_session_list_open(TEXT(broker), &list));
    char id[256];
    text_of(distflow_session_id, one, id, sizeof id);
    await_list(list, NULL, id);
    distflow_session_list_free(list);

    document_on_a_small_stack();
    OK(distflow_session_leave(two, LIMIT_MS));
    distflow_session_free(two);
    distflow_session_free(one);
    return NULL;
}

/* Without optimisation, a TLS handshake on this thread would take more than that. To find the least
 * that works, say another number. */
static void a_small_stack(void) {
    const char *given = getenv("DISTFLOW_TEST_STACK_KIB");
    size_t stack = (size_t)(given != NULL ? atoi(given) : 144) << 10;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK_EQ(pthread_attr_setstacksize(&attributes, stack), 0);
    /* The first one starts what a process has once; the others find it idle, or driven. */
    for (int round = 0; round < 3; round++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, &attributes, with_a_small_stack, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    pthread_attr_destroy(&attributes);
}

static const test_case CASES_OF_THIS[] = {
    {"members", members},       {"playing", playing},     {"handing_over", handing_over},
    {"listing", listing},       {"descriptor", descriptor}, {"callbacks", callbacks},
    {"free_inside", free_inside}, {"forked", forked},
    {"descriptors_are_closed_by_the_host", descriptors_are_closed_by_the_host},
    {"a_small_stack", a_small_stack},
};

int main(int argc, char **argv) {
    find_broker();
    return CASES(CASES_OF_THIS, argc, argv);
}
