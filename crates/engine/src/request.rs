//! Asked of a service: a lineage has a program started by somebody else (`systemd-run`, `tmux`, `docker`), and no fork tells.
//! What was asked is remembered for a while; who executes exactly that, started by that service's server, belongs to it.

use std::collections::{BTreeMap, VecDeque};

use muster_event::{Address, Event, Kind, Nanos, ProcessKey};

use crate::engine::Engine;
use crate::process::Process;
use crate::products::{Service, What};
use crate::roll::{is_interpreter, is_shell, name_of};
use crate::{AgentId, Certainty, Descent, Evidence, Via};

/// Asks remembered per agent: a busy one asks a few in a minute, and most last no longer.
const ASKS_MAX: usize = 256;
/// Arguments, and bytes of them, of one ask.
const WORDS_MAX: usize = 256;
const BYTES_MAX: usize = 16 * 1024;
/// Texts of one ask that are parsed as commands of a shell, and commands in them.
const TEXTS_MAX: usize = 8;
const COMMANDS_MAX: usize = 64;
/// A service that was asked to open something of its own does so within this time.
const OPEN_NS: Nanos = 5_000_000_000;
const SECOND: Nanos = 1_000_000_000;
/// A timer's command may come within this time.
const TIMER_NS: Nanos = 24 * 3_600 * SECOND;

/// Something that a lineage asked of a service.
#[derive(Clone)]
pub(crate) struct Ask {
    service: String,
    asker: ProcessKey,
    uid: u32,
    seq: u64,
    time_ns: Nanos,
    until_ns: Nanos,
    /// What followed the verb.
    words: Vec<String>,
    /// The simple commands of the texts in it.
    commands: Vec<Vec<String>>,
    /// Something is started for it whatever was named: the next process that the server starts.
    opens: bool,
    /// It comes again and again: a timer, a loop that was typed into a shell.
    again: bool,
    window_ns: Nanos,
    /// Which that may have been. It is told when nothing came that was named.
    guess: Option<Box<Descent>>,
}

/// What a command line asks for, in words.
#[derive(Default)]
pub(crate) struct Asked {
    pub words: Vec<String>,
    pub commands: Vec<Vec<String>>,
    /// A loop is among them.
    pub again: bool,
}

impl Engine {
    /// A process of a lineage executed something, or connected to a socket: does it ask a service for something?
    pub(crate) fn note_request(&mut self, event: &Event) {
        let agents = self.agents_of(event.process);
        if agents.is_empty() {
            return;
        }
        let Some(process) = self.processes.get(event.process) else { return };
        let mut asks = Vec::new();
        match &event.kind {
            Kind::Exec { .. } => {
                let host = self.start.as_ref().map_or("", |start| start.host.as_str());
                for service in self.products.services() {
                    asks.extend(self.asks_of(event, process, service, host));
                }
            }
            Kind::Connect { address: Address::Unix { path }, result } if *result == 0 => {
                for service in self.products.services() {
                    if service.has_socket(path) && !service.has_client(&process.path) {
                        asks.push(ask(event, process, service, Asked::default(), true, OPEN_NS));
                    }
                }
            }
            _ => return,
        }
        for agent in agents {
            for ask in &asks {
                self.keep_ask(&agent, ask.clone());
            }
        }
    }

    fn asks_of(&self, event: &Event, process: &Process, service: &Service, host: &str) -> Option<Ask> {
        let (request, words) = service
            .request
            .iter()
            .find_map(|request| Some((request, request.asks(&process.path, &process.argv, host)?)))?;
        // A user's service manager is asked with `--user`; the system's without it.
        let user = process.argv.iter().any(|argument| argument == "--user");
        if matches!(name_of(&process.path), "systemd-run" | "systemctl" | "busctl")
            && user != service.name.ends_with("--user")
        {
            return None;
        }
        let asked = match request.what {
            What::Command => Asked::command(words),
            What::Keys => Asked::keys(words),
            What::Unit => Asked::default(),
            What::Job => {
                let shell = process
                    .parent
                    .and_then(|parent| self.processes.get(parent))
                    .and_then(|parent| crate::action::shell_string(&parent.argv));
                Asked::job(shell.unwrap_or_default(), name_of(&process.path))
            }
        };
        let window =
            if request.is_timed(&process.argv) { TIMER_NS } else { service.window.saturating_mul(SECOND) };
        let mut ask = ask(event, process, service, asked, request.opens, window);
        ask.again |= request.is_timed(&process.argv);
        Some(ask)
    }

