//! Game sessions in C: `tests/c/session.c`, each case on a broker of its own.

use std::process::{Command, Stdio};

use distflow_tests::{Broker, BrokerKind, CProgram, TempFolder, project_folder};

const SOURCE: &str = "tests/c/session.c";

fn case(program: &CProgram, name: &str) {
    let broker = Broker::start(BrokerKind::InTheBox);
    case_on(program, name, &[("DISTFLOW_TEST_BROKER", &broker.url())]);
}

fn case_on(program: &CProgram, name: &str, variables: &[(&str, &str)]) {
    let output = program
        .command()
        .arg(name)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{name}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.ends_with(&format!("passed {name}\n")), "{text}");
}

/// One test for each case of the program.
macro_rules! cases {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let folder = TempFolder::new();
            case(&CProgram::compile(SOURCE, folder.path(), &[]), stringify!($name));
        })*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

cases! {
    members
    playing
    handing_over
    listing
    descriptor
    callbacks
    free_inside
    forked
    descriptors_are_closed_by_the_host
    a_small_stack
}

/// Makes an authority and a certificate of it, with the keys that cost most.
fn certificates(folder: &TempFolder) {
    let openssl = |line: &str| {
        let output = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(folder.path())
            .output()
            .expect("openssl is missing: apt-get install openssl");
        assert!(output.status.success(), "{line}: {output:?}");
    };
    let key = "-newkey rsa:4096 -nodes -days 2";
    openssl(&format!(
        "req -x509 {key} -subj /CN=authority -keyout ca.key -out ca.pem"
    ));
    openssl(&format!(
        "req -x509 {key} -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
         -addext basicConstraints=critical,CA:FALSE -CA ca.pem -CAkey ca.key -keyout server.key -out server.pem"
    ));
}

/// A broker with TLS, and the file with the authority to trust.
fn with_tls() -> (Broker, String) {
    let at = |folder: &TempFolder, name| folder.path().join(name).display().to_string();
    let broker = Broker::configured(BrokerKind::Mosquitto, |port, folder| {
        certificates(folder);
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\ncertfile {}\nkeyfile {}",
            at(folder, "server.pem"),
            at(folder, "server.key")
        )
    });
    let authority = at(&broker.folder, "ca.pem");
    (broker, authority)
}

#[test]
fn tls_on_a_small_stack() {
    let (broker, authority) = with_tls();
    let folder = TempFolder::new();
    let program = CProgram::compile(SOURCE, folder.path(), &[]);
    let url = format!("mqtts://127.0.0.1:{}", broker.port);
    let variables = [
        ("DISTFLOW_TEST_BROKER", url.as_str()),
        ("DISTFLOW_TEST_AUTHORITY", &authority),
    ];
    case_on(&program, "a_small_stack", &variables);
}

#[test]
fn no_memory_is_lost_or_touched_under_sanitizers() {
    let folder = TempFolder::new();
    let options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let program = CProgram::compile(SOURCE, folder.path(), &options);
    // What such a child, and who had its descriptors closed, can't touch, they can't free.
    let frees = |name: &&&str| !["forked", "descriptors_are_closed_by_the_host"].contains(*name);
    for name in NAMES.iter().filter(frees) {
        case(&program, name);
    }
}

#[test]
fn every_case_is_run() {
    let program = std::fs::read_to_string(project_folder().join(SOURCE)).unwrap();
    let (_, table) = program.split_once("CASES_OF_THIS[] = {").unwrap();
    let (table, _) = table.split_once("};").unwrap();
    let names: Vec<&str> = table.split('"').skip(1).step_by(2).collect();
    assert_eq!(names, NAMES);
}
