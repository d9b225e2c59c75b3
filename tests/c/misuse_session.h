/* The part of misuse.c about game sessions, which includes it. The environment says where there is
 * a broker: DISTFLOW_TEST_BROKER. */
#ifndef DISTFLOW_TESTS_MISUSE_SESSION_H
#define DISTFLOW_TESTS_MISUSE_SESSION_H

static distflow_session *session, *left_session, *stale_session, *watched;
static distflow_session_list *list, *stale_list;
static void *bad_sessions[BAD_MAX], *bad_lists[BAD_MAX];
/* Where the broker is, as JSON. */
static char broker[256];

#define BAD_SESSIONS(call) BAD_HANDLES(distflow_session, bad_sessions, call)
#define BAD_LISTS(call) BAD_HANDLES(distflow_session_list, bad_lists, call)

/* A broker at whose port nobody listens. */
static const char *deaf_broker(void) {
    static char text[128];
    snprintf(text, sizeof text, "{\"url\":\"mqtt://127.0.0.1:%u\",\"connectTimeoutMs\":300}", deaf_port);
    return text;
}

static void make_sessions(void) {
    const char *url = getenv("DISTFLOW_TEST_BROKER");
    if (url == NULL) FAIL("DISTFLOW_TEST_BROKER does not say where the broker is");
    /* A machine under load is no failure. */
    snprintf(broker, sizeof broker, "{\"url\":\"%s\",\"connectTimeoutMs\":%d}", url, LIMIT_MS);
    OK(distflow_session_create(TEXT(broker), NULL, NULL, 0, &session));
    OK(distflow_session_create(TEXT(broker), NULL, NULL, 0, &left_session));
    OK(distflow_session_leave(left_session, LIMIT_MS));
    OK(distflow_session_observe(TEXT(broker), "nowhere", &stale_session));
    OK(distflow_session_observe(TEXT(broker), "nowhere", &watched));
    OK(distflow_session_list_open(TEXT(broker), &list));
    OK(distflow_session_list_open(TEXT(broker), &stale_list));
    distflow_session_free(stale_session);
    distflow_session_list_free(stale_list);
    make_bad(bad_sessions, session, stale_session, list, a);
    make_bad(bad_lists, list, stale_list, session, doc);
}

static void end_sessions(void) {
    distflow_session_free(session);
    distflow_session_free(left_session);
    distflow_session_free(watched);
    distflow_session_list_free(list);
}

/* What every function that is told of a broker refuses. */
#define BAD_BROKERS(out, call)                                                                     \
    do {                                                                                           \
        const char *given = NULL;                                                                  \
        size_t len = 1;                                                                            \
        WRONG("broker is NULL", call);                                                             \
        CHECK(out == NULL);                                                                        \
        given = "\xff";                                                                            \
        WRONG("broker is not valid UTF-8", call);                                                  \
        len = SIZE_MAX;                                                                            \
        WRONG("broker cannot be", call);                                                           \
        const char *const wrong[][2] = {                                                           \
            {"{", "EOF"},                                                                          \
            {"{\"urls\":\"x\"}", "urls"},                                                          \
            {"{\"url\":\"http://localhost\"}", "http"},                                            \
            {"{\"url\":\"mqtt://localhost:99999\"}", "99999"},                                     \
            {"{\"mqttVersion\":\"4\"}", "3.1.1"},                                                  \
            {"{\"keepAliveS\":-1}", "keepAliveS"},                                               \
            {"{\"connectTimeoutMs\":\"x\"}", "connectTimeoutMs"},                                \
            {"{\"certFile\":\"/nonexistent\"}", "key"},                                            \
        };                                                                                         \
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {                                \
            given = wrong[i][0];                                                                   \
            len = strlen(given);                                                                   \
            out = (void *)own_memory;                                                              \
            WRONG(wrong[i][1], call);                                                              \
            CHECK(out == NULL);                                                                    \
        }                                                                                          \
        given = "{\"url\":\"mqtts://localhost\",\"caFile\":\"/nonexistent\"}";                   \
        len = strlen(given);                                                                       \
        FAILS(DISTFLOW_IO, "/nonexistent", call);                                                  \
        given = deaf_broker();                                                                     \
        len = strlen(given);                                                                       \
        FAILS(DISTFLOW_TIMEOUT, "not reached", call);                                              \
        CHECK(out == NULL);                                                                        \
    } while (0)

