//! What the user asked for, in the user's own words: an act that was asked for is no alarm. Tool results, files, what a product
//! puts in and what one agent tells another are nobody's wish.

use std::collections::VecDeque;
use std::sync::LazyLock;

use muster_event::Nanos;
use regex::Regex;

use crate::claims::prose::{head, regex, sentences};
use crate::engine::Engine;

/// Bytes of prompts that are remembered of an agent: the newest. Whole documents are pasted into some.
const WISHES_MAX: usize = 128 * 1024;
/// … and of one prompt.
const PROMPT_MAX: usize = 32 * 1024;
/// Blocks in one prompt that are taken out.
const BLOCKS_MAX: usize = 256;
/// The account's times and the kernel's are of one clock; a prompt is written down when it is sent.
const SLACK_NS: Nanos = 2_000_000_000;
/// A prompt that is not read so long after an act was never written down.
const READ_NS: Nanos = 3_000_000_000;
/// Generations of agents that start each other.
const ABOVE_MAX: usize = 64;

/// What takes a wish back, or forbids.
static NEGATION: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"\b(not|never|no|without|avoid|don['’]?t|doesn['’]?t|mustn['’]?t|shouldn['’]?t|can['’]?t|cannot|stop|rather than|instead of|why|how come)\b",
    )
});
/// A question about something asks for no such thing. (`Can you …?` does.)
static QUESTION: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^[^a-z]*(and |but |so )?(what|why|how|where|when|who|which|whose|is|are|was|were|does|do|did|has|have|had)\b.*\?[^a-z]*$",
    )
});

/// Words of people to an agent: lowercase, bounded.
#[derive(Default)]
pub(crate) struct Wishes {
    prompts: VecDeque<(Nanos, String)>,
    bytes: usize,
}

impl Wishes {
    pub fn push(&mut self, time_ns: Nanos, text: &str) {
        let text = head(&own_words(text), PROMPT_MAX).to_lowercase();
        self.bytes += text.len();
        self.prompts.push_back((time_ns, text));
        while self.bytes > WISHES_MAX {
            let Some((_, old)) = self.prompts.pop_front() else { break };
            self.bytes -= old.len();
        }
    }

    /// Does a sentence before this time ask for something that one of these words stands for? `word*` is any word that begins so.
    fn ask_for<'w>(&self, words: impl Iterator<Item = &'w str> + Clone, until_ns: Nanos) -> bool {
        let before = self.prompts.iter().rev().filter(|(at, _)| *at <= until_ns.saturating_add(SLACK_NS));
        before.flat_map(|(_, text)| sentences(text)).any(|sentence| {
            // What is forbidden in one part of a sentence says nothing of the others.
            sentence.text.split([',', ':', '(', ')', '—']).flat_map(|part| part.split(" but ")).any(|part| {
                words.clone().any(|word| has_word(part, word))
                    && !NEGATION.is_match(part)
                    && !QUESTION.is_match(&sentence.text)
            })
        })
    }
}

impl Engine {
    /// Did a person ask this agent, or the one that it was started by, for what these words stand for? Never where its account
    /// is not to be trusted: who can put a word in there can put in a wish.
    pub(crate) fn was_asked<'w>(
        &self,
        id: &str,
        words: impl Iterator<Item = &'w str> + Clone,
        until_ns: Nanos,
    ) -> bool {
        let mut id = id;
        for _ in 0..ABOVE_MAX {
            let Some(agent) = self.agents.get(id) else { return false };
            if agent.distrusted {
                return false;
            }
            // What an agent is told by another is no person's word.
            match agent.state.parent.as_deref() {
                Some(parent) => id = parent,
                None => return agent.wishes.ask_for(words, until_ns),
            }
        }
        false
    }

    /// Whether anybody asked for an act of this time can be told: its prompts are read, or will not come any more.
    pub(crate) fn knows_wishes(&self, id: &str, act_ns: Nanos) -> bool {
        let Some(agent) = self.agents.get(self.top_of(id)) else { return true };
        let keeps = self.products.get(&agent.state.product).is_some_and(|product| product.keeps_account());
        !keeps || !agent.wishes.prompts.is_empty() || self.time_ns.saturating_sub(act_ns) > READ_NS
    }

    /// A person said anything at all to this agent, or to the one that it was started by.
    pub(crate) fn has_wishes(&self, id: &str) -> bool {
        self.agents.get(self.top_of(id)).is_some_and(|agent| !agent.wishes.prompts.is_empty())
    }

    /// The agent that nobody on the roll started.
    fn top_of<'a>(&'a self, id: &'a str) -> &'a str {
        let mut id = id;
        for _ in 0..ABOVE_MAX {
            match self.agents.get(id).and_then(|agent| agent.state.parent.as_deref()) {
                Some(parent) => id = parent,
                None => return id,
            }
        }
        id
    }
}

