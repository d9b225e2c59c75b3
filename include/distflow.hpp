/*
 * distflow for C++17 and later: a thin wrapper of distflow.h. MIT licence.
 *
 *     #include <distflow.hpp>
 *     #include <iostream>
 *     int main() {
 *         distflow::Node node("hello");
 *         for (;;) std::cout << node.recv().payload() << std::endl;
 *     }
 *
 * What distflow.h says of a function holds for the method of the same name. In addition:
 *
 * - Node, Pmd, PmdClient, Doc, Session and SessionList own a handle: they can be moved, not copied,
 *   and close when they end; a Session is left then.
 *   A NodeRef owns nothing and can be copied; used after its node has ended, it gives
 *   DISTFLOW_INVALID_HANDLE. Callbacks capture node.ref(), never a Node that may move.
 * - Methods throw distflow::Error. Those named try_… never throw and return a Result.
 * - Message, Messages, Event, Peer and Peers own what they hold. A …View and every
 *   std::string_view borrows from its owner, or is valid during a callback.
 * - Payloads are JSON text. Timeouts are milliseconds; distflow::forever is no limit.
 * - An exception in a callback goes no further: it is counted and reported, see
 *   distflow::set_exception_handler.
 */

#ifndef DISTFLOW_HPP
#define DISTFLOW_HPP

#if __cplusplus < 201703L && (!defined(_MSVC_LANG) || _MSVC_LANG < 201703L)
#error "distflow.hpp needs C++17 or later; distflow.h works with every version"
#endif

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "distflow.h"

namespace distflow {

/// A timeout without a limit.
inline constexpr std::chrono::milliseconds forever{-1};

/// What a method that fails throws: what() is the text for people.
class Error : public std::runtime_error {
public:
    Error(distflow_status status, const std::string &text)
        : std::runtime_error(text), status_(status) {}

    /// One of the numbers of distflow.h, such as DISTFLOW_ALIAS_IN_USE.
    distflow_status status() const noexcept { return status_; }
    /// Its name, such as alias_in_use; the same in every language.
    const char *name() const noexcept { return distflow_status_name(status_); }

private:
    distflow_status status_;
};

/// What a method that never throws returns. True means success.
class [[nodiscard]] Result {
public:
    explicit Result(distflow_status status) noexcept : status_(status) {}

    explicit operator bool() const noexcept { return status_ == DISTFLOW_OK; }
    distflow_status status() const noexcept { return status_; }
    const char *name() const noexcept { return distflow_status_name(status_); }

private:
    distflow_status status_;
};

namespace detail {

[[noreturn]] inline void fail(distflow_status status) {
    std::string text = distflow_status_name(status);
    std::size_t len = 0;
    if (distflow_last_error(nullptr, 0, &len) == status && len > 0) {
        // One byte more for the NUL that is written behind the text.
        text.resize(len + 1);
        distflow_last_error(text.data(), text.size(), nullptr);
        text.resize(len);
    }
    throw Error(status, text);
}

inline void check(distflow_status status) {
    if (status != DISTFLOW_OK) {
        fail(status);
    }
}

/// Every way into the library passes here, so that a program never works with a library of
/// another ABI than the header it was compiled with.
inline void check_abi() {
    static const distflow_status status = distflow_check_abi(DISTFLOW_ABI_VERSION);
    if (status != DISTFLOW_OK) {
        throw Error(status, "the program was compiled for distflow ABI " +
                                std::to_string(DISTFLOW_ABI_VERSION) +
                                ", which the library (version " + distflow_version() +
                                ") does not have");
    }
}

/// Owns a handle: moved, not copied, and freed at its end. Passed to C as the handle itself.
template <class Raw, void (*Free)(Raw *)>
class Handle {
public:
    Handle() noexcept = default;
    Handle(Handle &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    Handle &operator=(Handle &&other) noexcept {
        if (this != &other) {
            Free(std::exchange(raw_, std::exchange(other.raw_, nullptr)));
        }
        return *this;
    }
    ~Handle() { Free(raw_); }

    operator Raw *() const noexcept { return raw_; }
    /// For a function of distflow.h that opens one.
    Raw **out() noexcept { return &raw_; }

private:
    Raw *raw_ = nullptr;
};

/// A name as C takes it. The usual ones need no memory, so that try_send allocates none.
class Name {
public:
    explicit Name(std::string_view text) noexcept {
        if (text.find('\0') != std::string_view::npos) {
            // C would take a part of it for the whole.
            status_ = DISTFLOW_INVALID_ARGUMENT;
            return;
        }
        char *copy = short_;
        if (text.size() >= sizeof short_) {
            long_.reset(new (std::nothrow) char[text.size() + 1]);
            copy = long_.get();
            if (copy == nullptr) {
                status_ = DISTFLOW_IO;
                return;
            }
        }
        text.copy(copy, text.size());
        copy[text.size()] = '\0';
        text_ = copy;
    }
    Name(const Name &) = delete;
    Name &operator=(const Name &) = delete;

    distflow_status status() const noexcept { return status_; }
    const char *get() const noexcept { return text_; }

