/* Carries out the steps of a conformance scenario; README.md describes the lines it speaks.
 * Values are passed on as the JSON text they are. */

#include <distflow.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MS 30000
#define NAMES 64
#define FIELDS 32
#define QUEUED 256

/* What callbacks were given, as the JSON it is answered with. */
struct queue {
    char *items[QUEUED];
    size_t first, len;
};

struct object {
    char name[64];
    distflow_node *node;
    distflow_pmd *pmd;
    distflow_pmd_client *client;
    distflow_doc *doc;
    struct queue messages, events;
};

static struct object objects[NAMES];
static char *fields[FIELDS];
static size_t field_count;

/* Protects the queues; held to put or take. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void die(const char *text)
{
    fprintf(stderr, "runner: %s\n", text);
    exit(2);
}

/* ---- fields of a line: name=JSON */

static const char *raw(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < field_count; i++) {
        if (strncmp(fields[i], name, len) == 0 && fields[i][len] == '=') {
            return fields[i] + len + 1;
        }
    }
    return NULL;
}

/* A string without escapes; the caller of the scenario sees to that. */
static char *text(const char *name)
{
    const char *value = raw(name);
    if (value == NULL || strcmp(value, "null") == 0) {
        return NULL;
    }
    size_t len = strlen(value);
    if (len < 2 || value[0] != '"') {
        die("a string is expected");
    }
    return strndup(value + 1, len - 2);
}

static int64_t number(const char *name, int64_t otherwise)
{
    const char *value = raw(name);
    return value == NULL ? otherwise : strtoll(value, NULL, 10);
}

static bool flag(const char *name, bool otherwise)
{
    const char *value = raw(name);
    return value == NULL ? otherwise : strcmp(value, "true") == 0;
}

#include "runner_answers.h"

/* ---- queues of callbacks */

static void put(struct queue *queue, char *json)
{
    pthread_mutex_lock(&lock);
    if (queue->len == QUEUED) {
        die("a queue is full");
    }
    queue->items[(queue->first + queue->len++) % QUEUED] = json;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* The next one, or the next one that has this text in it: others are dropped. */
static void answer_queued(struct queue *queue, const char *part)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LIMIT_MS / 1000;
    for (;;) {
        pthread_mutex_lock(&lock);
        int late = 0;
        while (queue->len == 0 && late == 0) {
            late = pthread_cond_timedwait(&changed, &lock, &until);
        }
        char *json = NULL;
        if (queue->len > 0) {
            json = queue->items[queue->first];
            queue->first = (queue->first + 1) % QUEUED;
            queue->len--;
        }
        pthread_mutex_unlock(&lock);
        if (json == NULL) {
            puts("fail\ttimeout\tno callback was called");
            return;
        }
        bool wanted = part == NULL || strstr(json, part) != NULL;
        if (wanted) {
            answer(json);
        }
        free(json);
        if (wanted) {
            return;
        }
    }
}

static void keep_message(const distflow_message *message, struct object *object)
{
    struct out out;
    begin(&out);
    put_message(out.file, message);
    put(&object->messages, end(&out));
}

static void on_message(distflow_node *node, const distflow_message *message, void *context)
{
    (void)node;
    keep_message(message, context);
}

static void on_messages(distflow_node *node, const distflow_message *messages, size_t len,
                        void *context)
{
    (void)node;
    for (size_t i = 0; i < len; i++) {
        keep_message(&messages[i], context);
    }
}

static void keep_event(const distflow_event *event, struct object *object)
{
    struct out out;
    begin(&out);
    put_event(out.file, event);
    put(&object->events, end(&out));
}

static void on_event(distflow_node *node, const distflow_event *event, void *context)
{
    (void)node;
    keep_event(event, context);
}

static void on_pmd_event(distflow_pmd *pmd, const distflow_event *event, void *context)
{
    (void)pmd;
    keep_event(event, context);
}

/* ---- objects */

static struct object *object(const char *name)
{
    for (size_t i = 0; i < NAMES; i++) {
        if (strcmp(objects[i].name, name) == 0) {
            return &objects[i];
        }
        if (objects[i].name[0] == '\0') {
            snprintf(objects[i].name, sizeof objects[i].name, "%s", name);
            return &objects[i];
        }
    }
    die("too many objects");
    return NULL;
}

