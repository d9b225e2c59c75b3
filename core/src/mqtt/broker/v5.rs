//! MQTT 5 by the library's codec.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rumqttc5::{
    ConnAck, ConnAckProperties, ConnectAuth, ConnectReturnCode, Disconnect, DisconnectReasonCode,
    LastWill, Packet, PubAck, PubAckReason, PubComp, PubRec, PubRecReason, PubRel, Publish,
    PublishProperties, QoS, RetainForwardRule, SubAck, SubscribeReasonCode, UnsubAck,
    UnsubAckReason, qos,
};

use super::packet::{
    Connect, Delivery, FromClient, Message, Reason, ToClient, Version, Wanted, WantedRetained, Will,
};
use super::topic;
use crate::limits::{BROKER_IN_FLIGHT_MAX, BROKER_PACKET_BYTES_MAX, BROKER_PAYLOAD_BYTES_MAX};

/// What MQTT 5 says of a message beside its topic and payload.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Properties(PublishProperties);

impl Properties {
    /// Bytes that they take, about.
    pub fn cost(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let pairs = self.0.user_properties.iter();
        let pairs: usize = pairs
            .map(|(name, value)| name.len() + value.len() + 48)
            .sum();
        let correlation = self.0.correlation_data.as_ref().map_or(0, Bytes::len);
        text(&self.0.response_topic) + text(&self.0.content_type) + correlation + pairs + 128
    }
}

/// Reads a packet that [`super::frame`] has found to be whole and of a client.
pub(super) fn read(mut packet: BytesMut) -> Result<FromClient, Reason> {
    let most = Some(BROKER_PACKET_BYTES_MAX as u32);
    let packet = Packet::read(&mut packet, most).map_err(|_| Reason::Malformed)?;
    Ok(match packet {
        Packet::Connect(connect, will, auth) => {
            let (user, password) = match auth {
                ConnectAuth::None => (None, None),
                ConnectAuth::Username { username } => (Some(username), None),
                ConnectAuth::Password { password } => (None, Some(password)),
                ConnectAuth::UsernamePassword { username, password } => {
                    (Some(username), Some(password))
                }
            };
            let properties = connect.properties.as_ref();
            if properties.is_some_and(|properties| properties.authentication_method.is_some()) {
                return Err(Reason::BadCredentials);
            }
            let receive_max = properties.and_then(|properties| properties.receive_maximum);
            let packet_max = properties.and_then(|properties| properties.max_packet_size);
            let expiry = properties.and_then(|properties| properties.session_expiry_interval);
            if packet_max == Some(0) {
                return Err(Reason::Protocol);
            }
            FromClient::Connect(Box::new(Connect {
                version: Version::V5,
                session_expiry_s: expiry.unwrap_or(0),
                receive_max: receive_max.unwrap_or(u16::MAX),
                packet_bytes_max: packet_max.unwrap_or(u32::MAX),
                client_id: connect.client_id,
                clean: connect.clean_start,
                keep_alive_s: connect.keep_alive,
                will: will.map(self::will).transpose()?,
                user,
                password,
            }))
        }
        Packet::Publish(publish) => {
            let id = publish.pkid;
            FromClient::Publish(message(publish)?, id)
        }
        Packet::PubAck(ack) => FromClient::PubAck(ack.pkid),
        Packet::PubRec(ack) => FromClient::PubRec {
            id: ack.pkid,
            is_refused: !matches!(
                ack.reason,
                PubRecReason::Success | PubRecReason::NoMatchingSubscribers
            ),
        },
        Packet::PubRel(ack) => FromClient::PubRel(ack.pkid),
        Packet::PubComp(ack) => FromClient::PubComp(ack.pkid),
        Packet::Subscribe(subscribe) => FromClient::Subscribe {
            id: subscribe.pkid,
            wanted: (subscribe.filters.into_iter())
                .map(|filter| Wanted {
                    qos: filter.qos as u8,
                    filter: filter.path,
                    no_local: filter.nolocal,
                    as_published: filter.preserve_retain,
                    retained: match filter.retain_forward_rule {
                        RetainForwardRule::OnEverySubscribe => WantedRetained::Always,
                        RetainForwardRule::OnNewSubscribe => WantedRetained::IfNew,
                        RetainForwardRule::Never => WantedRetained::Never,
                    },
                })
                .collect(),
            subscription_id: subscribe.properties.and_then(|properties| properties.id),
        },
        Packet::Unsubscribe(unsubscribe) => FromClient::Unsubscribe {
            id: unsubscribe.pkid,
            filters: unsubscribe.filters,
        },
        Packet::PingReq => FromClient::Ping,
        Packet::Disconnect(disconnect) => FromClient::Disconnect {
            with_will: disconnect.reason_code != DisconnectReasonCode::NormalDisconnection,
            session_expiry_s: disconnect
                .properties
                .and_then(|properties| properties.session_expiry_interval),
        },
        Packet::ConnAck(_)
        | Packet::SubAck(_)
        | Packet::UnsubAck(_)
        | Packet::PingResp
        | Packet::Auth(_) => return Err(Reason::Protocol),
    })
}