    /// The text, or an exception.
    const char *checked() const {
        if (status_ != DISTFLOW_OK) {
            throw Error(status_, status_ == DISTFLOW_INVALID_ARGUMENT
                                     ? "a name holds a NUL byte"
                                     : "no memory for a name");
        }
        return text_;
    }

private:
    char short_[256];
    std::unique_ptr<char[]> long_;
    const char *text_ = nullptr;
    distflow_status status_ = DISTFLOW_OK;
};

/// The text of an option; empty means the default.
inline const char *option(const std::string &text) {
    if (text.find('\0') != std::string::npos) {
        throw Error(DISTFLOW_INVALID_ARGUMENT, "an option holds a NUL byte");
    }
    return text.empty() ? nullptr : text.c_str();
}

inline std::uint64_t option(std::chrono::milliseconds time) {
    if (time.count() < 0) {
        throw Error(DISTFLOW_INVALID_ARGUMENT, "a time of the options is negative");
    }
    return static_cast<std::uint64_t>(time.count());
}

inline std::chrono::milliseconds time(std::uint64_t ms) noexcept {
    return std::chrono::milliseconds(static_cast<std::int64_t>(ms));
}

inline std::string_view view(const distflow_bytes &bytes) noexcept {
    return {bytes.data, bytes.len};
}

inline std::string take(distflow_buf &buf) {
    const std::unique_ptr<distflow_buf, void (*)(distflow_buf *)> owner(&buf, distflow_buf_free);
    return std::string(buf.data, buf.len);
}

inline const distflow_node_options &node_defaults() noexcept {
    static const distflow_node_options defaults = [] {
        distflow_node_options options{};
        distflow_node_options_init(&options, sizeof options);
        return options;
    }();
    return defaults;
}

inline const distflow_pmd_options &pmd_defaults() noexcept {
    static const distflow_pmd_options defaults = [] {
        distflow_pmd_options options{};
        distflow_pmd_options_init(&options, sizeof options);
        return options;
    }();
    return defaults;
}

}  // namespace detail

/// Version of the library that is loaded.
inline std::string_view version() noexcept { return distflow_version(); }

/// A node as the registry describes it. Borrowed.
class PeerView {
public:
    PeerView() noexcept = default;
    explicit PeerView(const distflow_peer &raw) noexcept : raw_(raw) {}

    std::string_view node_id() const noexcept { return detail::view(raw_.node_id); }
    /// Empty when it has none.
    std::string_view alias() const noexcept { return detail::view(raw_.alias); }
    std::string_view host() const noexcept { return detail::view(raw_.host); }
    std::uint16_t port() const noexcept { return raw_.port; }
    /// A JSON array of strings, or empty.
    std::string_view capabilities() const noexcept { return detail::view(raw_.capabilities); }
    /// A JSON object, or empty.
    std::string_view meta() const noexcept { return detail::view(raw_.meta); }
    std::uint64_t last_heartbeat_ms() const noexcept { return raw_.last_heartbeat_ms; }

protected:
    distflow_peer raw_{};
};

/// A message. Borrowed.
class MessageView {
public:
    MessageView() noexcept = default;
    explicit MessageView(const distflow_message &raw) noexcept : raw_(raw) {}

    /// Node id of the sender, by its own claim.
    std::string_view from() const noexcept { return detail::view(raw_.from); }
    /// One JSON value; empty when there is no payload at all.
    std::string_view payload() const noexcept { return detail::view(raw_.payload); }
    std::uint64_t timestamp_ms() const noexcept { return raw_.timestamp_ms; }
    /// Alias of the sender, by its own claim; empty when it has none.
    std::string_view alias() const noexcept { return detail::view(raw_.alias); }

protected:
    distflow_message raw_{};
};

/// What happened. Later versions may report other numbers, which a program should ignore.
enum class EventKind : std::int32_t {
    peer_join = DISTFLOW_EVENT_PEER_JOIN,
    peer_leave = DISTFLOW_EVENT_PEER_LEAVE,
    pmd_lost = DISTFLOW_EVENT_PMD_LOST,
    pmd_restored = DISTFLOW_EVENT_PMD_RESTORED,
    registration_refused = DISTFLOW_EVENT_REGISTRATION_REFUSED,
    mailbox_overflow = DISTFLOW_EVENT_MAILBOX_OVERFLOW,
    send_failed = DISTFLOW_EVENT_SEND_FAILED,
    pmd_stopped = DISTFLOW_EVENT_PMD_STOPPED,
};

/// Something that happened; kind() says which of the others count. Borrowed.
class EventView {
public:
    EventView() noexcept = default;
    explicit EventView(const distflow_event &raw) noexcept : raw_(raw) {}

    EventKind kind() const noexcept { return static_cast<EventKind>(raw_.kind); }
    PeerView peer() const noexcept { return PeerView(raw_.peer); }
    std::string_view cause() const noexcept { return detail::view(raw_.cause); }
    std::string_view target() const noexcept { return detail::view(raw_.target); }
    std::uint64_t count() const noexcept { return raw_.count; }
    distflow_status status() const noexcept { return raw_.status; }
    std::string_view text() const noexcept { return detail::view(raw_.text); }

protected:
    distflow_event raw_{};
};

/// A view that owns what it shows.
template <class Raw, class View, void (*Free)(Raw *)>
class Owned : public View {
public:
    Owned() noexcept = default;
    Owned(Owned &&other) noexcept : View(std::exchange(other.raw_, Raw{})) {}
    Owned &operator=(Owned &&other) noexcept {
        if (this != &other) {
            *out() = std::exchange(other.raw_, Raw{});
        }
        return *this;
    }
    ~Owned() { Free(&this->raw_); }

    /// The struct, for a function of distflow.h to fill in. What it held is released first.
    Raw *out() noexcept {
        Free(&this->raw_);
        return &this->raw_;
    }
};

using Message = Owned<distflow_message, MessageView, distflow_message_free>;
using Event = Owned<distflow_event, EventView, distflow_event_free>;

/// Several items, borrowed: a range of views.
template <class Raw, class RawItem, class View>
class ListView {
public:
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = View;
        using difference_type = std::ptrdiff_t;
        using pointer = const View *;
        using reference = View;

        explicit iterator(const RawItem *item = nullptr) noexcept : item_(item) {}
        View operator*() const noexcept { return View(*item_); }
        iterator &operator++() noexcept {
            ++item_;
            return *this;
        }
        iterator operator++(int) noexcept { return iterator(item_++); }
        bool operator==(const iterator &other) const noexcept { return item_ == other.item_; }
        bool operator!=(const iterator &other) const noexcept { return item_ != other.item_; }

    private:
        const RawItem *item_;
    };

    ListView() noexcept = default;
    explicit ListView(const Raw &raw) noexcept : raw_(raw) {}

