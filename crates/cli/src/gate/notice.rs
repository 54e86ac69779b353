//! Tells people that a question waits: by a command of the operator's (a desktop's `notify-send`, a pager) and by a webhook.
//! What the agent chose is escaped; neither may hold up anything.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use muster_mandate::ApprovalNote;

use crate::gate::config::Config;
use crate::gate::words;

/// Notices that wait to be sent; a person who has not looked at sixteen will not look at more.
const WAITING_MAX: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);
/// Characters of an action in a notice.
const WORDS_MAX: usize = 300;

pub struct Notices {
    sender: Option<SyncSender<ApprovalNote>>,
}

impl Notices {
    pub fn start(config: &Config) -> std::io::Result<Self> {
        if config.command.is_empty() && config.url.is_none() {
            return Ok(Self { sender: None });
        }
        let (sender, notes) = sync_channel(WAITING_MAX);
        let config = config.clone();
        thread::Builder::new().name("approval notices".to_owned()).spawn(move || run(&config, &notes))?;
        Ok(Self { sender: Some(sender) })
    }

    pub fn tell(&self, note: &ApprovalNote) {
        let Some(sender) = &self.sender else { return };
        match sender.try_send(note.clone()) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                eprintln!("watch: no notice of question {}: too many wait", note.id)
            }
        }
    }
}

/// One line.
pub fn text(note: &ApprovalNote) -> String {
    let mut action = words::in_words(&note.action);
    if let Some((at, _)) = action.char_indices().nth(WORDS_MAX) {
        action.truncate(at);
        action.push('…');
    }
    format!(
        "{} asks: {action} ({}) — muster approve {}",
        note.agent,
        muster_event::sanitize(&note.decision.rule),
        note.id
    )
}

fn run(config: &Config, notes: &Receiver<ApprovalNote>) {
    while let Ok(note) = notes.recv() {
        let json = serde_json::json!({
            "id": note.id, "agent": note.agent, "action": note.action, "rule": note.decision.rule,
            "reason": note.decision.reason, "said": note.said, "until_ns": note.until_ns, "text": text(&note),
        })
        .to_string();
        if let Some(url) = &config.url
            && let Err(error) = post(url, &json)
        {
            eprintln!("watch: the webhook of approvals: {}", muster_event::sanitize(&error));
        }
        if !config.command.is_empty()
            && let Err(error) = execute(&config.command, &json, &text(&note))
        {
            eprintln!("watch: the command of approvals: {}", muster_event::sanitize(&error));
        }
    }
}

fn post(url: &str, json: &str) -> Result<(), String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .max_redirects(0)
        .proxy(None)
        .build()
        .into();
    agent.post(url).content_type("application/json").send(json).map(drop).map_err(|error| error.to_string())
}

fn execute(command: &[String], json: &str, text: &str) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut child = Command::new(program)
        .args(arguments)
        .arg(text)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("`{program}`: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // It need not read it.
        drop(stdin.write_all(json.as_bytes()));
    }
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("`{program}`: {status}")),
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(error.to_string()),
        }
    }
    drop(child.kill());
    drop(child.wait());
    Err(format!("`{program}` took too long"))
}
