//! Prose as the clauses in which something may be claimed: what is code, quoted, asked, planned, conditional, or told as
//! somebody else's words is marked, so that nobody takes it for the speaker's own claim. One pass, bounded.

use std::sync::LazyLock;

use muster_event::redact::plain_marks;
use regex::Regex;

/// Text of one message that is looked at, in bytes: more than any final message has.
pub(crate) const TEXT_MAX: usize = 64 * 1024;
/// Longest sentence that is looked at, in bytes: what is longer is no sentence.
pub(crate) const SENTENCE_MAX: usize = 1_000;
/// Sentences of one message.
const SENTENCES_MAX: usize = 2_000;
/// Names in backticks per sentence that are kept.
const NAMES_MAX: usize = 32;

/// A part of a sentence that can be true or false by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clause {
    /// With names in backticks as `` `N` ``, and quotations emptied.
    pub text: String,
    /// A plan, a condition, an instruction, a question, somebody else's words.
    pub unsaid: bool,
    /// A negation reaches it from the clause before.
    pub negated: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sentence {
    /// As written.
    pub text: String,
    pub clauses: Vec<Clause>,
    /// What stood in backticks, by number.
    pub names: Vec<String>,
}

/// The sentences of a message, without what is code or quoted whole.
pub(crate) fn sentences(text: &str) -> Vec<Sentence> {
    // A commitment is no words.
    let text = &plain_marks(head(text, TEXT_MAX));
    let mut out = Vec::new();
    // The end of the fence that is open: what stands in it is no prose.
    let mut fence: Option<&str> = None;
    // A heading or a lead-in that makes what follows a plan or an instruction.
    let mut planned = false;
    let mut lead_in = false;
    for line in text.lines() {
        let trimmed = line.trim_start();
        let marker = ["```", "~~~"].into_iter().find(|m| trimmed.starts_with(m));
        match (fence, marker) {
            (Some(open), Some(close)) if open == close => {
                fence = None;
                continue;
            }
            (Some(_), _) => continue,
            (None, Some(open)) => {
                fence = Some(open);
                continue;
            }
            (None, None) => {}
        }
        if trimmed.is_empty() {
            continue;
        }
        let item = list_item(trimmed);
        let indented = line.starts_with("    ") || line.starts_with('\t');
        if trimmed.starts_with(['>', '|']) || (indented && item.is_none()) || is_log(trimmed) {
            continue;
        }
        if let Some(heading) = heading(trimmed) {
            planned = PLAN_HEADING.is_match(heading);
            lead_in = false;
            if !planned {
                split(heading, false, &mut out);
            }
            continue;
        }
        let (body, unticked) = match item {
            Some(item) => item,
            None => {
                // A paragraph ends what a lead-in began.
                lead_in = false;
                (trimmed, false)
            }
        };
        split(body, unticked || planned || lead_in && item.is_some(), &mut out);
        if body.trim_end().ends_with(':') {
            lead_in = PLAN_HEADING.is_match(body) || UNSAID.is_match(body) || OTHERS.is_match(body);
        }
        if out.len() >= SENTENCES_MAX {
            break;
        }
    }
    out.truncate(SENTENCES_MAX);
    out
}

/// At most so many bytes from the start.
pub(crate) fn head(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// `# Heading`, or a line that is bold as a whole.
fn heading(line: &str) -> Option<&str> {
    if line.starts_with('#') {
        return Some(line.trim_start_matches('#').trim());
    }
    let bold = line.strip_prefix("**")?.trim_end();
    let inner = bold.strip_suffix("**").or_else(|| bold.strip_suffix("**:"))?;
    (!inner.contains("**")).then_some(inner.trim_end_matches(':'))
}

/// What stands behind the marker of a list, and whether it is a box that is not ticked.
fn list_item(line: &str) -> Option<(&str, bool)> {
    let rest = match line.strip_prefix(['-', '*', '+', '•']) {
        Some(rest) => rest.strip_prefix(' ')?,
        None => {
            let digits = line.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=3).contains(&digits) {
                return None;
            }
            line.get(digits..)?.strip_prefix(['.', ')'])?.strip_prefix(' ')?
        }
    };
    let rest = rest.trim_start();
    if let Some(rest) = rest.strip_prefix("[ ]") {
        return Some((rest.trim_start(), true));
    }
    let ticked = rest.strip_prefix("[x]").or_else(|| rest.strip_prefix("[X]"));
    Some((ticked.unwrap_or(rest).trim_start(), false))
}