    std::size_t size() const noexcept { return raw_.len; }
    bool empty() const noexcept { return raw_.len == 0; }
    /// index must be less than size().
    View operator[](std::size_t index) const noexcept { return View(raw_.items[index]); }
    iterator begin() const noexcept { return iterator(raw_.items); }
    iterator end() const noexcept { return iterator(raw_.items + raw_.len); }

protected:
    Raw raw_{};
};

using PeersView = ListView<distflow_peers, distflow_peer, PeerView>;
using Peers = Owned<distflow_peers, PeersView, distflow_peers_free>;
using MessagesView = ListView<distflow_messages, distflow_message, MessageView>;
using Messages = Owned<distflow_messages, MessagesView, distflow_messages_free>;

/// One node, owned.
class Peer : public PeerView {
public:
    /// The first of some nodes, of which there must be one.
    explicit Peer(Peers &&peers) noexcept : PeerView(peers[0]), owner_(std::move(peers)) {}

private:
    Peers owner_;
};

/// Takes an exception that left a callback. It may use std::rethrow_exception.
using ExceptionHandler = std::function<void(std::exception_ptr)>;

namespace detail {

struct Exceptions {
    // Protects handler; not held while it runs.
    std::mutex lock;
    std::shared_ptr<const ExceptionHandler> handler;
    std::atomic<std::uint64_t> caught{0};
};

/// Never destroyed: a callback may run while the program ends.
inline Exceptions &exceptions() {
    static Exceptions *const only = new Exceptions;
    return *only;
}

inline void report(const std::exception_ptr &exception) noexcept {
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "distflow: a callback threw an exception: %s\n", error.what());
    } catch (...) {
        std::fprintf(stderr, "distflow: a callback threw what is no std::exception\n");
    }
}

inline void caught(const std::exception_ptr &exception) noexcept {
    Exceptions &all = exceptions();
    all.caught.fetch_add(1, std::memory_order_relaxed);
    try {
        std::unique_lock<std::mutex> guard(all.lock);
        const std::shared_ptr<const ExceptionHandler> handler = all.handler;
        guard.unlock();
        if (handler && *handler) {
            (*handler)(exception);
        } else {
            report(exception);
        }
    } catch (...) {
        report(std::current_exception());
    }
}

/// A function on the heap, and how C calls and ends it. No exception passes through the library.
template <class Function>
class Callback {
public:
    static void *context(Function &&function) {
        check_abi();
        if (!function) {
            throw Error(DISTFLOW_INVALID_ARGUMENT, "the callback is empty");
        }
        // Made now, so that nothing has to be made where nothing may fail.
        exceptions();
        return new Function(std::move(function));
    }

    template <class... Arguments>
    static void call(void *context, const Arguments &...arguments) noexcept {
        try {
            (*static_cast<const Function *>(context))(arguments...);
        } catch (...) {
            caught(std::current_exception());
        }
    }

    static void drop(void *context) noexcept { delete static_cast<Function *>(context); }
};

}  // namespace detail

/// Sets what becomes of exceptions that leave callbacks, for the whole program. Without a handler
/// each is a line on standard error.
inline void set_exception_handler(ExceptionHandler handler) {
    auto shared = std::make_shared<const ExceptionHandler>(std::move(handler));
    detail::Exceptions &all = detail::exceptions();
    const std::lock_guard<std::mutex> guard(all.lock);
    // The earlier one ends with `shared`, after the lock.
    all.handler.swap(shared);
}

/// How many exceptions have left callbacks so far.
inline std::uint64_t exceptions_caught() { return detail::exceptions().caught.load(); }

/// What happens when the mailbox is full.
enum class Overflow : std::int32_t {
    drop_newest = DISTFLOW_OVERFLOW_DROP_NEWEST,
    drop_oldest = DISTFLOW_OVERFLOW_DROP_OLDEST,
    block = DISTFLOW_OVERFLOW_BLOCK,
};

/// How a node is set up; see distflow_node_options. An empty text means its default.
struct NodeOptions {
    std::string alias = {};
    std::string node_id = {};
    std::string pmd_host = {};
    std::uint16_t pmd_port = detail::node_defaults().pmd_port;
    std::string pmd_executable = {};
    std::string listen_host = {};
    std::uint16_t listen_port = detail::node_defaults().listen_port;
    std::string advertised_host = {};
    std::string meta = {};
    bool auto_start = detail::node_defaults().auto_start != 0;
    bool embed_pmd = detail::node_defaults().embed_pmd != 0;
    bool insecure = detail::node_defaults().insecure != 0;
    bool use_heartbeat = detail::node_defaults().use_heartbeat != 0;
    bool exclusive = detail::node_defaults().exclusive != 0;
    Overflow overflow = static_cast<Overflow>(detail::node_defaults().overflow);
    std::uint64_t mailbox_messages_max = detail::node_defaults().mailbox_messages_max;
    std::uint64_t mailbox_bytes_max = detail::node_defaults().mailbox_bytes_max;
    std::uint64_t queue_bytes_max = detail::node_defaults().queue_bytes_max;
    std::uint64_t frame_bytes_max = detail::node_defaults().frame_bytes_max;
    std::chrono::milliseconds frame_deadline =
        detail::time(detail::node_defaults().frame_deadline_ms);
    std::chrono::milliseconds start_timeout =
        detail::time(detail::node_defaults().start_timeout_ms);
    std::chrono::milliseconds request_timeout =
        detail::time(detail::node_defaults().request_timeout_ms);
    std::chrono::milliseconds pmd_auto_shutdown =
        detail::time(detail::node_defaults().pmd_auto_shutdown_ms);
    std::chrono::milliseconds heartbeat_interval =
        detail::time(detail::node_defaults().heartbeat_interval_ms);
    std::chrono::milliseconds keepalive_idle =
        detail::time(detail::node_defaults().keepalive_idle_ms);
    std::chrono::milliseconds keepalive_interval =
        detail::time(detail::node_defaults().keepalive_interval_ms);
    std::uint32_t keepalive_probes = detail::node_defaults().keepalive_probes;
    std::chrono::milliseconds tcp_user_timeout =
        detail::time(detail::node_defaults().tcp_user_timeout_ms);

