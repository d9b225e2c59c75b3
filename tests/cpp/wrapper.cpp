// What distflow.hpp promises beyond distflow.h. Ends with 0 if all of it holds.

#include <distflow.hpp>
#include <distflow.hpp>
#include <cstdlib>
#include <future>
#include <iostream>
#include <thread>
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
static_assert(is_owner<distflow::Doc>);
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

void documents() {
    distflow::Doc a("a", R"({"users":{}})");
    distflow::Doc b("b", R"({"users":{}})", R"({"members":["a","b"]})");
    EXPECT(a.replica() == "a" && a.source() == "a" && a.clock() == "{}");
    a.listen();
    const std::uint64_t watch = a.watch("users.*");
    const std::string first = a.set("/users/alice", "1");
    const std::string second = a.set(R"(["users","bob"])", "[2]");
    EXPECT(a.get("/users/bob/0") == "2" && !a.get("/users/carol"));
    EXPECT(b.receive(second) == distflow::Outcome::pending);
    b.drain_pending();
    b.clean_pending();
    EXPECT(b.receive(first) == distflow::Outcome::applied);
    EXPECT(b.receive(first) == distflow::Outcome::duplicate);
    EXPECT(a.json() == b.json() && a.canonical() == b.canonical() && a.hash() == b.hash());
    EXPECT(a.events().find("\"watch\"") != std::string::npos && a.events() == "[]");
    a.unwatch(watch);
    EXPECT(status_of([&] { a.unwatch(watch); }) == DISTFLOW_INVALID_ARGUMENT);

    b.erase("/users/bob");
    const distflow::Difference text = b.since(a.clock());
    EXPECT(text.is_complete && a.receive_batch(text.ops).applied == 1);
    const distflow::Difference bytes = b.encode_since();
    EXPECT(bytes.is_complete && a.receive_batch(bytes.ops).duplicates == 3);
    EXPECT(a.canonical() == R"({"users":{"alice":1}})");
    EXPECT(a.logged(0, 1) == "[" + first + "]" && a.replay(0, 1) == R"({"users":{"alice":1}})");

    const std::string before = a.snapshot_json();
    a.set("/x", "1");
    EXPECT(distflow::Doc::diff_snapshots(before, a.snapshot_json()).find("\"x\"") !=
           std::string::npos);
    distflow::Doc c("c");
    c.restore(a.snapshot());
    b.merge(a.snapshot());
    EXPECT(c.hash() == a.hash() && b.hash() == a.hash());
    a.set_members(R"(["a","b"])");
    a.set_members({});
    a.gc_tombstones();
    a.gc_log(0);
    EXPECT(!a.since().is_complete);
    EXPECT(a.metrics()[0] == '{' && a.inspect()[0] == '{' && a.causal_graph()[0] == '[');
    EXPECT(a.metrics_prometheus().find("\"a\"") != std::string::npos);
    a.flush();
    a.checkpoint();

    const std::string_view with_nul("/x\0", 3);
    EXPECT(status_of([&] { a.set(with_nul, "1"); }) == DISTFLOW_INVALID_ARGUMENT);
    EXPECT(status_of([&] { a.set("/x", "{"); }) == DISTFLOW_INVALID_JSON);
    EXPECT(status_of([&] { b.receive("{}"); }) == DISTFLOW_INVALID_MESSAGE);
    EXPECT(status_of([&] { distflow::Doc("d", {}, "{\"no\":1}"); }) == DISTFLOW_INVALID_ARGUMENT);
    distflow::Doc moved(std::move(c));
    EXPECT(moved.replica() == "c");
    EXPECT(status_of([&] { (void)c.json(); }) == DISTFLOW_INVALID_HANDLE);
    c = std::move(moved);
    EXPECT(c.replica() == "c");
}

void sessions() {
    const char *url = std::getenv("DISTFLOW_TEST_BROKER");
    EXPECT(url != nullptr);
    const std::string broker =
        std::string(R"({"connectTimeoutMs":60000,"url":")") + url + R"("})";
    const distflow::SessionList list(broker);
    const distflow::Session one =
        distflow::Session::create(broker, R"({"playersMin":2,"handOver":true})", "of-cpp");
    EXPECT(one.id() == "of-cpp" && one.instance().size() == 32);
    EXPECT(list.wait(0, std::chrono::seconds(60)).has_value());
    EXPECT(!list.wait(UINT64_MAX - 1, {}).has_value() || !list.sessions().empty());
    EXPECT(list.sessions("of-cpp").find("\"rows\":[") != std::string::npos);

    std::promise<std::string> joined;
    one.on_event([&](const distflow::SessionEventView &event) {
        if (event.kind() == "member_joined") {
            joined.set_value(std::string(event.instance()));
        }
    });
    distflow::Session two = distflow::Session::join(broker, "of-cpp");
    EXPECT(joined.get_future().get() == two.instance());
    const distflow::Session watching = distflow::Session::observe(broker, "of-cpp");
    EXPECT(watching.view().find("observer") != std::string::npos && watching.fd() >= 0);

    const auto next = [](const distflow::Session &session, std::string_view kind) {
        for (;;) {
            std::optional<distflow::SessionEvent> event =
                session.recv_event(std::chrono::seconds(60));
            EXPECT(event.has_value());
            if (event->kind() == kind) {
                return std::move(*event);
            }
        }
    };
    two.reserve("Farmer");
    EXPECT(next(two, "reserved").player() == "Farmer");
    two.register_player("Farmer");
    two.release("Farmer");
    const std::string_view bytes("\0\xff", 2);
    one.publish("move", bytes);
    const distflow::SessionEvent game = next(two, "game");
    EXPECT(game.name() == "move" && game.payload() == bytes && game.json()[0] == '{');
    one.start();
    EXPECT(next(two, "game_started").instance() == one.instance());
    one.hand_over();
    EXPECT(next(two, "creator_changed").instance() == two.instance());
    // It hears of it a little later than its successor.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (one.view().find("\"role\":\"member\"") == std::string::npos) {
        EXPECT(std::chrono::steady_clock::now() < deadline);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT(status_of([&] { one.end(); }) == DISTFLOW_REFUSED);
    distflow::Session moved(std::move(two));
    EXPECT(status_of([&] { (void)two.id(); }) == DISTFLOW_INVALID_HANDLE);
    moved.end();
    one.leave();
    EXPECT(one.try_leave());
    distflow::SessionEvent none;
    while (watching.try_recv_event(none, std::chrono::seconds(60))) {
        if (none.kind() == "ended") {
            break;
        }
    }
    EXPECT(none.kind() == "ended");
    const std::string_view with_nul("a\0b", 3);
    EXPECT(status_of([&] { distflow::Session::join(broker, with_nul); }) ==
           DISTFLOW_INVALID_ARGUMENT);
    EXPECT(status_of([&] { distflow::Session::create(broker, "{\"no\":1}"); }) ==
           DISTFLOW_INVALID_ARGUMENT);
    EXPECT(status_of([&] { distflow::Session::join(broker, "of-nobody"); }) == DISTFLOW_REFUSED);
}

}  // namespace

int main() {
    defaults();
    messages();
    events_and_peers();
    callbacks();
    log();
    documents();
    sessions();
    std::cout << "done" << std::endl;
}
