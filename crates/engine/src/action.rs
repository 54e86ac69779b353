//! Actions: what the agent's own program executes. Each is the harness's own helper, or the act of a tool call.

use muster_account::shell;
use muster_event::ProcessKey;

use crate::AgentId;
use crate::agent::Action;
use crate::engine::Engine;
use crate::process::Role;

/// Texts of one action under which a call may name it: a harness goes through two or three programs to the command.
const TEXTS_MAX: usize = 32;

impl Engine {
    /// A process executed a file. Where its parent is the harness, that begins an action; within an action it adds to it.
    pub(crate) fn on_executed(&mut self, key: ProcessKey, seq: u64) {
        let Some(process) = self.processes.get(key) else { return };
        let Some(member) = process.member.clone() else { return };
        let id = member.agent;
        let is_root = self.agents.get(&id).is_some_and(|a| a.state.root == key);
        match member.role {
            Role::Harness if is_root || process.harness => self.harnesses.push(key),
            Role::Harness => self.begin_action(&id, key, seq),
            Role::Action(index) => {
                let begins = self
                    .agents
                    .get(&id)
                    .and_then(|a| a.actions.get(&index))
                    .is_some_and(|a| a.process == key);
                if begins {
                    self.extend_action(&id, index, key)
                } else {
                    self.check_descendant(&id, index, key, seq);
                    self.look_into_sandbox(&id, index, key);
                }
            }
            Role::Member => {}
        }
    }

    fn begin_action(&mut self, id: &AgentId, key: ProcessKey, seq: u64) {
        let Some(process) = self.processes.get(key) else { return };
        let direct = process
            .parent
            .and_then(|parent| self.processes.get(parent)?.member.as_ref())
            .is_some_and(|parent| parent.agent == *id && parent.role == Role::Harness);
        let action = Action {
            process: key,
            seq,
            time_ns: process.time_ns,
            ended_ns: None,
            exit: None,
            written: Vec::new(),
            more_written: false,
            direct,
            disturbed: false,
            texts: Vec::new(),
            display: String::new(),
            call_id: None,
            call: None,
            helper: None,
            uncovered: false,
            cut: false,
            asked: false,
            effects: Default::default(),
            free: false,
            decided: false,
        };
        let Some(agent) = self.agents.get_mut(id) else { return };
        let index = agent.add_action(action);
        if let Some(member) = self.processes.get_mut(key).and_then(|p| p.member.as_mut()) {
            member.role = Role::Action(index);
        }
        self.extend_action(id, index, key);
    }

    /// Takes up what the action's own process runs now: its texts, its call id, whether a helper rule covers it.
    fn extend_action(&mut self, id: &AgentId, index: usize, key: ProcessKey) {
        let Some(process) = self.processes.get(key) else { return };
        let Some(agent) = self.agents.get_mut(id) else { return };
        let product = self.products.get(&agent.state.product);
        let call_id =
            product.and_then(|p| p.call_variables().iter().find_map(|v| process.env.get(v))).cloned();
        let texts = command_texts(&process.argv);
        let startup = agent.first_call_ns.is_none();
        let asked = call_id.is_some() || is_tool_shell(&process.argv);
        let again = agent.actions.get(&index).and_then(|a| a.helper.clone().filter(|_| a.free));
        // What carries a call's id is that call's, whatever it looks like.
        let (covered, free) = if call_id.is_some() {
            (None, false)
        } else if let Some(why) = again {
            // The hook goes on as another program.
            (Some(why), true)
        } else if agent.is_configured(&process.argv, &texts) {
            (Some("a hook or server that the product's configuration names".to_owned()), true)
        } else {
            match product.and_then(|p| p.covers(&process.path, &process.argv, startup)) {
                Some(covered) => (Some(covered.why), covered.free),
                None => (None, false),
            }
        };
        let display = texts.first().cloned().unwrap_or_default();
        // There are no configuration files beside a record. What ran before the model had asked for anything is the
        // product's or the user's, and stays so.
        let before_model = self.recorded.is_some()
            && startup
            && call_id.is_none()
            && product.is_some_and(|p| p.lag() == crate::products::Lag::Before);
        if before_model && agent.configured.len() < crate::agent::CONFIGURED_MAX {
            agent.configured.extend(shell_string(&process.argv).map(|text| vec![text.trim().to_owned()]));
        }
        let cut = process.argv_cut;
        let Some(action) = agent.actions.get_mut(&index) else { return };
        action.call_id = action.call_id.take().or(call_id);
        action.asked |= asked && covered.is_none();
        // A shell becomes the last program of its command: what a call names may be the text that was cut.
        action.cut |= cut;
        for text in texts {
            if action.texts.len() < TEXTS_MAX && !action.texts.contains(&text) {
                action.texts.push(text);
            }
        }
        match covered {
            Some(why) => {
                action.helper = Some(why);
                action.free = free;
            }
            None => {
                action.uncovered = true;
                agent.state.doing = crate::reconcile::shorten(&display);
            }
        }
        action.display = display;
        self.match_action(id, index);
    }

