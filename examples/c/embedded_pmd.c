/*
 * This process is the PMD: other nodes find each other through it. Prints who joins and leaves,
 * and the whole registry for every line of its input, until the input ends.
 *
 *     embedded_pmd [PORT]   (0 picks a free port)
 */

#include <distflow.h>
#include <stdio.h>
#include <stdlib.h>

/* Says what went wrong with the last call. */
static int failed(const char *what)
{
    char text[256];
    distflow_status status = distflow_last_error(text, sizeof text, NULL);
    fprintf(stderr, "%s: %s (%s)\n", what, text, distflow_status_name(status));
    return EXIT_FAILURE;
}

static const char *alias_of(const distflow_peer *peer)
{
    return peer->alias.len > 0 ? peer->alias.data : "-";
}

/* Runs on the PMD's callback thread. printf is a whole line at a time, so it needs no lock. */
static void on_event(distflow_pmd *pmd, const distflow_event *event, void *context)
{
    (void)pmd;
    (void)context;
    switch (event->kind) {
    case DISTFLOW_EVENT_PEER_JOIN:
        printf("join %s %s\n", event->peer.node_id.data, alias_of(&event->peer));
        break;
    case DISTFLOW_EVENT_PEER_LEAVE:
        printf("leave %s %s %s\n", event->peer.node_id.data, alias_of(&event->peer),
               event->cause.data);
        break;
    case DISTFLOW_EVENT_PMD_STOPPED:
        printf("stopped: %s\n", event->cause.data);
        break;
    default: /* A kind of a later version. */
        break;
    }
}

static int print_registry(const distflow_pmd *pmd)
{
    distflow_peers peers;
    if (distflow_pmd_snapshot(pmd, &peers) != DISTFLOW_OK) {
        return failed("cannot list the nodes");
    }
    printf("%zu registered\n", peers.len);
    for (size_t i = 0; i < peers.len; i++) {
        const distflow_peer *peer = &peers.items[i];
        printf("  %s %s %s:%u\n", peer->node_id.data, alias_of(peer), peer->host.data,
               (unsigned)peer->port);
    }
    distflow_peers_free(&peers);
    return EXIT_SUCCESS;
}

static int serve(distflow_pmd *pmd)
{
    uint16_t port;
    if (distflow_pmd_on_event(pmd, on_event, NULL, NULL) != DISTFLOW_OK ||
        distflow_pmd_port(pmd, &port) != DISTFLOW_OK) {
        return failed("cannot serve");
    }
    printf("PMD on port %u\n", (unsigned)port);
    for (int byte; (byte = getchar()) != EOF;) {
        if (byte == '\n' && print_registry(pmd) != EXIT_SUCCESS) {
            return EXIT_FAILURE;
        }
    }
    /* Afterwards no callback runs any more. */
    if (distflow_pmd_close(pmd, 5000) != DISTFLOW_OK) {
        return failed("cannot close");
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const char *argument = argc == 2 ? argv[1] : "4369";
    char *port_end;
    long port = strtol(argument, &port_end, 10);
    if (argc > 2 || *argument == '\0' || *port_end != '\0' || port < 0 || port > 65535) {
        fputs("usage: embedded_pmd [PORT]\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);

    distflow_pmd_options options;
    distflow_pmd_options_init(&options, sizeof options);
    options.port = (uint16_t)port;
    distflow_pmd *pmd;
    if (distflow_pmd_open(&options, &pmd) != DISTFLOW_OK) {
        return failed("cannot start a PMD");
    }
    int code = serve(pmd);
    distflow_pmd_free(pmd);
    return code;
}
