/*
 * A node that speaks the lines of `distflow node run`: prints messages and events as JSON lines,
 * and sends the lines {"to":…,"payload":…} of its input, until the input ends.
 *
 *     node --alias ALIAS --port PMD-PORT
 *
 * `distflow demo --node-program` runs it among the others. Payloads are passed on as they are;
 * the library checks them.
 */

#include <distflow.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Text as a JSON string. */
static void print_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
            putchar(*text);
        } else if ((unsigned char)*text < 0x20) {
            printf("\\u%04x", (unsigned)*text);
        } else {
            putchar(*text);
        }
    }
    putchar('"');
}

static void print_error(const char *code, const char *text)
{
    /* The callbacks print on another thread; a line is printed as a whole. */
    flockfile(stdout);
    printf("{\"event\":\"error\",\"code\":\"%s\",\"error\":", code);
    print_string(text);
    puts("}");
    funlockfile(stdout);
}

static void print_last_error(void)
{
    char text[512];
    distflow_status status = distflow_last_error(text, sizeof text, NULL);
    print_error(distflow_status_name(status), text);
}

static void on_message(distflow_node *node, const distflow_message *message, void *context)
{
    (void)node;
    (void)context;
    flockfile(stdout);
    fputs("{\"event\":\"message\",\"from\":", stdout);
    print_string(message->from.data);
    if (message->payload.len > 0) {
        printf(",\"payload\":%s", message->payload.data);
    }
    printf(",\"timestamp\":%llu}\n", (unsigned long long)message->timestamp_ms);
    funlockfile(stdout);
}

static void print_peer(const distflow_peer *peer)
{
    fputs(",\"peer\":{\"nodeId\":", stdout);
    print_string(peer->node_id.data);
    if (peer->alias.len > 0) {
        fputs(",\"alias\":", stdout);
        print_string(peer->alias.data);
    }
    fputs(",\"host\":", stdout);
    print_string(peer->host.data);
    printf(",\"port\":%u,\"lastHeartbeat\":%llu", (unsigned)peer->port,
           (unsigned long long)peer->last_heartbeat_ms);
    if (peer->meta.len > 0) {
        printf(",\"meta\":%s", peer->meta.data);
    }
    putchar('}');
}

static const char *name_of(int32_t kind)
{
    switch (kind) {
    case DISTFLOW_EVENT_PEER_JOIN:
        return "peer:join";
    case DISTFLOW_EVENT_PEER_LEAVE:
        return "peer:leave";
    case DISTFLOW_EVENT_PMD_LOST:
        return "pmd:lost";
    case DISTFLOW_EVENT_PMD_RESTORED:
        return "pmd:restored";
    case DISTFLOW_EVENT_REGISTRATION_REFUSED:
        return "pmd:refused";
    case DISTFLOW_EVENT_MAILBOX_OVERFLOW:
        return "mailbox:overflow";
    case DISTFLOW_EVENT_SEND_FAILED:
        return "send:failed";
    default:
        return NULL;
    }
}

static void on_event(distflow_node *node, const distflow_event *event, void *context)
{
    (void)node;
    (void)context;
    const char *name = name_of(event->kind);
    if (name == NULL) {
        return; /* A kind of a later version. */
    }
    flockfile(stdout);
    printf("{\"event\":\"%s\"", name);
    if (event->kind == DISTFLOW_EVENT_PEER_JOIN || event->kind == DISTFLOW_EVENT_PEER_LEAVE) {
        print_peer(&event->peer);
    }
    if (event->kind == DISTFLOW_EVENT_PEER_LEAVE) {
        printf(",\"cause\":\"%s\"", event->cause.data);
    }
    if (event->kind == DISTFLOW_EVENT_MAILBOX_OVERFLOW) {
        printf(",\"dropped\":%llu", (unsigned long long)event->count);
    }
    if (event->kind == DISTFLOW_EVENT_SEND_FAILED) {
        fputs(",\"to\":", stdout);
        print_string(event->target.data);
        printf(",\"messages\":%llu", (unsigned long long)event->count);
    }
    if (event->status != DISTFLOW_OK) {
        fputs(",\"error\":", stdout);
        print_string(event->text.data);
    }
    puts("}");
    funlockfile(stdout);
}

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* Behind a JSON string; NULL if it has no end. */
static const char *skip_string(const char *at)
{
    for (at++; *at != '"'; at++) {
        if (*at == '\\') {
            at++;
        }
        if (*at == '\0') {
            return NULL;
        }
    }
    return at + 1;
}

/* Behind a JSON value of a well-formed line; NULL if it has no end. What is wrong within it, the
 * library finds. */