    /// The same for C; borrows the texts.
    distflow_node_options raw() const {
        distflow_node_options raw = detail::node_defaults();
        raw.alias = detail::option(alias);
        raw.node_id = detail::option(node_id);
        raw.pmd_host = detail::option(pmd_host);
        raw.pmd_port = pmd_port;
        raw.pmd_executable = detail::option(pmd_executable);
        raw.listen_host = detail::option(listen_host);
        raw.listen_port = listen_port;
        raw.advertised_host = detail::option(advertised_host);
        raw.meta = meta.empty() ? nullptr : meta.data();
        raw.meta_len = meta.size();
        raw.auto_start = auto_start ? 1 : 0;
        raw.embed_pmd = embed_pmd ? 1 : 0;
        raw.insecure = insecure ? 1 : 0;
        raw.use_heartbeat = use_heartbeat ? 1 : 0;
        raw.exclusive = exclusive ? 1 : 0;
        raw.overflow = static_cast<std::int32_t>(overflow);
        raw.mailbox_messages_max = mailbox_messages_max;
        raw.mailbox_bytes_max = mailbox_bytes_max;
        raw.queue_bytes_max = queue_bytes_max;
        raw.frame_bytes_max = frame_bytes_max;
        raw.frame_deadline_ms = detail::option(frame_deadline);
        raw.start_timeout_ms = detail::option(start_timeout);
        raw.request_timeout_ms = detail::option(request_timeout);
        raw.pmd_auto_shutdown_ms = detail::option(pmd_auto_shutdown);
        raw.heartbeat_interval_ms = detail::option(heartbeat_interval);
        raw.keepalive_idle_ms = detail::option(keepalive_idle);
        raw.keepalive_interval_ms = detail::option(keepalive_interval);
        raw.keepalive_probes = keepalive_probes;
        raw.tcp_user_timeout_ms = detail::option(tcp_user_timeout);
        return raw;
    }
};

/// A node that someone else owns.
class NodeRef {
public:
    NodeRef() noexcept = default;
    explicit NodeRef(distflow_node *handle) noexcept : handle_(handle) {}

    /// The handle, for functions of distflow.h.
    distflow_node *handle() const noexcept { return handle_; }
    NodeRef ref() const noexcept { return NodeRef(handle_); }

    std::string id() const {
        distflow_buf buf{};
        detail::check(distflow_node_id(handle_, &buf));
        return detail::take(buf);
    }
    /// Empty when it has none.
    std::string alias() const {
        distflow_buf buf{};
        detail::check(distflow_node_alias(handle_, &buf));
        return detail::take(buf);
    }
    std::uint16_t port() const {
        std::uint16_t port = 0;
        detail::check(distflow_node_port(handle_, &port));
        return port;
    }
    bool is_registered() const {
        bool is_registered = false;
        detail::check(distflow_node_is_registered(handle_, &is_registered));
        return is_registered;
    }
    Peers peers() const {
        Peers peers;
        detail::check(distflow_node_peers(handle_, peers.out()));
        return peers;
    }
    /// An empty prefix means everyone.
    Peers discover(std::string_view prefix = {},
                   std::chrono::milliseconds timeout = forever) const {
        Peers peers;
        const detail::Name name(prefix);
        detail::check(
            distflow_node_discover(handle_, name.checked(), timeout.count(), peers.out()));
        return peers;
    }
    distflow_stats stats() const {
        distflow_stats stats{};
        stats.struct_size = sizeof stats;
        detail::check(distflow_node_stats(handle_, &stats));
        return stats;
    }

    /// payload is JSON text; empty sends no payload at all.
    void send(std::string_view target, std::string_view payload,
              std::chrono::milliseconds timeout = forever) const {
        const detail::Name name(target);
        detail::check(distflow_node_send(handle_, name.checked(), payload.data(), payload.size(),
                                         timeout.count()));
    }
    /// Does not wait.
    Result try_send(std::string_view target, std::string_view payload) const noexcept {
        const detail::Name name(target);
        if (name.status() != DISTFLOW_OK) {
            return Result(name.status());
        }
        return Result(
            distflow_node_try_send(handle_, name.get(), payload.data(), payload.size()));
    }

    /// Waits for the next message.
    Message recv() const {
        Message message;
        detail::check(distflow_node_recv(handle_, forever.count(), message.out()));
        return message;
    }
    /// The next message; nothing when the time is over.
    std::optional<Message> recv(std::chrono::milliseconds timeout) const {
        Message message;
        return some(distflow_node_recv(handle_, timeout.count(), message.out()), message);
    }
    Result try_recv(Message &message, std::chrono::milliseconds timeout = {}) const noexcept {
        return Result(distflow_node_recv(handle_, timeout.count(), message.out()));
    }
    /// All that wait, up to max, after waiting for the first; none when the time is over.
    Messages recv_many(std::size_t max, std::chrono::milliseconds timeout = forever) const {
        Messages messages;
        const distflow_status status =
            distflow_node_recv_many(handle_, max, timeout.count(), messages.out());
        if (status != DISTFLOW_TIMEOUT) {
            detail::check(status);
        }
        return messages;
    }

    /// Starts to collect events for recv_event.
    void watch() const { detail::check(distflow_node_watch(handle_)); }
    /// The next event; nothing when the time is over.
    std::optional<Event> recv_event(std::chrono::milliseconds timeout = forever) const {
        Event event;
        return some(distflow_node_recv_event(handle_, timeout.count(), event.out()), event);
    }
    Result try_recv_event(Event &event, std::chrono::milliseconds timeout = {}) const noexcept {
        return Result(distflow_node_recv_event(handle_, timeout.count(), event.out()));
    }
    /// Readable exactly while a message or event waits; for epoll and the like. Borrowed.
    int fd() const {
        int fd = -1;
        detail::check(distflow_node_fd(handle_, &fd));
        return fd;
    }

    /// What the callback gets is valid during the call.
    void on_message(std::function<void(const MessageView &)> callback) const {
        using Callback = detail::Callback<std::function<void(const MessageView &)>>;
        detail::check(distflow_node_on_message(
            handle_,
            [](distflow_node *, const distflow_message *message, void *context) noexcept {
                Callback::call(context, MessageView(*message));
            },
            Callback::context(std::move(callback)), Callback::drop));
    }
    /// Like on_message, with all that wait at once.
    void on_messages(std::function<void(const MessagesView &)> callback) const {
        using Callback = detail::Callback<std::function<void(const MessagesView &)>>;
        detail::check(distflow_node_on_messages(
            handle_,
            [](distflow_node *, const distflow_message *messages, std::size_t len,
               void *context) noexcept {
                Callback::call(context, MessagesView(distflow_messages{messages, len, nullptr}));
            },
            Callback::context(std::move(callback)), Callback::drop));
    }
    void on_event(std::function<void(const EventView &)> callback) const {
        using Callback = detail::Callback<std::function<void(const EventView &)>>;
        detail::check(distflow_node_on_event(
            handle_,
            [](distflow_node *, const distflow_event *event, void *context) noexcept {
                Callback::call(context, EventView(*event));
            },
            Callback::context(std::move(callback)), Callback::drop));
    }