fn will(will: LastWill) -> Result<Will, Reason> {
    let properties = will.properties.unwrap_or(rumqttc5::LastWillProperties {
        delay_interval: None,
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    });
    let publish = Publish {
        qos: will.qos,
        retain: will.retain,
        topic: will.topic,
        payload: will.message,
        properties: Some(PublishProperties {
            payload_format_indicator: properties.payload_format_indicator,
            message_expiry_interval: properties.message_expiry_interval,
            content_type: properties.content_type,
            response_topic: properties.response_topic,
            correlation_data: properties.correlation_data,
            user_properties: properties.user_properties,
            ..PublishProperties::default()
        }),
        ..Publish::default()
    };
    Ok(Will {
        message: message(publish)?,
        delay_s: properties.delay_interval.unwrap_or(0),
    })
}

fn message(publish: Publish) -> Result<Message, Reason> {
    let mut properties = publish.properties.unwrap_or_default();
    if properties.topic_alias.is_some() {
        return Err(Reason::TopicAlias);
    }
    if !properties.subscription_identifiers.is_empty() {
        return Err(Reason::Protocol);
    }
    let topic = std::str::from_utf8(&publish.topic).map_err(|_| Reason::TopicInvalid)?;
    if !topic::is_topic(topic) {
        return Err(Reason::TopicInvalid);
    }
    if publish.payload.len() > BROKER_PAYLOAD_BYTES_MAX {
        return Err(Reason::TooLarge);
    }
    let expires_s = properties.message_expiry_interval.take();
    // A part of a packet would keep the whole of it in memory.
    let correlation = properties.correlation_data.take();
    properties.correlation_data = correlation.map(|data| Bytes::copy_from_slice(&data));
    let is_plain = properties == PublishProperties::default();
    Ok(Message {
        topic: Arc::from(topic),
        payload: Bytes::copy_from_slice(&publish.payload),
        qos: publish.qos as u8,
        retain: publish.retain,
        expires_s,
        properties: (!is_plain).then(|| Box::new(Properties(properties))),
    })
}

/// A message as a packet, for a disk.
pub(super) fn packet_of(message: &Message, out: &mut BytesMut) -> Result<(), Reason> {
    let publish = Publish {
        qos: quality(message.qos),
        retain: message.retain,
        topic: Bytes::copy_from_slice(message.topic.as_bytes()),
        pkid: u16::from(message.qos > 0),
        payload: message.payload.clone(),
        properties: message.properties.as_ref().map(|given| given.0.clone()),
        ..Publish::default()
    };
    let written = publish.write(out);
    written.map(drop).map_err(|_| Reason::Malformed)
}

/// Appends a packet for a client.
pub(super) fn write(packet: &ToClient, out: &mut BytesMut) -> Result<(), Reason> {
    let packet = match packet {
        ToClient::ConnAck {
            reason,
            has_session,
            given_id,
        } => Packet::ConnAck(conn_ack(*reason, *has_session, given_id.clone())),
        ToClient::Publish(delivery) => Packet::Publish(publish(delivery)),
        ToClient::PubAck(id, reason) => {
            let mut ack = PubAck::new(*id, None);
            ack.reason = match reason {
                Reason::Success => PubAckReason::Success,
                Reason::NotAuthorized => PubAckReason::NotAuthorized,
                Reason::Quota => PubAckReason::QuotaExceeded,
                _ => PubAckReason::UnspecifiedError,
            };
            Packet::PubAck(ack)
        }
        ToClient::PubRec(id, reason) => {
            let mut ack = PubRec::new(*id, None);
            ack.reason = match reason {
                Reason::Success => PubRecReason::Success,
                Reason::NotAuthorized => PubRecReason::NotAuthorized,
                Reason::Quota => PubRecReason::QuotaExceeded,
                _ => PubRecReason::UnspecifiedError,
            };
            Packet::PubRec(ack)
        }
        ToClient::PubRel(id) => Packet::PubRel(PubRel::new(*id, None)),
        ToClient::PubComp(id) => Packet::PubComp(PubComp::new(*id, None)),
        ToClient::SubAck(id, granted) => Packet::SubAck(SubAck {
            pkid: *id,
            return_codes: granted.iter().map(subscribe_code).collect(),
            properties: None,
        }),
        ToClient::UnsubAck(id, reasons) => {
            let code = |reason: &Reason| match reason {
                Reason::NoSubscription => UnsubAckReason::NoSubscriptionExisted,
                _ => UnsubAckReason::Success,
            };
            Packet::UnsubAck(UnsubAck {
                pkid: *id,
                reasons: reasons.iter().map(code).collect(),
                properties: None,
            })
        }
        ToClient::Pong => Packet::PingResp,
        ToClient::Disconnect(reason) => {
            Packet::Disconnect(Disconnect::new(disconnect_code(*reason)))
        }
    };
    packet
        .write(out, None)
        .map(drop)
        .map_err(|_| Reason::Malformed)
}