static void test_distflow_session_create(void) {
    distflow_session *made = (distflow_session *)own_memory;
    WRONG("session_out is NULL", distflow_session_create(TEXT(broker), NULL, NULL, 0, NULL));
    BAD_BROKERS(made, distflow_session_create(given, len, NULL, NULL, 0, &made));
    BAD_TEXTS("session_id", distflow_session_create(TEXT(broker), text, NULL, 0, &made));
    WRONG("session", distflow_session_create(TEXT(broker), "", NULL, 0, &made));
    WRONG("'/'", distflow_session_create(TEXT(broker), "a/b", NULL, 0, &made));
    WRONG("options is NULL", distflow_session_create(TEXT(broker), NULL, NULL, 1, &made));
    WRONG("options is not valid UTF-8", distflow_session_create(TEXT(broker), NULL, "\xff", 1, &made));
    const char *const wrong[][2] = {
        {"{", "EOF"},
        {"{\"players\":1}", "players"},
        {"{\"playersMin\":-1}", "playersMin"},
        {"{\"playersMax\":0}", "playersMax"},
        {"{\"playersMin\":3,\"playersMax\":2}", "playersMin"},
        {"{\"playersMax\":4294967296}", "playersMax"},
        {"{\"seed\":0}", "seed"},
        {"{\"seed\":1000001}", "seed"},
        {"{\"handOver\":1}", "handOver"},
        {"{\"modelName\":1}", "modelName"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        WRONG(wrong[i][1], distflow_session_create(TEXT(broker), NULL, TEXT(wrong[i][0]), &made));
        CHECK(made == NULL);
    }
    distflow_buf id;
    OK(distflow_session_id(session, &id));
    FAILS(DISTFLOW_REFUSED, "", distflow_session_create(TEXT(broker), id.data, NULL, 0, &made));
    CHECK(made == NULL);
    distflow_buf_free(&id);
}

static void test_distflow_session_join(void) {
    distflow_session *joined = (distflow_session *)own_memory;
    WRONG("session_out is NULL", distflow_session_join(TEXT(broker), "s", NULL));
    BAD_BROKERS(joined, distflow_session_join(given, len, "s", &joined));
    WRONG("session_id is NULL", distflow_session_join(TEXT(broker), NULL, &joined));
    BAD_TEXTS("session_id", distflow_session_join(TEXT(broker), text, &joined));
    WRONG("'#'", distflow_session_join(TEXT(broker), "#", &joined));
    FAILS(DISTFLOW_REFUSED, "no session", distflow_session_join(TEXT(broker), "nowhere", &joined));
    CHECK(joined == NULL);
    distflow_buf id;
    OK(distflow_session_id(left_session, &id));
    FAILS(DISTFLOW_REFUSED, "session", distflow_session_join(TEXT(broker), id.data, &joined));
    distflow_buf_free(&id);
}

static void test_distflow_session_observe(void) {
    distflow_session *seen = (distflow_session *)own_memory;
    WRONG("session_out is NULL", distflow_session_observe(TEXT(broker), "s", NULL));
    BAD_BROKERS(seen, distflow_session_observe(given, len, "s", &seen));
    WRONG("session_id is NULL", distflow_session_observe(TEXT(broker), NULL, &seen));
    BAD_TEXTS("session_id", distflow_session_observe(TEXT(broker), text, &seen));
    WRONG("'+'", distflow_session_observe(TEXT(broker), "+", &seen));
    CHECK(seen == NULL);
}

/* A function that has nothing but a text to give. */
#define GIVES_OF_SESSION(function)                                                                 \
    do {                                                                                           \
        distflow_buf filled;                                                                       \
        BAD_SESSIONS(function(handle, &filled));                                                   \
        WRONG("_out is NULL", function(session, NULL));                                            \
        distflow_session *of[] = {session, left_session, watched};                                 \
        for (size_t i = 0; i < 3; i++) {                                                           \
            WORKS(function(of[i], &filled));                                                       \
            CHECK(filled.len > 0 && filled.data[filled.len] == 0);                                 \
            distflow_buf_free(&filled);                                                            \
        }                                                                                          \
    } while (0)

static void test_distflow_session_id(void) { GIVES_OF_SESSION(distflow_session_id); }
static void test_distflow_session_instance(void) { GIVES_OF_SESSION(distflow_session_instance); }
static void test_distflow_session_view(void) { GIVES_OF_SESSION(distflow_session_view); }

static void test_distflow_session_leave(void) {
    BAD_SESSIONS(distflow_session_leave(handle, -1));
    WORKS(distflow_session_leave(left_session, -1));
    WORKS(distflow_session_leave(left_session, 0));
    WORKS(distflow_session_leave(left_session, INT64_MAX));
}

static void test_distflow_session_free(void) {
    for (size_t i = 0; i < BAD_MAX; i++) distflow_session_free(bad_sessions[i]);
    distflow_buf id;
    WORKS(distflow_session_id(session, &id));
    distflow_buf_free(&id);
    distflow_session *twice;
    WORKS(distflow_session_observe(TEXT(broker), "nowhere", &twice));
    distflow_session_free(twice);
    distflow_session_free(twice);
    FAILS(DISTFLOW_INVALID_HANDLE, "freed", distflow_session_id(twice, &id));
}

static void test_distflow_session_start(void) {
    BAD_SESSIONS(distflow_session_start(handle, 0));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_session_start(left_session, 0));
    FAILS(DISTFLOW_REFUSED, "creator", distflow_session_start(watched, 0));
    WRONG("countdown", distflow_session_start(session, UINT32_MAX));
    distflow_session *lonely;
    WORKS(distflow_session_create(TEXT(broker), NULL, TEXT("{\"playersMin\":2}"), &lonely));
    FAILS(DISTFLOW_REFUSED, "2", distflow_session_start(lonely, 0));
    distflow_session_free(lonely);
}