    fn keep_ask(&mut self, agent: &str, ask: Ask) {
        let now = self.time_ns;
        let asks = self.asks.entry(agent.to_owned()).or_default();
        asks.retain(|ask| ask.until_ns >= now);
        asks.push_back(ask);
        if asks.len() > ASKS_MAX {
            asks.pop_front();
            self.forgot_of(vec![agent.to_owned()]);
        }
    }

    /// A process executed something: was that asked for?
    pub(crate) fn check_request(&mut self, event: &Event) {
        if self.asks.is_empty() {
            return;
        }
        let key = event.process;
        let mut found: Vec<(AgentId, usize, bool)> = Vec::new();
        {
            let Some(process) = self.processes.get(key) else { return };
            let above: Vec<&Process> = self.processes.ancestors(key).take(8).collect();
            // How far below each service's server: most asks are of the same few.
            let mut below: BTreeMap<(&str, u32), Option<usize>> = BTreeMap::new();
            for (agent, asks) in &self.asks {
                if self.belongs(key, agent) {
                    continue;
                }
                let mut best: Option<(usize, bool)> = None;
                for (at, ask) in asks.iter().enumerate() {
                    if !(ask.time_ns..=ask.until_ns).contains(&event.time_ns) || ask.seq >= event.seq {
                        continue;
                    }
                    let depth = *below
                        .entry((ask.service.as_str(), ask.uid))
                        .or_insert_with(|| self.below_server(&above, ask));
                    let Some(depth) = depth else { continue };
                    if ask.names(process) {
                        best = Some((at, true));
                        break;
                    }
                    let soon = event.time_ns.saturating_sub(ask.time_ns) <= OPEN_NS;
                    if ask.opens && depth == 0 && soon && !self.is_helper(process, ask) {
                        best = best.or(Some((at, false)));
                    }
                }
                found.extend(best.map(|(at, exact)| (agent.clone(), at, exact)));
            }
        }
        for (agent, at, exact) in found {
            self.answered(event, &agent, at, exact);
        }
    }

    /// How many generations below the server of the service that was asked these ancestors begin.
    fn below_server(&self, above: &[&Process], ask: &Ask) -> Option<usize> {
        let service = self.products.services().iter().find(|service| service.name == ask.service)?;
        above.iter().take(service.depth).position(|ancestor| {
            service.is_server(ancestor.key.pid, ancestor.uid, ask.uid, &ancestor.path, &ancestor.argv)
        })
    }

    fn is_helper(&self, process: &Process, ask: &Ask) -> bool {
        self.products
            .services()
            .iter()
            .any(|service| service.name == ask.service && service.has_helper(&process.path))
    }

    fn answered(&mut self, event: &Event, agent: &str, at: usize, exact: bool) {
        let Some(process) = self.processes.get(event.process) else { return };
        let what = crate::reconcile::shorten(&process.argv.join(" "));
        let telling = is_telling(&process.argv);
        let Some(ask) = self.asks.get_mut(agent).and_then(|asks| asks.get_mut(at)) else { return };
        let service = ask.service.clone();
        let (certainty, summary) = match (exact, telling) {
            (true, true) => (
                Certainty::Certain,
                format!("{service} started `{what}`, which the lineage had asked it for"),
            ),
            (true, false) => (
                Certainty::Likely,
                format!("{service} started `{what}`, as the lineage had asked it; others ask for the same"),
            ),
            (false, _) => {
                // One process for one ask: the next may be anybody's.
                ask.opens = false;
                (
                    Certainty::Likely,
                    format!(
                        "{service} started `{what}` just after the lineage had asked it for something: only the time fits"
                    ),
                )
            }
        };
        let evidence =
            vec![Evidence::Event { seq: event.seq }, crate::engine::event_evidence(ask.seq, ask.asker)];
        let descent = Descent {
            agent: agent.to_owned(),
            process: event.process,
            from_seq: event.seq,
            via: Via::Request { service },
            certainty,
            time_ns: event.time_ns,
            summary,
            evidence,
        };
        if exact {
            ask.answered_by(process, event.time_ns);
            self.descend(descent);
        } else {
            ask.guess = Some(Box::new(descent));
        }
    }

