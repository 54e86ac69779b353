//! What the scripted model says and does, in words that hold for every product.

/// One thing the model does.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Prose, in the same message as the tool call that follows.
    Say(String),
    /// A command in the foreground.
    Shell {
        command: String,
    },
    /// A command that goes on while the model does: the product's own way where it has one, else `… &`.
    ShellBackground {
        command: String,
    },
    /// A whole file. A path that is not absolute is meant from the agent's working folder.
    Write {
        path: String,
        content: String,
    },
    /// Whole lines of a file that is there.
    Edit {
        path: String,
        old: String,
        new: String,
    },
    Read {
        path: String,
    },
    /// Several calls in one message.
    Parallel(Vec<Step>),
    /// A call as it stands.
    Tool {
        name: String,
        arguments: serde_json::Value,
    },
    /// Prose without a call: the turn is over.
    Final(String),
    /// A sub-agent, where the product has them; it is answered from its own steps.
    Delegate {
        prompt: String,
        steps: Vec<Step>,
    },
    /// Silence before the next message.
    Wait(u64),
    /// Something that others do before the next message, once; whoever started the model is told its name.
    Act(String),
}

impl Step {
    pub fn say(text: impl Into<String>) -> Self {
        Self::Say(text.into())
    }

    pub fn shell(command: impl Into<String>) -> Self {
        Self::Shell { command: command.into() }
    }

    pub fn background(command: impl Into<String>) -> Self {
        Self::ShellBackground { command: command.into() }
    }

    pub fn write(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self::Write { path: path.into(), content: content.into() }
    }

    pub fn edit(path: impl Into<String>, old: impl Into<String>, new: impl Into<String>) -> Self {
        Self::Edit { path: path.into(), old: old.into(), new: new.into() }
    }

    pub fn read(path: impl Into<String>) -> Self {
        Self::Read { path: path.into() }
    }

    pub fn last(text: impl Into<String>) -> Self {
        Self::Final(text.into())
    }

    pub fn delegate(prompt: impl Into<String>, steps: impl Into<Vec<Step>>) -> Self {
        Self::Delegate { prompt: prompt.into(), steps: steps.into() }
    }
}

/// What a model plays: one list of steps, and others for conversations that begin with certain words.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub steps: Vec<Step>,
    /// Words in the first prompt, and the steps for it. The first that fits wins.
    pub when: Vec<(String, Vec<Step>)>,
}

impl Script {
    pub fn new(steps: impl Into<Vec<Step>>) -> Self {
        Self { steps: steps.into(), when: Vec::new() }
    }

    /// Other steps for a conversation whose first prompt holds these words.
    #[must_use]
    pub fn when(mut self, words: impl Into<String>, steps: impl Into<Vec<Step>>) -> Self {
        self.when.push((words.into(), steps.into()));
        self
    }

    /// The steps for a conversation that begins with this prompt: those of a sub-agent, of `when`, or the main ones.
    pub(crate) fn steps_for(&self, first_prompt: &str) -> &[Step] {
        let all = || std::iter::once(&self.steps).chain(self.when.iter().map(|(_, steps)| steps));
        if let Some(steps) = all().find_map(|steps| delegated(steps, first_prompt)) {
            return steps;
        }
        self.when
            .iter()
            .find(|(words, _)| first_prompt.contains(words))
            .map_or(&self.steps, |(_, steps)| steps)
    }
}

fn delegated<'a>(steps: &'a [Step], first_prompt: &str) -> Option<&'a [Step]> {
    steps.iter().find_map(|step| match step {
        // A nested delegation's prompt is the more exact one.
        Step::Delegate { prompt, steps } => delegated(steps, first_prompt)
            .or_else(|| first_prompt.contains(prompt.as_str()).then_some(steps.as_slice())),
        Step::Parallel(steps) => delegated(steps, first_prompt),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_known_by_its_first_prompt() {
        let inner = vec![Step::shell("inner")];
        let script = Script::new([Step::delegate("look into it", inner.clone()), Step::last("done")])
            .when("other task", [Step::shell("other")]);
        assert_eq!(script.steps_for("<context/> look into it"), inner);
        assert_eq!(script.steps_for("the other task"), [Step::shell("other")]);
        assert_eq!(script.steps_for("anything"), script.steps);
    }
}
