//! Messages: who they say they are from, where they lead, what they ask, and whether the same was sent before. Wording alone
//! is never high.

mod ask;
mod read;

use muster_web3::{Checked, Reason, Verdict};

pub(crate) use ask::normal;
pub use read::{LINKS_MAX, Link, Message, read};

use crate::campaign::Joined;
use crate::host::{self, Lists, brand};
use crate::{checked, reason};

/// Mailboxes that anybody has.
const MAILBOXES: &[&str] = &[
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "hotmail.com",
    "live.com",
    "yahoo.com",
    "aol.com",
    "icloud.com",
    "proton.me",
    "protonmail.com",
    "gmx.com",
    "gmx.de",
    "mail.com",
    "mail.ru",
    "yandex.ru",
    "yandex.com",
    "zoho.com",
    "tutanota.com",
    "qq.com",
    "163.com",
    "msn.com",
];
/// Who sends for others, with the other's name in front or in the address.
const SENDERS: &[&str] = &[
    "zendesk.com",
    "intercom-mail.com",
    "intercom.io",
    "mailchimpapp.net",
    "mcsv.net",
    "sendgrid.net",
    "amazonses.com",
    "hubspotemail.net",
    "hubspot.com",
    "mailgun.org",
    "substack.com",
    "beehiiv.com",
    "customeriomail.com",
    "freshdesk.com",
    "helpscout.net",
    "greenhouse-mail.io",
    "lever.co",
    "statuspage.io",
    "atlassian.net",
    "shopifyemail.com",
    "klaviyomail.com",
    "mandrillapp.com",
    "list-manage.com",
    "salesforce.com",
    "exacttarget.com",
    "sparkpostmail.com",
    "postmarkapp.com",
    "getrevue.co",
    "eventbrite.com",
    "lu.ma",
    "medium.com",
    "slack.com",
    "github.com",
    "gitlab.com",
    "discourse.org",
    "discoursemail.com",
    "mail.anthropic.com",
    "stripe.com",
    "calendly.com",
    "docusign.net",
    "notion.so",
    "linkedin.com",
    "google.com",
];

/// The check of a message; `joined` says what it has in common with earlier ones of its stream.
#[must_use]
pub fn check(name: &str, message: &Message, lists: &Lists, joined: Option<&Joined>) -> Checked {
    let mut reasons = ask::read(&format!("{}.\n\n{}", message.subject, message.text));
    raise(&mut reasons);
    let claimed = brand::named_as_sender(&message.from_name);
    let mut imitated = identity(message, claimed, lists, &mut reasons);
    if let Some(found) = infrastructure(message, claimed, lists, &mut reasons) {
        imitated.get_or_insert(found);
    }
    reasons.extend(joined.and_then(Joined::reason));
    if message.cut {
        reasons.push(reason(
            "cut",
            "form",
            Verdict::Info,
            "too long, or of too many parts, to be read whole: only its beginning was".to_owned(),
            None,
            "nothing",
        ));
    }
    let score = score(&reasons);
    checked(name, score, imitated, reasons)
}

/// A threat together with a demand for what only the owner has is more than either.
fn raise(reasons: &mut [Reason]) {
    let has = |code: &str| reasons.iter().any(|r| r.code == code);
    if has("threatens") && ["asks-for-login", "asks-to-connect-or-sign", "asks-to-pay"].iter().any(|c| has(c))
    {
        for one in reasons.iter_mut().filter(|r| r.code == "threatens") {
            one.verdict = Verdict::Warning;
            one.text = format!("{}, and asks for what would give it away", one.text);
        }
    }
}

/// Who it says it is from.
fn identity(
    message: &Message,
    claimed: Option<&'static brand::Brand>,
    lists: &Lists,
    reasons: &mut Vec<Reason>,
) -> Option<String> {
    let from = host::host(&message.from_host);
    let mut imitated = None;
    if let Some(from) = &from {
        let said = host::check(from, &message.from_host, lists);
        let own = brand::real(from);
        let failed = failed(&message.results);
        if own.is_some() && failed {
            imitated = own.map(|b| b.name.clone());
            reasons.push(reason(
                "sender-not-authentic",
                "identity",
                Verdict::Warning,
                format!("says it is from {}, and the receiving server found that it is not", from.registered),
                Some(host::name::cut(&message.results, 200).to_owned()),
                "a forwarding that broke the signature",
            ));
        }
        let sends_for_others = SENDERS.contains(&from.registered.as_str());
        if let Some(brand) = claimed
            && own.is_none_or(|o| o.name != brand.name)
            && !sends_for_others
        {
            imitated = Some(brand.name.clone());
            let anybody = MAILBOXES.contains(&from.registered.as_str()) || from.free;
            let worse = anybody || failed || said.verdict >= Verdict::Notice;
            reasons.push(reason(
                "name-is-not-address",
                "identity",
                if worse { Verdict::Warning } else { Verdict::Notice },
                format!("calls itself {} and writes from {}", brand.name, from.registered),
                Some(format!("{} <{}>", message.from_name, message.from)),
                "an agency that writes for them",
            ));
        }
        let tricks = ["look-alike-letters", "near-miss", "real-name-in-front", "other-suffix"];
        if let Some(trick) = said.reasons.iter().find(|r| tricks.contains(&r.code.as_str()))
            && own.is_none()
            && said.verdict >= Verdict::Warning
        {
            imitated = said.brand.clone();
            reasons.push(reason(
                "sender-looks-alike",
                "identity",
                Verdict::Warning,
                format!("the sender's host: {}", trick.text),
                Some(from.ascii.clone()),
                "they say that it is theirs",
            ));
        }
        let reply = host::host(&message.reply_host);
        if let Some(reply) = reply.filter(|r| r.registered != from.registered) {
            let anybody = MAILBOXES.contains(&reply.registered.as_str())
                && !MAILBOXES.contains(&from.registered.as_str());
            if anybody {
                let verdict =
                    if claimed.is_some() || own.is_some() { Verdict::Warning } else { Verdict::Notice };
                reasons.push(reason(
                    "answers-go-elsewhere",
                    "identity",
                    verdict,
                    format!("answers go to {}, where anybody has a mailbox", reply.registered),
                    Some(reply.ascii),
                    "a person without a mailbox at work",
                ));
            }
        }
    } else if let Some(brand) = claimed {
        // A chat: nothing but the name says who it is.
        imitated = Some(brand.name.clone());
        let disguised =
            host::fold::fold(&message.from_name.to_lowercase()) != message.from_name.to_lowercase();
        reasons.push(reason(
            "calls-itself",
            "identity",
            if disguised { Verdict::Warning } else { Verdict::Notice },
            format!(
                "calls itself {}{}",
                brand.name,
                if disguised { " in letters that only look like it" } else { "; nothing shows that it is" }
            ),
            Some(message.from_name.clone()),
            "the account is known to be theirs",
        ));
    }
    imitated
}