static void describe(struct object *self)
{
    distflow_buf id = {0}, alias = {0};
    uint16_t port = 0;
    bool registered = false;
    if (succeeded(distflow_node_id(self->node, &id)) &&
        succeeded(distflow_node_alias(self->node, &alias)) &&
        succeeded(distflow_node_port(self->node, &port)) &&
        succeeded(distflow_node_is_registered(self->node, &registered))) {
        struct out out;
        begin(&out);
        fputs("{\"nodeId\":", out.file);
        put_string(out.file, id.data, id.len);
        fputs(",\"alias\":", out.file);
        if (alias.len > 0) {
            put_string(out.file, alias.data, alias.len);
        } else {
            fputs("null", out.file);
        }
        fprintf(out.file, ",\"port\":%u,\"isRegistered\":%s}", (unsigned)port,
                registered ? "true" : "false");
        char *json = end(&out);
        answer(json);
        free(json);
    }
    distflow_buf_free(&id);
    distflow_buf_free(&alias);
}

static int32_t overflow(void)
{
    char *name = text("overflow");
    int32_t kind = name == NULL || strcmp(name, "drop-newest") == 0  ? DISTFLOW_OVERFLOW_DROP_NEWEST
                   : strcmp(name, "drop-oldest") == 0 ? DISTFLOW_OVERFLOW_DROP_OLDEST
                   : strcmp(name, "block") == 0       ? DISTFLOW_OVERFLOW_BLOCK
                                                      : -1;
    free(name);
    return kind;
}

static void open_node(struct object *self)
{
    distflow_node_options options;
    if (!succeeded(distflow_node_options_init(&options, sizeof options))) {
        return;
    }
    char *texts[] = {text("alias"), text("nodeId"), text("pmdHost"), text("listenHost"),
                     text("advertisedHost")};
    options.alias = texts[0];
    options.node_id = texts[1];
    options.pmd_host = texts[2] != NULL ? texts[2] : options.pmd_host;
    options.listen_host = texts[3] != NULL ? texts[3] : options.listen_host;
    options.advertised_host = texts[4];
    options.meta = raw("meta");
    options.meta_len = options.meta != NULL ? strlen(options.meta) : 0;
    options.pmd_port = (uint16_t)number("pmdPort", options.pmd_port);
    options.listen_port = (uint16_t)number("listenPort", options.listen_port);
    options.auto_start = flag("autoStart", false);
    options.embed_pmd = flag("embedPmd", false);
    options.insecure = flag("insecure", false);
    options.use_heartbeat = flag("useHeartbeat", false);
    options.exclusive = flag("exclusive", false);
    options.overflow = overflow();
    options.mailbox_messages_max = (uint64_t)number("maxSize", 1000);
    options.mailbox_bytes_max = (uint64_t)number("maxBytes", 16 << 20);
    options.frame_bytes_max = (uint64_t)number("maxFrameBytes", 16 << 20);
    options.queue_bytes_max = (uint64_t)number("maxQueueBytes", 4 << 20);
    options.heartbeat_interval_ms = (uint64_t)number("heartbeatIntervalMs", 1000);
    options.pmd_auto_shutdown_ms = (uint64_t)number("pmdAutoShutdownMs", 30000);
    options.start_timeout_ms = (uint64_t)number("startTimeoutMs", 5000);
    options.request_timeout_ms = (uint64_t)number("requestTimeoutMs", 5000);
    distflow_node_free(self->node);
    if (succeeded(distflow_node_open(&options, &self->node)) &&
        succeeded(distflow_node_watch(self->node))) {
        describe(self);
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        free(texts[i]);
    }
}

/* Waits for the next event; one of this kind, when a kind is given. */
static void answer_event(struct object *self)
{
    char *kind = text("kind");
    for (;;) {
        distflow_event event;
        distflow_status status =
            self->node != NULL ? distflow_node_recv_event(self->node, LIMIT_MS, &event)
                               : distflow_pmd_recv_event(self->pmd, LIMIT_MS, &event);
        if (!succeeded(status)) {
            break;
        }
        struct out out;
        begin(&out);
        put_event(out.file, &event);
        char *json = end(&out);
        distflow_event_free(&event);
        bool wanted = kind == NULL || strncmp(json + 10, kind, strlen(kind)) == 0;
        if (wanted) {
            answer(json);
        }
        free(json);
        if (wanted) {
            break;
        }
    }
    free(kind);
}

static void receive(struct object *self)
{
    distflow_message message;
    if (succeeded(distflow_node_recv(self->node, number("timeoutMs", LIMIT_MS), &message))) {
        struct out out;
        begin(&out);
        put_message(out.file, &message);
        distflow_message_free(&message);
        char *json = end(&out);
        answer(json);
        free(json);
    }
}

