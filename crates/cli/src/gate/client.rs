//! Asks the gate. Whatever goes wrong is an error, and whoever enforces takes an error for a no.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use muster_mandate::{Decision, Verdict};

use crate::gate::line::{Answer, AskAll, LINE_MAX, Request};

/// How long the gate may take where no person is asked: it takes microseconds, on a machine that stands still seconds.
const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_MAX: u64 = 64 * 1024;

/// One connection, for as many questions as there are.
pub struct Asking {
    reader: BufReader<std::io::Take<UnixStream>>,
    stream: UnixStream,
}

impl Asking {
    pub fn connect(data: &Path) -> Result<Self, String> {
        let socket = crate::gate::socket(data);
        let stream = UnixStream::connect(&socket).map_err(|error| format!("no daemon answers: {error}"))?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        let reader = stream.try_clone().map_err(|error| error.to_string())?;
        Ok(Self { reader: BufReader::new(reader.take(ANSWER_MAX)), stream })
    }

    /// Another hold on the connection, by which it can be given up.
    pub fn stream(&self) -> Option<UnixStream> {
        self.stream.try_clone().ok()
    }

    /// The decision, and the approval that it came by.
    pub fn ask(&mut self, ask: AskAll) -> Result<(Decision, Option<String>), String> {
        let patience = PATIENCE + Duration::from_millis(ask.wait_ms);
        self.stream.set_read_timeout(Some(patience)).map_err(|error| error.to_string())?;
        let mut line = serde_json::to_vec(&Request::AskAll(ask)).map_err(|error| error.to_string())?;
        if line.len() > LINE_MAX {
            return Err("the call is too long to be asked about".to_owned());
        }
        line.push(b'\n');
        self.stream.write_all(&line).map_err(|error| error.to_string())?;
        self.reader.get_mut().set_limit(ANSWER_MAX);
        let mut answer = Vec::new();
        self.reader.read_until(b'\n', &mut answer).map_err(|error| error.to_string())?;
        match serde_json::from_slice(&answer) {
            Ok(Answer::Decided { decision, approval }) => Ok((decision, approval)),
            Ok(Answer::Refused { error }) => Err(error),
            Ok(Answer::Noted { .. }) => Err("that is no decision".to_owned()),
            Err(error) => Err(format!("no answer: {error}")),
        }
    }
}

/// An `ask` that nobody was asked about is a no.
pub fn lets_through(decision: &Decision) -> bool {
    decision.verdict == Verdict::Allow
}