fn conn_ack(reason: Reason, has_session: bool, given_id: Option<String>) -> ConnAck {
    let properties = (reason == Reason::Success).then(|| ConnAckProperties {
        receive_max: Some(BROKER_IN_FLIGHT_MAX as u16),
        max_packet_size: Some(BROKER_PACKET_BYTES_MAX as u32),
        assigned_client_identifier: given_id,
        shared_subscription_available: Some(0),
        session_expiry_interval: None,
        max_qos: None,
        retain_available: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: None,
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    });
    ConnAck {
        session_present: has_session,
        code: return_code(reason),
        properties,
    }
}

fn publish(delivery: &Delivery) -> Publish {
    let message = &delivery.message;
    let mut properties = message.properties.as_ref().map(|given| given.0.clone());
    if delivery.expires_s.is_some() || !delivery.subscription_ids.is_empty() {
        let properties = properties.get_or_insert_with(PublishProperties::default);
        properties.message_expiry_interval = delivery.expires_s;
        properties.subscription_identifiers = delivery.subscription_ids.clone();
    }
    Publish {
        dup: delivery.is_repeated && delivery.qos > 0,
        qos: quality(delivery.qos),
        retain: delivery.retain,
        topic: Bytes::copy_from_slice(message.topic.as_bytes()),
        pkid: delivery.id,
        payload: message.payload.clone(),
        properties,
    }
}

fn quality(number: u8) -> QoS {
    qos(number).unwrap_or(QoS::AtMostOnce)
}

fn subscribe_code(granted: &Result<u8, Reason>) -> SubscribeReasonCode {
    match granted {
        Ok(granted) => SubscribeReasonCode::Success(quality(*granted)),
        Err(Reason::NotAuthorized) => SubscribeReasonCode::NotAuthorized,
        Err(Reason::FilterInvalid) => SubscribeReasonCode::TopicFilterInvalid,
        Err(Reason::Quota) => SubscribeReasonCode::QuotaExceeded,
        Err(Reason::SharedSubscriptions) => SubscribeReasonCode::SharedSubscriptionsNotSupported,
        Err(_) => SubscribeReasonCode::Unspecified,
    }
}

fn return_code(reason: Reason) -> ConnectReturnCode {
    match reason {
        Reason::Success => ConnectReturnCode::Success,
        Reason::Malformed => ConnectReturnCode::MalformedPacket,
        Reason::Protocol => ConnectReturnCode::ProtocolError,
        Reason::Version => ConnectReturnCode::UnsupportedProtocolVersion,
        Reason::ClientId => ConnectReturnCode::ClientIdentifierNotValid,
        Reason::BadCredentials => ConnectReturnCode::BadUserNamePassword,
        Reason::NotAuthorized => ConnectReturnCode::NotAuthorized,
        Reason::ServerBusy => ConnectReturnCode::ServerBusy,
        Reason::TopicInvalid => ConnectReturnCode::TopicNameInvalid,
        Reason::TooLarge => ConnectReturnCode::PacketTooLarge,
        Reason::Quota => ConnectReturnCode::QuotaExceeded,
        _ => ConnectReturnCode::UnspecifiedError,
    }
}

fn disconnect_code(reason: Reason) -> DisconnectReasonCode {
    match reason {
        Reason::Success => DisconnectReasonCode::NormalDisconnection,
        Reason::Malformed => DisconnectReasonCode::MalformedPacket,
        Reason::Protocol => DisconnectReasonCode::ProtocolError,
        Reason::NotAuthorized => DisconnectReasonCode::NotAuthorized,
        Reason::ServerBusy => DisconnectReasonCode::ServerBusy,
        Reason::ShuttingDown => DisconnectReasonCode::ServerShuttingDown,
        Reason::KeepAlive => DisconnectReasonCode::KeepAliveTimeout,
        Reason::TakenOver => DisconnectReasonCode::SessionTakenOver,
        Reason::FilterInvalid => DisconnectReasonCode::TopicFilterInvalid,
        Reason::TopicInvalid => DisconnectReasonCode::TopicNameInvalid,
        Reason::TopicAlias => DisconnectReasonCode::TopicAliasInvalid,
        Reason::TooLarge => DisconnectReasonCode::PacketTooLarge,
        Reason::Quota => DisconnectReasonCode::QuotaExceeded,
        Reason::SharedSubscriptions => DisconnectReasonCode::SharedSubscriptionNotSupported,
        Reason::NoSubscription | Reason::Version | Reason::ClientId | Reason::BadCredentials => {
            DisconnectReasonCode::UnspecifiedError
        }
    }
}