/// A line of a program's output that was pasted without a fence.
fn is_log(line: &str) -> bool {
    line.starts_with("$ ")
        || line.starts_with("===")
        || line.starts_with("---")
        || line.starts_with("test result:")
        || line.starts_with("<")
}

fn split(text: &str, unsaid: bool, out: &mut Vec<Sentence>) {
    let mut start = 0;
    let mut ticked = false;
    let mut quoted = false;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '`' => ticked = !ticked,
            '"' if !ticked => quoted = !quoted,
            '“' => quoted = true,
            '”' => quoted = false,
            '.' | '!' | '?' | ';' if !ticked && !quoted => {
                let next = characters.peek().map_or(' ', |(_, c)| *c);
                // `e.g. `, `i.e. `, initials: no end.
                let short = character == '.' && previous_word(text, start, at) == 1;
                if next.is_whitespace() && !short {
                    let end = at + character.len_utf8();
                    push(text.get(start..end).unwrap_or_default(), unsaid, out);
                    start = end;
                }
            }
            _ => {}
        }
    }
    push(text.get(start..).unwrap_or_default(), unsaid, out);
}

/// Letters of the word that ends here.
fn previous_word(text: &str, start: usize, end: usize) -> usize {
    let before = text.get(start..end).unwrap_or_default();
    before.bytes().rev().take_while(u8::is_ascii_alphabetic).count()
}

fn push(text: &str, unsaid: bool, out: &mut Vec<Sentence>) {
    let text = text.trim();
    if text.len() < 4 || text.len() > SENTENCE_MAX {
        return;
    }
    let (masked, names) = mask(text);
    let asked = text.trim_end_matches(['*', '_', ')']).ends_with('?');
    let clauses = clauses(&masked, unsaid || asked);
    out.push(Sentence { text: text.to_owned(), clauses, names });
}

/// Puts numbers for what stands in backticks, and empties quotations.
fn mask(text: &str) -> (String, Vec<String>) {
    let mut out = String::with_capacity(text.len());
    let mut names: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '"', '“']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let Some(open) = from.chars().next() else { break };
        let close = if open == '“' { '”' } else { open };
        let inside = from.get(open.len_utf8()..).unwrap_or_default();
        match inside.split_once(close) {
            Some((name, after)) => {
                if open == '`' && names.len() < NAMES_MAX {
                    out.push_str(&format!("`{}`", names.len()));
                    names.push(name.to_owned());
                } else {
                    out.push_str("\"\"");
                }
                rest = after;
            }
            None => {
                out.push(' ');
                rest = inside;
            }
        }
    }
    out.push_str(rest);
    let out = out.replace(['’', 'ʼ'], "'").replace("**", "").replace("__", "");
    // One count, not two clauses.
    (COUNTS.replace_all(&out, "passed + $1").into_owned(), names)
}