    /// Asks that are over, and guesses that nothing better came for.
    pub(crate) fn forget_asks(&mut self) {
        let now = self.time_ns;
        let mut guesses = Vec::new();
        for ask in self.asks.values_mut().flatten() {
            if now.saturating_sub(ask.time_ns) > OPEN_NS {
                guesses.extend(ask.guess.take());
            }
        }
        for guess in guesses {
            if !self.belongs(guess.process, &guess.agent) {
                self.descend(*guess);
            }
        }
        for asks in self.asks.values_mut() {
            asks.retain(|ask| ask.until_ns >= now);
        }
        self.asks.retain(|_, asks| !asks.is_empty());
    }
}

pub(crate) type Asks = BTreeMap<AgentId, VecDeque<Ask>>;

fn ask(
    event: &Event,
    process: &Process,
    service: &Service,
    asked: Asked,
    opens: bool,
    window_ns: Nanos,
) -> Ask {
    Ask {
        service: service.name.clone(),
        asker: event.process,
        uid: process.uid,
        seq: event.seq,
        time_ns: event.time_ns,
        until_ns: event.time_ns.saturating_add(window_ns.max(OPEN_NS + SECOND)),
        window_ns,
        again: asked.again,
        words: asked.words,
        commands: asked.commands,
        opens,
        guess: None,
    }
}

impl Ask {
    /// What was asked once is not asked again: the next who runs it may be anybody.
    fn answered_by(&mut self, process: &Process, time_ns: Nanos) {
        self.opens = false;
        self.guess = None;
        if self.again {
            self.until_ns = self.until_ns.max(time_ns.saturating_add(self.window_ns));
            return;
        }
        let whole = variants(process).any(|argv| self.is_whole(argv));
        if whole {
            self.words.clear();
            self.commands.clear();
        } else if let Some(at) =
            self.commands.iter().position(|command| variants(process).any(|argv| same(command, argv)))
        {
            self.commands.remove(at);
        }
    }

    /// All that was asked: its arguments, or its text for a shell.
    fn is_whole(&self, argv: &[String]) -> bool {
        ends_with(&self.words, argv)
            || crate::action::shell_string(argv).is_some_and(|text| self.has_text(text))
    }

    /// Is what this process runs what was asked for, word for word?
    fn names(&self, process: &Process) -> bool {
        variants(process)
            .any(|argv| self.is_whole(argv) || self.commands.iter().any(|command| same(command, argv)))
    }

    /// A text for a shell: one of the words, or the last of them with blanks between.
    fn has_text(&self, text: &str) -> bool {
        let text = text.trim();
        !text.is_empty()
            && (self.words.iter().any(|word| word.trim() == text)
                || (0..self.words.len()).any(|at| {
                    let rest = self.words.get(at..).unwrap_or_default();
                    // Joined only where it can be: the work would grow with the square of the words.
                    let length: usize = rest.iter().map(|word| word.len() + 1).sum();
                    length == text.len() + 1 && rest.join(" ") == text
                }))
    }
}

/// The command line; that of a script without its interpreter.
fn variants(process: &Process) -> impl Iterator<Item = &[String]> {
    let script = process.script.as_ref().and_then(|script| {
        let at = process.argv.iter().take(3).position(|argument| name_of(argument) == name_of(script))?;
        process.argv.get(at..)
    });
    std::iter::once(process.argv.as_slice()).chain(script).filter(|argv| !argv.is_empty())
}

/// A program may have been found along the PATH, or be called by its name with a dash (a login shell).
fn same(asked: &[String], argv: &[String]) -> bool {
    let (Some((program, rest)), Some((run, arguments))) = (asked.split_first(), argv.split_first()) else {
        return false;
    };
    rest == arguments
        && (program == run || !program.contains('/') && program == name_of(run) || name_of(program) == run)
}

fn ends_with(words: &[String], argv: &[String]) -> bool {
    words.len().checked_sub(argv.len()).and_then(|at| words.get(at..)).is_some_and(|tail| same(tail, argv))
}

