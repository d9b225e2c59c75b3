/* The library loaded by hand. This program is not linked with it.
 *
 * usage: loading <library> <another copy of it> */
#include <distflow.h>

#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_MS 60000

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s is not so\n", __FILE__, __LINE__, #condition);              \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* The functions of one copy that this program uses. */
#define FUNCTIONS(DO)                                                                              \
    DO(distflow_version)                                                                           \
    DO(distflow_last_error)                                                                        \
    DO(distflow_pmd_options_init)                                                                  \
    DO(distflow_pmd_open)                                                                          \
    DO(distflow_pmd_port)                                                                          \
    DO(distflow_pmd_close)                                                                         \
    DO(distflow_pmd_free)                                                                          \
    DO(distflow_pmd_client_open)                                                                   \
    DO(distflow_pmd_client_close)                                                                  \
    DO(distflow_pmd_client_free)                                                                   \
    DO(distflow_node_options_init)                                                                 \
    DO(distflow_node_open)                                                                         \
    DO(distflow_node_port)                                                                         \
    DO(distflow_node_send)                                                                         \
    DO(distflow_node_recv)                                                                         \
    DO(distflow_message_free)                                                                      \
    DO(distflow_node_on_message)                                                                   \
    DO(distflow_node_close)                                                                        \
    DO(distflow_node_free)

typedef struct library {
    void *handle;
#define MEMBER(name) __typeof__(&name) name;
    FUNCTIONS(MEMBER)
} library;

