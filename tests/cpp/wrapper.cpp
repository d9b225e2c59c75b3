// What distflow.hpp promises beyond distflow.h. Ends with 0 if all of it holds.

#include <distflow.hpp>
#include <distflow.hpp>
#include <future>
#include <iostream>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;

std::string version_of_second_unit();

namespace {

void expect(bool holds, const char *what, int line) {
    if (!holds) {
        std::cerr << "line " << line << ": not so: " << what << std::endl;
        std::exit(1);
    }
}
#define EXPECT(condition) expect(static_cast<bool>(condition), #condition, __LINE__)

template <class Call>
distflow_status status_of(Call call) {
    try {
        call();
        return DISTFLOW_OK;
    } catch (const distflow::Error &error) {
        EXPECT(error.what() != std::string());
        EXPECT(error.name() == std::string(distflow_status_name(error.status())));
        return error.status();
    }
}

template <class Type>
constexpr bool is_owner = std::is_nothrow_move_constructible_v<Type> &&
                          std::is_nothrow_move_assignable_v<Type> &&
                          !std::is_copy_constructible_v<Type> && !std::is_copy_assignable_v<Type>;
static_assert(is_owner<distflow::Node> && is_owner<distflow::Pmd>);
static_assert(is_owner<distflow::PmdClient> && is_owner<distflow::Message>);
static_assert(is_owner<distflow::Messages> && is_owner<distflow::Event>);
static_assert(is_owner<distflow::Peers> && is_owner<distflow::Peer>);
static_assert(std::is_copy_constructible_v<distflow::NodeRef>);
static_assert(noexcept(std::declval<distflow::Node &>().try_send("", "")));

distflow::NodeOptions options(const distflow::Pmd &pmd, const char *alias) {
    distflow::NodeOptions options;
    options.alias = alias;
    options.pmd_port = pmd.port();
    options.auto_start = false;
    return options;
}

distflow::Pmd open_pmd() {
    distflow::PmdOptions options;
    options.port = 0;
    return distflow::Pmd(options);
}

void defaults() {
    distflow_node_options raw;
    distflow_node_options_init(&raw, sizeof raw);
    const distflow_node_options mine = distflow::NodeOptions().raw();
    EXPECT(mine.struct_size == raw.struct_size && mine.alias == nullptr);
    EXPECT(mine.pmd_port == 4369 && mine.auto_start == 1 && mine.embed_pmd == 0);
    EXPECT(mine.start_timeout_ms == raw.start_timeout_ms && mine.overflow == raw.overflow);
    EXPECT(mine.mailbox_messages_max == 1000 && mine.keepalive_probes == 3);
    EXPECT(distflow::PmdOptions().raw().nodes_max == 65536);
    distflow::NodeOptions wrong;
    wrong.start_timeout = -1ms;
    EXPECT(status_of([&] { (void)wrong.raw(); }) == DISTFLOW_INVALID_ARGUMENT);
    wrong = {};
    wrong.alias = std::string("a\0b", 3);
    EXPECT(status_of([&] { (void)wrong.raw(); }) == DISTFLOW_INVALID_ARGUMENT);
    EXPECT(distflow::version() == version_of_second_unit());
}

void messages() {
    const distflow::Pmd pmd = open_pmd();
    distflow::Node one(options(pmd, "one"));
    distflow::Node two(options(pmd, "two"));
    EXPECT(one.alias() == "one" && one.id().size() == 16 && one.is_registered());

    EXPECT(!two.recv(0ms));
    one.send("two", R"({"n": 1})", 5s);
    const auto message = two.recv(5s);
    EXPECT(message && message->payload() == R"({"n": 1})" && message->from() == one.id());
    EXPECT(message->timestamp_ms() > 0);

    // An owner that was moved from is empty, and can be used again.
    distflow::Message first = [&] {
        one.send("two", "1");
        return two.recv();
    }();
    distflow::Message second = std::move(first);
    EXPECT(second.payload() == "1" && first.payload().empty());
    one.send("two", "2");
    EXPECT(two.try_recv(second, 5s) && second.payload() == "2");
    EXPECT(two.try_recv(second).status() == DISTFLOW_TIMEOUT && second.payload().empty());

    for (int n = 0; n < 10; n++) {
        one.send("two", std::to_string(n));
    }
    int next = 0;
    while (next < 10) {
        for (const distflow::MessageView received : two.recv_many(4, 5s)) {
            EXPECT(received.payload() == std::to_string(next++));
        }
    }
    EXPECT(two.recv_many(4, 0ms).empty());
    EXPECT(two.stats().delivered == 13);

    const std::string_view with_nul("two\0", 4);
    EXPECT(one.try_send(with_nul, "1").status() == DISTFLOW_INVALID_ARGUMENT);
    EXPECT(status_of([&] { one.send(with_nul, "1"); }) == DISTFLOW_INVALID_ARGUMENT);
    EXPECT(one.try_send("nobody", "1").name() == std::string("resolve_failed"));
    EXPECT(one.try_send(std::string(10000, 'x'), "1").status() != DISTFLOW_OK);
    EXPECT(one.try_send("two", "{").status() == DISTFLOW_INVALID_JSON);
    EXPECT(one.try_send("two", {}));
    EXPECT(two.recv().payload().empty());
    EXPECT(status_of([&] { distflow::Node(options(pmd, "one")); }) == DISTFLOW_ALIAS_IN_USE);

    // Handles move with their owners.
    distflow::Node three(std::move(two));
    EXPECT(three.alias() == "two");
    EXPECT(status_of([&] { (void)two.alias(); }) == DISTFLOW_INVALID_HANDLE);
    one = std::move(three);
    EXPECT(one.alias() == "two");
    const distflow::NodeRef stale = one.ref();
    one = distflow::Node(options(pmd, "one"));
    EXPECT(status_of([&] { (void)stale.alias(); }) == DISTFLOW_INVALID_HANDLE);
    EXPECT(one.try_close(5s));
    EXPECT(status_of([&] { (void)one.recv(); }) == DISTFLOW_CLOSED);
}

void events_and_peers() {
    const distflow::Pmd pmd = open_pmd();
    const distflow::Node one(options(pmd, "one"));
    one.watch();
    EXPECT(one.fd() >= 0 && one.fd() == one.fd());
    {
        const distflow::Node two(options(pmd, "two"));
        const auto event = one.recv_event(5s);
        EXPECT(event && event->kind() == distflow::EventKind::peer_join);
        EXPECT(event->peer().alias() == "two" && event->peer().port() == two.port());

        const distflow::PmdClient client(pmd.port());
        EXPECT(client.list().size() == 2 && client.list("t").size() == 1);
        EXPECT(one.discover("t").size() == 1 && one.peers()[0].alias() == "two");
        const distflow::Peer peer = client.resolve("two");
        EXPECT(peer.node_id() == two.id() && peer.host() == "localhost");
        EXPECT(status_of([&] { (void)client.resolve("x"); }) == DISTFLOW_NODE_NOT_FOUND);
        std::vector<std::string> aliases;
        for (const distflow::PeerView registered : pmd.snapshot()) {
            aliases.emplace_back(registered.alias());
        }
        EXPECT((aliases == std::vector<std::string>{"one", "two"}));
    }
    auto left = one.recv_event(5s);
    EXPECT(left && left->kind() == distflow::EventKind::peer_leave);
    const distflow::Event moved = *std::move(left);
    EXPECT(moved.peer().alias() == "two" && moved.cause() == "unregistered");
    distflow::Event none;
    EXPECT(one.try_recv_event(none).status() == DISTFLOW_TIMEOUT);
}

void callbacks() {
    const distflow::Pmd pmd = open_pmd();
    std::promise<std::string> pmd_saw;
    pmd.on_event([&, done = false](const distflow::EventView &event) mutable {
        if (!std::exchange(done, true)) {
            pmd_saw.set_value(std::string(event.peer().alias()));
        }
    });
    const distflow::Node one(options(pmd, "one"));
    EXPECT(pmd_saw.get_future().get() == "one");

    // What a callback holds ends with it.
    auto held = std::make_shared<int>(1);
    distflow::Node echo(options(pmd, "echo"));
    echo.on_message([held, node = echo.ref()](const distflow::MessageView &message) {
        node.send(message.from(), message.payload());
    });
    one.send("echo", "[1]");
    EXPECT(one.recv().payload() == "[1]");
    EXPECT(held.use_count() == 2);
    echo.close(5s);
    EXPECT(held.use_count() == 1);
    EXPECT(status_of([&] { echo.on_message([held](const auto &) {}); }) == DISTFLOW_CLOSED);
    EXPECT(held.use_count() == 1);
    EXPECT(status_of([&] { one.on_message(nullptr); }) == DISTFLOW_INVALID_ARGUMENT);

    // Exceptions stay in the callback, and those after them come all the same.
    distflow::Node throws(options(pmd, "throws"));
    std::promise<std::string> caught;
    distflow::set_exception_handler([&](std::exception_ptr exception) {
        try {
            std::rethrow_exception(exception);
        } catch (const std::exception &error) {
            caught.set_value(error.what());
        }
        throw 1;  // Reported on standard error, and no more than that.
    });
    std::promise<void> gone_on;
    throws.on_messages([&](const distflow::MessagesView &messages) {
        if (messages[0].payload() == "1") {
            throw std::runtime_error("thrown on purpose");
        }
        gone_on.set_value();
    });
    one.send("throws", "1");
    EXPECT(caught.get_future().get() == "thrown on purpose");
    one.send("throws", "2");
    gone_on.get_future().get();
    EXPECT(distflow::exceptions_caught() == 1);
    throws.close();
    distflow::set_exception_handler(nullptr);

    distflow::Node reports(options(pmd, "reports"));
    reports.on_message([](const distflow::MessageView &) {
        throw std::runtime_error("reported on purpose");
    });
    one.send("reports", "1");
    reports.close();
    EXPECT(distflow::exceptions_caught() == 2);
}

void log() {
    std::promise<std::string> record;
    distflow::set_log(distflow::LogLevel::trace,
                      [&, done = false](const distflow::LogRecordView &got) mutable {
                          if (!std::exchange(done, true)) {
                              record.set_value(std::string(got.target()));
                          }
                      });
    const distflow::Pmd pmd = open_pmd();
    const distflow::Node node(options(pmd, "logs"));
    EXPECT(record.get_future().get().find("distflow") == 0);
    distflow::set_log_off();
}

}  // namespace

int main() {
    defaults();
    messages();
    events_and_peers();
    callbacks();
    log();
    std::cout << "done" << std::endl;
}