static void test_distflow_session_end(void) {
    BAD_SESSIONS(distflow_session_end(handle));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_session_end(left_session));
    FAILS(DISTFLOW_REFUSED, "creator", distflow_session_end(watched));
    distflow_session *ended;
    WORKS(distflow_session_create(TEXT(broker), NULL, NULL, 0, &ended));
    WORKS(distflow_session_end(ended));
    FAILS(DISTFLOW_CLOSED, "", distflow_session_end(ended));
    distflow_session_free(ended);
}

static void test_distflow_session_hand_over(void) {
    BAD_SESSIONS(distflow_session_hand_over(handle, NULL));
    BAD_TEXTS("instance", distflow_session_hand_over(session, text));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_session_hand_over(left_session, NULL));
    FAILS(DISTFLOW_REFUSED, "", distflow_session_hand_over(session, NULL));
    FAILS(DISTFLOW_REFUSED, "", distflow_session_hand_over(watched, "nobody"));
}

/* What every function about a player refuses. */
#define OF_PLAYER(function)                                                                        \
    do {                                                                                           \
        BAD_SESSIONS(function(handle, "p"));                                                       \
        WRONG("player is NULL", function(session, NULL));                                          \
        BAD_TEXTS("player", function(session, text));                                              \
        WRONG("player", function(session, ""));                                                    \
        char *name = long_text(1000);                                                              \
        WRONG("player", function(session, name));                                                  \
        free(name);                                                                                \
        FAILS(DISTFLOW_CLOSED, "closed", function(left_session, "p"));                             \
    } while (0)

static void test_distflow_session_reserve(void) {
    OF_PLAYER(distflow_session_reserve);
    FAILS(DISTFLOW_REFUSED, "not in", distflow_session_reserve(watched, "p"));
    WORKS(distflow_session_reserve(session, "a/b+#"));
}

static void test_distflow_session_release(void) {
    OF_PLAYER(distflow_session_release);
    WORKS(distflow_session_release(watched, "p"));
    WORKS(distflow_session_release(session, "a/b+#"));
}

static void test_distflow_session_register(void) {
    OF_PLAYER(distflow_session_register);
    FAILS(DISTFLOW_REFUSED, "not in", distflow_session_register(watched, "p"));
    WORKS(distflow_session_register(session, "a/b+#"));
}

static void test_distflow_session_publish(void) {
    BAD_SESSIONS(distflow_session_publish(handle, "x", NULL, 0));
    WRONG("name is NULL", distflow_session_publish(session, NULL, NULL, 0));
    BAD_TEXTS("name", distflow_session_publish(session, text, NULL, 0));
    WRONG("name", distflow_session_publish(session, "", NULL, 0));
    WRONG("name", distflow_session_publish(session, "a/b", NULL, 0));
    WRONG("payload is NULL", distflow_session_publish(session, "x", NULL, 1));
    WRONG("payload cannot be", distflow_session_publish(session, "x", "", SIZE_MAX));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_session_publish(left_session, "x", NULL, 0));
    char *large = long_text(65537);
    FAILS(DISTFLOW_TOO_LARGE, "65537", distflow_session_publish(session, "x", large, 65537));
    WORKS(distflow_session_publish(session, "x", large, 65536));
    free(large);
    WORKS(distflow_session_publish(session, "x", (char *)1, 0));
}