/* Receives until there are as many as asked for. */
static void receive_many(struct object *self)
{
    size_t wanted = (size_t)number("count", 1), got = 0;
    struct out out;
    begin(&out);
    fputc('[', out.file);
    distflow_status status = DISTFLOW_OK;
    while (got < wanted && status == DISTFLOW_OK) {
        distflow_messages messages;
        status = distflow_node_recv_many(self->node, wanted - got, LIMIT_MS, &messages);
        for (size_t i = 0; i < messages.len; i++, got++) {
            if (got > 0) {
                fputc(',', out.file);
            }
            put_message(out.file, &messages.items[i]);
        }
        if (status == DISTFLOW_OK) {
            distflow_messages_free(&messages);
        }
    }
    fputc(']', out.file);
    char *json = end(&out);
    if (succeeded(status)) {
        answer(json);
    }
    free(json);
}

static void send_message(struct object *self, bool wait)
{
    char *to = text("to");
    const char *payload = raw("payload");
    size_t len = strlen(payload);
    nothing(wait ? distflow_node_send(self->node, to, payload, len, number("timeoutMs", LIMIT_MS))
                 : distflow_node_try_send(self->node, to, payload, len));
    free(to);
}

static void answer_stats(struct object *self)
{
    distflow_stats stats = {.struct_size = sizeof stats};
    if (succeeded(distflow_node_stats(self->node, &stats))) {
        printf("ok\t{\"sent\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"dropped\":%" PRIu64
               ",\"lostOutbound\":%" PRIu64 ",\"lostInbound\":%" PRIu64 ",\"misdirected\":%" PRIu64
               ",\"waiting\":%" PRIu64 ",\"badFrames\":%" PRIu64 "}\n",
               stats.sent, stats.delivered, stats.dropped, stats.lost_outbound, stats.lost_inbound,
               stats.misdirected, stats.waiting, stats.bad_frames);
    }
}

/* Waits until the descriptor says that there is something. */
static void wait_readable(struct object *self)
{
    int fd = -1;
    if (succeeded(self->node != NULL ? distflow_node_fd(self->node, &fd)
                                     : distflow_pmd_fd(self->pmd, &fd))) {
        struct pollfd look = {.fd = fd, .events = POLLIN};
        answer(poll(&look, 1, LIMIT_MS) == 1 ? "true" : "false");
    }
}

static void open_pmd(struct object *self)
{
    distflow_pmd_options options;
    if (!succeeded(distflow_pmd_options_init(&options, sizeof options))) {
        return;
    }
    char *host = text("host");
    options.host = host;
    options.port = (uint16_t)number("port", 0);
    options.insecure = flag("insecure", false);
    options.auto_shutdown_ms = (uint64_t)number("autoShutdownMs", 0);
    distflow_pmd_free(self->pmd);
    uint16_t port = 0;
    if (succeeded(distflow_pmd_open(&options, &self->pmd)) &&
        succeeded(distflow_pmd_port(self->pmd, &port))) {
        printf("ok\t{\"port\":%u}\n", (unsigned)port);
    }
    free(host);
}

static void open_client(struct object *self)
{
    char *host = text("host");
    distflow_pmd_client_free(self->client);
    nothing(distflow_pmd_client_open(host, (uint16_t)number("port", 4369), LIMIT_MS, &self->client));
    free(host);
}

#include "runner_documents.h"

/* ---- calls */

