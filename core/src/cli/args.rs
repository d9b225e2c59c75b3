//! The arguments, and what is said when they are wrong.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::cli::output::{WRONG_USE, err_line, out_line, out_text, print_error};
use crate::error::{Error, ErrorKind as Kind};
use crate::limits;

/// distflow CLI
#[derive(Debug, Parser)]
#[command(
    name = "distflow",
    version,
    about = "distflow CLI",
    long_about = "distflow CLI\n\nErlang-style nodes for any process: a registry (PMD), nodes that find each other \
                  through it, and messages between them.",
    disable_help_subcommand = true
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Where the PMD is.
#[derive(Debug, Clone, Args)]
pub(super) struct Place {
    /// PMD port
    #[arg(long, global = true, default_value_t = limits::PMD_PORT_DEFAULT)]
    pub port: u16,
    /// PMD host; for `pmd start` the host to listen on
    #[arg(long, global = true, default_value = "localhost")]
    pub host: String,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Log to standard error: error, warn, info, debug or trace [env: RUST_LOG, LOG_LEVEL]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<String>,
    /// Log as text or as JSON, one object a line
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    pub log_format: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run or ask the registry (port mapper daemon)
    #[command(subcommand)]
    Pmd(PmdCommand),
    /// Run a node, or send a message as one
    #[command(subcommand)]
    Node(NodeCommand),
    /// Start real processes that find each other, talk, and notice when one is killed
    Demo(DemoOptions),
    /// List, create, join and watch game sessions on an MQTT broker
    #[command(subcommand)]
    Session(SessionCommand),
    /// Run an MQTT broker, for games on a LAN
    #[command(subcommand)]
    Broker(BrokerCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PmdCommand {
    /// Serve, in the foreground or as a daemon
    Start(StartOptions),
    /// Say whether a PMD runs and how many nodes it knows
    Status,
    /// List the registered nodes; as a table on a terminal
    List {
        /// Only nodes whose alias starts with this
        #[arg(long)]
        prefix: Option<String>,
        /// Go on and print every join and leave
        #[arg(long)]
        watch: bool,
        /// Print a table, wherever the output goes
        #[arg(long)]
        table: bool,
    },
    /// Look up an alias or node id
    Resolve {
        /// The alias or node id
        #[arg(required = true)]
        alias: String,
    },
    /// End the PMD
    Kill,
}

#[derive(Debug, Clone, Args)]
pub(super) struct StartOptions {
    /// Detach from the terminal; return when the port answers
    #[arg(long)]
    pub daemon: bool,
    /// With --daemon: append what the PMD prints and logs to this file [default: discarded]
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<std::path::PathBuf>,
    /// End after this many milliseconds without any node; 0 = never
    #[arg(long, value_name = "MS", default_value_t = limits::AUTO_SHUTDOWN_MS_DEFAULT)]
    pub auto_shutdown_ms: u64,
    /// Allow --host beyond loopback. There is no authentication: anyone who reaches the port can
    /// register nodes, read the list, and disturb every node
    #[arg(long)]
    pub insecure: bool,
    /// Take the port over from a PMD that a node has launched, with its table; for a PMD that is a
    /// service
    #[arg(long, conflicts_with = "daemon")]
    pub takeover: bool,
    /// The detached half of --daemon.
    #[arg(long, hide = true)]
    pub daemon_child: bool,
    /// With --daemon-child: a node launched it, and it gives way to --takeover.
    #[arg(long, hide = true)]
    pub gives_way: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Run a node: print messages and events as JSON lines, send the JSON lines
    /// {"to":…,"payload":…} read from standard input
    Run {
        /// The alias to be found by
        #[arg(long)]
        alias: Option<String>,
        /// A fixed node id [default: random]
        #[arg(long)]
        node_id: Option<String>,
        /// Metadata to register: a small JSON object
        #[arg(long, value_name = "JSON")]
        meta: Option<String>,
        /// Send heartbeats, so that a frozen process is noticed
        #[arg(long)]
        heartbeat: bool,
        /// Do not launch a PMD when none answers
        #[arg(long)]
        no_auto_start: bool,
        /// End when standard input ends
        #[arg(long)]
        until_eof: bool,
        /// Messages that may wait to be printed
        #[arg(long, value_name = "MESSAGES", default_value_t = limits::MAILBOX_MESSAGES_DEFAULT)]
        mailbox: usize,
        /// When that many wait: let the senders wait (block), or drop and count
        /// (drop-newest, drop-oldest)
        #[arg(long, value_name = "POLICY", default_value = "block")]
        overflow: String,
        /// Host to listen on for messages [default: localhost]
        #[arg(long, value_name = "HOST")]
        listen: Option<String>,
        /// Host that other nodes are told to dial [default: localhost, or this machine's address
        /// towards the PMD]
        #[arg(long, value_name = "HOST")]
        advertise: Option<String>,
        /// Allow --listen beyond loopback. There is no authentication: anyone who reaches the
        /// port can send messages
        #[arg(long)]
        insecure: bool,
    },
    /// Send one message and end
    Send {
        /// Alias or node id
        target: String,
        /// The payload: any JSON value
        #[arg(value_name = "JSON", allow_hyphen_values = true)]
        payload: String,
        /// Send the payload as a string, as it is
        #[arg(long)]
        text: bool,
    },
    /// Show what the PMD knows of a node, or of this machine
    Info {
        /// Alias or node id
        target: Option<String>,
    },
}

/// How the broker is reached.
#[derive(Debug, Clone, Args)]
pub(super) struct BrokerPlace {
    /// The broker: mqtt://host[:port], mqtts://, ws:// or wss://
    #[arg(long, value_name = "URL", default_value = "mqtt://localhost")]
    pub broker: String,
    /// Speak MQTT 5 only [default: 5, or 3.1.1 where the broker does not speak it]
    #[arg(long)]
    pub mqtt5: bool,
    /// Speak MQTT 3.1.1 only
    #[arg(long, conflicts_with = "mqtt5")]
    pub mqtt311: bool,
    /// User name
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// File whose first line is the password [env: DISTFLOW_MQTT_PASSWORD_FILE]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<std::path::PathBuf>,
    /// File with the certificates to trust (PEM) [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<std::path::PathBuf>,
    /// File with a certificate for this client (PEM), with --key-file
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub cert_file: Option<std::path::PathBuf>,
    /// File with that certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub key_file: Option<std::path::PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// List the sessions; with --watch go on and print the list whenever it changes
    List {
        #[command(flatten)]
        place: BrokerPlace,
        /// Go on and print the list whenever it changes
        #[arg(long)]
        watch: bool,
        /// Time to look for sessions, in milliseconds [default: until all are there]
        #[arg(long, value_name = "MS")]
        wait_ms: Option<u64>,
    },
    /// Create a session and stay in it, printing what happens; type `help` for what it can be told
    Create {
        #[command(flatten)]
        place: BrokerPlace,
        /// Its id [default: a new one]
        #[arg(long)]
        id: Option<String>,
        /// The name of the model, for the list
        #[arg(long, default_value = "Unknown")]
        model: String,
        /// Members without which the game can't start
        #[arg(long, default_value_t = 1)]
        min: u32,
        /// Members for whom there is room
        #[arg(long, default_value_t = 4)]
        max: u32,
        /// The seed of its random numbers, 1 to 1000000 [default: drawn]
        #[arg(long)]
        seed: Option<u32>,
        /// Let another member continue when the creator is lost or leaves
        #[arg(long)]
        hand_over: bool,
        /// Start by itself so many seconds after it is full
        #[arg(long, value_name = "SECONDS")]
        auto_start: Option<u32>,
    },
    /// Join a session and stay in it, printing what happens; type `help` for what it can be told
    Join {
        #[command(flatten)]
        place: BrokerPlace,
        /// The session's id
        id: String,
    },
    /// Look at a session without being in it
    Watch {
        #[command(flatten)]
        place: BrokerPlace,
        /// The session's id
        id: String,
    },
    /// Several instances in processes: they join at once, one is killed, then the creator; each
    /// step's latency is printed
    Demo {
        /// Instances beside the creator
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(3..=50))]
        members: u8,
        /// A broker to use [default: one is started]
        #[arg(long, value_name = "URL")]
        broker: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum BrokerCommand {
    /// Serve in the foreground
    Start(BrokerStart),
}

#[derive(Debug, Clone, Args)]
pub(super) struct BrokerStart {
    /// Port for MQTT 3.1.1 and 5; 0 = a free one
    #[arg(long, default_value_t = 1883)]
    pub mqtt_port: u16,
    /// One more port for both versions; 0 = a free one [default: none]
    #[arg(long)]
    pub mqtt5_port: Option<u16>,
    /// Address to listen on [default: 127.0.0.1, or ::1 where there is no other]
    #[arg(long)]
    pub listen: Option<std::net::IpAddr>,
    /// Allow --listen beyond loopback without --users: anyone who reaches the port can read and
    /// write everything
    #[arg(long)]
    pub insecure: bool,
    /// File of users, with a line name:password for each; nobody else is let in
    #[arg(long, value_name = "FILE")]
    pub users: Option<std::path::PathBuf>,
    /// File of rules: lines NAME read|write|all FILTER, where the name * is everybody and the level
    /// %u of a filter the own user name [default: everything is allowed]
    #[arg(long, value_name = "FILE")]
    pub rules: Option<std::path::PathBuf>,
    /// Keep retained messages in this folder for the next start [default: in memory]
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct DemoOptions {
    /// Node processes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(3..=50))]
    pub nodes: u8,
    /// Messages from each node to each other node
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub messages: u32,
    /// A program to run as one more node, as `PROGRAM --alias ALIAS --port PORT`. It reads and
    /// prints the lines of `distflow node run`, and adds its "language" to "started" [repeatable]
    #[arg(long, value_name = "PROGRAM")]
    pub node_program: Vec<std::path::PathBuf>,
}

/// Says what is wrong with the arguments, as the originals did where they did.
pub(super) fn report(error: &clap::Error, arguments: &[OsString]) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            out_text(&error.render().to_string());
            0
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // `distflow pmd` without a word shows help; nothing was asked, nothing failed.
            out_text(&error.render().to_string());
            0
        }
        ErrorKind::InvalidSubcommand => {
            let words = command_words(arguments);
            if !wants_json(arguments) {
                out_line(&Cli::command().render_help().to_string());
            }
            let text = match &words[..] {
                [group, word, ..]
                    if matches!(group.as_str(), "pmd" | "node" | "session" | "broker") =>
                {
                    format!("Unknown {group} command: {word}")
                }
                [word, ..] => format!("Unknown command: {word}"),
                [] => error.to_string(),
            };
            print_wrong(text, arguments);
            1
        }
        ErrorKind::MissingRequiredArgument if command_words(arguments) == ["pmd", "resolve"] => {
            print_wrong("Usage: distflow pmd resolve <alias>".to_owned(), arguments);
            1
        }
        _ => {
            if wants_json(arguments) {
                print_wrong(error.to_string(), arguments);
            } else {
                err_line(error.render().to_string().trim_end());
            }
            WRONG_USE
        }
    }
}

