//! Hosts whose clocks show something else.

use std::time::Duration;

use crate::brokers::{Broker, Instance, on_both};

on_both!(time_zones_end_nothing);

fn time_zones_end_nothing(broker: &mut Broker) {
    let one = Instance::start(
        broker,
        &["create", "--id", "s-zones", "--max", "8"],
        &[("TZ", "Asia/Tokyo")],
    );
    one.is_in();
    let members: Vec<Instance> = ["America/New_York", "UTC", "Asia/Kathmandu"]
        .into_iter()
        .map(|zone| {
            let member = Instance::start(broker, &["join", "s-zones"], &[("TZ", zone)]);
            member.is_in();
            member
        })
        .collect();
    // Longer than a creator may be silent, and a lease is good for.
    std::thread::sleep(Duration::from_secs(21));
    let last = Instance::start(broker, &["join", "s-zones"], &[("TZ", "Pacific/Auckland")]);
    let seen = last.is_in();
    assert_eq!(seen["view"]["members"].as_array().unwrap().len(), 5);
    for member in members.iter().chain([&one]) {
        member.until(|line| line["event"]["type"] == "member_joined" && line["members"] == 5);
    }
}
