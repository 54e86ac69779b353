//! Puts a step into the words of the product that asks: the tools that it offers say which product it is.

use serde_json::{Value, json};

use crate::api::Tool;
use crate::script::Step;

/// The tools of one request.
pub(crate) struct Offer<'a> {
    tools: &'a [Tool],
}

/// A call that the model makes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// An object; for a tool that takes free text, that text.
    pub(crate) arguments: Value,
}

impl<'a> Offer<'a> {
    pub(crate) fn new(tools: &'a [Tool]) -> Self {
        Self { tools }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.tools.iter().map(|tool| tool.name.as_str()).collect()
    }

    /// The call for this step; `None` where the product offers nothing for it.
    pub(crate) fn call(&self, step: &Step) -> Option<Wanted> {
        match step {
            Step::Shell { command } => self.shell(command),
            Step::ShellBackground { command } => self.background(command),
            Step::Write { path, content } => self.write(path, content),
            Step::Edit { path, old, new } => self.edit(path, old, new),
            Step::Read { path } => self.read(path),
            Step::Tool { name, arguments } => {
                Some(Wanted { name: name.clone(), arguments: arguments.clone() })
            }
            Step::Delegate { prompt, .. } => self.delegate(prompt),
            Step::Say(_) | Step::Final(_) | Step::Wait(_) | Step::Act(_) | Step::Parallel(_) => None,
        }
    }

    fn shell(&self, command: &str) -> Option<Wanted> {
        let about = "run the command";
        self.first(&[
            ("Bash", json!({"command": command, "description": about})),
            ("exec_command", json!({"cmd": command})),
            ("shell_command", json!({"command": command})),
            ("run_shell_command", json!({"command": command, "description": about})),
            ("bash", json!({"command": command, "description": about})),
            ("terminal", json!({"command": command})),
            ("execute_bash", json!({"command": command})),
            ("shell", json!({"command": ["bash", "-lc", command]})),
        ])
    }

    fn background(&self, command: &str) -> Option<Wanted> {
        let about = "run the command in the background";
        let own_way = self.first(&[
            ("Bash", json!({"command": command, "description": about, "run_in_background": true})),
            // It yields after that time, and the command goes on.
            ("exec_command", json!({"cmd": command, "yield_time_ms": 250})),
            ("run_shell_command", json!({"command": command, "description": about, "is_background": true})),
        ]);
        own_way.or_else(|| self.shell(&format!("( {command} ) </dev/null >/dev/null 2>&1 &")))
    }

    fn write(&self, path: &str, content: &str) -> Option<Wanted> {
        if let Some(tool) = self.tool("apply_patch") {
            let lines: String = content.lines().map(|line| format!("+{line}\n")).collect();
            return Some(patch(tool, &format!("*** Add File: {path}\n{lines}")));
        }
        let own_tool = self.first(&[
            ("Write", json!({"file_path": path, "content": content})),
            ("write_file", json!({"file_path": path, "content": content})),
            ("write", json!({"filePath": path, "content": content})),
            ("file_editor", json!({"command": "create", "path": path, "file_text": content})),
            ("str_replace_editor", json!({"command": "create", "path": path, "file_text": content})),
        ]);
        own_tool.or_else(|| {
            // As the tools for files do.
            let folder = path.rsplit_once('/').filter(|(folder, _)| !folder.is_empty());
            let make =
                folder.map_or_else(String::new, |(folder, _)| format!("mkdir -p {} && ", quoted(folder)));
            self.shell(&format!("{make}printf %s {} > {}", quoted(content), quoted(path)))
        })
    }

    fn edit(&self, path: &str, old: &str, new: &str) -> Option<Wanted> {
        if let Some(tool) = self.tool("apply_patch") {
            let removed = old.lines().map(|line| format!("-{line}\n"));
            let added = new.lines().map(|line| format!("+{line}\n"));
            let hunk: String = removed.chain(added).collect();
            return Some(patch(tool, &format!("*** Update File: {path}\n@@\n{hunk}")));
        }
        let own_tool = self.first(&[
            ("Edit", json!({"file_path": path, "old_string": old, "new_string": new})),
            (
                "replace",
                json!({"file_path": path, "old_string": old, "new_string": new, "instruction": "replace the text"}),
            ),
            ("edit", json!({"filePath": path, "oldString": old, "newString": new})),
            ("file_editor", json!({"command": "str_replace", "path": path, "old_str": old, "new_str": new})),
            ("str_replace_editor", json!({"command": "str_replace", "path": path, "old_str": old, "new_str": new})),
        ]);
        own_tool.or_else(|| {
            let program = "import sys; p, a, b = sys.argv[1:]; s = open(p).read(); open(p, 'w').write(s.replace(a, b, 1))";
            self.shell(&format!("python3 -c {} {} {} {}", quoted(program), quoted(path), quoted(old), quoted(new)))
        })
    }