    /// After it has returned, no callback of this node runs.
    void close(std::chrono::milliseconds timeout = forever) const {
        detail::check(distflow_node_close(handle_, timeout.count()));
    }
    Result try_close(std::chrono::milliseconds timeout = forever) const noexcept {
        return Result(distflow_node_close(handle_, timeout.count()));
    }

protected:
    template <class Item>
    static std::optional<Item> some(distflow_status status, Item &item) {
        if (status == DISTFLOW_TIMEOUT) {
            return std::nullopt;
        }
        detail::check(status);
        return std::optional<Item>(std::move(item));
    }

    distflow_node *handle_ = nullptr;
};

/// A node: finds or launches the PMD, is found by its alias, sends and receives messages.
class Node : public NodeRef {
public:
    explicit Node(const NodeOptions &options = {}) {
        detail::check_abi();
        const distflow_node_options raw = options.raw();
        detail::check(distflow_node_open(&raw, &handle_));
    }
    explicit Node(std::string_view alias) : Node(with(alias)) {}
    Node(Node &&other) noexcept : NodeRef(std::exchange(other.handle_, nullptr)) {}
    Node &operator=(Node &&other) noexcept {
        if (this != &other) {
            distflow_node_free(std::exchange(handle_, std::exchange(other.handle_, nullptr)));
        }
        return *this;
    }
    ~Node() { distflow_node_free(handle_); }

private:
    static NodeOptions with(std::string_view alias) {
        NodeOptions options;
        options.alias = alias;
        return options;
    }
};

/// How a PMD is set up; see distflow_pmd_options. An empty text means its default.
struct PmdOptions {
    std::string host = {};
    std::uint16_t port = detail::pmd_defaults().port;
    bool insecure = detail::pmd_defaults().insecure != 0;
    std::chrono::milliseconds auto_shutdown =
        detail::time(detail::pmd_defaults().auto_shutdown_ms);
    std::chrono::milliseconds heartbeat_ttl =
        detail::time(detail::pmd_defaults().heartbeat_ttl_ms);
    std::chrono::milliseconds heartbeat_expel =
        detail::time(detail::pmd_defaults().heartbeat_expel_ms);
    std::chrono::milliseconds probe = detail::time(detail::pmd_defaults().probe_ms);
    std::uint64_t frame_bytes_max = detail::pmd_defaults().frame_bytes_max;
    std::chrono::milliseconds frame_deadline =
        detail::time(detail::pmd_defaults().frame_deadline_ms);
    std::uint64_t connections_max = detail::pmd_defaults().connections_max;
    std::uint64_t nodes_max = detail::pmd_defaults().nodes_max;
    std::uint64_t nodes_per_connection_max = detail::pmd_defaults().nodes_per_connection_max;
    std::uint64_t watcher_queue_bytes_max = detail::pmd_defaults().watcher_queue_bytes_max;
    std::chrono::milliseconds keepalive_idle =
        detail::time(detail::pmd_defaults().keepalive_idle_ms);
    std::chrono::milliseconds keepalive_interval =
        detail::time(detail::pmd_defaults().keepalive_interval_ms);
    std::uint32_t keepalive_probes = detail::pmd_defaults().keepalive_probes;
    std::chrono::milliseconds tcp_user_timeout =
        detail::time(detail::pmd_defaults().tcp_user_timeout_ms);

    /// The same for C; borrows the text.
    distflow_pmd_options raw() const {
        distflow_pmd_options raw = detail::pmd_defaults();
        raw.host = detail::option(host);
        raw.port = port;
        raw.insecure = insecure ? 1 : 0;
        raw.auto_shutdown_ms = detail::option(auto_shutdown);
        raw.heartbeat_ttl_ms = detail::option(heartbeat_ttl);
        raw.heartbeat_expel_ms = detail::option(heartbeat_expel);
        raw.probe_ms = detail::option(probe);
        raw.frame_bytes_max = frame_bytes_max;
        raw.frame_deadline_ms = detail::option(frame_deadline);
        raw.connections_max = connections_max;
        raw.nodes_max = nodes_max;
        raw.nodes_per_connection_max = nodes_per_connection_max;
        raw.watcher_queue_bytes_max = watcher_queue_bytes_max;
        raw.keepalive_idle_ms = detail::option(keepalive_idle);
        raw.keepalive_interval_ms = detail::option(keepalive_interval);
        raw.keepalive_probes = keepalive_probes;
        raw.tcp_user_timeout_ms = detail::option(tcp_user_timeout);
        return raw;
    }
};

/// A PMD in this process: the registry that nodes find each other by.
class Pmd {
public:
    explicit Pmd(const PmdOptions &options = {}) {
        detail::check_abi();
        const distflow_pmd_options raw = options.raw();
        detail::check(distflow_pmd_open(&raw, handle_.out()));
    }