/// Does the command line say more than that somebody opened a shell, or ran the one word that everybody runs?
fn is_telling(argv: &[String]) -> bool {
    let Some((program, rest)) = argv.split_first() else { return false };
    let bare = rest.iter().all(|argument| argument.starts_with('-'));
    let shell = is_shell(program.trim_start_matches('-')) || is_interpreter(program);
    if bare { !shell && (program.contains('/') || !rest.is_empty()) } else { true }
}

impl Asked {
    /// An argument list, in which one argument may be a text for a shell.
    pub fn command(words: &[String]) -> Self {
        let words = bounded(words);
        let texts = words.iter().filter(|word| word.contains([' ', ';', '&', '|', '\n']));
        let commands = commands(texts.map(String::as_str));
        // A loop runs in a shell that is started for it.
        Self { words, commands, again: false }
    }

    /// Keys typed into a shell: each argument is text or the name of a key.
    pub fn keys(words: &[String]) -> Self {
        const ENTER: [&str; 6] = ["Enter", "C-m", "C-j", "KPEnter", "^M", "C-M"];
        let words = bounded(words);
        let mut lines: Vec<String> = Vec::new();
        let mut line = String::new();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "-t" | "-N" => drop(rest.next()),
                "-l" | "-R" | "-H" | "-K" | "-M" | "-X" | "--" => {}
                "Space" => line.push(' '),
                word if ENTER.contains(&word) => lines.push(std::mem::take(&mut line)),
                word => line.push_str(&word.replace("^M", "\n").replace("\\n", "\n").replace('\r', "\n")),
            }
        }
        lines.push(line);
        let commands = commands(lines.iter().map(String::as_str));
        let again = lines.iter().any(|line| {
            line.split([' ', ';', '\n', '\t']).any(|word| matches!(word, "while" | "for" | "until"))
        });
        Self { words: lines.into_iter().filter(|line| !line.trim().is_empty()).collect(), commands, again }
    }

    /// `echo COMMAND | at now`, `at now <<E`: the text of the shell that runs it.
    pub fn job(text: &str, program: &str) -> Self {
        let Some(simple) = crate::shell::simple_commands(text) else { return Self::default() };
        let mut texts: Vec<String> = Vec::new();
        for command in simple {
            match command.words.first().map(|word| name_of(word)) {
                Some(name) if name == program => texts.extend(command.heredoc),
                Some("echo" | "printf") => {
                    let words = command.words.iter().skip(1).filter(|word| !word.starts_with('-'));
                    texts.push(words.map(|word| word.replace("\\n", "\n")).collect::<Vec<_>>().join(" "));
                }
                Some(_) | None => {}
            }
        }
        let commands = commands(texts.iter().map(String::as_str));
        Self { words: Vec::new(), commands, again: false }
    }
}

fn bounded(words: &[String]) -> Vec<String> {
    let mut left = BYTES_MAX;
    words
        .iter()
        .take(WORDS_MAX)
        .take_while(|word| {
            let fits = word.len() <= left;
            left = left.saturating_sub(word.len());
            fits
        })
        .cloned()
        .collect()
}

fn commands<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Vec<String>> {
    texts
        .filter(|text| text.len() <= BYTES_MAX)
        .take(TEXTS_MAX)
        .flat_map(|text| crate::shell::simple_commands(text).unwrap_or_default())
        .map(|command| command.words)
        .filter(|words| !words.is_empty())
        .take(COMMANDS_MAX)
        .collect()
}

