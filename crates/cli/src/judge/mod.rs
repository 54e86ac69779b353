//! `--judge URL`: a language model may add its opinion. Off unless asked for; what it is worth stands in LIMITATIONS.md.
//!
//! A model that is slow, gone or mad costs its opinion and nothing else: nothing here can hold up or change the record.

mod client;
mod thread;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use muster_engine::{Evidence, Opinions, Severity};
use muster_report::judge::{Facts, NONCE_LEN, Said, answer, prompt, skeleton};
use muster_sensor::now_ns;
use muster_server::{EventFilter, EvidenceCopy, FindingFilter, StoreReader};
use sha2::{Digest, Sha256};

use client::{Client, Failure};
pub use thread::{Questions, start};

/// What is read of one agent to make its skeleton, which holds less: its latest events and records of its account, its
/// gravest findings and its claims.
const EVENTS_READ: usize = 4000;
const RECORDS_READ: usize = 400;
const FINDINGS_READ: usize = 200;
const CLAIMS_READ: usize = 500;
/// Answers about one agent within an hour: a busy session has hundreds of turns, and each answer stays in the record. Not in
/// all, or an agent could use them up before it does something.
const ANSWERS_MAX: usize = 20;
/// How long a server that does not answer is left alone.
const REST: Duration = Duration::from_secs(60);
/// What `--judge-requests` counts over.
const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Args)]
pub struct JudgeOptions {
    /// Ask a language model for its opinion on agents that have claims, or findings above `info`: the base URL of an
    /// OpenAI-compatible server, e.g. http://127.0.0.1:8080/v1. It is sent a skeleton of the run: commands, exits, paths,
    /// quoted sentences. An opinion changes no finding.
    #[arg(long, value_name = "URL")]
    judge: Option<String>,
    /// The model to ask for.
    #[arg(long, value_name = "NAME", default_value = "default")]
    judge_model: String,
    /// Environment variable that holds the key for that server.
    #[arg(long, value_name = "VAR", requires = "judge")]
    judge_key_env: Option<String>,
    /// Requests to it per hour, at most.
    #[arg(long, value_name = "N", default_value_t = 200)]
    judge_requests: usize,
    /// How long one request may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    judge_timeout: u64,
}

impl JudgeOptions {
    /// `None`: nobody asked for it.
    pub fn is_on(&self) -> bool {
        self.judge.is_some()
    }

    pub fn open(&self) -> Result<Option<Judge>> {
        let Some(url) = &self.judge else { return Ok(None) };
        let key = self.judge_key_env.as_deref();
        let timeout = Duration::from_secs(self.judge_timeout.max(1));
        let client = Client::new(url, &self.judge_model, key, timeout)?;
        let requests_max = self.judge_requests;
        Ok(Some(Judge {
            client,
            requests_max,
            asked: VecDeque::new(),
            resting: None,
            told: Told::default(),
            counts: Counts::default(),
        }))
    }
}

/// What came of it all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers that could be read, the opinions in them that passed, and those that did not.
    pub answers: u64,
    pub opinions: u64,
    pub dropped: u64,
    /// Answers of which nothing could be used.
    pub unusable: u64,
    /// Agents that were not asked about: the server was down, or the hour's requests were used up.
    pub not_asked: u64,
}

#[derive(Default)]
struct Told {
    down: bool,
    spent: bool,
    unusable: bool,
}

/// What became of one question.
pub enum Outcome {
    Opinions(Opinions),
    /// There was nothing to ask, or the answer was of no use.
    Nothing,
    /// Not now: ask again after this time.
    Later(Duration),
}

pub struct Judge {
    client: Client,
    requests_max: usize,
    /// Times of the requests of the last hour.
    asked: VecDeque<Instant>,
    resting: Option<Instant>,
    told: Told,
    pub counts: Counts,
}

impl Judge {
    /// Asks about one agent, as the record has it now. Says what fails on stderr, each kind once.
    pub fn consider(&mut self, reader: &StoreReader, agent: &str, say: &dyn Fn(&str)) -> Outcome {
        match self.try_consider(reader, agent, say) {
            Ok(outcome) => outcome,
            Err(error) => {
                say(&format!("judge: cannot read what {agent} did: {error}"));
                Outcome::Nothing
            }
        }
    }

