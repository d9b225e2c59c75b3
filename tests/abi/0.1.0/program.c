/* A program of version 0.1.0. It is compiled with the header beside it, and has to run with
 * every later library of the same ABI. Neither file is changed any more. */

#include <distflow.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            char text[256];                                                                        \
            distflow_last_error(text, sizeof text, NULL);                                          \
            printf("line %d: not so: %s; last error: %s\n", __LINE__, #condition, text);           \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define OK(call) CHECK((call) == DISTFLOW_OK)

/* Far more than anything here takes. */
#define LIMIT_MS 60000

static void answer(distflow_node *node, const distflow_message *message, void *context)
{
    (void)context;
    OK(distflow_node_send(node, message->from.data, message->payload.data, message->payload.len,
                          LIMIT_MS));
}

static void count(void *context)
{
    ++*(int *)context;
}

static distflow_node *open_node(uint16_t port, const char *alias)
{
    distflow_node_options options;
    OK(distflow_node_options_init(&options, sizeof options));
    options.alias = alias;
    options.pmd_port = port;
    options.auto_start = 0;
    distflow_node *node = NULL;
    OK(distflow_node_open(&options, &node));
    return node;
}

int main(void)
{
    OK(distflow_check_abi(DISTFLOW_ABI_VERSION));
    CHECK(strcmp(distflow_status_name(DISTFLOW_ALIAS_IN_USE), "alias_in_use") == 0);

    distflow_pmd_options pmd_options;
    OK(distflow_pmd_options_init(&pmd_options, sizeof pmd_options));
    pmd_options.port = 0;
    distflow_pmd *pmd = NULL;
    OK(distflow_pmd_open(&pmd_options, &pmd));
    uint16_t port = 0;
    OK(distflow_pmd_port(pmd, &port));

    distflow_node *echo = open_node(port, "echo");
    int drops = 0;
    OK(distflow_node_on_message(echo, answer, &drops, count));

    distflow_node *node = open_node(port, "asks");
    OK(distflow_node_watch(node));
    int fd = -1;
    OK(distflow_node_fd(node, &fd));
    CHECK(fd >= 0);

    const char *question = "{\"question\":[1,2.5,\"three\",null]}";
    OK(distflow_node_send(node, "echo", question, strlen(question), LIMIT_MS));
    distflow_message message;
    OK(distflow_node_recv(node, LIMIT_MS, &message));
    CHECK(strcmp(message.payload.data, question) == 0);
    CHECK(message.timestamp_ms > 0);
    distflow_message_free(&message);

    OK(distflow_node_try_send(node, "echo", "17", 2));
    distflow_messages messages;
    OK(distflow_node_recv_many(node, 10, LIMIT_MS, &messages));
    CHECK(messages.len == 1 && strcmp(messages.items[0].payload.data, "17") == 0);
    distflow_messages_free(&messages);
    CHECK(distflow_node_recv(node, 0, &message) == DISTFLOW_TIMEOUT);

    distflow_peers peers;
    OK(distflow_node_peers(node, &peers));
    CHECK(peers.len == 1 && strcmp(peers.items[0].alias.data, "echo") == 0);
    distflow_peers_free(&peers);
    OK(distflow_node_discover(node, "ec", LIMIT_MS, &peers));
    CHECK(peers.len == 1);
    distflow_peers_free(&peers);
    OK(distflow_pmd_snapshot(pmd, &peers));
    CHECK(peers.len == 2);
    distflow_peers_free(&peers);

    distflow_pmd_client *client = NULL;
    OK(distflow_pmd_client_open(NULL, port, LIMIT_MS, &client));
    OK(distflow_pmd_client_resolve(client, "asks", LIMIT_MS, &peers));
    CHECK(peers.len == 1 && peers.items[0].port != 0);
    distflow_peers_free(&peers);
    CHECK(distflow_pmd_client_resolve(client, "nobody", LIMIT_MS, &peers) ==
          DISTFLOW_NODE_NOT_FOUND);
    distflow_pmd_client_free(client);

    OK(distflow_node_close(echo, LIMIT_MS));
    CHECK(drops == 1);
    CHECK(distflow_node_try_send(echo, "asks", "1", 1) == DISTFLOW_CLOSED);
    distflow_stats stats;
    stats.struct_size = sizeof stats;
    OK(distflow_node_stats(echo, &stats));
    CHECK(stats.sent == 2 && stats.delivered == 2);
    distflow_node_free(echo);
    CHECK(distflow_node_close(echo, 0) == DISTFLOW_INVALID_HANDLE);

    distflow_event event;
    OK(distflow_node_recv_event(node, LIMIT_MS, &event));
    CHECK(event.kind == DISTFLOW_EVENT_PEER_LEAVE);
    CHECK(strcmp(event.peer.alias.data, "echo") == 0);
    CHECK(strcmp(event.cause.data, "unregistered") == 0);
    distflow_event_free(&event);

    distflow_node_free(node);
    distflow_pmd_free(pmd);
    printf("all is as it was\n");
    return 0;
}