    /// A helper may run only what is known to belong to it: a git probe that runs a program of the repository's choosing
    /// (`core.fsmonitor`, a hook) is no helper there.
    fn check_descendant(&mut self, id: &AgentId, index: usize, key: ProcessKey, seq: u64) {
        let Some(process) = self.processes.get(key) else { return };
        let Some(agent) = self.agents.get(id) else { return };
        let Some(action) = agent.actions.get(&index) else { return };
        if action.helper.is_none() || action.uncovered || action.call.is_some() {
            return;
        }
        let helper = self.processes.get(action.process).map_or(&[][..], |p| p.argv.as_slice());
        let known = action.free
            || self
                .products
                .get(&agent.state.product)
                .is_some_and(|p| p.covers_descendant(helper, &process.path, &process.argv));
        if !known {
            self.begin_action(id, key, seq);
        }
    }

    /// A sandbox was started for a command: what it runs is what the call named.
    fn look_into_sandbox(&mut self, id: &AgentId, index: usize, key: ProcessKey) {
        let Some(agent) = self.agents.get(id) else { return };
        let Some(action) = agent.actions.get(&index) else { return };
        if action.call.is_some() || action.helper.is_some() && !action.uncovered {
            return;
        }
        let product = agent.state.product.as_str();
        let is_wrapper = |p: &crate::process::Process| self.products.is_wrapper(product, &p.path, &p.argv);
        let Some(process) = self.processes.get(key) else { return };
        if is_wrapper(process) {
            return;
        }
        // Nothing but sandboxes between the harness and this.
        let mut reached = false;
        for ancestor in self.processes.ancestors(key) {
            if !is_wrapper(ancestor) {
                return;
            }
            if ancestor.key == action.process {
                reached = true;
                break;
            }
        }
        if reached {
            self.extend_action(id, index, key);
        }
    }

    /// It turned out to be the agent's own program again (a launcher's child): no action.
    pub(crate) fn withdraw_action(&mut self, id: &str, key: ProcessKey) {
        let Some(member) = self.processes.get(key).and_then(|p| p.member.clone()) else { return };
        let Role::Action(index) = member.role else { return };
        if let Some(agent) = self.agents.get_mut(id)
            && agent.actions.get(&index).is_some_and(|a| a.process == key)
        {
            agent.actions.remove(&index);
            agent.actions_open.remove(&index);
        }
    }
}

/// Under which texts an account may name this execution: the string given to a shell (unwrapped from what products wrap
/// around it), and the plain command line.
pub(crate) fn command_texts(argv: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(script) = shell_string(argv) {
        out.extend(shell::unwrap(script).map(|command| command.trim().to_owned()));
        out.push(script.trim().to_owned());
    }
    out.push(argv.join(" "));
    out
}

/// A shell that runs a command string, of the kinds that people and so harnesses use for commands. `sh -c` is also how a
/// program runs another one for itself (`system(3)`, node's `exec`): there its effects decide.
fn is_tool_shell(argv: &[String]) -> bool {
    let program = argv.first().map_or("", |a| crate::roll::name_of(a)).trim_start_matches('-');
    !matches!(program, "sh" | "dash" | "ash" | "busybox") && shell_string(argv).is_some()
}

/// The argument of `sh -c`.
pub(crate) fn shell_string(argv: &[String]) -> Option<&str> {
    let program = crate::roll::name_of(argv.first()?).trim_start_matches('-');
    if !matches!(program, "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" | "fish" | "busybox") {
        return None;
    }
    let mut rest = argv.iter().skip(1);
    while let Some(argument) = rest.next() {
        match argument.strip_prefix('-') {
            Some(flags) if !flags.starts_with('-') && flags.contains('c') => {
                // Options may stand between `-c` and the string (`bash -c -l STRING`).
                return rest.find(|a| !a.starts_with('-')).map(String::as_str);
            }
            Some(flags) if flags.ends_with('o') => {
                rest.next();
            }
            Some(_) => {}
            None if argument.starts_with('+') || program == "busybox" => {}
            None => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(argv: &[&str], expected: Option<&str>) {
        let argv: Vec<String> = argv.iter().map(|s| (*s).to_owned()).collect();
        assert_eq!(shell_string(&argv), expected);
    }

    #[test]
    fn blanks_around_a_command_are_nothing() {
        let script = "source /h/.claude/shell-snapshots/s.sh && eval '  ls\n' < /dev/null && pwd -P >| /tmp/claude-1-cwd";
        let argv = ["/bin/bash", "-c", script].map(str::to_owned);
        assert_eq!(command_texts(&argv).first().map(String::as_str), Some("ls"));
    }

    #[test]
    fn the_string_of_a_shell_is_found_behind_its_options() {
        check(&["bash", "-c", "ls"], Some("ls"));
        check(&["/bin/bash", "-lc", "ls -l"], Some("ls -l"));
        check(&["bash", "-c", "-l", "ls"], Some("ls"));
        check(&["bash", "--norc", "-c", "ls"], Some("ls"));
        check(&["sh", "-o", "pipefail", "-ec", "ls"], Some("ls"));
        check(&["bash", "script.sh", "-c"], None);
        check(&["python3", "-c", "print()"], None);
        check(&["bash"], None);
    }
}