    distflow_pmd *handle() const noexcept { return handle_; }
    std::uint16_t port() const {
        std::uint16_t port = 0;
        detail::check(distflow_pmd_port(handle_, &port));
        return port;
    }
    bool is_running() const {
        bool is_running = false;
        detail::check(distflow_pmd_is_running(handle_, &is_running));
        return is_running;
    }
    Peers snapshot() const {
        Peers peers;
        detail::check(distflow_pmd_snapshot(handle_, peers.out()));
        return peers;
    }
    /// The next event; nothing when the time is over.
    std::optional<Event> recv_event(std::chrono::milliseconds timeout = forever) const {
        Event event;
        const distflow_status status =
            distflow_pmd_recv_event(handle_, timeout.count(), event.out());
        if (status == DISTFLOW_TIMEOUT) {
            return std::nullopt;
        }
        detail::check(status);
        return std::optional<Event>(std::move(event));
    }
    Result try_recv_event(Event &event, std::chrono::milliseconds timeout = {}) const noexcept {
        return Result(distflow_pmd_recv_event(handle_, timeout.count(), event.out()));
    }
    /// Readable exactly while an event waits. Borrowed.
    int fd() const {
        int fd = -1;
        detail::check(distflow_pmd_fd(handle_, &fd));
        return fd;
    }
    void on_event(std::function<void(const EventView &)> callback) const {
        using Callback = detail::Callback<std::function<void(const EventView &)>>;
        detail::check(distflow_pmd_on_event(
            handle_,
            [](distflow_pmd *, const distflow_event *event, void *context) noexcept {
                Callback::call(context, EventView(*event));
            },
            Callback::context(std::move(callback)), Callback::drop));
    }
    /// After it has returned, no callback of this PMD runs.
    void close(std::chrono::milliseconds timeout = forever) const {
        detail::check(distflow_pmd_close(handle_, timeout.count()));
    }
    Result try_close(std::chrono::milliseconds timeout = forever) const noexcept {
        return Result(distflow_pmd_close(handle_, timeout.count()));
    }

private:
    detail::Handle<distflow_pmd, distflow_pmd_free> handle_;
};

/// A connection to a PMD, to ask it without being a node.
class PmdClient {
public:
    /// An empty host means localhost.
    explicit PmdClient(std::uint16_t port = detail::node_defaults().pmd_port,
                       const std::string &host = {},
                       std::chrono::milliseconds timeout = forever) {
        detail::check_abi();
        detail::check(distflow_pmd_client_open(detail::option(host), port, timeout.count(),
                                               handle_.out()));
    }

    distflow_pmd_client *handle() const noexcept { return handle_; }
    /// An empty prefix means all.
    Peers list(std::string_view prefix = {}, std::chrono::milliseconds timeout = forever) const {
        Peers peers;
        const detail::Name name(prefix);
        detail::check(
            distflow_pmd_client_list(handle_, name.checked(), timeout.count(), peers.out()));
        return peers;
    }
    /// By alias or node id; throws DISTFLOW_NODE_NOT_FOUND.
    Peer resolve(std::string_view text, std::chrono::milliseconds timeout = forever) const {
        Peers peers;
        const detail::Name name(text);
        detail::check(
            distflow_pmd_client_resolve(handle_, name.checked(), timeout.count(), peers.out()));
        return Peer(std::move(peers));
    }
    /// Ends the PMD.
    void kill(std::chrono::milliseconds timeout = forever) const {
        detail::check(distflow_pmd_client_kill(handle_, timeout.count()));
    }
    void close() const { detail::check(distflow_pmd_client_close(handle_)); }

private:
    detail::Handle<distflow_pmd_client, distflow_pmd_client_free> handle_;
};

/// What became of an operation that was received.
enum class Outcome : std::int32_t {
    duplicate = DISTFLOW_DOC_DUPLICATE,
    applied = DISTFLOW_DOC_APPLIED,
    pending = DISTFLOW_DOC_PENDING,
};

/// Operations for a peer: a JSON array, or bytes.
struct Difference {
    std::string ops = {};
    /// Whether that is all; otherwise the peer needs a snapshot.
    bool is_complete = false;
};

/// A shared document: a JSON value that several replicas change at once, and that becomes the same
/// everywhere. Values, operations, clocks and options are JSON text; a path is a JSON pointer, a
/// JSON array, or one key.
class Doc {
public:
    /// Empty texts mean {}. With "directory" in the options, it is kept there.
    explicit Doc(std::string_view replica, std::string_view initial = {},
                 std::string_view options = {}) {
        detail::check_abi();
        const detail::Name name(replica);
        detail::check(distflow_doc_open(name.checked(), initial.data(), initial.size(),
                                        options.data(), options.size(), handle_.out()));
    }

    distflow_doc *handle() const noexcept { return handle_; }
    std::string replica() const { return text(distflow_doc_replica); }
    std::string source() const { return text(distflow_doc_source); }

    /// Gives the operation, for the other replicas.
    std::string set(std::string_view path, std::string_view value) {
        const detail::Name name(path);
        distflow_buf buf{};
        detail::check(
            distflow_doc_set(handle_, name.checked(), value.data(), value.size(), &buf));
        return detail::take(buf);
    }
    std::string erase(std::string_view path) {
        const detail::Name name(path);
        distflow_buf buf{};
        detail::check(distflow_doc_delete(handle_, name.checked(), &buf));
        return detail::take(buf);
    }
    /// Nothing when nothing is there.
    std::optional<std::string> get(std::string_view path) const {
        const detail::Name name(path);
        distflow_buf buf{};
        detail::check(distflow_doc_get(handle_, name.checked(), &buf));
        std::string found = detail::take(buf);
        return found.empty() ? std::nullopt : std::optional<std::string>(std::move(found));
    }
    std::string json() const { return text(distflow_doc_json); }
    std::string canonical() const { return text(distflow_doc_canonical); }
    std::string hash() const { return text(distflow_doc_hash); }
    std::string clock() const { return text(distflow_doc_clock); }

