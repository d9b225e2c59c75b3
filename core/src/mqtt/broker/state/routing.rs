//! The part of [`State`] that routes: what is published, retained, subscribed to.

use std::sync::Arc;

use super::{Output, Said, State, Timer};
use crate::limits::{BROKER_IN_FLIGHT_MAX, BROKER_SUBSCRIPTIONS_MAX, BROKER_SWEEP_MS};
use crate::mqtt::broker::client::Waiting;
use crate::mqtt::broker::packet::{Message, Reason, ToClient, Version, Wanted, WantedRetained};
use crate::mqtt::broker::subscriptions::Subscription;
use crate::mqtt::broker::topic;

impl State {
    pub(super) fn published(
        &mut self,
        connection: u64,
        client: u64,
        message: Message,
        id: u16,
        now_ms: u64,
    ) {
        let Some(publisher) = self.clients.get_mut(&client) else {
            return;
        };
        let qos = message.qos;
        let name = publisher.id.clone();
        let user = publisher.user.clone();
        // What is repeated was taken before; it is only acknowledged again.
        let is_new = qos < 2 || publisher.received.insert(id);
        if publisher.received.len() > BROKER_IN_FLIGHT_MAX && publisher.version == Version::V5 {
            self.end(connection, Reason::Quota, now_ms);
            return;
        }
        let reason = if !is_new {
            Reason::Success
        } else if self.access.may_write(user.as_deref(), &message.topic) {
            self.publish(message, Some(client), now_ms)
        } else {
            let topic = message.topic.to_string();
            let reason = Reason::NotAuthorized;
            self.say(Said::NotAllowed {
                id: name,
                topic,
                reason,
            });
            reason
        };
        if reason != Reason::Success && qos == 2 {
            self.with(client, |client| {
                client.received.remove(&id);
            });
        }
        match qos {
            0 => {}
            1 => self.send(connection, vec![ToClient::PubAck(id, reason)]),
            _ => self.send(connection, vec![ToClient::PubRec(id, reason)]),
        }
    }

    /// Retains a message if it is to be, and hands it to everybody who hears its topic.
    pub(super) fn publish(
        &mut self,
        message: Message,
        publisher: Option<u64>,
        now_ms: u64,
    ) -> Reason {
        let expires_at_ms = message
            .expires_s
            .map(|left_s| now_ms + u64::from(left_s) * 1_000);
        let message = Arc::new(message);
        let mut reason = Reason::Success;
        if message.retain {
            if message.payload.is_empty() {
                if self.retained.remove(&message.topic) {
                    self.outputs
                        .push_back(Output::Retained(message.topic.clone()));
                }
            } else if self.retain(message.clone(), expires_at_ms, now_ms) {
                self.outputs
                    .push_back(Output::Retained(message.topic.clone()));
            } else {
                reason = Reason::Quota;
                let id = publisher.and_then(|client| self.clients.get(&client));
                let id = id.map_or_else(|| Arc::from(""), |client| client.id.clone());
                let topic = message.topic.to_string();
                self.say(Said::NotAllowed { id, topic, reason });
            }
        }
        for (client, subscriptions) in self.subscriptions.of(&message.topic) {
            let mut heard = subscriptions
                .iter()
                .filter(|subscription| !(subscription.no_local && publisher == Some(client)));
            let Some(first) = heard.next() else {
                continue;
            };
            let (mut qos, mut as_published) = (first.qos, first.as_published);
            let mut subscription_ids: Vec<usize> = first.id.into_iter().collect();
            for subscription in heard {
                qos = qos.max(subscription.qos);
                as_published |= subscription.as_published;
                subscription_ids.extend(subscription.id);
            }
            self.push(
                client,
                Waiting {
                    qos: qos.min(message.qos),
                    retain: as_published && message.retain,
                    subscription_ids,
                    expires_at_ms,
                    message: message.clone(),
                },
                now_ms,
            );
        }
        reason
    }

    pub(super) fn retain(
        &mut self,
        message: Arc<Message>,
        expires_at_ms: Option<u64>,
        now_ms: u64,
    ) -> bool {
        let is_retained = self.retained.set(message, expires_at_ms);
        if is_retained && expires_at_ms.is_some() && !self.sweeps {
            self.sweeps = true;
            self.at(now_ms + BROKER_SWEEP_MS, Timer::Sweep);
        }
        is_retained
    }

    pub(super) fn push(&mut self, client: u64, waiting: Waiting, now_ms: u64) {
        let Some(hearer) = self.clients.get_mut(&client) else {
            return;
        };
        let is_first = hearer.dropped == 0;
        if !hearer.push(waiting, &mut self.waiting_bytes) && is_first {
            let id = hearer.id.clone();
            self.say(Said::Drops { id });
        }
        self.turn(client, now_ms);
    }

    pub(super) fn subscribe(
        &mut self,
        number: u64,
        wanted: Wanted,
        id: Option<usize>,
    ) -> Result<u8, Reason> {
        let client = self.clients.get_mut(&number).ok_or(Reason::Protocol)?;
        if wanted.filter.starts_with("$share/") {
            return Err(Reason::SharedSubscriptions);
        }
        if !topic::is_filter(&wanted.filter) {
            return Err(Reason::FilterInvalid);
        }
        if !self.access.may_read(client.user.as_deref(), &wanted.filter) {
            let (id, reason) = (client.id.clone(), Reason::NotAuthorized);
            self.say(Said::NotAllowed {
                id,
                topic: wanted.filter,
                reason,
            });
            return Err(reason);
        }
        let filter: Arc<str> = Arc::from(wanted.filter);
        let is_new = !client.filters.contains(&filter);
        if is_new && client.filters.len() >= BROKER_SUBSCRIPTIONS_MAX {
            return Err(Reason::Quota);
        }
        client.filters.insert(filter.clone());
        let subscription = Subscription {
            qos: wanted.qos,
            no_local: wanted.no_local,
            as_published: wanted.as_published,
            id,
        };
        self.subscriptions.add(&filter, number, subscription);
        let hears_retained = match wanted.retained {
            WantedRetained::Always => true,
            WantedRetained::IfNew => is_new,
            WantedRetained::Never => false,
        };
        if hears_retained {
            client.drop_retained(&filter);
            client.push_retained(self.retained.cursor(filter, wanted.qos, id));
        }
        Ok(wanted.qos)
    }

    pub(super) fn unsubscribe(&mut self, number: u64, filter: &str) -> Reason {
        let Some(client) = self.clients.get_mut(&number) else {
            return Reason::NoSubscription;
        };
        if !client.filters.remove(filter) {
            return Reason::NoSubscription;
        }
        client.drop_retained(filter);
        self.subscriptions.remove(filter, number);
        Reason::Success
    }
}