    fn try_consider(
        &mut self,
        reader: &StoreReader,
        agent: &str,
        say: &dyn Fn(&str),
    ) -> Result<Outcome, muster_server::StoreError> {
        let Some(shown) = read(reader, agent)? else { return Ok(Outcome::Nothing) };
        let digest: [u8; 32] = Sha256::digest(shown.text().as_bytes()).into();
        let before = reader.opinions(agent, None)?;
        // The record is the cache: the same model is not asked the same again, not even by another run of Muster.
        let hour_ago = now_ns().saturating_sub(u64::try_from(HOUR.as_nanos()).unwrap_or(u64::MAX));
        if before.iter().filter(|old| old.time_ns > hour_ago).count() >= ANSWERS_MAX
            || before.iter().any(|old| old.skeleton == digest && old.model == self.client.model())
        {
            return Ok(Outcome::Nothing);
        }
        if let Some(wait) = self.wait(say) {
            return Ok(Outcome::Later(wait));
        }
        let Some(nonce) = nonce() else { return Ok(Outcome::Nothing) };
        let question = prompt(&shown, &nonce);
        let asked = &mut self.asked;
        let body = self.client.ask(&question, &mut || asked.push_back(Instant::now()));
        let why = match body {
            Err(Failure::Down(why)) => {
                self.resting = Some(Instant::now());
                if !std::mem::replace(&mut self.told.down, true) {
                    let host = self.client.host();
                    say(&format!("judge: {host} does not answer: {why}; findings stand without opinions"));
                }
                return Ok(Outcome::Later(REST));
            }
            Err(Failure::Refused(why)) => Err(why),
            Ok(body) => answer(&body, &shown, &nonce),
        };
        if std::mem::take(&mut self.told.down) {
            say(&format!("judge: {} answers again", self.client.host()));
        }
        match why {
            Err(why) => {
                self.counts.unusable += 1;
                if !std::mem::replace(&mut self.told.unusable, true) {
                    say(&format!("judge: {} answered nothing that can be used: {why}", self.client.host()));
                }
                Ok(Outcome::Nothing)
            }
            Ok(answer) => {
                self.counts.answers += 1;
                self.counts.opinions += answer.opinions.len() as u64;
                self.counts.dropped += u64::from(answer.dropped);
                Ok(Outcome::Opinions(Opinions {
                    agent: agent.to_owned(),
                    time_ns: now_ns(),
                    model: self.client.model().to_owned(),
                    endpoint: self.client.host().to_owned(),
                    skeleton: digest,
                    opinions: answer.opinions,
                    dropped: answer.dropped,
                }))
            }
        }
    }

    /// How long nothing may be asked.
    fn wait(&mut self, say: &dyn Fn(&str)) -> Option<Duration> {
        if let Some(left) = self.resting.and_then(|since| REST.checked_sub(since.elapsed()))
            && !left.is_zero()
        {
            return Some(left);
        }
        self.resting = None;
        while self.asked.front().is_some_and(|at| at.elapsed() >= HOUR) {
            self.asked.pop_front();
        }
        if self.asked.len() < self.requests_max {
            self.told.spent = false;
            return None;
        }
        if !std::mem::replace(&mut self.told.spent, true) {
            say(&format!(
                "judge: the {} requests of this hour are used up (--judge-requests)",
                self.requests_max
            ));
        }
        Some(self.asked.front().map_or(HOUR, |first| HOUR.saturating_sub(first.elapsed())))
    }
}

/// The skeleton of what the record has of the agent; `None` where nothing is worth an opinion.
fn read(
    reader: &StoreReader,
    agent: &str,
) -> Result<Option<muster_report::judge::Skeleton>, muster_server::StoreError> {
    let findings = reader.findings(&FindingFilter {
        agent: Some(agent.to_owned()),
        limit: Some(FINDINGS_READ),
        ..FindingFilter::default()
    })?;
    let claims = reader.claims(agent, None, Some(CLAIMS_READ))?;
    let asks = Facts { events: &[], said: &[], joins: &[], findings: &findings, claims: &claims };
    if !asks.is_worth_asking() {
        return Ok(None);
    }
    let mut events = Vec::new();
    let latest = EventFilter {
        agent: Some(agent.to_owned()),
        limit: Some(EVENTS_READ),
        last: true,
        ..EventFilter::default()
    };
    reader.records(&latest, &mut |record| {
        events.push(record.event);
        true
    })?;
    let mut said: Vec<Said> = Vec::new();
    let mut take = |read_ns, path: &str, offset, sha256, items: Vec<muster_account::Item>| {
        for item in items {
            let evidence = Evidence::Account { path: path.to_owned(), offset, sha256 };
            said.push(Said { read_ns, item, evidence });
        }
    };
    let mut seen = std::collections::BTreeSet::new();
    for record in reader.last_records(agent, RECORDS_READ)? {
        seen.insert((record.path.clone(), record.offset));
        take(record.time_ns, &record.path, record.offset, record.sha256, record.items);
    }
    // What findings rest on may be older.
    for finding in findings.iter().filter(|finding| finding.severity > Severity::Info) {
        for copy in reader.finding(&finding.id)?.into_iter().flat_map(|detail| detail.evidence) {
            match copy {
                EvidenceCopy::Event(event) if !events.iter().any(|known| known.seq == event.seq) => {
                    events.push(*event);
                }
                EvidenceCopy::Account(record) if seen.insert((record.path.clone(), record.offset)) => {
                    take(record.time_ns, &record.path, record.offset, record.sha256, record.items);
                }
                _ => {}
            }
        }
    }
    let joins = reader.joins(agent)?;
    let facts = Facts { events: &events, said: &said, joins: &joins, findings: &findings, claims: &claims };
    Ok(Some(skeleton(&facts)))
}

/// A word that nobody can guess.
fn nonce() -> Option<String> {
    let mut bytes = [0u8; NONCE_LEN / 2];
    let flags = rustix::rand::GetRandomFlags::empty();
    let filled = rustix::rand::getrandom(&mut bytes[..], flags).ok()?;
    (filled == bytes.len()).then(|| muster_server::views::hex(&bytes))
}
