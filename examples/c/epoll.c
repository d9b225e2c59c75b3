/*
 * A node in an event loop: one epoll instance for the node and standard input, no thread of the
 * program's own, and no call that waits. Reads lines `TARGET JSON`, prints what it receives.
 *
 *     epoll ALIAS [PMD-PORT]
 */

#include <distflow.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Says what went wrong with the last call. */
static int failed(const char *what)
{
    char text[256];
    distflow_status status = distflow_last_error(text, sizeof text, NULL);
    fprintf(stderr, "%s: %s (%s)\n", what, text, distflow_status_name(status));
    return EXIT_FAILURE;
}

/* Takes all that waits, so that the descriptor is no longer readable. */
static distflow_status receive(distflow_node *node)
{
    distflow_status status;
    distflow_message message;
    while ((status = distflow_node_recv(node, 0, &message)) == DISTFLOW_OK) {
        printf("%s says %s\n", message.from.data, message.payload.data);
        distflow_message_free(&message);
    }
    distflow_event event;
    while (status == DISTFLOW_TIMEOUT &&
           distflow_node_recv_event(node, 0, &event) == DISTFLOW_OK) {
        if (event.kind == DISTFLOW_EVENT_PEER_JOIN) {
            printf("%s joined\n", event.peer.alias.data);
        } else if (event.kind == DISTFLOW_EVENT_SEND_FAILED) {
            /* What try_send had accepted and could not be delivered. */
            printf("lost %llu for %s: %s\n", (unsigned long long)event.count,
                   event.target.data, event.text.data);
        }
        distflow_event_free(&event);
    }
    return status;
}

static void send_line(distflow_node *node, char *line)
{
    char *payload = strchr(line, ' ');
    if (payload == NULL) {
        fputs("a line must be: TARGET JSON\n", stderr);
        return;
    }
    *payload++ = '\0';
    /* Never waits; DISTFLOW_BUSY says that the queue is full and the line can be sent later. */
    if (distflow_node_try_send(node, line, payload, strlen(payload)) != DISTFLOW_OK) {
        failed("not sent");
    }
}

/* Reads what is there, once, and sends the lines that are complete. False at the end. */
static int read_lines(distflow_node *node)
{
    static char buffer[65536];
    static size_t len;
    ssize_t count = read(STDIN_FILENO, buffer + len, sizeof buffer - len);
    if (count <= 0) {
        return count < 0 && errno == EINTR;
    }
    len += (size_t)count;
    char *line = buffer;
    for (char *end; (end = memchr(line, '\n', len)) != NULL; line = end + 1) {
        *end = '\0';
        send_line(node, line);
        len -= (size_t)(end + 1 - line);
    }
    memmove(buffer, line, len);
    if (len == sizeof buffer) {
        fputs("a line is too long\n", stderr);
        len = 0;
    }
    return 1;
}

static int run(distflow_node *node, int epoll)
{
    int node_fd;
    /* Events are how a failure after try_send is told. */
    if (distflow_node_watch(node) != DISTFLOW_OK ||
        distflow_node_fd(node, &node_fd) != DISTFLOW_OK) {
        return failed("cannot watch");
    }
    struct epoll_event of_node = {.events = EPOLLIN, .data = {.fd = node_fd}};
    struct epoll_event of_input = {.events = EPOLLIN, .data = {.fd = STDIN_FILENO}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, node_fd, &of_node) != 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &of_input) != 0) {
        perror("cannot wait for the node and standard input");
        return EXIT_FAILURE;
    }
    puts("ready");
    for (;;) {
        struct epoll_event ready;
        if (epoll_wait(epoll, &ready, 1, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            perror("cannot wait");
            return EXIT_FAILURE;
        }
        if (ready.data.fd == node_fd) {
            if (receive(node) != DISTFLOW_TIMEOUT) {
                return failed("cannot receive");
            }
        } else if (!read_lines(node)) {
            /* Flushes what was accepted. */
            return distflow_node_close(node, 5000) == DISTFLOW_OK ? EXIT_SUCCESS
                                                                  : failed("cannot close");
        }
    }
}

int main(int argc, char **argv)
{
    char *port_end;
    long port = strtol(argc == 3 ? argv[2] : "4369", &port_end, 10);
    if (argc < 2 || argc > 3 || *port_end != '\0' || port < 1 || port > 65535) {
        fputs("usage: epoll ALIAS [PMD-PORT]\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);

    distflow_node_options options;
    distflow_node_options_init(&options, sizeof options);
    options.alias = argv[1];
    options.pmd_port = (uint16_t)port;
    distflow_node *node;
    if (distflow_node_open(&options, &node) != DISTFLOW_OK) {
        return failed("cannot open a node");
    }
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int code = EXIT_FAILURE;
    if (epoll < 0) {
        perror("cannot make an epoll instance");
    } else {
        code = run(node, epoll);
        close(epoll);
    }
    distflow_node_free(node);
    return code;
}