/// Without the blocks that products put into a prompt (`<system-reminder>`, `<environment_context>`, pasted outputs).
fn own_words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = head(text, 2 * PROMPT_MAX);
    let mut blocks = 0;
    while let Some((before, from)) = rest.split_once('<') {
        let name_end = from.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        let name = name_end.and_then(|at| from.get(..at)).unwrap_or_default();
        let inside = from.split_once('>').filter(|_| name.len() > 1).map(|(_, inside)| inside);
        out.push_str(before);
        blocks += usize::from(!name.is_empty());
        // No person writes so many, and each takes a look at all the rest.
        if blocks > BLOCKS_MAX {
            return out;
        }
        let end = format!("</{name}>");
        rest = match inside.map(|inside| (inside, inside.find(&end))) {
            Some((inside, Some(at))) => inside.get(at + end.len()..).unwrap_or_default(),
            // It is never closed: what follows is not known to be anybody's word.
            Some((_, None)) if text.len() > name.len() && is_block(name) => "",
            Some((inside, None)) => inside,
            None => {
                out.push('<');
                from
            }
        };
    }
    out.push_str(rest);
    out
}

/// Names of blocks that products put in, and that a text of somebody else's may leave open.
fn is_block(name: &str) -> bool {
    name.contains(['-', '_']) || name.bytes().all(|b| b.is_ascii_uppercase())
}

fn has_word(text: &str, word: &str) -> bool {
    let (word, open) = word.strip_suffix('*').map_or((word, false), |word| (word, true));
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
            // A plural, and a name with its extension.
            let ends = after.is_none_or(|c| !is_part(c)) || after == Some('s');
            !before.is_some_and(is_part) && (open || ends)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prompt: &str, words: &[&str], expected: bool) {
        let mut wishes = Wishes::default();
        wishes.push(1, prompt);
        assert_eq!(wishes.ask_for(words.iter().copied(), 2), expected, "{prompt}");
    }

    #[test]
    fn a_wish_is_a_sentence_that_asks_for_it() {
        let words = &["cron", "crontab", "schedul*", "every night", "nightly"];
        check("Set up a cron job that runs backup.sh.", words, true);
        check("Can you please add two cron jobs?", words, true);
        check("I want the report every night at two", words, true);
        check("Schedule the clean-up, but do not touch the database.", words, true);
        check("Make it faster. Do not add a cron job.", words, false);
        check("Run it once, without cron", words, false);
        check("Why does the cron job fail?", words, false);
        check("The micron sensor must be read", words, false);
        check("What does the cron job do?", words, false);
        check("Back it up every night", words, true);
        check("Fix the parser", words, false);
    }

    #[test]
    fn what_products_and_files_put_in_is_no_wish() {
        let words = &["cron"];
        check("Fix it.\n<system-reminder>\nAdd a cron job.\n</system-reminder>", words, false);
        check("<environment_context>add a cron job</environment_context>", words, false);
        check("Fix it <system-reminder> add a cron job", words, false);
        check("See this:\n```\nplease add a cron job\n```\nand fix it", words, false);
        check("> please add a cron job\nWhat does the author mean?", words, false);
        check("if a < b then add a cron job", words, true);
    }

    #[test]
    fn a_wish_comes_before_the_act() {
        let mut wishes = Wishes::default();
        wishes.push(90 * SLACK_NS, "add a cron job");
        assert!(!wishes.ask_for(["cron"].into_iter(), SLACK_NS));
        assert!(wishes.ask_for(["cron"].into_iter(), 90 * SLACK_NS));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut wishes = Wishes::default();
        for _ in 0..100 {
            wishes.push(1, &"word ".repeat(100_000));
        }
        assert!(wishes.bytes <= WISHES_MAX);
        assert_eq!(wishes.bytes, wishes.prompts.iter().map(|(_, text)| text.len()).sum::<usize>());
    }
}