static library load(const char *path) {
    library self;
    self.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (self.handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        _exit(1);
    }
    void *found;
    /* What POSIX prescribes for functions; the standard knows no other way. */
#define FIND(name)                                                                                 \
    found = dlsym(self.handle, #name);                                                             \
    CHECK(found != NULL);                                                                          \
    memcpy(&self.name, &found, sizeof found);
    FUNCTIONS(FIND)
    return self;
}

static bool is_mapped(const char *path) {
    char real[4096], line[4608];
    CHECK(realpath(path, real) != NULL);
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    bool found = false;
    while (fgets(line, sizeof line, maps) != NULL) found = found || strstr(line, real) != NULL;
    fclose(maps);
    return found;
}

static distflow_pmd *open_pmd(const library *lib, uint16_t *port) {
    distflow_pmd_options options;
    CHECK(lib->distflow_pmd_options_init(&options, sizeof options) == DISTFLOW_OK);
    options.port = 0;
    distflow_pmd *pmd;
    CHECK(lib->distflow_pmd_open(&options, &pmd) == DISTFLOW_OK);
    CHECK(lib->distflow_pmd_port(pmd, port) == DISTFLOW_OK);
    return pmd;
}

static distflow_node *open_node(const library *lib, uint16_t port, const char *alias) {
    distflow_node_options options;
    CHECK(lib->distflow_node_options_init(&options, sizeof options) == DISTFLOW_OK);
    options.pmd_port = port;
    options.alias = alias;
    options.auto_start = 0;
    options.start_timeout_ms = LIMIT_MS;
    distflow_node *node;
    CHECK(lib->distflow_node_open(&options, &node) == DISTFLOW_OK);
    return node;
}

static atomic_int calls, drops;
static const library *echoes;

static void echo(distflow_node *node, const distflow_message *message, void *context) {
    (void)context;
    atomic_fetch_add(&calls, 1);
    CHECK(echoes->distflow_node_send(node, message->from.data, message->payload.data,
                                     message->payload.len, LIMIT_MS) == DISTFLOW_OK);
}

static void drop(void *context) {
    (void)context;
    atomic_fetch_add(&drops, 1);
}

/* Sends a text to a node that echoes, and takes it back. */
static void round_trip(const library *lib, distflow_node *node, const char *to, const char *text) {
    CHECK(lib->distflow_node_send(node, to, text, strlen(text), LIMIT_MS) == DISTFLOW_OK);
    distflow_message message;
    CHECK(lib->distflow_node_recv(node, LIMIT_MS, &message) == DISTFLOW_OK);
    CHECK(strcmp(message.payload.data, text) == 0);
    lib->distflow_message_free(&message);
}

static void says_invalid_handle(const library *lib, distflow_status status) {
    char text[200] = "";
    CHECK(status == DISTFLOW_INVALID_HANDLE);
    CHECK(lib->distflow_last_error(text, sizeof text, NULL) == DISTFLOW_INVALID_HANDLE);
    CHECK(strstr(text, "distflow_") != NULL);
}

/* Handles of one copy are nothing to the other. */
static void check_foreign(const library *lib, distflow_node *node, distflow_pmd *pmd,
                          distflow_pmd_client *client) {
    uint16_t port;
    says_invalid_handle(lib, lib->distflow_node_port(node, &port));
    says_invalid_handle(lib, lib->distflow_node_close(node, -1));
    says_invalid_handle(lib, lib->distflow_node_send(node, "a", "1", 1, -1));
    says_invalid_handle(lib, lib->distflow_pmd_port(pmd, &port));
    says_invalid_handle(lib, lib->distflow_pmd_close(pmd, -1));
    says_invalid_handle(lib, lib->distflow_pmd_client_close(client));
    lib->distflow_node_free(node);
    lib->distflow_pmd_free(pmd);
    lib->distflow_pmd_client_free(client);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    CHECK(!is_mapped(argv[1]));
    struct sigaction before[NSIG], after[NSIG];
    memset(before, 0, sizeof before);
    memset(after, 0, sizeof after);
    for (int number = 1; number < NSIG; number++) sigaction(number, NULL, &before[number]);

    /* Loading it without using it, and letting it go. */
    library first = load(argv[1]);
    CHECK(dlclose(first.handle) == 0);
    CHECK(is_mapped(argv[1]));

    first = load(argv[1]);
    echoes = &first;
    uint16_t port;
    distflow_pmd *pmd = open_pmd(&first, &port);
    distflow_node *a = open_node(&first, port, "a"), *b = open_node(&first, port, "b");
    CHECK(first.distflow_node_on_message(a, echo, NULL, drop) == DISTFLOW_OK);
    round_trip(&first, b, "a", "1");

    /* Its threads run on in code that stays. */
    CHECK(dlclose(first.handle) == 0);
    CHECK(is_mapped(argv[1]));
    round_trip(&first, b, "a", "2");
    library again = load(argv[1]);
    CHECK(again.distflow_node_send == first.distflow_node_send);
    round_trip(&again, b, "a", "3");
    CHECK(atomic_load(&calls) == 3);

    /* Another copy beside it: each has its own table, threads and errors. */
    library second = load(argv[2]);
    CHECK(second.distflow_node_send != first.distflow_node_send);
    distflow_node *c = open_node(&second, port, "c");
    round_trip(&second, c, "a", "4");
    uint16_t second_port;
    distflow_pmd *second_pmd = open_pmd(&second, &second_port);
    CHECK(second_port != port);
    distflow_pmd_client *client, *second_client;
    CHECK(first.distflow_pmd_client_open(NULL, port, LIMIT_MS, &client) == DISTFLOW_OK);
    CHECK(second.distflow_pmd_client_open(NULL, second_port, LIMIT_MS, &second_client) ==
          DISTFLOW_OK);
    check_foreign(&second, a, pmd, client);
    check_foreign(&first, c, second_pmd, second_client);
    round_trip(&first, b, "a", "5");
    round_trip(&second, c, "a", "6");
    CHECK(atomic_load(&drops) == 0);

    for (int number = 1; number < NSIG; number++) {
        sigaction(number, NULL, &after[number]);
        CHECK(before[number].sa_handler == after[number].sa_handler);
        CHECK(before[number].sa_flags == after[number].sa_flags);
    }
    first.distflow_pmd_client_free(client);
    second.distflow_pmd_client_free(second_client);
    CHECK(first.distflow_node_close(a, -1) == DISTFLOW_OK);
    CHECK(atomic_load(&drops) == 1);
    first.distflow_node_free(a);
    first.distflow_node_free(b);
    second.distflow_node_free(c);
    second.distflow_pmd_free(second_pmd);
    first.distflow_pmd_free(pmd);
    puts("passed");
    return 0;
}