    fn read(&self, path: &str) -> Option<Wanted> {
        let own_tool = self.first(&[
            ("Read", json!({"file_path": path})),
            ("read_file", json!({"file_path": path})),
            ("read", json!({"filePath": path})),
            ("file_editor", json!({"command": "view", "path": path})),
            ("str_replace_editor", json!({"command": "view", "path": path})),
        ]);
        own_tool.or_else(|| self.shell(&format!("cat {}", quoted(path))))
    }

    fn delegate(&self, prompt: &str) -> Option<Wanted> {
        let general = json!({"description": "a part of the task", "prompt": prompt, "subagent_type": "general-purpose"});
        self.first(&[
            ("Agent", general.clone()),
            ("Task", general),
            (
                "task",
                json!({"description": "a part of the task", "prompt": prompt, "subagent_type": "general"}),
            ),
            ("invoke_agent", json!({"agent_name": "generalist", "prompt": prompt})),
            ("spawn_agent", json!({"message": prompt})),
        ])
    }

    fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    fn first(&self, ways: &[(&str, Value)]) -> Option<Wanted> {
        let (name, arguments) = ways.iter().find(|(name, _)| self.tool(name).is_some())?;
        Some(Wanted { name: (*name).to_owned(), arguments: arguments.clone() })
    }
}

/// Codex's `apply_patch`: free text, or an object around it.
fn patch(tool: &Tool, change: &str) -> Wanted {
    let text = format!("*** Begin Patch\n{change}*** End Patch");
    let arguments = if tool.freeform { json!(text) } else { json!({"input": text}) };
    Wanted { name: tool.name.clone(), arguments }
}

/// As one word of a shell.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tools: &[(&str, bool)], step: &Step, name: &str, arguments: Value) {
        let tools: Vec<Tool> = tools
            .iter()
            .map(|(name, freeform)| Tool { name: (*name).to_owned(), freeform: *freeform })
            .collect();
        assert_eq!(Offer::new(&tools).call(step), Some(Wanted { name: name.to_owned(), arguments }));
    }

    const CLAUDE: &[(&str, bool)] = &[("Agent", false), ("Bash", false), ("Edit", false), ("Write", false)];
    const CODEX: &[(&str, bool)] = &[("exec_command", false), ("apply_patch", true)];
    const GEMINI: &[(&str, bool)] = &[("run_shell_command", false), ("write_file", false)];
    const OPENCODE: &[(&str, bool)] = &[("bash", false), ("write", false), ("task", false)];

    #[test]
    fn one_step_in_four_languages() {
        let step = Step::write("a.txt", "x\n");
        check(CLAUDE, &step, "Write", json!({"file_path": "a.txt", "content": "x\n"}));
        let text = "*** Begin Patch\n*** Add File: a.txt\n+x\n*** End Patch";
        check(CODEX, &step, "apply_patch", json!(text));
        check(GEMINI, &step, "write_file", json!({"file_path": "a.txt", "content": "x\n"}));
        check(OPENCODE, &step, "write", json!({"filePath": "a.txt", "content": "x\n"}));
    }

    #[test]
    fn a_shell_does_what_no_tool_does() {
        let only = &[("bash", false)];
        let about = "run the command";
        let here = json!({"command": "printf %s 'x\n' > 'a b'", "description": about});
        check(only, &Step::write("a b", "x\n"), "bash", here);
        check(only, &Step::read("it's"), "bash", json!({"command": r"cat 'it'\''s'", "description": about}));
        let detached = json!({"command": "( sleep 1 ) </dev/null >/dev/null 2>&1 &", "description": about});
        check(OPENCODE, &Step::background("sleep 1"), "bash", detached);
        check(
            CODEX,
            &Step::background("sleep 1"),
            "exec_command",
            json!({"cmd": "sleep 1", "yield_time_ms": 250}),
        );
    }
}
