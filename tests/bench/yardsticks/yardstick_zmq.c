/* libzmq between two processes: a stream by push and pull, and a round trip by a pair.
 *
 *   yardstick_zmq receive SIZE            prints "ready ENDPOINT", then "result COUNT NS CPU_NS"
 *   yardstick_zmq send MS ENDPOINT PAYLOAD        prints "result COUNT NS CPU_NS"
 *   yardstick_zmq echo                    prints "ready ENDPOINT"
 *   yardstick_zmq ping COUNT ENDPOINT PAYLOAD      prints "result P50_NS P99_NS"
 *
 * The payload's bytes 7 to 16 are a number that counts the messages; 9999999999 is the end. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <zmq.h>

#define FIRST 1000000000ULL
#define END 9999999999ULL

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static uint64_t cpu_ns(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000ULL
         + (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000ULL;
}

static int fail(const char *what) {
    printf("failed %s: %s\n", what, zmq_strerror(zmq_errno()));
    fflush(stdout);
    return 1;
}

static void set_number(char *payload, uint64_t number) {
    for (int i = 16; i >= 7; i--) {
        payload[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

static uint64_t number(const char *payload) {
    uint64_t sum = 0;
    for (int i = 7; i < 17; i++) sum = sum * 10 + (uint64_t)(payload[i] - '0');
    return sum;
}

static int bind_and_tell(void *socket) {
    char endpoint[128];
    size_t len = sizeof endpoint;
    if (zmq_bind(socket, "tcp://127.0.0.1:*") != 0) return 1;
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &len) != 0) return 1;
    printf("ready %s\n", endpoint);
    fflush(stdout);
    return 0;
}

static int receive(void *context, size_t size) {
    void *socket = zmq_socket(context, ZMQ_PULL);
    if (bind_and_tell(socket)) return fail("bind");
    uint64_t count = 0, start = 0, cpu = 0;
    for (;;) {
        zmq_msg_t message;
        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, socket, 0) < 0) return fail("receive");
        uint64_t n = number(zmq_msg_data(&message));
        size_t len = zmq_msg_size(&message);
        zmq_msg_close(&message);
        if (n == END) break;
        if (n != FIRST + count || len != size) return fail("order");
        if (count++ == 0) {
            start = now_ns();
            cpu = cpu_ns();
        }
    }
    printf("result %llu %llu %llu\n", (unsigned long long)count,
           (unsigned long long)(now_ns() - start), (unsigned long long)(cpu_ns() - cpu));
    zmq_close(socket);
    return 0;
}

static int send_all(void *context, uint64_t ms, const char *endpoint, char *payload) {
    size_t size = strlen(payload);
    void *socket = zmq_socket(context, ZMQ_PUSH);
    if (zmq_connect(socket, endpoint) != 0) return fail("connect");
    uint64_t count = 0, start = now_ns(), cpu = cpu_ns(), until = start + ms * 1000000ULL;
    while (count % 256 || now_ns() < until) {
        set_number(payload, FIRST + count++);
        if (zmq_send(socket, payload, size, 0) < 0) return fail("send");
    }
    set_number(payload, END);
    if (zmq_send(socket, payload, size, 0) < 0) return fail("send");
    uint64_t end = now_ns(), used = cpu_ns() - cpu;
    zmq_close(socket);
    printf("result %llu %llu %llu\n", (unsigned long long)count,
           (unsigned long long)(end - start), (unsigned long long)used);
    return 0;
}

static int echo(void *context) {
    void *socket = zmq_socket(context, ZMQ_PAIR);
    if (bind_and_tell(socket)) return fail("bind");
    for (;;) {
        zmq_msg_t message;
        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, socket, 0) < 0) return fail("receive");
        if (zmq_msg_send(&message, socket, 0) < 0) return fail("send");
    }
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int ping(void *context, size_t count, const char *endpoint, char *payload) {
    size_t size = strlen(payload);
    void *socket = zmq_socket(context, ZMQ_PAIR);
    if (zmq_connect(socket, endpoint) != 0) return fail("connect");
    uint64_t *times = calloc(count, sizeof *times);
    char *answer = malloc(size);
    size_t warm = count / 10;
    for (size_t i = 0; i < count + warm; i++) {
        uint64_t start = now_ns();
        set_number(payload, FIRST + i);
        if (zmq_send(socket, payload, size, 0) < 0) return fail("send");
        if (zmq_recv(socket, answer, size, 0) != (int)size) return fail("receive");
        if (number(answer) != FIRST + i) return fail("order");
        if (i >= warm) times[i - warm] = now_ns() - start;
    }
    qsort(times, count, sizeof *times, compare);
    printf("result %llu %llu\n", (unsigned long long)times[count / 2],
           (unsigned long long)times[count * 99 / 100]);
    zmq_close(socket);
    return 0;
}

int main(int argc, char **argv) {
    void *context = zmq_ctx_new();
    int status = 2;
    if (argc == 3 && !strcmp(argv[1], "receive"))
        status = receive(context, strtoul(argv[2], NULL, 10));
    else if (argc == 5 && !strcmp(argv[1], "send"))
        status = send_all(context, strtoull(argv[2], NULL, 10), argv[3], argv[4]);
    else if (argc == 2 && !strcmp(argv[1], "echo"))
        status = echo(context);
    else if (argc == 5 && !strcmp(argv[1], "ping"))
        status = ping(context, strtoul(argv[2], NULL, 10), argv[3], argv[4]);
    fflush(stdout);
    zmq_ctx_term(context);
    return status;
}
