/*
 * Two processes that talk:
 *
 *     hello receive          prints a line per message, and answers each
 *     hello send "Hi there"  sends a text and prints the answer
 *
 * Both take the PMD's port as a further argument; the first of them launches a PMD.
 */

#include <distflow.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Says what went wrong with the last call. */
static int failed(const char *what)
{
    char text[256];
    distflow_status status = distflow_last_error(text, sizeof text, NULL);
    fprintf(stderr, "%s: %s (%s)\n", what, text, distflow_status_name(status));
    return EXIT_FAILURE;
}

/* A text as JSON, to be freed; NULL without memory. */
static char *quoted(const char *text)
{
    /* At most six bytes for one, and the quotes and NUL around them. */
    char *json = malloc(6 * strlen(text) + 3);
    if (json == NULL) {
        return NULL;
    }
    char *end = json;
    *end++ = '"';
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            *end++ = '\\';
            *end++ = *text;
        } else if ((unsigned char)*text < 0x20) {
            end += sprintf(end, "\\u%04x", (unsigned)*text);
        } else {
            *end++ = *text;
        }
    }
    *end++ = '"';
    *end = '\0';
    return json;
}

static int receive(distflow_node *node)
{
    puts("ready");
    for (;;) {
        distflow_message message;
        if (distflow_node_recv(node, -1, &message) != DISTFLOW_OK) {
            return failed("cannot receive");
        }
        printf("%s says %s\n", message.from.data, message.payload.data);
        /* The sender may be gone already, which is no reason to end. */
        if (distflow_node_send(node, message.from.data, message.payload.data,
                               message.payload.len, 5000) != DISTFLOW_OK) {
            failed("cannot answer");
        }
        distflow_message_free(&message);
    }
}

static int send_text(distflow_node *node, const char *text)
{
    char *payload = quoted(text);
    if (payload == NULL) {
        fputs("no memory\n", stderr);
        return EXIT_FAILURE;
    }
    distflow_status status =
        distflow_node_send(node, "hello", payload, strlen(payload), 5000);
    free(payload);
    if (status != DISTFLOW_OK) {
        return failed("cannot send");
    }
    distflow_message answer;
    if (distflow_node_recv(node, 5000, &answer) != DISTFLOW_OK) {
        return failed("no answer");
    }
    printf("answer: %s\n", answer.payload.data);
    distflow_message_free(&answer);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    int receives = argc >= 2 && strcmp(argv[1], "receive") == 0;
    int sends = argc >= 3 && strcmp(argv[1], "send") == 0;
    const char *port = argc == 3 + sends ? argv[argc - 1] : "4369";
    char *port_end;
    long port_number = strtol(port, &port_end, 10);
    if ((!receives && !sends) || argc > 3 + sends || *port_end != '\0' ||
        port_number < 1 || port_number > 65535) {
        fputs("usage: hello receive [PMD-PORT] | hello send TEXT [PMD-PORT]\n", stderr);
        return 2;
    }
    /* Lines appear at once, also in a pipe. */
    setvbuf(stdout, NULL, _IOLBF, 0);

    if (distflow_check_abi(DISTFLOW_ABI_VERSION) != DISTFLOW_OK) {
        return failed("wrong library");
    }
    distflow_node_options options;
    distflow_node_options_init(&options, sizeof options);
    options.alias = receives ? "hello" : NULL;
    options.pmd_port = (uint16_t)port_number;
    distflow_node *node;
    if (distflow_node_open(&options, &node) != DISTFLOW_OK) {
        return failed("cannot open a node");
    }
    int code = receives ? receive(node) : send_text(node, argv[2]);
    distflow_node_free(node);
    return code;
}