static void test_distflow_session_recv_event(void) {
    distflow_session_event event;
    BAD_SESSIONS(distflow_session_recv_event(handle, -1, &event));
    WRONG("event_out is NULL", distflow_session_recv_event(session, -1, NULL));
    distflow_status status;
    while ((status = distflow_session_recv_event(watched, 0, &event)) == DISTFLOW_OK)
        distflow_session_event_free(&event);
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_session_recv_event(watched, 1, &event));
    while ((status = distflow_session_recv_event(left_session, -1, &event)) == DISTFLOW_OK)
        distflow_session_event_free(&event);
    FAILS(DISTFLOW_CLOSED, "over", distflow_session_recv_event(left_session, -1, &event));
}

static void test_distflow_session_event_free(void) {
    distflow_session *made;
    OK(distflow_session_create(TEXT(broker), NULL, NULL, 0, &made));
    FREES(distflow_session_event, distflow_session_event_free, {
        WORKS(distflow_session_recv_event(made, LIMIT_MS, &filled));
        CHECK(filled.kind.len > 0 && filled.json.data[0] == '{');
    });
    distflow_session_free(made);
}

static void test_distflow_session_fd(void) {
    int fd;
    BAD_SESSIONS(distflow_session_fd(handle, &fd));
    WRONG("fd_out is NULL", distflow_session_fd(session, NULL));
    WORKS(distflow_session_fd(left_session, &fd));
    CHECK(fd >= 0);
}

static void on_session_event(distflow_session *of, const distflow_session_event *event,
                             void *pointer) {
    context *self = pointer;
    CHECK(of != NULL && event->json.len > 0);
    atomic_fetch_add(&self->calls, 1);
}

static void test_distflow_session_on_event(void) {
    context self = {0};
    BAD_SESSIONS(distflow_session_on_event(handle, on_session_event, &self, drop_context));
    CHECK_EQ(self.drops, BAD_MAX);
    WRONG("callback is NULL", distflow_session_on_event(session, NULL, &self, drop_context));
    FAILS(DISTFLOW_CLOSED, "closed",
          distflow_session_on_event(left_session, on_session_event, &self, drop_context));
    CHECK_EQ(self.drops, BAD_MAX + 2);
    CHECK_EQ(self.calls, 0);
}

/* --- lists ----------------------------------------------------------------------------------- */

static void test_distflow_session_list_open(void) {
    distflow_session_list *opened = (distflow_session_list *)own_memory;
    WRONG("list_out is NULL", distflow_session_list_open(TEXT(broker), NULL));
    BAD_BROKERS(opened, distflow_session_list_open(given, len, &opened));
}

static void test_distflow_session_list_sessions(void) {
    distflow_buf json;
    BAD_LISTS(distflow_session_list_sessions(handle, NULL, &json));
    WRONG("json_out is NULL", distflow_session_list_sessions(list, NULL, NULL));
    BAD_TEXTS("own", distflow_session_list_sessions(list, text, &json));
    WORKS(distflow_session_list_sessions(list, "nowhere", &json));
    CHECK(strstr(json.data, "\"rows\":[") != NULL);
    distflow_buf_free(&json);
}

static void test_distflow_session_list_wait(void) {
    uint64_t version = 0;
    BAD_LISTS(distflow_session_list_wait(handle, 0, -1, &version));
    WORKS(distflow_session_list_wait(list, 0, LIMIT_MS, &version));
    CHECK(version > 0);
    WORKS(distflow_session_list_wait(list, UINT64_MAX, 0, NULL));
    distflow_status status;
    while ((status = distflow_session_list_wait(list, version, 0, &version)) == DISTFLOW_OK) {}
    CHECK_EQ(status, DISTFLOW_TIMEOUT);
}

static void test_distflow_session_list_free(void) {
    for (size_t i = 0; i < BAD_MAX; i++) distflow_session_list_free(bad_lists[i]);
    distflow_session_list *twice;
    distflow_buf json;
    WORKS(distflow_session_list_open(TEXT(broker), &twice));
    distflow_session_list_free(twice);
    distflow_session_list_free(twice);
    FAILS(DISTFLOW_INVALID_HANDLE, "freed", distflow_session_list_sessions(twice, NULL, &json));
    WORKS(distflow_session_list_sessions(list, NULL, &json));
    distflow_buf_free(&json);
}

#endif
