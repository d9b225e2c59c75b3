// Two processes that talk, in C++17:
//
//     hello-cpp receive          prints a line per message, and answers each
//     hello-cpp send "Hi there"  sends a text and prints the answer
//
// Both take the PMD's port as a further argument; the first of them launches a PMD.

#include <charconv>
#include <distflow.hpp>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace std::chrono_literals;

namespace {

// A text as JSON.
std::string quoted(std::string_view text) {
    std::string json = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            json += '\\';
            json += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            constexpr const char *digits = "0123456789abcdef";
            json += "\\u00";
            json += digits[c >> 4];
            json += digits[c & 15];
        } else {
            json += c;
        }
    }
    return json + '"';
}

void receive(const distflow::Node &node) {
    // The library calls this on a thread of its own.
    node.on_message([node = node.ref()](const distflow::MessageView &message) {
        std::cout << message.from() << " says " << message.payload() << std::endl;
        try {
            node.send(message.from(), message.payload(), 5s);
        } catch (const distflow::Error &error) {
            // The sender may be gone already, which is no reason to end.
            std::cerr << "cannot answer: " << error.what() << std::endl;
        }
    });
    std::cout << "ready" << std::endl;
    // Until the input ends.
    for (std::string line; std::getline(std::cin, line);) {
    }
    node.close(5s);
}

void send(const distflow::Node &node, std::string_view text) {
    node.send("hello-cpp", quoted(text), 5s);
    if (const auto answer = node.recv(5s)) {
        std::cout << "answer: " << answer->payload() << std::endl;
    } else {
        throw distflow::Error(DISTFLOW_TIMEOUT, "no answer");
    }
}

// The port that an argument names; nothing if it is none.
std::optional<std::uint16_t> port_of(std::string_view text) {
    std::uint16_t port = 0;
    const char *const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, port);
    if (error != std::errc() || rest != end || port == 0) {
        return std::nullopt;
    }
    return port;
}

}  // namespace

int main(int argc, char **argv) {
    const std::vector<std::string_view> arguments(argv + 1, argv + argc);
    const bool receives = !arguments.empty() && arguments[0] == "receive";
    const bool sends = arguments.size() >= 2 && arguments[0] == "send";
    const std::size_t words = sends ? 2 : 1;
    std::optional<std::uint16_t> port = 4369;
    if (arguments.size() == words + 1) {
        port = port_of(arguments.back());
    }
    if ((!receives && !sends) || arguments.size() > words + 1 || !port) {
        std::cerr << "usage: hello-cpp receive [PMD-PORT] | hello-cpp send TEXT [PMD-PORT]\n";
        return 2;
    }
    try {
        distflow::NodeOptions options;
        options.alias = receives ? "hello-cpp" : "";
        options.pmd_port = *port;
        const distflow::Node node(options);
        if (receives) {
            receive(node);
        } else {
            send(node, arguments[1]);
        }
        return 0;
    } catch (const distflow::Error &error) {
        std::cerr << error.what() << " (" << error.name() << ")\n";
        return 1;
    }
}