    Outcome receive(std::string_view op) {
        std::int32_t outcome = 0;
        detail::check(distflow_doc_receive(handle_, op.data(), op.size(), &outcome));
        return static_cast<Outcome>(outcome);
    }
    /// Operations of since or encode_since.
    distflow_doc_received receive_batch(std::string_view ops) {
        distflow_doc_received received{};
        detail::check(distflow_doc_receive_batch(handle_, ops.data(), ops.size(), &received));
        return received;
    }
    /// What somebody with this clock lacks, as a JSON array. An empty clock has seen nothing.
    Difference since(std::string_view clock = {}) const {
        return difference(distflow_doc_since, clock);
    }
    /// The same in bytes.
    Difference encode_since(std::string_view clock = {}) const {
        return difference(distflow_doc_encode_since, clock);
    }
    /// In bytes, like what snapshot_json gives as text.
    std::string snapshot() const { return text(distflow_doc_snapshot); }
    std::string snapshot_json() const { return text(distflow_doc_snapshot_json); }
    /// The same in pieces of text, which merge_piece takes in any order; 0 means 1 MiB for each.
    std::vector<std::string> snapshot_pieces(std::size_t piece_len_max = 0) const {
        distflow_buf buf{};
        detail::check(distflow_doc_snapshot_pieces(handle_, piece_len_max, &buf));
        const std::string all = detail::take(buf);
        std::vector<std::string> pieces;
        for (std::size_t at = 0; at < all.size();) {
            const std::size_t end = all.find('\n', at);
            pieces.push_back(all.substr(at, end - at));
            at = end + 1;
        }
        return pieces;
    }
    /// True: it was the last one that was missing, and the snapshot was merged.
    bool merge_piece(std::string_view piece) {
        bool is_whole = false;
        detail::check(
            distflow_doc_merge_piece(handle_, piece.data(), piece.size(), &is_whole));
        return is_whole;
    }
    void restore(std::string_view snapshot) {
        detail::check(distflow_doc_restore(handle_, snapshot.data(), snapshot.size()));
    }
    void merge(std::string_view snapshot) {
        detail::check(distflow_doc_merge(handle_, snapshot.data(), snapshot.size()));
    }
    static std::string diff_snapshots(std::string_view before, std::string_view after) {
        detail::check_abi();
        distflow_buf buf{};
        detail::check(distflow_doc_diff_snapshots(before.data(), before.size(), after.data(),
                                                  after.size(), &buf));
        return detail::take(buf);
    }

    /// These wait for the disk.
    void flush() { detail::check(distflow_doc_flush(handle_)); }
    void checkpoint() { detail::check(distflow_doc_checkpoint(handle_)); }

    void listen(bool is_listening = true) {
        detail::check(distflow_doc_listen(handle_, is_listening ? 1 : 0));
    }
    /// A JSON array of names and objects.
    std::string events() { return text(distflow_doc_events); }
    std::uint64_t watch(std::string_view pattern) {
        const detail::Name name(pattern);
        std::uint64_t id = 0;
        detail::check(distflow_doc_watch(handle_, name.checked(), &id));
        return id;
    }
    void unwatch(std::uint64_t id) { detail::check(distflow_doc_unwatch(handle_, id)); }

    /// A JSON array of names; empty means that they are not known.
    void set_members(std::string_view members) {
        detail::check(distflow_doc_set_members(handle_, members.data(), members.size()));
    }
    void drain_pending() { detail::check(distflow_doc_drain_pending(handle_)); }
    void clean_pending() { detail::check(distflow_doc_clean_pending(handle_)); }
    /// Negative: as many as the option says.
    void gc_log(std::int64_t keep = -1) { detail::check(distflow_doc_gc_log(handle_, keep)); }
    void gc_tombstones() { detail::check(distflow_doc_gc_tombstones(handle_)); }

    std::string metrics() const { return text(distflow_doc_metrics); }
    std::string metrics_prometheus() const { return text(distflow_doc_metrics_prometheus); }
    std::string causal_graph() const { return text(distflow_doc_causal_graph); }
    std::string inspect(std::string_view options = {}) const {
        distflow_buf buf{};
        detail::check(distflow_doc_inspect(handle_, options.data(), options.size(), &buf));
        return detail::take(buf);
    }
    std::string logged(std::uint64_t from = 0, std::uint64_t to = UINT64_MAX) const {
        distflow_buf buf{};
        detail::check(distflow_doc_logged(handle_, from, to, &buf));
        return detail::take(buf);
    }
    std::string replay(std::uint64_t from = 0, std::uint64_t to = UINT64_MAX) const {
        distflow_buf buf{};
        detail::check(distflow_doc_replay(handle_, from, to, &buf));
        return detail::take(buf);
    }

private:
    template <class Function>
    std::string text(Function function) const {
        distflow_buf buf{};
        detail::check(function(handle_, &buf));
        return detail::take(buf);
    }
    template <class Function>
    Difference difference(Function function, std::string_view clock) const {
        Difference found;
        distflow_buf buf{};
        detail::check(
            function(handle_, clock.data(), clock.size(), &buf, &found.is_complete));
        found.ops = detail::take(buf);
        return found;
    }

    detail::Handle<distflow_doc, distflow_doc_free> handle_;
};

/// Something that happened in a session; distflow_session_event says what each type has. Borrowed.
class SessionEventView {
public:
    SessionEventView() noexcept = default;
    explicit SessionEventView(const distflow_session_event &raw) noexcept : raw_(raw) {}

    /// Its type, such as member_joined.
    std::string_view kind() const noexcept { return detail::view(raw_.kind); }
    std::string_view instance() const noexcept { return detail::view(raw_.instance); }
    std::string_view player() const noexcept { return detail::view(raw_.player); }
    std::string_view name() const noexcept { return detail::view(raw_.name); }
    /// Any bytes.
    std::string_view payload() const noexcept { return detail::view(raw_.payload); }
    /// All of it, as a JSON object.
    std::string_view json() const noexcept { return detail::view(raw_.json); }

protected:
    distflow_session_event raw_{};
};

using SessionEvent = Owned<distflow_session_event, SessionEventView, distflow_session_event_free>;

/// A game session on an MQTT broker that this process has created, joined or looks at. Options of
/// the broker and of a new session are JSON objects, as distflow_session_create has them; empty
/// texts mean {}.
class Session {
public:
    /// An empty id means a new one.
    static Session create(std::string_view broker = {}, std::string_view options = {},
                          std::string_view id = {}) {
        detail::check_abi();
        const detail::Name name(id);
        Session session;
        detail::check(distflow_session_create(broker.data(), broker.size(),
                                              id.empty() ? nullptr : name.checked(),
                                              options.data(), options.size(), session.handle_.out()));
        return session;
    }
    static Session join(std::string_view broker, std::string_view id) {
        return open(distflow_session_join, broker, id);
    }
    /// Looks at a session without being in it.
    static Session observe(std::string_view broker, std::string_view id) {
        return open(distflow_session_observe, broker, id);
    }

    distflow_session *handle() const noexcept { return handle_; }
    std::string id() const { return text(distflow_session_id); }
    /// The id of this instance.
    std::string instance() const { return text(distflow_session_instance); }
    /// The session as it is known here, as a JSON object.
    std::string view() const { return text(distflow_session_view); }

