/* 64 threads open and close 10,000 nodes, all told, at one PMD. */
#include "../check.h"

#include <dirent.h>

#define THREADS 64
#define NODES 10000

static uint16_t port;
static atomic_int next;
static uintptr_t handles[NODES];
static context contexts[NODES];

static size_t entries(const char *folder) {
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    size_t count = 0;
    while (readdir(dir) != NULL) count++;
    closedir(dir);
    return count;
}

static void count(distflow_node *node, const distflow_message *message, void *pointer) {
    (void)node, (void)message;
    atomic_fetch_add(&((context *)pointer)->calls, 1);
}

static void open_and_close(int number) {
    distflow_node *node = open_node(port, NULL);
    handles[number] = (uintptr_t)node;
    int fd;
    /* Not all alike: some only closed, some only freed, some with what they can have. */
    if (number % 4 == 0)
        OK(distflow_node_on_message(node, count, &contexts[number], drop_context));
    if (number % 4 == 1) {
        OK(distflow_node_watch(node));
        OK(distflow_node_fd(node, &fd));
    }
    if (number % 2) OK(distflow_node_close(node, -1));
    distflow_node_free(node);
    EXPECT(DISTFLOW_INVALID_HANDLE, distflow_node_close(node, -1));
    CHECK_EQ(contexts[number].drops, number % 4 == 0);
}

static void *run(void *pointer) {
    (void)pointer;
    for (int number; (number = atomic_fetch_add(&next, 1)) < NODES;) open_and_close(number);
    return NULL;
}

static int compare(const void *left, const void *right) {
    uintptr_t a = *(const uintptr_t *)left, b = *(const uintptr_t *)right;
    return (a > b) - (a < b);
}

int main(void) {
    distflow_pmd *pmd = open_pmd(&port);
    /* What is made once is there before the count. */
    distflow_node_free(open_node(port, NULL));
    WAIT_UNTIL(registered(pmd) == 0);
    size_t files = entries("/proc/self/fd"), threads = entries("/proc/self/task");
    pthread_t runners[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&runners[i], NULL, run, NULL), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(runners[i], NULL);
    WAIT_UNTIL(registered(pmd) == 0);
    /* The PMD closes its side of the last connections in its own time. */
    WAIT_UNTIL(entries("/proc/self/fd") <= files);
    WAIT_UNTIL(entries("/proc/self/task") <= threads);
    qsort(handles, NODES, sizeof *handles, compare);
    for (int i = 0; i < NODES; i++) {
        CHECK(handles[i] != 0);
        CHECK(i == 0 || handles[i] != handles[i - 1]);
    }
    distflow_pmd_free(pmd);
    puts("passed");
    return 0;
}
