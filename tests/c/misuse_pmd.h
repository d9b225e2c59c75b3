/* The part of misuse.c about PMDs and clients of PMDs, which includes it. */
#ifndef DISTFLOW_TESTS_MISUSE_PMD_H
#define DISTFLOW_TESTS_MISUSE_PMD_H

static void test_distflow_pmd_port(void) {
    uint16_t number;
    BAD_PMDS(distflow_pmd_port(handle, &number));
    WRONG("port_out is NULL", distflow_pmd_port(pmd, NULL));
    WORKS(distflow_pmd_port(closed_pmd, &number));
}

static void test_distflow_pmd_is_running(void) {
    bool yes = true;
    BAD_PMDS(distflow_pmd_is_running(handle, &yes));
    WRONG("running_out is NULL", distflow_pmd_is_running(pmd, NULL));
    WORKS(distflow_pmd_is_running(closed_pmd, &yes));
    CHECK(!yes);
}

static void test_distflow_pmd_snapshot(void) {
    distflow_peers peers;
    BAD_PMDS(distflow_pmd_snapshot(handle, &peers));
    WRONG("peers_out is NULL", distflow_pmd_snapshot(pmd, NULL));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_pmd_snapshot(closed_pmd, &peers));
}

static void test_distflow_pmd_recv_event(void) {
    distflow_event event;
    BAD_PMDS(distflow_pmd_recv_event(handle, -1, &event));
    WRONG("event_out is NULL", distflow_pmd_recv_event(pmd, -1, NULL));
    uint16_t own;
    distflow_pmd *quiet = open_pmd(&own);
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_pmd_recv_event(quiet, 0, &event));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_pmd_recv_event(quiet, 1, &event));
    distflow_pmd_free(quiet);
    while (distflow_pmd_recv_event(closed_pmd, -1, &event) == DISTFLOW_OK)
        distflow_event_free(&event);
    FAILS(DISTFLOW_CLOSED, "ended", distflow_pmd_recv_event(closed_pmd, -1, &event));
}

static void test_distflow_pmd_fd(void) {
    int fd;
    BAD_PMDS(distflow_pmd_fd(handle, &fd));
    WRONG("fd_out is NULL", distflow_pmd_fd(pmd, NULL));
    WORKS(distflow_pmd_fd(closed_pmd, &fd));
}

static void test_distflow_pmd_on_event(void) {
    context self = {0};
    BAD_PMDS(distflow_pmd_on_event(handle, on_pmd_event, &self, drop_context));
    CHECK_EQ(self.drops, BAD_MAX);
    WRONG("callback is NULL", distflow_pmd_on_event(pmd, NULL, &self, drop_context));
    FAILS(DISTFLOW_CLOSED, "closed",
          distflow_pmd_on_event(closed_pmd, on_pmd_event, &self, drop_context));
    CHECK_EQ(self.drops, BAD_MAX + 2);
}

static void test_distflow_pmd_close(void) {
    BAD_PMDS(distflow_pmd_close(handle, -1));
    WORKS(distflow_pmd_close(closed_pmd, -1));
    WORKS(distflow_pmd_close(closed_pmd, 0));
    WORKS(distflow_pmd_close(closed_pmd, INT64_MAX));
}

static void test_distflow_pmd_free(void) {
    for (size_t i = 0; i < BAD_MAX; i++) distflow_pmd_free(bad_pmds[i]);
    bool yes = false;
    WORKS(distflow_pmd_is_running(pmd, &yes));
    CHECK(yes);
    uint16_t number;
    distflow_pmd *twice = open_pmd(&number);
    distflow_pmd_free(twice);
    distflow_pmd_free(twice);
    FAILS(DISTFLOW_INVALID_HANDLE, "freed", distflow_pmd_port(twice, &number));
}

/* --- clients -------------------------------------------------------------------------------- */

static void test_distflow_pmd_client_list(void) {
    distflow_peers peers;
    BAD_CLIENTS(distflow_pmd_client_list(handle, NULL, -1, &peers));
    WRONG("peers_out is NULL", distflow_pmd_client_list(client, NULL, -1, NULL));
    BAD_TEXTS("prefix", distflow_pmd_client_list(client, text, -1, &peers));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_pmd_client_list(closed_client, NULL, -1, &peers));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_pmd_client_list(client, NULL, 0, &peers));
    /* The connection is as good as before. */
    WORKS(distflow_pmd_client_list(client, "", INT64_MAX, &peers));
    CHECK_EQ(peers.len, 2);
    distflow_peers_free(&peers);
}

static void test_distflow_pmd_client_resolve(void) {
    distflow_peers peers;
    BAD_CLIENTS(distflow_pmd_client_resolve(handle, "a", -1, &peers));
    WRONG("peers_out is NULL", distflow_pmd_client_resolve(client, "a", -1, NULL));
    WRONG("name is NULL", distflow_pmd_client_resolve(client, NULL, -1, &peers));
    BAD_TEXTS("name", distflow_pmd_client_resolve(client, text, -1, &peers));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_pmd_client_resolve(closed_client, "a", -1, &peers));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_pmd_client_resolve(client, "a", 0, &peers));
    FAILS(DISTFLOW_NODE_NOT_FOUND, "", distflow_pmd_client_resolve(client, "no-such", -1, &peers));
    WORKS(distflow_pmd_client_resolve(client, "a", INT64_MIN, &peers));
    CHECK_EQ(peers.len, 1);
    distflow_peers_free(&peers);
}

static void test_distflow_pmd_client_kill(void) {
    BAD_CLIENTS(distflow_pmd_client_kill(handle, -1));
    FAILS(DISTFLOW_CLOSED, "closed", distflow_pmd_client_kill(closed_client, -1));
    FAILS(DISTFLOW_TIMEOUT, "time", distflow_pmd_client_kill(client, 0));
    uint16_t own;
    distflow_pmd *victim = open_pmd(&own);
    distflow_pmd_client *killer;
    distflow_peers peers;
    WORKS(distflow_pmd_client_open(NULL, own, LIMIT_MS, &killer));
    WORKS(distflow_pmd_client_kill(killer, LIMIT_MS));
    bool yes = true;
    WAIT_UNTIL(distflow_pmd_is_running(victim, &yes) == DISTFLOW_OK && !yes);
    FAILS(DISTFLOW_PMD_UNAVAILABLE, "", distflow_pmd_client_kill(killer, LIMIT_MS));
    FAILS(DISTFLOW_PMD_UNAVAILABLE, "", distflow_pmd_client_list(killer, NULL, LIMIT_MS, &peers));
    distflow_pmd_client_free(killer);
    distflow_pmd_free(victim);
}

static void test_distflow_pmd_client_close(void) {
    BAD_CLIENTS(distflow_pmd_client_close(handle));
    WORKS(distflow_pmd_client_close(closed_client));
    WORKS(distflow_pmd_client_close(closed_client));
}

static void test_distflow_pmd_client_free(void) {
    for (size_t i = 0; i < BAD_MAX; i++) distflow_pmd_client_free(bad_clients[i]);
    distflow_peers peers;
    WORKS(distflow_pmd_client_list(client, NULL, LIMIT_MS, &peers));
    distflow_peers_free(&peers);
    distflow_pmd_client *twice;
    WORKS(distflow_pmd_client_open(NULL, port, LIMIT_MS, &twice));
    distflow_pmd_client_free(twice);
    distflow_pmd_client_free(twice);
    FAILS(DISTFLOW_INVALID_HANDLE, "freed", distflow_pmd_client_close(twice));
}

#endif
