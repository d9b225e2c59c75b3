/*
 * A game session on an MQTT broker: creates one, or joins one, prints what happens, and sends each
 * line of standard input to everybody, until Ctrl-C, the end of standard input, or of the session.
 *
 *     session create|join SESSION [BROKER-URL]
 */

#include <distflow.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096

/* Says what went wrong with the last call. */
static int failed(const char *what)
{
    char text[256];
    distflow_status status = distflow_last_error(text, sizeof text, NULL);
    fprintf(stderr, "%s: %s (%s)\n", what, text, distflow_status_name(status));
    return EXIT_FAILURE;
}

static void print_event(const distflow_session_event *event)
{
    if (strcmp(event->kind.data, "game") == 0) {
        /* What others send may be any bytes. */
        printf("%s: ", event->name.data);
        fwrite(event->payload.data, 1, event->payload.len, stdout);
        putchar('\n');
    } else {
        printf("%s %s\n", event->kind.data, event->json.data);
    }
    fflush(stdout);
}

/* Prints all events that wait; TIMEOUT when there are no more, CLOSED when there will be none. */
static distflow_status print_events(distflow_session *session)
{
    distflow_session_event event;
    distflow_status status;
    while ((status = distflow_session_recv_event(session, 0, &event)) == DISTFLOW_OK) {
        print_event(&event);
        distflow_session_event_free(&event);
    }
    return status;
}

/* Sends what was typed, line by line. Returns whether there may be more. */
static bool send_lines(distflow_session *session)
{
    static char line[LINE_BYTES_MAX];
    static size_t len;
    ssize_t got = read(STDIN_FILENO, line + len, sizeof line - len);
    if (got <= 0) return got < 0 && errno == EINTR;
    len += (size_t)got;
    char *end;
    while ((end = memchr(line, '\n', len)) != NULL || len == sizeof line) {
        size_t text = end != NULL ? (size_t)(end - line) : len, taken = text + (end != NULL);
        if (distflow_session_publish(session, "line", line, text) != DISTFLOW_OK)
            failed("cannot send");
        len -= taken;
        memmove(line, line + taken, len);
    }
    return true;
}

static int take_part(distflow_session *session, int signals)
{
    int fd;
    if (distflow_session_fd(session, &fd) != DISTFLOW_OK) return failed("no descriptor");
    struct pollfd waits[] = {{.fd = fd, .events = POLLIN},
                             {.fd = STDIN_FILENO, .events = POLLIN},
                             {.fd = signals, .events = POLLIN}};
    for (;;) {
        distflow_status status = print_events(session);
        if (status == DISTFLOW_CLOSED) return EXIT_SUCCESS;
        if (status != DISTFLOW_TIMEOUT) return failed("cannot receive");
        if (poll(waits, 3, -1) < 0 && errno != EINTR) return EXIT_FAILURE;
        if (waits[2].revents != 0 || (waits[1].revents != 0 && !send_lines(session))) break;
    }
    if (distflow_session_leave(session, 5000) != DISTFLOW_OK) return failed("cannot leave");
    print_events(session);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    bool creates = argc > 1 && strcmp(argv[1], "create") == 0;
    if (argc < 3 || argc > 4 || (!creates && strcmp(argv[1], "join") != 0)) {
        fputs("usage: session create|join SESSION [BROKER-URL]\n", stderr);
        return 2;
    }
    /* A URL has no characters that JSON would escape; one that has is refused. */
    char broker[512] = "{}";
    if (argc == 4) snprintf(broker, sizeof broker, "{\"url\":\"%.400s\"}", argv[3]);
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    int signals = signalfd(-1, &stops, SFD_CLOEXEC);

    const char *options = "{\"modelName\":\"Lines\",\"playersMax\":8,\"handOver\":true}";
    distflow_session *session;
    distflow_status status =
        creates ? distflow_session_create(broker, strlen(broker), argv[2], options,
                                          strlen(options), &session)
                : distflow_session_join(broker, strlen(broker), argv[2], &session);
    if (status != DISTFLOW_OK) return failed(creates ? "cannot create" : "cannot join");
    int result = take_part(session, signals);
    distflow_session_free(session);
    return result;
}
