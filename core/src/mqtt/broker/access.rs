//! Who may connect, and who may read and write what.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::topic;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::BROKER_ACCESS_BYTES_MAX;
use crate::mqtt::filter::matches;

/// Users with their passwords, and rules. Without users everybody is let in; without rules everybody may read
/// and write everything.
#[derive(Debug, Default)]
pub struct Access {
    users: Option<HashMap<String, String>>,
    rules: Option<Vec<Rule>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// `None` is everybody.
    user: Option<String>,
    reads: bool,
    writes: bool,
    filter: String,
}

fn wrong(file: &Path, line: usize, what: &str) -> Error {
    let text = format!("{}, line {line}: {what}", file.display());
    Error::new(ErrorKind::InvalidArgument, text)
}

impl Access {
    /// Reads files of users and of rules.
    ///
    /// A line of users is `name:password`; a line of rules is `NAME read|write|all FILTER`, where the name
    /// `*` means everybody and a level `%u` of the filter the own user name. Empty lines and those that begin with `#` say nothing.
    ///
    /// Errors: `io`; `invalid_argument` for a line that is neither, and for a file of passwords that other
    /// users of the machine can read.
    pub fn read(users: Option<&Path>, rules: Option<&Path>) -> Result<Self> {
        let users = users.map(read_users).transpose()?;
        let rules = rules.map(read_rules).transpose()?;
        Ok(Self { users, rules })
    }

    /// Whether users are asked for a password.
    pub fn has_users(&self) -> bool {
        self.users.is_some()
    }

    /// Whether a client with this user name and password is let in.
    pub(super) fn lets_in(&self, user: Option<&str>, password: Option<&[u8]>) -> bool {
        let Some(users) = &self.users else {
            return true;
        };
        let known = user.and_then(|user| users.get(user));
        known.is_some_and(|known| is_equal(known.as_bytes(), password.unwrap_or_default()))
    }

    /// Whether a user may publish to a topic.
    pub(super) fn may_write(&self, user: Option<&str>, topic: &str) -> bool {
        self.is_granted(user, |rule, filter| rule.writes && matches(filter, topic))
    }

    /// Whether a user may hear everything that a filter matches.
    pub(super) fn may_read(&self, user: Option<&str>, filter: &str) -> bool {
        self.is_granted(user, |rule, wider| {
            rule.reads && topic::covers(wider, filter)
        })
    }

    fn is_granted(&self, user: Option<&str>, grants: impl Fn(&Rule, &str) -> bool) -> bool {
        let Some(rules) = &self.rules else {
            return true;
        };
        rules.iter().any(|rule| {
            let is_for = |name: &String| user == Some(name.as_str());
            rule.user.as_ref().is_none_or(is_for)
                && own(&rule.filter, user).is_some_and(|filter| grants(rule, &filter))
        })
    }
}

/// A rule's filter for one user. `None` if it asks for a name that there is not, or that is more than a
/// level's name.
fn own(filter: &str, user: Option<&str>) -> Option<String> {
    if !filter.split('/').any(|level| level == "%u") {
        return Some(filter.to_owned());
    }
    let user = user.filter(|user| !user.contains(['/', '+', '#']))?;
    let level = |level| if level == "%u" { user } else { level };
    Some(filter.split('/').map(level).collect::<Vec<_>>().join("/"))
}

/// Takes the same time wherever two texts differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let differ = one
        .iter()
        .zip(other)
        .fold(0, |differ, (a, b)| differ | (a ^ b));
    one.len() == other.len() && differ == 0
}

/// The lines that say something, with their numbers.
fn lines(path: &Path, is_secret: bool) -> Result<Vec<(usize, String)>> {
    let failed = |error| Error::io(&format!("cannot read {}", path.display()), &error);
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if is_secret && is_read_by_others(&about) {
        let text = format!(
            "{} has passwords, and other users of this machine can read it; use chmod 600",
            path.display()
        );
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    let mut text = String::new();
    let most = BROKER_ACCESS_BYTES_MAX;
    file.take(most + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > most {
        let text = format!("{} is longer than {most} bytes", path.display());
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    let numbered = (1..).zip(text.lines());
    let saying = numbered.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    Ok(saying
        .map(|(number, line)| (number, line.to_owned()))
        .collect())
}

#[cfg(unix)]
fn is_read_by_others(about: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    about.is_file() && about.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_read_by_others(_about: &std::fs::Metadata) -> bool {
    false
}

fn read_users(path: &Path) -> Result<HashMap<String, String>> {
    let mut users = HashMap::new();
    for (number, line) in lines(path, true)? {
        // Never the line itself: it may hold a password.
        let (name, password) = line
            .split_once(':')
            .filter(|(name, password)| !name.is_empty() && !password.is_empty())
            .ok_or_else(|| wrong(path, number, "it has to be name:password"))?;
        if users.insert(name.to_owned(), password.to_owned()).is_some() {
            return Err(wrong(
                path,
                number,
                &format!("the user {name:?} is there twice"),
            ));
        }
    }
    Ok(users)
}

fn read_rules(path: &Path) -> Result<Vec<Rule>> {
    let rule = |(number, line): (usize, String)| {
        let form = "it has to be NAME read|write|all FILTER, with * for everybody";
        let mut words = line.trim().splitn(3, char::is_whitespace);
        let (Some(name), Some(verb), Some(filter)) = (words.next(), words.next(), words.next())
        else {
            return Err(wrong(path, number, &format!("{form}, got {line:?}")));
        };
        let (reads, writes) = match verb {
            "read" => (true, false),
            "write" => (false, true),
            "all" => (true, true),
            _ => return Err(wrong(path, number, &format!("{form}, got {verb:?}"))),
        };
        let filter = filter.trim();
        if !topic::is_filter(filter) {
            return Err(wrong(
                path,
                number,
                &format!("{filter:?} is no filter of topics"),
            ));
        }
        Ok(Rule {
            user: (name != "*").then(|| name.to_owned()),
            reads,
            writes,
            filter: filter.to_owned(),
        })
    };
    lines(path, false)?.into_iter().map(rule).collect()
}
