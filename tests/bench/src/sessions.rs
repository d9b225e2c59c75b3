//! Game sessions on the broker in the box and on Mosquitto: how soon all see a join and a leave,
//! beside a message that goes to the broker and back over the same client library.

use std::process::Command;
use std::time::{Duration, Instant};

use distflow_core::mqtt::{BrokerOptions, Link, LinkEvent};
use distflow_core::session::seat::CreateOptions;
use distflow_core::sessions::{Session, Sessions};

use crate::child::Child;
use crate::failure::{Result, failure};
use crate::frames;
use crate::samples::{Samples, p50_p99};
use crate::setting::Setting;

const MEMBERS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures on both brokers, on Mosquitto if it is there.
pub fn measure(setting: &Setting, samples: &mut Samples) -> Result<()> {
    let port = frames::free_port()?;
    let mut command = Command::new(&setting.program);
    command.args(["broker", "start", "--mqtt-port", &port.to_string()]);
    let in_the_box = Child::spawn_silent(command, None)?;
    on(setting, samples, "box", port)?;
    drop(in_the_box);
    let port = frames::free_port()?;
    let mut command = Command::new("mosquitto");
    command.args(["-p", &port.to_string()]);
    match Child::spawn_silent(command, None) {
        Ok(_mosquitto) => on(setting, samples, "mosquitto", port),
        Err(error) => {
            eprintln!("  without Mosquitto: {error}");
            Ok(())
        }
    }
}

fn on(setting: &Setting, samples: &mut Samples, name: &str, port: u16) -> Result<()> {
    frames::wait_for(port)?;
    let options = BrokerOptions::parse(&format!("mqtt://127.0.0.1:{port}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut add = |what: &str, times: Vec<u64>| {
            let (p50, p99) = p50_p99(times);
            samples.add(format!("session.{name}.{what}.p50"), p50 as f64 / 1e3);
            samples.add(format!("session.{name}.{what}.p99"), p99 as f64 / 1e3);
        };
        add("trip", trips(&options, setting.amount(500, 100)).await?);
        let (joins, leaves) = changes(&options, setting.amount(100, 20)).await?;
        add("join", joins);
        add("leave", leaves);
        add("storm", vec![storm(&options, 100).await?]);
        Ok(())
    })
}

/// A message to the broker and back.
async fn trips(options: &BrokerOptions, count: usize) -> Result<Vec<u64>> {
    let mut link = Link::new(options.clone(), "bench".to_owned(), None, 1)?;
    while !matches!(link.next().await, LinkEvent::Connected) {}
    link.subscribe("bench".to_owned()).await?;
    let mut times = Vec::new();
    for number in 0..count + 10 {
        let begun = Instant::now();
        link.publish("bench".to_owned(), vec![b'x'; 100], false, 1)
            .await?;
        let coming = async { while !matches!(link.next().await, LinkEvent::Message { .. }) {} };
        let in_time = tokio::time::timeout(PATIENCE, coming).await;
        in_time.map_err(|_| failure("a message did not come back"))?;
        if number >= 10 {
            times.push(begun.elapsed().as_nanos() as u64);
        }
    }
    link.close(Duration::from_secs(1)).await;
    Ok(times)
}

async fn see(sessions: &[Session], count: usize) -> Result<()> {
    let seeing = async {
        for session in sessions {
            while session.view().members().len() != count {
                session.await_events(Duration::from_secs(1)).await;
                session.take_events();
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, seeing).await;
    in_time.map_err(|_| failure("a join or leave was not seen"))
}

/// One after the other joins ten others and leaves again, until all have seen it.
async fn changes(options: &BrokerOptions, count: usize) -> Result<(Vec<u64>, Vec<u64>)> {
    let manager = Sessions::new(options.clone())?;
    let room = CreateOptions {
        players_max: 1_000,
        ..CreateOptions::default()
    };
    let mut sessions = vec![manager.create(None, room).await?];
    for _ in 1..MEMBERS {
        sessions.push(manager.join(sessions[0].id()).await?);
    }
    see(&sessions, MEMBERS).await?;
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let begun = Instant::now();
        let other = manager.join(sessions[0].id()).await?;
        see(&sessions, MEMBERS + 1).await?;
        joins.push(begun.elapsed().as_nanos() as u64);
        let begun = Instant::now();
        other.leave().await;
        see(&sessions, MEMBERS).await?;
        leaves.push(begun.elapsed().as_nanos() as u64);
    }
    Ok((joins, leaves))
}

/// So many join in one instant, until all are in.
async fn storm(options: &BrokerOptions, clients: usize) -> Result<u64> {
    let manager = Sessions::new(options.clone())?;
    let room = CreateOptions {
        players_max: 1_000,
        ..CreateOptions::default()
    };
    let first = manager.create(None, room).await?;
    let begun = Instant::now();
    let mut joining = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (manager, id) = (manager.clone(), first.id().to_owned());
        joining.spawn(async move { manager.join(&id).await });
    }
    let mut sessions = vec![first];
    while let Some(joined) = joining.join_next().await {
        sessions.push(joined.map_err(|error| failure(error.to_string()))??);
    }
    see(&sessions, clients + 1).await?;
    Ok(begun.elapsed().as_nanos() as u64)
}
