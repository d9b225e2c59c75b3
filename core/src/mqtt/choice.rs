//! Which version of the protocol a link speaks, and why a broker wants neither.

use std::time::Duration;

use super::address::{BrokerOptions, Version};
use super::library::{Connection, Said, Spoken};
use super::refusal::Stage;
use crate::error::{Error, ErrorKind};

/// How long a broker is asked what it would take instead.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// The version that is spoken next.
#[derive(Debug)]
pub(super) struct Choice {
    wanted: Version,
    spoken: Spoken,
    /// Whether the broker has let a connection of this version in.
    is_sure: bool,
    /// Whether the broker was asked already what it would take.
    has_asked: bool,
}

/// What follows from a connection that has ended.
pub(super) enum Verdict {
    /// Another version is tried, at once.
    Other,
    /// Why trying again is no use.
    Refused(Error),
    /// It may be tried again.
    Again,
}

impl Choice {
    pub fn new(wanted: Version) -> Self {
        Self {
            wanted,
            spoken: match wanted {
                Version::V311 => Spoken::V311,
                Version::Auto | Version::V5 => Spoken::V5,
            },
            is_sure: false,
            has_asked: false,
        }
    }

    pub fn spoken(&self) -> Spoken {
        self.spoken
    }

    /// How long an answer is waited for: a bit less than whoever waits for the link does. A second
    /// version has no share of it: a broker that has much to do is not to be asked twice, and those that
    /// do not know a version say so, or break the connection.
    pub fn patience(options: &BrokerOptions) -> Duration {
        Duration::from_millis(options.connect_timeout_ms) * 9 / 10
    }

    /// The broker has let a connection in.
    pub fn is_right(&mut self) {
        self.is_sure = true;
    }

    /// A connection has ended before the broker let it in.
    pub async fn judge(
        &mut self,
        stage: Stage,
        error: &Error,
        options: &BrokerOptions,
        will_topic: Option<&str>,
    ) -> Verdict {
        if self.is_sure {
            return Verdict::Again;
        }
        let is_auto = self.wanted == Version::Auto;
        let may_be_version = matches!(stage, Stage::Unanswered | Stage::OtherVersion);
        if is_auto && may_be_version && self.spoken == Spoken::V5 {
            self.spoken = Spoken::V311;
            return Verdict::Other;
        }
        if is_auto && stage == Stage::Mute {
            // It may have had no time, or no word for the other version.
            self.spoken = match self.spoken {
                Spoken::V5 => Spoken::V311,
                Spoken::V311 => Spoken::V5,
            };
            return Verdict::Again;
        }
        if stage == Stage::OtherVersion {
            return Verdict::Refused(error.clone());
        }
        let is_asked = stage == Stage::Unanswered && !self.has_asked;
        let answer = match is_asked {
            true => self.ask(options, will_topic).await,
            false => None,
        };
        // Nothing changes before: the wait may be given up, and begun anew.
        self.has_asked |= is_asked;
        if is_auto {
            self.spoken = Spoken::V5;
        }
        match answer {
            None => Verdict::Again,
            Some(text) => {
                let text = format!("the broker {} {text}", options.url());
                Verdict::Refused(Error::new(ErrorKind::Refused, text))
            }
        }
    }

    /// Asks a broker that breaks the connection without a word what it would take instead.
    async fn ask(&self, options: &BrokerOptions, will_topic: Option<&str>) -> Option<&'static str> {
        let takes = async |spoken| takes(options, spoken).await;
        match self.wanted {
            Version::V5 if takes(Spoken::V311).await => {
                return Some("does not speak MQTT 5, only 3.1.1");
            }
            Version::V311 if takes(Spoken::V5).await => {
                return Some("does not speak MQTT 3.1.1, only 5");
            }
            _ => {}
        }
        let own = match self.wanted {
            Version::V5 => Spoken::V5,
            Version::V311 | Version::Auto => Spoken::V311,
        };
        let minds_will = will_topic.is_some() && takes(own).await;
        minds_will.then_some(
            "does not take a retained last will of quality of service 1: sessions need retained messages and quality of service 1",
        )
    }
}

/// Whether a broker lets a connection in that asks for nothing.
async fn takes(options: &BrokerOptions, spoken: Spoken) -> bool {
    let name = format!("sge-{:016x}", crate::ids::random_u64());
    let Ok((connection, mut hear)) = Connection::open(options, spoken, &name, None, ASK_WITHIN)
    else {
        return false;
    };
    let is_taken = matches!(
        tokio::time::timeout(ASK_WITHIN, hear.recv()).await,
        Ok(Some(Said::Connected))
    );
    if is_taken {
        connection.disconnect(ASK_WITHIN).await;
    }
    is_taken
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    fn after(wanted: Version, stages: &[Stage]) -> (Spoken, bool) {
        let options = BrokerOptions::parse("mqtt://127.0.0.1:1").unwrap();
        let error = Error::new(ErrorKind::Timeout, "it has ended");
        let mut choice = Choice::new(wanted);
        let mut is_at_once = false;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for stage in stages {
            let verdict = runtime.block_on(choice.judge(*stage, &error, &options, None));
            is_at_once = matches!(verdict, Verdict::Other);
        }
        (choice.spoken(), is_at_once)
    }

    #[test]
    fn a_broker_that_knows_no_version_5_is_asked_for_the_other_at_once() {
        for stage in [Stage::Unanswered, Stage::OtherVersion] {
            assert_eq!(after(Version::Auto, &[stage]), (Spoken::V311, true));
            assert_eq!(after(Version::V5, &[stage]), (Spoken::V5, false));
        }
        assert_eq!(
            after(Version::Auto, &[Stage::Unreached]),
            (Spoken::V5, false)
        );
    }

    #[test]
    fn a_slow_broker_is_not_asked_twice_within_the_time() {
        let options = BrokerOptions::parse("mqtt://127.0.0.1:1").unwrap();
        assert_eq!(Choice::patience(&options), Duration::from_secs(9));
        // The next time by the other version, in turns.
        let mute = Stage::Mute;
        assert_eq!(after(Version::Auto, &[mute]), (Spoken::V311, false));
        assert_eq!(after(Version::Auto, &[mute, mute]), (Spoken::V5, false));
        assert_eq!(after(Version::V311, &[mute]), (Spoken::V311, false));
    }
}