fn wants_json(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| argument == "--json")
}

pub(super) fn print_wrong(text: String, arguments: &[OsString]) {
    let error = Error::new(Kind::InvalidArgument, text.trim_end().to_owned());
    print_error(error.message(), &error, wants_json(arguments));
}

/// Error text for an option that was given to a command on which it has no effect.
pub(super) fn without_effect(matches: &clap::ArgMatches) -> Option<String> {
    let (group, inner) = matches.subcommand()?;
    let used: &[&str] = match group {
        "pmd" | "node" => &["port", "host"],
        _ => &[],
    };
    // Options that stand before the command are known there, those after it here.
    let given = |matches: &clap::ArgMatches, name: &str| {
        matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine)
    };
    let mut leaf = inner;
    while let Some((_, inner)) = leaf.subcommand() {
        leaf = inner;
    }
    let unused = ["port", "host"].into_iter().find(|name| {
        let places = [matches, inner, leaf];
        !used.contains(name) && places.into_iter().any(|matches| given(matches, name))
    })?;
    let instead = match (group, unused) {
        ("broker", "port") => "; a broker's ports are --mqtt-port and --mqtt5-port",
        ("broker", _) => "; a broker's address is --listen",
        ("session", _) => "; the broker is given as --broker URL",
        _ => "",
    };
    Some(format!(
        "--{unused} says where a PMD is, and has no effect on `distflow {group}`{instead}"
    ))
}

/// The words that are neither options nor the values of those that may precede a command.
fn command_words(arguments: &[OsString]) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        let argument = argument.to_string_lossy();
        if matches!(&*argument, "--port" | "--host" | "--log" | "--log-format") {
            rest.next();
        } else if !argument.starts_with('-') {
            words.push(argument.into_owned());
        }
    }
    words
}