/// Whether the receiver's server found the sender false: DMARC failed, or both of its parts did.
fn failed(results: &str) -> bool {
    let says = |what: &str| results.contains(what);
    says("dmarc=fail") || (says("spf=fail") && (says("dkim=fail") || says("dkim=none")))
}

/// Where it leads.
fn infrastructure(
    message: &Message,
    claimed: Option<&'static brand::Brand>,
    lists: &Lists,
    reasons: &mut Vec<Reason>,
) -> Option<String> {
    let mut imitated = None;
    let mut worst: Option<Reason> = None;
    let mut offer = |found: Reason| {
        if worst.as_ref().is_none_or(|w| found.verdict > w.verdict) {
            worst = Some(found);
        }
    };
    for link in &message.links {
        let Some(target) = host::host(&link.target) else { continue };
        let said = host::check(&target, &link.target, lists);
        let own = brand::real(&target).is_some();
        let wording_only =
            said.reasons.iter().filter(|r| r.verdict >= Verdict::Warning).all(|r| r.channel == "wording");
        let same_as_sender =
            host::host(&message.from_host).is_some_and(|f| f.registered == target.registered);
        let mut verdict = said.verdict.min(Verdict::Warning);
        // An odd name is no sign by itself where the sender's own mail passed and bears it.
        if wording_only && same_as_sender && message.results.contains("dmarc=pass") && claimed.is_none() {
            verdict = verdict.min(Verdict::Notice);
        }
        let mut text = said.reasons.first().map_or(String::new(), |r| r.text.clone());
        if let Some(brand) = claimed.filter(|_| !own && (target.free || target.ip || host::shortens(&target)))
        {
            verdict = Verdict::Warning;
            text = format!("a message in the name of {} leads to {}", brand.name, target.ascii);
        }
        let shown = link.shown.as_deref().and_then(host::host).filter(|s| !s.suffix.is_empty());
        if let Some(shown) = shown.filter(|s| s.registered != target.registered) {
            let real = brand::real(&shown);
            let tracked = own || SENDERS.contains(&target.registered.as_str());
            if real.is_some() && !tracked && (target.free || target.ip || said.verdict >= Verdict::Notice) {
                verdict = Verdict::Warning;
                text = format!("shows {} and leads to {}", shown.ascii, target.ascii);
                imitated = real.map(|b| b.name.clone());
            } else if real.is_some() && !tracked {
                verdict = verdict.max(Verdict::Notice);
                text = format!("shows {} and leads to {}", shown.ascii, target.ascii);
            }
        }
        if verdict >= Verdict::Notice {
            if imitated.is_none() && !own {
                imitated = said.brand.clone();
            }
            offer(reason(
                "link",
                "infrastructure",
                verdict,
                text,
                Some(host::name::cut(&link.target, 200).to_owned()),
                "where it leads is known to be honest",
            ));
        }
        if let Some((inner, through)) = inner(&link.target) {
            let said = host::check(&inner, &inner.ascii, lists);
            if said.verdict >= Verdict::Warning {
                imitated = imitated.or(said.brand);
                offer(reason(
                    "redirect",
                    "infrastructure",
                    Verdict::Warning,
                    format!("leads through {} to {}", target.ascii, inner.ascii),
                    Some(through),
                    "where it leads is known to be honest",
                ));
            }
        }
    }
    reasons.extend(worst);
    imitated
}

/// The URL within a URL's query: an open redirect.
fn inner(url: &str) -> Option<(host::Host, String)> {
    let query = url
        .split_once('?')?
        .1
        .replace("%3A", ":")
        .replace("%3a", ":")
        .replace("%2F", "/")
        .replace("%2f", "/");
    let at = query.find("://")?;
    let start = query.get(..at)?.rfind("http")?;
    let inner = query.get(start..)?.split('&').next()?.to_owned();
    Some((host::host(&inner)?, host::name::cut(&inner, 200).to_owned()))
}

fn score(reasons: &[Reason]) -> f64 {
    let left: f64 = reasons
        .iter()
        .map(|r| match r.verdict {
            Verdict::Info => 1.0,
            Verdict::Notice => 0.85,
            Verdict::Warning | Verdict::High => 0.5,
        })
        .product();
    ((1.0 - left) * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;