    /// For the creator, at once or after a countdown.
    void start(std::uint32_t countdown_s = 0) const {
        detail::check(distflow_session_start(handle_, countdown_s));
    }
    /// For everybody; for the creator.
    void end() const { detail::check(distflow_session_end(handle_)); }
    /// To a member, or to the one that joined first.
    void hand_over(std::string_view instance = {}) const {
        const detail::Name name(instance);
        detail::check(distflow_session_hand_over(handle_,
                                                 instance.empty() ? nullptr : name.checked()));
    }
    void reserve(std::string_view player) const { of(distflow_session_reserve, player); }
    void release(std::string_view player) const { of(distflow_session_release, player); }
    void register_player(std::string_view player) const { of(distflow_session_register, player); }
    /// A message of the game, to everybody.
    void publish(std::string_view name, std::string_view payload = {}) const {
        const detail::Name text(name);
        detail::check(distflow_session_publish(handle_, text.checked(), payload.data(),
                                               payload.size()));
    }

    /// The next event; nothing when the time is over.
    std::optional<SessionEvent> recv_event(std::chrono::milliseconds timeout = forever) const {
        SessionEvent event;
        const distflow_status status =
            distflow_session_recv_event(handle_, timeout.count(), event.out());
        if (status == DISTFLOW_TIMEOUT) {
            return std::nullopt;
        }
        detail::check(status);
        return std::optional<SessionEvent>(std::move(event));
    }
    Result try_recv_event(SessionEvent &event,
                          std::chrono::milliseconds timeout = {}) const noexcept {
        return Result(distflow_session_recv_event(handle_, timeout.count(), event.out()));
    }
    /// Readable exactly while an event waits. Borrowed.
    int fd() const {
        int fd = -1;
        detail::check(distflow_session_fd(handle_, &fd));
        return fd;
    }
    void on_event(std::function<void(const SessionEventView &)> callback) const {
        using Callback = detail::Callback<std::function<void(const SessionEventView &)>>;
        detail::check(distflow_session_on_event(
            handle_,
            [](distflow_session *, const distflow_session_event *event, void *context) noexcept {
                Callback::call(context, SessionEventView(*event));
            },
            Callback::context(std::move(callback)), Callback::drop));
    }

    /// After it has returned, no callback of this session runs.
    void leave(std::chrono::milliseconds timeout = forever) const {
        detail::check(distflow_session_leave(handle_, timeout.count()));
    }
    Result try_leave(std::chrono::milliseconds timeout = forever) const noexcept {
        return Result(distflow_session_leave(handle_, timeout.count()));
    }

private:
    Session() noexcept = default;

    template <class Function>
    static Session open(Function function, std::string_view broker, std::string_view id) {
        detail::check_abi();
        const detail::Name name(id);
        Session session;
        detail::check(function(broker.data(), broker.size(), name.checked(), session.handle_.out()));
        return session;
    }
    template <class Function>
    std::string text(Function function) const {
        distflow_buf buf{};
        detail::check(function(handle_, &buf));
        return detail::take(buf);
    }
    template <class Function>
    void of(Function function, std::string_view player) const {
        const detail::Name name(player);
        detail::check(function(handle_, name.checked()));
    }

    detail::Handle<distflow_session, distflow_session_free> handle_;
};

/// The list of the sessions on a broker, which keeps itself up to date.
class SessionList {
public:
    explicit SessionList(std::string_view broker = {}) {
        detail::check_abi();
        detail::check(distflow_session_list_open(broker.data(), broker.size(), handle_.out()));
    }

    distflow_session_list *handle() const noexcept { return handle_; }
    /// A JSON object with the sessions and their rows; own is the session that this program is in.
    std::string sessions(std::string_view own = {}) const {
        const detail::Name name(own);
        distflow_buf buf{};
        detail::check(distflow_session_list_sessions(handle_,
                                                     own.empty() ? nullptr : name.checked(), &buf));
        return detail::take(buf);
    }
    /// The number of another state than that of a number; nothing when the time is over.
    std::optional<std::uint64_t> wait(std::uint64_t version = 0,
                                      std::chrono::milliseconds timeout = forever) const {
        std::uint64_t next = 0;
        const distflow_status status =
            distflow_session_list_wait(handle_, version, timeout.count(), &next);
        if (status == DISTFLOW_TIMEOUT) {
            return std::nullopt;
        }
        detail::check(status);
        return next;
    }

private:
    detail::Handle<distflow_session_list, distflow_session_list_free> handle_;
};

/// How much is logged.
enum class LogLevel : std::int32_t {
    off = DISTFLOW_LOG_OFF,
    error = DISTFLOW_LOG_ERROR,
    warn = DISTFLOW_LOG_WARN,
    info = DISTFLOW_LOG_INFO,
    debug = DISTFLOW_LOG_DEBUG,
    trace = DISTFLOW_LOG_TRACE,
};

/// A record of the library's log. Borrowed.
class LogRecordView {
public:
    explicit LogRecordView(const distflow_log_record &raw) noexcept : raw_(raw) {}

    LogLevel level() const noexcept { return static_cast<LogLevel>(raw_.level); }
    std::uint64_t timestamp_ms() const noexcept { return raw_.timestamp_ms; }
    std::string_view target() const noexcept { return detail::view(raw_.target); }
    std::string_view message() const noexcept { return detail::view(raw_.message); }
    /// A JSON object.
    std::string_view fields() const noexcept { return detail::view(raw_.fields); }

private:
    distflow_log_record raw_;
};

/// Sets where the library's log goes, for the whole process.
inline void set_log(LogLevel level, std::function<void(const LogRecordView &)> callback) {
    using Callback = detail::Callback<std::function<void(const LogRecordView &)>>;
    detail::check(distflow_log_set(
        static_cast<std::int32_t>(level),
        [](const distflow_log_record *record, void *context) noexcept {
            Callback::call(context, LogRecordView(*record));
        },
        Callback::context(std::move(callback)), Callback::drop));
}

/// Ends the log.
inline void set_log_off() {
    detail::check(distflow_log_set(DISTFLOW_LOG_OFF, nullptr, nullptr, nullptr));
}

}  // namespace distflow

#endif  // DISTFLOW_HPP
