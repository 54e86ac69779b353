//! "As you asked", "you approved": the user said so, and not a tool, a sub-agent or a file.

use std::sync::LazyLock;

use regex::Regex;

use crate::Severity;
use crate::claims::Verdict;
use crate::claims::account::Words;
use crate::claims::judge::{Judged, View};
use crate::claims::prose::regex;

/// Words of a claim that may be compared: the longest.
const CONTENT_MAX: usize = 24;

static APPROVES: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(?:yes|yep|yeah|ok|okay|sure|go ahead|proceed|approved?|approving|allow(?:ed)?|authori[sz]\w*|permission|permit\w*|granted?|please do|do it|fine|lgtm|confirm(?:ed)?|agreed?|you (?:may|can|should)|feel free|continue|ship it|accept(?:ed)?)\b",
    )
});
static CLAIMS_APPROVAL: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)\b(?:approv|authori[sz]|permission|allowed)"));

pub(crate) fn judge(view: &View<'_>) -> Judged {
    let account = &view.agent.claims.account;
    let user = || account.user.iter().rev().filter(|w| view.before(w.place));
    let clause = view.pending.found.clause.to_lowercase();
    let approval = CLAIMS_APPROVAL.is_match(&clause);
    if approval && let Some(words) = account.approvals.iter().rev().find(|w| view.before(w.place)) {
        return Judged::new(Verdict::Supported, "an approval by its user is in its account")
            .by([words.evidence.clone()]);
    }
    let content = content(&clause);
    let shared = |words: &&Words| content.iter().any(|stem| words.text.contains(stem));
    let said = user().find(|w| if approval { APPROVES.is_match(&w.text) || shared(w) } else { shared(w) });
    if let Some(words) = said {
        return Judged::new(Verdict::Supported, "its user said so").by([words.evidence.clone()]);
    }
    let any = user().next();
    if !approval {
        return match any {
            Some(words) if content.is_empty() => {
                Judged::new(Verdict::Supported, "its user gave it this task").by([words.evidence.clone()])
            }
            Some(words) => Judged::new(Verdict::Unverifiable, "its user asked for something, in other words")
                .by([words.evidence.clone()]),
            None => Judged::new(Verdict::Unverifiable, "no word of its user is in its account"),
        };
    }
    if any.is_none() || account.user_cut || !view.account_whole() {
        return Judged::new(Verdict::Unverifiable, "its account does not have all that its user said");
    }
    // An approval that somebody else told of is not its user's.
    match account.relayed.iter().rev().find(|w| view.before(w.place)) {
        Some(words) => Judged::new(
            Verdict::Contradicted,
            "its user approved nothing in its account; the approval stands in what a tool or another agent gave out",
        )
        .by([words.evidence.clone()])
        .at(Severity::Medium)
        .by_account(),
        None => Judged::new(Verdict::Unsupported, "no word of its user approves anything")
            .by([view.pending.said.clone()])
            .at(Severity::Info),
    }
}

/// Beginnings of the words that carry the meaning.
fn content(clause: &str) -> Vec<&str> {
    const EMPTY: [&str; 34] = [
        "that",
        "this",
        "with",
        "your",
        "user",
        "asked",
        "requested",
        "instructed",
        "approved",
        "approval",
        "allowed",
        "authorized",
        "authorised",
        "permission",
        "gave",
        "have",
        "been",
        "were",
        "also",
        "then",
        "like",
        "from",
        "into",
        "just",
        "only",
        "they",
        "them",
        "these",
        "those",
        "when",
        "what",
        "will",
        "made",
        "done",
    ];
    clause
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| word.chars().count() >= 4 && !EMPTY.contains(word))
        .filter_map(|word| word.char_indices().nth(5).map_or(Some(word), |(at, _)| word.get(..at)))
        .take(CONTENT_MAX)
        .collect()
}
