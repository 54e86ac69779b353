//! The daemon's one loop: what arrives becomes an `Input`, is written to the ledger, drives the engine, and the outputs are
//! carried out. Everything that waits for something else has a thread of its own and speaks to this loop by a channel.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::Result;
use muster_engine::{Engine, Input, Output, Products};
use muster_sensor::Source;
use muster_server::Store;

use crate::identify::Identifier;
use crate::{configuration, now_ns, tail};

/// Longest wait for the sensor in one round: bounds how long an account record or an enrolment waits.
const ROUND: Duration = Duration::from_millis(10);
/// How often what was written is made durable and visible to readers.
const COMMIT: Duration = Duration::from_millis(30);
/// How often the engine is told the time.
const TICK: Duration = Duration::from_millis(200);

pub enum Message {
    Input(Input),
    Enrol(muster_server::EnrolRequest),
    Stop,
}

pub struct Daemon<'a> {
    pub engine: Engine,
    pub products: Products,
    pub store: Store,
    pub source: Box<dyn Source>,
    pub identifier: Identifier,
    pub messages: Receiver<Message>,
    pub tail: Sender<tail::Request>,
    pub publish: &'a dyn Fn(&Output),
    pub failing: bool,
}