static const char *skip_value(const char *at)
{
    int depth = 0;
    for (; *at != '\0'; at++) {
        if (*at == '"') {
            at = skip_string(at);
            if (at == NULL) {
                return NULL;
            }
            at--;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (depth == 0 && (*at == ',' || *at == '}' || *at == ']')) {
            return at;
        } else if (*at == '}' || *at == ']') {
            depth--;
        }
    }
    return NULL;
}

/* A part of a line. */
struct part {
    const char *at;
    size_t len;
};

static int is_named(struct part key, const char *name)
{
    return key.len == strlen(name) + 2 && memcmp(key.at + 1, name, key.len - 2) == 0;
}

/* Finds the two members of a line; those that are absent stay empty. False if the line is anything
 * but an object with them. */
static int parse(const char *line, struct part *to, struct part *payload)
{
    const char *at = skip_space(line);
    if (*at != '{') {
        return 0;
    }
    do {
        struct part key = {skip_space(at + 1), 0};
        const char *end = *key.at == '"' ? skip_string(key.at) : NULL;
        if (end == NULL || *(at = skip_space(end)) != ':') {
            return 0;
        }
        key.len = (size_t)(end - key.at);
        struct part value = {skip_space(at + 1), 0};
        at = skip_value(value.at);
        if (at == NULL || at == value.at) {
            return 0;
        }
        value.len = (size_t)(at - value.at);
        if (is_named(key, "to")) {
            *to = value;
        } else if (is_named(key, "payload")) {
            *payload = value;
        } else {
            return 0;
        }
    } while (*at == ',');
    return *at == '}' && *skip_space(at + 1) == '\0';
}

static void send_line(distflow_node *node, const char *line)
{
    struct part to = {NULL, 0};
    struct part payload = {NULL, 0};
    int is_line = parse(line, &to, &payload);
    while (to.len > 0 && strchr(" \t", to.at[to.len - 1]) != NULL) {
        to.len--;
    }
    /* The shortest is "x", with its quotes. */
    if (!is_line || to.len < 3 || *to.at != '"' || to.at[to.len - 1] != '"' ||
        memchr(to.at, '\\', to.len) != NULL) {
        print_error("invalid_message",
                    "a line must be {\"to\":…,\"payload\":…}, without escapes in to");
        return;
    }
    char target[512];
    if (to.len - 2 >= sizeof target) {
        print_error("invalid_message", "the name of the receiver is too long");
        return;
    }
    memcpy(target, to.at + 1, to.len - 2);
    target[to.len - 2] = '\0';
    if (distflow_node_send(node, target, payload.at, payload.len, -1) != DISTFLOW_OK) {
        print_last_error();
    }
}

static int start(distflow_node *node)
{
    distflow_buf id;
    distflow_buf alias;
    uint16_t port;
    distflow_peers peers;
    if (distflow_node_id(node, &id) != DISTFLOW_OK ||
        distflow_node_alias(node, &alias) != DISTFLOW_OK ||
        distflow_node_port(node, &port) != DISTFLOW_OK) {
        print_last_error();
        return EXIT_FAILURE;
    }
    /* The callback for events is added first, so that whoever reads the first line misses nothing
     * after it, and waits for the lock until that line is printed. */
    flockfile(stdout);
    distflow_status status = distflow_node_on_event(node, on_event, NULL, NULL);
    if (status == DISTFLOW_OK) {
        status = distflow_node_peers(node, &peers);
    }
    if (status == DISTFLOW_OK) {
        fputs("{\"event\":\"started\",\"language\":\"C\",\"nodeId\":", stdout);
        print_string(id.data);
        fputs(",\"alias\":", stdout);
        print_string(alias.data);
        printf(",\"port\":%u,\"peers\":%zu}\n", (unsigned)port, peers.len);
        distflow_peers_free(&peers);
    }
    funlockfile(stdout);
    distflow_buf_free(&id);
    distflow_buf_free(&alias);
    if (status != DISTFLOW_OK ||
        distflow_node_on_message(node, on_message, NULL, NULL) != DISTFLOW_OK) {
        print_last_error();
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

static int run(distflow_node *node)
{
    if (start(node) != EXIT_SUCCESS) {
        return EXIT_FAILURE;
    }
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) >= 0) {
        if (*skip_space(line) != '\0') {
            send_line(node, line);
        }
    }
    free(line);
    /* Callbacks print what has arrived; afterwards none runs any more. */
    if (distflow_node_close(node, 5000) != DISTFLOW_OK) {
        print_last_error();
        return EXIT_FAILURE;
    }
    puts("{\"event\":\"stopped\"}");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const char *alias = NULL;
    long port = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--alias") == 0) {
            alias = argv[i + 1];
        } else if (strcmp(argv[i], "--port") == 0) {
            char *end;
            port = strtol(argv[i + 1], &end, 10);
            if (*end != '\0') {
                port = 0;
            }
        }
    }
    if (argc != 5 || alias == NULL || port < 1 || port > 65535) {
        fputs("usage: node --alias ALIAS --port PMD-PORT\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);

    distflow_node_options options;
    distflow_node_options_init(&options, sizeof options);
    options.alias = alias;
    options.pmd_port = (uint16_t)port;
    options.auto_start = 0;
    /* When lines are read slowly, senders wait and nothing is lost. */
    options.overflow = DISTFLOW_OVERFLOW_BLOCK;
    distflow_node *node;
    if (distflow_node_open(&options, &node) != DISTFLOW_OK) {
        print_last_error();
        return EXIT_FAILURE;
    }
    int code = run(node);
    distflow_node_free(node);
    return code;
}
