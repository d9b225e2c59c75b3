/* The part of runner.c about documents, which includes it. Their texts are JSON already. */
static size_t len(const char *text) { return text == NULL ? 0 : strlen(text); }

/* The text between two others, or null if there is none. */
static void answer_buf(distflow_status status, const char *before, distflow_buf *buf, const char *after)
{
    if (succeeded(status)) {
        printf("ok\t%s%s%s\n", before, buf->len == 0 ? "null" : buf->data, after);
        distflow_buf_free(buf);
    }
}

static void doc_open(struct object *self)
{
    char *replica = text("replica");
    const char *initial = raw("initial"), *options = raw("options");
    distflow_doc_free(self->doc);
    distflow_status status = distflow_doc_open(replica, initial, len(initial), options, len(options), &self->doc);
    if (succeeded(status)) {
        nothing(distflow_doc_listen(self->doc, 1));
    }
    free(replica);
}
static void doc_set(struct object *self)
{
    distflow_buf op = {0};
    const char *value = raw("value");
    answer_buf(distflow_doc_set(self->doc, raw("path"), value, len(value), &op), "{\"op\":", &op, "}");
}
static void doc_delete(struct object *self)
{
    distflow_buf op = {0};
    answer_buf(distflow_doc_delete(self->doc, raw("path"), &op), "{\"op\":", &op, "}");
}
static void doc_get(struct object *self)
{
    distflow_buf json = {0};
    answer_buf(distflow_doc_get(self->doc, raw("path"), &json), "", &json, "");
}
static void doc_read(struct object *self)
{
    distflow_buf json = {0}, canonical = {0}, hash = {0}, clock = {0};
    distflow_status status = distflow_doc_json(self->doc, &json);
    status = status != DISTFLOW_OK ? status : distflow_doc_canonical(self->doc, &canonical);
    status = status != DISTFLOW_OK ? status : distflow_doc_hash(self->doc, &hash);
    status = status != DISTFLOW_OK ? status : distflow_doc_clock(self->doc, &clock);
    if (succeeded(status)) {
        printf("ok\t{\"value\":%s,\"canonical\":", json.data);
        put_string(stdout, canonical.data, canonical.len);
        printf(",\"hash\":\"%s\",\"clock\":%s}\n", hash.data, clock.data);
    }
    distflow_buf_free(&json);
    distflow_buf_free(&canonical);
    distflow_buf_free(&hash);
    distflow_buf_free(&clock);
}
static void doc_receive(struct object *self)
{
    int32_t outcome = 0;
    const char *op = raw("op");
    if (succeeded(distflow_doc_receive(self->doc, op, len(op), &outcome))) {
        answer(outcome == DISTFLOW_DOC_APPLIED ? "true" : "false");
    }
}
static void doc_receive_all(struct object *self)
{
    const char *ops = raw("ops");
    nothing(distflow_doc_receive_batch(self->doc, ops, len(ops), NULL));
}
static void doc_since(struct object *self)
{
    distflow_buf ops = {0};
    bool complete = false;
    const char *clock = raw("clock");
    distflow_status status = distflow_doc_since(self->doc, clock, len(clock), &ops, &complete);
    answer_buf(status, "{\"ops\":", &ops, complete ? ",\"complete\":true}" : ",\"complete\":false}");
}
static void doc_snapshot(struct object *self)
{
    distflow_buf json = {0};
    answer_buf(distflow_doc_snapshot_json(self->doc, &json), "{\"snapshot\":", &json, "}");
}
static void doc_restore(struct object *self)
{
    const char *snapshot = raw("snapshot");
    nothing(distflow_doc_restore(self->doc, snapshot, len(snapshot)));
}
static void doc_merge(struct object *self)
{
    const char *snapshot = raw("snapshot");
    nothing(distflow_doc_merge(self->doc, snapshot, len(snapshot)));
}
static void doc_pieces(struct object *self)
{
    distflow_buf pieces = {0};
    if (succeeded(distflow_doc_snapshot_pieces(self->doc, strtoul(raw("bytes"), NULL, 10), &pieces))) {
        printf("ok\t{\"pieces\":[");
        const char *end, *at = pieces.data;
        for (; (end = strchr(at, '\n')) != NULL; at = end + 1) {
            printf("%s\"%.*s\"", at == pieces.data ? "" : ",", (int)(end - at), at);
        }
        printf("]}\n");
    }
    distflow_buf_free(&pieces);
}
static void doc_merge_pieces(struct object *self)
{
    /* An array of strings without escapes. */
    bool is_whole = false, is_any = false;
    const char *end, *at = strchr(raw("pieces"), '"');
    for (; at != NULL && (end = strchr(at + 1, '"')) != NULL; at = strchr(end + 1, '"')) {
        if (!succeeded(distflow_doc_merge_piece(self->doc, at + 1, (size_t)(end - at - 1), &is_whole))) {
            return;
        }
        is_any = is_any || is_whole;
    }
    answer(is_any ? "true" : "false");
}
static void doc_events(struct object *self)
{
    distflow_buf json = {0};
    answer_buf(distflow_doc_events(self->doc, &json), "", &json, "");
}
static void doc_close(struct object *self)
{
    distflow_doc_free(self->doc);
    self->doc = NULL;
    answer("null");
}