static void node_info(struct object *self) { describe(self); }
static void node_send(struct object *self) { send_message(self, true); }
static void node_try_send(struct object *self) { send_message(self, false); }
static void node_peers(struct object *self)
{
    distflow_peers peers = {0};
    answer_peers(distflow_node_peers(self->node, &peers), &peers);
}
static void node_discover(struct object *self)
{
    distflow_peers peers = {0};
    char *prefix = text("prefix");
    answer_peers(distflow_node_discover(self->node, prefix, LIMIT_MS, &peers), &peers);
    free(prefix);
}
static void node_handle(struct object *self)
{
    nothing(distflow_node_on_message(self->node, on_message, self, NULL));
}
static void node_handle_batches(struct object *self)
{
    nothing(distflow_node_on_messages(self->node, on_messages, self, NULL));
}
static void node_handled(struct object *self) { answer_queued(&self->messages, NULL); }
static void handled_event(struct object *self)
{
    char part[80], *kind = text("kind");
    snprintf(part, sizeof part, "{\"event\":\"%s", kind == NULL ? "" : kind);
    answer_queued(&self->events, part);
    free(kind);
}
static void node_handle_events(struct object *self)
{
    nothing(distflow_node_on_event(self->node, on_event, self, NULL));
}
static void node_close(struct object *self) { nothing(distflow_node_close(self->node, LIMIT_MS)); }
static void pmd_nodes(struct object *self)
{
    distflow_peers peers = {0};
    answer_peers(distflow_pmd_snapshot(self->pmd, &peers), &peers);
}
static void pmd_is_running(struct object *self)
{
    bool running = false;
    if (succeeded(distflow_pmd_is_running(self->pmd, &running))) {
        answer(running ? "true" : "false");
    }
}
static void pmd_handle_events(struct object *self)
{
    nothing(distflow_pmd_on_event(self->pmd, on_pmd_event, self, NULL));
}
static void pmd_close(struct object *self) { nothing(distflow_pmd_close(self->pmd, LIMIT_MS)); }
static void client_list(struct object *self)
{
    distflow_peers peers = {0};
    char *prefix = text("prefix");
    answer_peers(distflow_pmd_client_list(self->client, prefix, LIMIT_MS, &peers), &peers);
    free(prefix);
}
static void client_resolve(struct object *self)
{
    distflow_peers peers = {0};
    char *name = text("name");
    distflow_status status = distflow_pmd_client_resolve(self->client, name, LIMIT_MS, &peers);
    if (succeeded(status)) {
        struct out out;
        begin(&out);
        put_peer(out.file, &peers.items[0]);
        distflow_peers_free(&peers);
        char *json = end(&out);
        answer(json);
        free(json);
    }
    free(name);
}
static void client_kill(struct object *self)
{
    nothing(distflow_pmd_client_kill(self->client, LIMIT_MS));
}
static void client_close(struct object *self)
{
    nothing(distflow_pmd_client_close(self->client));
}

static const struct {
    const char *name;
    void (*run)(struct object *self);
} calls[] = {
    {"node.open", open_node},
    {"node.info", node_info},
    {"node.send", node_send},
    {"node.trySend", node_try_send},
    {"node.recv", receive},
    {"node.recvMany", receive_many},
    {"node.readable", wait_readable},
    {"node.handle", node_handle},
    {"node.handleBatches", node_handle_batches},
    {"node.handled", node_handled},
    {"node.event", answer_event},
    {"node.handleEvents", node_handle_events},
    {"node.handledEvent", handled_event},
    {"node.peers", node_peers},
    {"node.discover", node_discover},
    {"node.stats", answer_stats},
    {"node.close", node_close},
    {"pmd.open", open_pmd},
    {"pmd.isRunning", pmd_is_running},
    {"pmd.nodes", pmd_nodes},
    {"pmd.readable", wait_readable},
    {"pmd.event", answer_event},
    {"pmd.handleEvents", pmd_handle_events},
    {"pmd.handledEvent", handled_event},
    {"pmd.close", pmd_close},
    {"client.open", open_client},
    {"client.list", client_list},
    {"client.resolve", client_resolve},
    {"client.kill", client_kill},
    {"client.close", client_close},
    {"doc.open", doc_open},
    {"doc.set", doc_set},
    {"doc.delete", doc_delete},
    {"doc.get", doc_get},
    {"doc.read", doc_read},
    {"doc.receive", doc_receive},
    {"doc.receiveAll", doc_receive_all},
    {"doc.since", doc_since},
    {"doc.snapshot", doc_snapshot},
    {"doc.restore", doc_restore},
    {"doc.merge", doc_merge},
    {"doc.pieces", doc_pieces},
    {"doc.mergePieces", doc_merge_pieces},
    {"doc.events", doc_events},
    {"doc.close", doc_close},
};
#define CALLS (sizeof calls / sizeof calls[0])

int main(void)
{
    if (distflow_check_abi(DISTFLOW_ABI_VERSION) != DISTFLOW_OK) {
        die("another version of the library");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    fputs("ready", stdout);
    for (size_t i = 0; i < CALLS; i++) {
        printf("\t%s", calls[i].name);
    }
    putchar('\n');
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        line[strcspn(line, "\n")] = '\0';
        char *rest = line, *call = strsep(&rest, "\t"), *name = strsep(&rest, "\t");
        for (field_count = 0; rest != NULL && field_count < FIELDS; field_count++) {
            fields[field_count] = strsep(&rest, "\t");
        }
        size_t i = 0;
        while (i < CALLS && strcmp(calls[i].name, call) != 0) {
            i++;
        }
        if (i == CALLS || name == NULL) {
            die("an unknown call");
        }
        calls[i].run(object(name));
    }
    for (size_t i = 0; i < NAMES; i++) {
        distflow_node_free(objects[i].node);
        distflow_pmd_client_free(objects[i].client);
        distflow_pmd_free(objects[i].pmd);
        distflow_doc_free(objects[i].doc);
    }
    free(line);
    return 0;
}