/// Any command line: what it asks for is bounded, and is answered by what follows the verb. For the fuzzing.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_request_line(services: &[Service], argv: &[String]) {
    for request in services.iter().flat_map(|service| &service.request) {
        let path = argv.first().map_or("", String::as_str);
        let Some(words) = request.asks(path, argv, "host") else { continue };
        assert!(argv.ends_with(words));
        let job = argv.join(" ");
        for asked in [Asked::command(words), Asked::keys(words), Asked::job(&job, name_of(path))] {
            let bytes: usize = asked.words.iter().map(String::len).sum();
            assert!(asked.words.len() <= WORDS_MAX + 1 && bytes <= BYTES_MAX + WORDS_MAX);
            assert!(
                asked.commands.len() <= COMMANDS_MAX && asked.commands.iter().all(|words| !words.is_empty())
            );
        }
        let asked = Asked::command(words);
        if asked.words.len() == words.len() && !words.is_empty() {
            assert!(ends_with(&asked.words, words), "{words:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Products;

    fn words(text: &str) -> Vec<String> {
        text.split('|').map(str::to_owned).collect()
    }

    /// A request as a line of `|`, and the command line that is to answer it.
    #[track_caller]
    fn check(service: &str, request: &str, run: &str, expected: bool) {
        let products = Products::built_in().unwrap();
        let service = products.services().iter().find(|known| known.name == service).unwrap();
        let argv = words(request);
        let asked = service.request.iter().find_map(|request| {
            let rest = request.asks(&argv[0], &argv, "host.example.org")?;
            Some(match request.what {
                What::Command => Asked::command(rest),
                What::Keys => Asked::keys(rest),
                What::Unit | What::Job => Asked::default(),
            })
        });
        let ask = asked.map(|asked| Ask {
            service: String::new(),
            asker: ProcessKey { pid: 1, start_ns: 1 },
            uid: 0,
            seq: 1,
            time_ns: 0,
            until_ns: 0,
            words: asked.words,
            commands: asked.commands,
            opens: false,
            guess: None,
            again: false,
            window_ns: 0,
        });
        let run = words(run);
        let found = ask.is_some_and(|ask| {
            ends_with(&ask.words, &run)
                || ask.commands.iter().any(|command| same(command, &run))
                || crate::action::shell_string(&run).is_some_and(|text| ask.has_text(text))
        });
        assert_eq!(found, expected, "{argv:?} {run:?}");
    }

    #[test]
    fn what_is_asked_is_what_is_run() {
        check("systemd", "/usr/bin/systemd-run|--unit|x|/opt/w|--fast", "/opt/w|--fast", true);
        check("systemd", "systemd-run|-p|User=x|sh|-c|sleep 9", "/bin/sh|-c|sleep 9", true);
        check("systemd", "systemd-run|/opt/w|--fast", "/opt/w", false);
        check(
            "tmux",
            "tmux|-L|s|new-session|-d|-s|a|python3 /tmp/x.py",
            "/bin/bash|-c|python3 /tmp/x.py",
            true,
        );
        check("tmux", "tmux|new|-d|python3|/tmp/x.py", "python3|/tmp/x.py", true);
        check("tmux", "tmux|send-keys|-t|a|cd /tmp && ./x --go|Enter", "./x|--go", true);
        check("tmux", "tmux|send-keys|-t|a|python3 y.py|C-m", "python3|y.py", true);
        check("tmux", "tmux|send-keys|-t|a|python3 y.py|C-m", "python3|z.py", false);
        check("tmux", "tmux|ls", "ls", false);
        check("tmux", "tmux|attach|-t|x", "x", false);
        check("screen", "screen|-S|a|-X|stuff|./x --go^M", "./x|--go", true);
        check("screen", "screen|-dmS|a|/tmp/x|1", "/tmp/x|1", true);
        check("docker", "docker|run|--rm|-it|alpine|sh|-c|id", "sh|-c|id", true);
        check("docker", "docker|ps", "sleep|9", false);
        check("ssh", "ssh|-p|22|u@localhost|nohup|/tmp/x|1", "bash|-c|nohup /tmp/x 1", true);
        check("ssh", "ssh|host|uptime -p", "bash|-c|uptime -p", true);
        check("ssh", "ssh|elsewhere.example.org|/tmp/x 1", "bash|-c|/tmp/x 1", false);
        check(
            "systemd",
            "busctl|call|org.freedesktop.systemd1|/x|i|StartTransientUnit|ssa|a.service|/tmp/x|1",
            "/tmp/x|1",
            true,
        );
    }

    #[test]
    fn jobs_stand_in_the_shell_around_them() {
        for text in [
            "echo '/tmp/x 1' | at now",
            "at now + 1 minute <<E\n/tmp/x 1\nE\n",
            "printf '/tmp/x 1\\n' | at noon",
        ] {
            assert_eq!(Asked::job(text, "at").commands, [words("/tmp/x|1")], "{text}");
        }
    }

    #[test]
    fn a_bare_shell_tells_nothing() {
        for argv in ["bash", "-bash", "/bin/sh|-i", "python3", "top"] {
            assert!(!is_telling(&words(argv)), "{argv}");
        }
        for argv in ["/tmp/x", "sleep|60", "bash|-c|ls", "htop|-d5"] {
            assert!(is_telling(&words(argv)), "{argv}");
        }
    }
}