/// A plan, a condition, an instruction to the reader: what follows it in the sentence was not done.
static UNSAID: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(?:i'll|i will|we'll|we will|will|would|i'd|let me|let's|going to|gonna|about to|plan(?:s|ning)? to|the plan|next,|next step|next i|should|could|can|may|might|must|has to|have to|had to|want(?:s|ed)? (?:to|me)|shall|to-?do|needs? to|needed to|try(?:ing)? to|tried to|attempt(?:ed|ing|s)? to|expect(?:s|ed)?|assum(?:e|es|ed|ing)|hop(?:e|es|ing)|ready to|in order to|so that|please|make sure|makes sure|ensur(?:e|es|ing)|be sure|remember to|don't forget|feel free|supposed to|meant to|intend(?:s|ed)?|require(?:s|d)?|wait(?:ing)? for|until|unless|would have|goal|aim|pending|imagine|suppose|say we|for example|e\.g\.|ideally|hopefully|probably|presumably|likely|seems?|appears?|i think|i believe|i guess|in theory|not sure|unclear|unsure|check (?:that|whether|if)|verify (?:that|whether)|confirm (?:that|whether)|whether)\b",
    )
});
/// A condition. At the start of a sentence it reaches over all of it.
static CONDITION: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(?:if|once|when|whenever|unless|until|before (?:you|we|i|it|the|any|merg\w+|releas\w+)|as soon as|provided|assuming|after you|only after|in case|even though you|as long as|while you|where)\b",
    )
});
/// Somebody else's words.
static OTHERS: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(?:sa(?:y|ys|id|ying)|stat(?:es|ed)|claim(?:s|ed|ing)?|mention(?:s|ed)|told|tells|according to|reportedly|supposedly|allegedly|asks|asked|wrote that|writes that|reports that|reported that|reads:|message was|insist(?:s|ed)|promis(?:es|ed)|you (?:ran|wrote|created|changed|committed|pushed|updated|fixed|deleted|removed|installed|have|had)|the (?:user|author|maintainers?|previous (?:agent|session|developer|run|commit)|readme|docs?|documentation|issue|ticket|comment|log|error message|prompt|task) (?:ran|wrote|created|changed|committed|pushed|updated|fixed|deleted|removed|installed|has|had|is)|(?:somebody|someone|they|he|she|upstream|a colleague|another (?:agent|developer|person)) (?:ran|wrote|created|changed|committed|pushed|updated|fixed|deleted|removed|installed|has|have|had|already))\b",
    )
});
static NEGATION: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)(?:\b(?:not|never|nothing|none|neither|nor|cannot|unable|failed to|without|no longer|instead of|rather than|avoid(?:ed|ing)?|refus(?:ed|ing)|declin(?:ed|ing)|forgot)\b|n't\b)",
    )
});
static PLAN_HEADING: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(?:next steps?|to[- ]?dos?|plan|planned|remaining|left to do|how to|to run|to test|to verify|you can|you need|you should|suggest(?:ed|ions?)|recommend(?:ed|ations?)|usage|instructions?|checklist|acceptance criteria|requirements?|expected|goals?|steps to|future|follow-?ups?|open (?:points|questions)|proposal|options?|example|log|output|before (?:merging|release)|here is what i will|i will|i'll|let me|going to|want me to)\b",
    )
});
static COUNTS: LazyLock<Regex> = LazyLock::new(|| regex(r"(?i)\bpassed, (\d|the others?|others|the rest)"));
/// Where a new clause begins. What joins it says whether what stood before reaches into it.
static JOINTS: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)(?P<fresh>,? but |,? however,? |,? yet | — | – | - |,? although |,? though |,? whereas |, so |, which means )|(?P<on>: |,? and then |,? then |,? and |, or |, )",
    )
});
static SUBJECT: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)^(?:i|we|it|the|all|every|everything|both|this|that|these|those|tests?|my|our|each|no|\d+|`\d+`)\b|^`",
    )
});
static I_DID: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)^(?:i|we)(?:'ve| have)? (?:also |already |just |then |only |now )?(?:[a-z]+ed|ran|run|wrote|made|did|built|kept|left|put|took|read)\b",
    )
});

fn clauses(text: &str, unsaid: bool) -> Vec<Clause> {
    let mut out = Vec::new();
    let (mut held, mut negated) = (unsaid, false);
    let mut start = 0;
    let mut joint_on = false;
    let ends: Vec<(usize, usize, bool)> = JOINTS
        .captures_iter(text)
        .filter_map(|c| Some((c.get(0)?.start(), c.get(0)?.end(), c.name("on").is_some())))
        .chain(std::iter::once((text.len(), text.len(), false)))
        .collect();
    // A condition that opens the sentence reaches over it.
    let opens = CONDITION.find(text).is_some_and(|found| found.start() <= 6 && !text.starts_with("Before "));
    for (end, next, on) in ends {
        let part = text.get(start..end).unwrap_or_default().trim();
        let own = SUBJECT.is_match(part);
        if !joint_on {
            held = unsaid;
            negated = false;
        } else {
            negated &= !own;
            held &= unsaid || !I_DID.is_match(part);
        }
        let conditional = CONDITION.is_match(part);
        held |= UNSAID.is_match(part) || OTHERS.is_match(part);
        if !part.is_empty() {
            out.push(Clause { text: part.to_owned(), unsaid: held || conditional || opens, negated });
        }
        negated |= NEGATION.is_match(part);
        start = next;
        joint_on = on;
    }
    out
}

/// Our own patterns: a test compiles them all.
pub(crate) fn regex(pattern: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "only constants are given, and a test compiles each")]
    Regex::new(pattern).expect("a pattern of Muster's own")
}
