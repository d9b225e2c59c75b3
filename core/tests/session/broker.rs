//! A broker as MQTT 3.1.1 describes it, and links to it on which messages take their time: each
//! keeps its order, and between links everything can happen.

use std::collections::{BTreeMap, VecDeque};

use distflow_core::session::seat::Action;

use crate::world::Random;

/// What goes to the broker.
#[derive(Debug, Clone)]
pub enum Up {
    Subscribe(String),
    Unsubscribe(String),
    Publish {
        topic: String,
        payload: Vec<u8>,
        retain: bool,
    },
}

/// What comes from it.
#[derive(Debug, Clone)]
pub struct Down {
    pub topic: String,
    pub payload: Vec<u8>,
    pub retained: bool,
    /// Whose message it is.
    from: usize,
}

#[derive(Debug, Default)]
pub struct Link {
    pub up: VecDeque<Up>,
    pub down: VecDeque<Down>,
    filters: Vec<String>,
    /// The topic that is emptied when the link breaks.
    pub will: Option<String>,
}

#[derive(Debug, Default)]
pub struct Broker {
    pub retained: BTreeMap<String, Vec<u8>>,
    pub links: BTreeMap<usize, Link>,
    /// Everything that was ever published, in the broker's order.
    pub published: Vec<(String, Vec<u8>)>,
    /// Whether it has no one order: what different clients say at about the same time comes to each in
    /// another order, and what is retained of that is not what came last. Of one client everything
    /// keeps its order.
    pub disorder: Option<Random>,
    /// Of each topic, who wrote last what is retained, and when.
    writers: BTreeMap<String, (usize, usize)>,
}

/// From which client on nobody is meant: the test itself.
const NOBODY: usize = usize::MAX;
/// Messages of others that one may overtake.
const ABOUT_THE_SAME_TIME: usize = 8;

impl From<Action> for Up {
    fn from(action: Action) -> Self {
        match action {
            Action::Subscribe(filter) | Action::SubscribeLoosely(filter) => Self::Subscribe(filter),
            Action::Unsubscribe(filter) => Self::Unsubscribe(filter),
            Action::Publish {
                topic,
                payload,
                retain,
                expires_s: _,
            } => Self::Publish {
                topic,
                payload,
                retain,
            },
        }
    }
}

pub fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

impl Broker {
    pub fn connect(&mut self, client: usize, will: Option<String>) {
        self.cut(client);
        let link = Link {
            will,
            ..Link::default()
        };
        self.links.insert(client, link);
    }

    /// The link breaks: what was under way on it is lost, and the will is done.
    pub fn cut(&mut self, client: usize) {
        let link = self.links.remove(&client);
        if let Some(will) = link.and_then(|link| link.will) {
            self.publish_of(client, will, Vec::new(), true);
        }
    }

    /// The client says good-bye after everything it has sent: no will.
    pub fn disconnect(&mut self, client: usize) {
        while self.step_up(client) {}
        self.links.remove(&client);
    }

    /// Everything breaks, and no will is done.
    pub fn restart(&mut self, keeps: bool) {
        self.links.clear();
        if !keeps {
            self.retained.clear();
        }
    }

    /// Takes in one thing of a client; whether there was any.
    pub fn step_up(&mut self, client: usize) -> bool {
        let Some(link) = self.links.get_mut(&client) else {
            return false;
        };
        match link.up.pop_front() {
            None => return false,
            Some(Up::Unsubscribe(filter)) => link.filters.retain(|known| *known != filter),
            Some(Up::Subscribe(filter)) => {
                let kept = self
                    .retained
                    .iter()
                    .filter(|(topic, _)| matches(&filter, topic));
                link.down.extend(kept.map(|(topic, payload)| Down {
                    topic: topic.clone(),
                    payload: payload.clone(),
                    retained: true,
                    from: NOBODY,
                }));
                link.filters.push(filter);
            }
            Some(Up::Publish {
                topic,
                payload,
                retain,
            }) => self.publish_of(client, topic, payload, retain),
        }
        true
    }

    pub fn publish(&mut self, topic: String, payload: Vec<u8>, retain: bool) {
        self.publish_of(NOBODY, topic, payload, retain);
    }

    fn publish_of(&mut self, from: usize, topic: String, payload: Vec<u8>, retain: bool) {
        for link in self.links.values_mut() {
            if link.filters.iter().any(|filter| matches(filter, &topic)) {
                let down = Down {
                    topic: topic.clone(),
                    payload: payload.clone(),
                    retained: false,
                    from,
                };
                let count = link.down.len();
                let is_own = |down: &Down| down.from == from || down.retained;
                let first = link.down.iter().rposition(is_own).map_or(0, |at| at + 1);
                let first = first.max(count.saturating_sub(ABOUT_THE_SAME_TIME));
                let at = match &mut self.disorder {
                    Some(random) => first + random.below((count - first + 1) as u64) as usize,
                    None => count,
                };
                link.down.insert(at, down);
            }
        }
        let now = self.published.len();
        let is_late = match (&mut self.disorder, self.writers.get(&topic)) {
            (Some(random), Some((writer, at))) => {
                *writer != from && now - at < ABOUT_THE_SAME_TIME && random.below(2) == 0
            }
            _ => false,
        };
        if retain && !is_late {
            self.writers.insert(topic.clone(), (from, now));
            match payload.is_empty() {
                true => drop(self.retained.remove(&topic)),
                false => drop(self.retained.insert(topic.clone(), payload.clone())),
            }
        }
        self.published.push((topic, payload));
    }
}
