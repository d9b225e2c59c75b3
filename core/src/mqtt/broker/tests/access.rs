use std::path::PathBuf;

use super::*;

/// Files that only their owner can read.
fn file(name: &str, text: &str) -> PathBuf {
    let folder = std::env::temp_dir();
    let path = folder.join(format!("distflow-{name}-{:016x}", crate::ids::random_u64()));
    std::fs::write(&path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    path
}

fn read(users: Option<&str>, rules: Option<&str>) -> crate::error::Result<Access> {
    let users = users.map(|text| file("users", text));
    let rules = rules.map(|text| file("rules", text));
    let access = Access::read(users.as_deref(), rules.as_deref());
    for path in users.into_iter().chain(rules) {
        std::fs::remove_file(path).unwrap();
    }
    access
}

fn as_user(id: &str, user: Option<&str>, password: &str) -> Connect {
    Connect {
        user: user.map(str::to_owned),
        password: Some(Bytes::copy_from_slice(password.as_bytes())),
        ..connect(id)
    }
}

#[test]
fn only_users_with_their_password_are_let_in() {
    let access = read(Some("# players\n\nann:s:e\nbob:x y\n"), None).unwrap();
    assert!(access.has_users());
    let mut world = World::with(access, 100);
    for (number, (user, password, reason)) in (1..).zip([
        (Some("ann"), "s:e", Reason::Success),
        (Some("bob"), "x y", Reason::Success),
        (Some("ann"), "s:f", Reason::BadCredentials),
        (Some("ann"), "s:", Reason::BadCredentials),
        (Some("ann"), "", Reason::BadCredentials),
        (Some("# players"), "", Reason::BadCredentials),
        (None, "s:e", Reason::BadCredentials),
    ]) {
        let told = world.connect(number, as_user("c", user, password));
        let ToClient::ConnAck { reason: found, .. } = told else {
            panic!("{told:?}");
        };
        assert_eq!(found, reason, "{user:?} {password:?}");
    }
    let refused = world
        .said
        .iter()
        .filter(|said| matches!(said, Said::Refused { .. }));
    assert_eq!(refused.count(), 5);
}

#[test]
fn rules_say_who_reads_and_writes_what() {
    let rules = "* read news/#\nann all game/%u/#\n* write in/+\n";
    let access = read(Some("ann:a\nbob:b\n"), Some(rules)).unwrap();
    let mut world = World::with(access, 100);
    world.connect(1, as_user("1", Some("ann"), "a"));
    world.connect(2, as_user("2", Some("bob"), "b"));
    let refused = || Err(Reason::NotAuthorized);
    let filters = ["news/x", "game/ann/+", "game/bob/x", "#", "in/a", "news/#"];
    let wants = || filters.iter().map(|filter| wanted(filter, 1)).collect();
    let granted = [Ok(1), Ok(1), refused(), refused(), refused(), Ok(1)];
    assert_eq!(world.subscribe(1, wants()), granted);
    let granted = [Ok(1), refused(), refused(), refused(), refused(), Ok(1)];
    assert_eq!(world.subscribe(2, wants()), granted);
    for (connection, topic, reason) in [
        (1, "game/ann/x", Reason::Success),
        (1, "news/x", Reason::NotAuthorized),
        (2, "game/ann/x", Reason::NotAuthorized),
        (2, "in/x", Reason::Success),
        (2, "in/x/y", Reason::NotAuthorized),
    ] {
        world.publish(connection, retained(topic, "x"));
        while let Some(told) = world.told(connection) {
            if let ToClient::PubAck(_, found) = told {
                assert_eq!(found, reason, "{topic}");
            }
        }
    }
    let topics = world
        .state
        .retained()
        .iter()
        .map(|kept| kept.message.topic.to_string());
    assert_eq!(topics.collect::<Vec<_>>(), ["game/ann/x", "in/x"]);
    // A will is a publication.
    let with_will = Connect {
        will: Some(Will {
            message: message("news/x", "no"),
            delay_s: 0,
        }),
        ..as_user("3", Some("bob"), "b")
    };
    let told = world.connect(3, with_will);
    assert!(matches!(
        told,
        ToClient::ConnAck {
            reason: Reason::NotAuthorized,
            ..
        }
    ));
}

#[test]
fn a_name_is_one_level_of_a_rule_at_most() {
    let access = read(Some("a/b:x\n+:x\n#:x\n"), Some("* all game/%u\n")).unwrap();
    for user in [Some("a/b"), Some("+"), Some("#"), None] {
        assert!(!access.may_read(user, "game/a/b") && !access.may_read(user, "game/+"));
        assert!(!access.may_write(user, "game/a/b") && !access.may_write(user, "game/x"));
    }
    assert!(access.may_read(Some("ann"), "game/ann"));
}

#[test]
fn files_that_are_wrong_are_named() {
    for (users, rules, words) in [
        (Some("ann"), None, "line 1: it has to be name:password"),
        (
            Some("a:b\n:x\n"),
            None,
            "line 2: it has to be name:password",
        ),
        (
            Some("a:b\n\na:c\n"),
            None,
            "line 3: the user \"a\" is there twice",
        ),
        (
            None,
            Some("ann read"),
            "line 1: it has to be NAME read|write|all FILTER",
        ),
        (None, Some("ann reads x"), "got \"reads\""),
        (None, Some("ann read a#"), "\"a#\" is no filter"),
    ] {
        let error = read(users, rules).unwrap_err();
        assert!(error.message().contains(words), "{error}");
        assert!(!error.message().contains(":x"), "{error}");
    }
    let error = Access::read(Some("/nonexistent/users".as_ref()), None).unwrap_err();
    assert!(error.message().contains("/nonexistent/users"), "{error}");
}

#[cfg(unix)]
#[test]
fn passwords_that_others_can_read_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = file("users", "ann:secret\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Access::read(Some(&path), None).unwrap_err();
    std::fs::remove_file(path).unwrap();
    assert!(error.message().contains("chmod 600"), "{error}");
    assert!(!error.message().contains("secret"), "{error}");
}
