/* The part of runner.c that writes answers, which includes it. */
struct out {
    char *data;
    size_t len;
    FILE *file;
};

static void begin(struct out *out)
{
    out->file = open_memstream(&out->data, &out->len);
}

static char *end(struct out *out)
{
    fclose(out->file);
    return out->data;
}

static void put_string(FILE *file, const char *data, size_t len)
{
    fputc('"', file);
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)data[i];
        if (byte == '"' || byte == '\\') {
            fprintf(file, "\\%c", byte);
        } else if (byte < 0x20) {
            fprintf(file, "\\u%04x", byte);
        } else {
            fputc(byte, file);
        }
    }
    fputc('"', file);
}

static void put_peer(FILE *file, const distflow_peer *peer)
{
    fputs("{\"nodeId\":", file);
    put_string(file, peer->node_id.data, peer->node_id.len);
    if (peer->alias.len > 0) {
        fputs(",\"alias\":", file);
        put_string(file, peer->alias.data, peer->alias.len);
    }
    fputs(",\"host\":", file);
    put_string(file, peer->host.data, peer->host.len);
    fprintf(file, ",\"port\":%u", (unsigned)peer->port);
    if (peer->meta.len > 0) {
        fprintf(file, ",\"meta\":%.*s", (int)peer->meta.len, peer->meta.data);
    }
    fputc('}', file);
}

static void put_peers(FILE *file, distflow_peers *peers)
{
    fputc('[', file);
    for (size_t i = 0; i < peers->len; i++) {
        if (i > 0) {
            fputc(',', file);
        }
        put_peer(file, &peers->items[i]);
    }
    fputc(']', file);
    distflow_peers_free(peers);
}

static void put_message(FILE *file, const distflow_message *message)
{
    const char *payload = message->payload.len > 0 ? message->payload.data : "null";
    fprintf(file, "{\"payload\":%s,\"from\":", payload);
    put_string(file, message->from.data, message->from.len);
    fprintf(file, ",\"timestamp\":%" PRIu64 ",\"alias\":", message->timestamp_ms);
    if (message->alias.len > 0) {
        put_string(file, message->alias.data, message->alias.len);
    } else {
        fputs("null", file);
    }
    fputc('}', file);
}

static void put_event(FILE *file, const distflow_event *event)
{
    static const char *const names[] = {"",          "peer:join",    "peer:leave",
                                        "pmd:lost",  "pmd:restored", "registration:refused",
                                        "mailbox:overflow", "send:failed", "stopped"};
    fprintf(file, "{\"event\":\"%s\"", names[event->kind]);
    switch (event->kind) {
    case DISTFLOW_EVENT_PEER_JOIN:
    case DISTFLOW_EVENT_PEER_LEAVE:
        fputs(",\"peer\":", file);
        put_peer(file, &event->peer);
        break;
    case DISTFLOW_EVENT_MAILBOX_OVERFLOW:
        fprintf(file, ",\"dropped\":%" PRIu64, event->count);
        break;
    case DISTFLOW_EVENT_SEND_FAILED:
        fprintf(file, ",\"messages\":%" PRIu64 ",\"to\":", event->count);
        put_string(file, event->target.data, event->target.len);
        break;
    default:
        break;
    }
    if (event->kind == DISTFLOW_EVENT_PEER_LEAVE || event->kind == DISTFLOW_EVENT_PMD_STOPPED) {
        fputs(",\"reason\":", file);
        put_string(file, event->cause.data, event->cause.len);
    }
    if (event->status != DISTFLOW_OK) {
        fprintf(file, ",\"code\":\"%s\"", distflow_status_name(event->status));
    }
    fputc('}', file);
}

static void answer(const char *json)
{
    printf("ok\t%s\n", json);
}

/* True, or the answer is the error. */
static bool succeeded(distflow_status status)
{
    if (status == DISTFLOW_OK) {
        return true;
    }
    size_t len = 0;
    distflow_last_error(NULL, 0, &len);
    char *message = malloc(len + 1);
    distflow_last_error(message, len + 1, NULL);
    printf("fail\t%s\t%s\n", distflow_status_name(status), message);
    free(message);
    return false;
}

static void answer_peers(distflow_status status, distflow_peers *peers)
{
    if (succeeded(status)) {
        struct out out;
        begin(&out);
        put_peers(out.file, peers);
        char *json = end(&out);
        answer(json);
        free(json);
    }
}

static void nothing(distflow_status status)
{
    if (succeeded(status)) {
        answer("null");
    }
}
