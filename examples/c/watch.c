/*
 * Watches who is there: prints the nodes that are, then each that comes or goes, until Ctrl-C or
 * the end of standard input.
 *
 *     watch [PMD-PORT]
 */

#include <distflow.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Says what went wrong with the last call. */
static int failed(const char *what)
{
    char text[256];
    distflow_status status = distflow_last_error(text, sizeof text, NULL);
    fprintf(stderr, "%s: %s (%s)\n", what, text, distflow_status_name(status));
    return EXIT_FAILURE;
}

static void print_peer(const char *what, const distflow_peer *peer, const char *cause)
{
    const char *alias = peer->alias.len > 0 ? peer->alias.data : "-";
    printf("%s %s %s %s:%u%s%s\n", what, peer->node_id.data, alias, peer->host.data,
           (unsigned)peer->port, *cause != '\0' ? " " : "", cause);
}

static void print_event(const distflow_event *event)
{
    switch (event->kind) {
    case DISTFLOW_EVENT_PEER_JOIN:
        print_peer("join", &event->peer, "");
        break;
    case DISTFLOW_EVENT_PEER_LEAVE:
        print_peer("leave", &event->peer, event->cause.data);
        break;
    case DISTFLOW_EVENT_PMD_LOST:
        printf("PMD lost: %s\n", event->text.data);
        break;
    case DISTFLOW_EVENT_PMD_RESTORED:
        puts("PMD restored");
        break;
    default: /* A kind that says nothing about peers. */
        break;
    }
}

/* Prints all events that wait. */
static distflow_status print_events(distflow_node *node)
{
    distflow_event event;
    distflow_status status;
    while ((status = distflow_node_recv_event(node, 0, &event)) == DISTFLOW_OK) {
        print_event(&event);
        distflow_event_free(&event);
    }
    return status;
}

/* Drops all messages that wait: the descriptor is readable for them as well. */
static void drop_messages(distflow_node *node)
{
    distflow_message message;
    while (distflow_node_recv(node, 0, &message) == DISTFLOW_OK) {
        distflow_message_free(&message);
    }
}

static int watch(distflow_node *node, int signals)
{
    /* Watched first and listed then, so that nobody is missed in between. Who joins in between is
     * in both. */
    distflow_peers peers;
    int node_fd;
    if (distflow_node_watch(node) != DISTFLOW_OK ||
        distflow_node_fd(node, &node_fd) != DISTFLOW_OK ||
        distflow_node_peers(node, &peers) != DISTFLOW_OK) {
        return failed("cannot watch");
    }
    for (size_t i = 0; i < peers.len; i++) {
        print_peer("here", &peers.items[i], "");
    }
    distflow_peers_free(&peers);
    puts("ready");

    struct pollfd fds[] = {
        {.fd = node_fd, .events = POLLIN},
        {.fd = signals, .events = POLLIN},
        {.fd = STDIN_FILENO, .events = POLLIN},
    };
    for (;;) {
        if (poll(fds, 3, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            perror("cannot wait");
            return EXIT_FAILURE;
        }
        if (fds[0].revents != 0) {
            drop_messages(node);
            if (print_events(node) != DISTFLOW_TIMEOUT) {
                return failed("cannot watch any longer");
            }
        }
        if (fds[1].revents != 0) {
            return EXIT_SUCCESS;
        }
        char input[256];
        if (fds[2].revents != 0 && read(STDIN_FILENO, input, sizeof input) <= 0) {
            return EXIT_SUCCESS;
        }
    }
}

int main(int argc, char **argv)
{
    char *port_end;
    long port = strtol(argc == 2 ? argv[1] : "4369", &port_end, 10);
    if (argc > 2 || *port_end != '\0' || port < 1 || port > 65535) {
        fputs("usage: watch [PMD-PORT]\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);

    /* Before there are other threads, so that the signals come here and nowhere else. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    int signals = -1;
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 ||
        (signals = signalfd(-1, &set, SFD_CLOEXEC)) < 0) {
        perror("cannot wait for signals");
        return EXIT_FAILURE;
    }

    distflow_node_options options;
    distflow_node_options_init(&options, sizeof options);
    options.pmd_port = (uint16_t)port;
    distflow_node *node;
    if (distflow_node_open(&options, &node) != DISTFLOW_OK) {
        return failed("cannot open a node");
    }
    int code = watch(node, signals);
    distflow_node_free(node);
    close(signals);
    return code;
}
