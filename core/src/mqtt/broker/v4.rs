//! MQTT 3.1.1 by the library's codec.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rumqttc4::{
    ConnAck, ConnectAuth, ConnectReturnCode, Packet, PubAck, PubComp, PubRec, PubRel, Publish, QoS,
    SubAck, SubscribeReasonCode, UnsubAck, qos,
};

use super::packet::{
    Connect, Delivery, FromClient, Message, Reason, ToClient, Version, Wanted, WantedRetained, Will,
};
use super::topic;
use crate::limits::{BROKER_PACKET_BYTES_MAX, BROKER_PAYLOAD_BYTES_MAX};

/// Reads a packet that [`super::frame`] has found to be whole and of a client.
pub(super) fn read(mut packet: BytesMut) -> Result<FromClient, Reason> {
    let packet =
        Packet::read(&mut packet, BROKER_PACKET_BYTES_MAX).map_err(|_| Reason::Malformed)?;
    Ok(match packet {
        Packet::Connect(connect) => {
            let (user, password) = match connect.auth {
                ConnectAuth::None => (None, None),
                ConnectAuth::Username { username } => (Some(username), None),
                ConnectAuth::UsernamePassword { username, password } => {
                    (Some(username), Some(password))
                }
            };
            let will = connect.last_will.map(|will| {
                let message = message(will.topic.as_bytes(), &will.message, will.qos, will.retain)?;
                Ok(Will {
                    message,
                    delay_s: 0,
                })
            });
            FromClient::Connect(Box::new(Connect {
                version: Version::V311,
                session_expiry_s: if connect.clean_session { 0 } else { u32::MAX },
                client_id: connect.client_id,
                clean: connect.clean_session,
                keep_alive_s: connect.keep_alive,
                receive_max: u16::MAX,
                packet_bytes_max: u32::MAX,
                will: will.transpose()?,
                user,
                password,
            }))
        }
        Packet::Publish(publish) => {
            let message = message(
                &publish.topic,
                &publish.payload,
                publish.qos,
                publish.retain,
            )?;
            FromClient::Publish(message, publish.pkid)
        }
        Packet::PubAck(ack) => FromClient::PubAck(ack.pkid),
        Packet::PubRec(ack) => FromClient::PubRec {
            id: ack.pkid,
            is_refused: false,
        },
        Packet::PubRel(ack) => FromClient::PubRel(ack.pkid),
        Packet::PubComp(ack) => FromClient::PubComp(ack.pkid),
        Packet::Subscribe(subscribe) => FromClient::Subscribe {
            id: subscribe.pkid,
            wanted: (subscribe.filters.into_iter())
                .map(|filter| Wanted {
                    qos: filter.qos as u8,
                    filter: filter.path,
                    no_local: false,
                    as_published: false,
                    retained: WantedRetained::Always,
                })
                .collect(),
            subscription_id: None,
        },
        Packet::Unsubscribe(unsubscribe) => FromClient::Unsubscribe {
            id: unsubscribe.pkid,
            filters: unsubscribe.topics,
        },
        Packet::PingReq => FromClient::Ping,
        Packet::Disconnect => FromClient::Disconnect {
            with_will: false,
            session_expiry_s: None,
        },
        Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
            return Err(Reason::Protocol);
        }
    })
}

fn message(topic: &[u8], payload: &Bytes, qos: QoS, retain: bool) -> Result<Message, Reason> {
    let topic = std::str::from_utf8(topic).map_err(|_| Reason::TopicInvalid)?;
    if !topic::is_topic(topic) {
        return Err(Reason::TopicInvalid);
    }
    if payload.len() > BROKER_PAYLOAD_BYTES_MAX {
        return Err(Reason::TooLarge);
    }
    Ok(Message {
        topic: Arc::from(topic),
        // A part of a packet would keep the whole of it in memory.
        payload: Bytes::copy_from_slice(payload),
        qos: qos as u8,
        retain,
        expires_s: None,
        properties: None,
    })
}

/// Appends a packet for a client; what this version does not have is left out.
pub(super) fn write(packet: &ToClient, out: &mut BytesMut) -> Result<(), Reason> {
    let packet = match packet {
        ToClient::ConnAck {
            reason,
            has_session,
            ..
        } => Packet::ConnAck(ConnAck::new(return_code(*reason), *has_session)),
        ToClient::Publish(delivery) => Packet::Publish(publish(delivery)),
        ToClient::PubAck(id, _) => Packet::PubAck(PubAck::new(*id)),
        ToClient::PubRec(id, _) => Packet::PubRec(PubRec::new(*id)),
        ToClient::PubRel(id) => Packet::PubRel(PubRel::new(*id)),
        ToClient::PubComp(id) => Packet::PubComp(PubComp::new(*id)),
        ToClient::SubAck(id, granted) => {
            let code = |granted: &Result<u8, Reason>| match granted {
                Ok(granted) => SubscribeReasonCode::Success(quality(*granted)),
                Err(_) => SubscribeReasonCode::Failure,
            };
            Packet::SubAck(SubAck::new(*id, granted.iter().map(code).collect()))
        }
        ToClient::UnsubAck(id, _) => Packet::UnsubAck(UnsubAck::new(*id)),
        ToClient::Pong => Packet::PingResp,
        ToClient::Disconnect(_) => return Ok(()),
    };
    packet
        .write(out, usize::MAX)
        .map(drop)
        .map_err(|_| Reason::Malformed)
}

fn publish(delivery: &Delivery) -> Publish {
    let message = &delivery.message;
    let quality = quality(delivery.qos);
    let mut publish = Publish::from_bytes(&*message.topic, quality, message.payload.clone());
    publish.pkid = delivery.id;
    publish.retain = delivery.retain;
    publish.dup = delivery.is_repeated && delivery.qos > 0;
    publish
}

fn quality(number: u8) -> QoS {
    qos(number).unwrap_or(QoS::AtMostOnce)
}

fn return_code(reason: Reason) -> ConnectReturnCode {
    match reason {
        Reason::Success => ConnectReturnCode::Success,
        Reason::Version => ConnectReturnCode::RefusedProtocolVersion,
        Reason::ClientId => ConnectReturnCode::BadClientId,
        Reason::BadCredentials => ConnectReturnCode::BadUserNamePassword,
        Reason::NotAuthorized => ConnectReturnCode::NotAuthorized,
        _ => ConnectReturnCode::ServiceUnavailable,
    }
}
