//! One line of strace: who, when, and what it tells.

use muster_event::Nanos;

use crate::errno;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// `None`: strace prints none while it follows one process only.
    pub pid: Option<u32>,
    pub time_ns: Nanos,
    pub what: What<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What<'a> {
    /// `name(` and what follows, up to the end of the line.
    Call {
        name: &'a str,
        rest: &'a str,
    },
    /// The same, without its end.
    Unfinished {
        name: &'a str,
        rest: &'a str,
    },
    /// The end of that.
    Resumed {
        name: &'a str,
        rest: &'a str,
    },
    Exited(i32),
    Killed(Option<i32>),
    /// A thread of this process executed a program and goes on under the process's id.
    Superseded(u32),
    /// A signal came: the log shows signals, and so who dies of one.
    Signal,
    /// Strace says something of itself, or a call never ended.
    Nothing,
}

/// Why a line is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoLine {
    /// It is of another form.
    Form,
    /// It has no time, or one without a date.
    Time,
}

pub(crate) fn parse(line: &str) -> Result<Line<'_>, NoLine> {
    let line = line.trim_end();
    if is_talk(line) {
        return Ok(Line { pid: None, time_ns: 0, what: What::Nothing });
    }
    let (pid, rest) = pid(line);
    let (time_ns, rest) = time(rest)?;
    let what = what(past_brackets(rest)).ok_or(NoLine::Form)?;
    Ok(Line { pid, time_ns, what })
}

/// What strace says beside the log, and its stack traces (`-k`).
fn is_talk(line: &str) -> bool {
    line.is_empty() || line.starts_with("strace: ") || line.starts_with(" > ")
}

fn pid(line: &str) -> (Option<u32>, &str) {
    if let Some(rest) = line.strip_prefix("[pid") {
        let Some((inside, rest)) = rest.split_once("] ") else { return (None, line) };
        return (leading_number(inside.trim()).map(|(n, _)| n), rest.trim_start());
    }
    match leading_number(line) {
        // `1795452292.869030` is a time; `97 ` or `97<bash> ` a process.
        Some((number, rest)) if rest.starts_with([' ', '<']) => {
            let rest = match rest.strip_prefix('<') {
                Some(named) => named.split_once("> ").map_or(rest, |(_, rest)| rest),
                None => rest,
            };
            (Some(number), rest.trim_start())
        }
        Some(_) | None => (None, line),
    }
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text.get(..end)?.parse().ok()?, text.get(end..)?))
}

/// Seconds since the epoch, with a fraction (`-ttt`).
fn time(text: &str) -> Result<(Nanos, &str), NoLine> {
    let (stamp, rest) = text.split_once(' ').ok_or(NoLine::Form)?;
    let stamp = stamp.trim_start_matches('(').trim_end_matches(')');
    let is_number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let Some((seconds, fraction)) = stamp.split_once('.') else {
        let clock = stamp.split(':').all(is_number);
        let call = stamp.contains('(') || stamp.starts_with(['+', '-', '<']);
        return Err(if clock || call { NoLine::Time } else { NoLine::Form });
    };
    if !is_number(seconds) || !is_number(fraction) {
        let clock = seconds.split(':').all(is_number) && is_number(fraction);
        let call = stamp.contains('(');
        return Err(if clock || call { NoLine::Time } else { NoLine::Form });
    }
    let seconds: u64 = seconds.parse().map_err(|_| NoLine::Form)?;
    // Seconds since the previous call (`-r`) are no time of day.
    if seconds < 100_000_000 {
        return Err(NoLine::Time);
    }
    let nanos = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0u64, |n, digit| n * 10 + u64::from(digit.saturating_sub(b'0')));
    let time_ns =
        seconds.checked_mul(1_000_000_000).and_then(|s| s.checked_add(nanos)).ok_or(NoLine::Form)?;
    Ok((time_ns, rest.trim_start()))
}

/// Instruction pointer (`-i`) and number of the call (`-n`).
fn past_brackets(mut text: &str) -> &str {
    while let Some((inside, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        && !inside.is_empty()
        && inside.bytes().all(|b| b.is_ascii_hexdigit() || b == b' ' || b == b'?')
    {
        text = rest.trim_start();
    }
    text
}

fn what(text: &str) -> Option<What<'_>> {
    if let Some(rest) = text.strip_prefix("+++ ") {
        return end(rest);
    }
    if text.starts_with("--- ") {
        return Some(What::Signal);
    }
    if let Some(rest) = text.strip_prefix("<... ") {
        let (name, rest) = rest.split_once(" resumed>")?;
        return is_name(name).then_some(What::Resumed { name, rest });
    }
    let (name, rest) = text.split_once('(')?;
    if !is_name(name) {
        return None;
    }
    if let Some(rest) = rest.strip_suffix("<unfinished ...>") {
        return Some(What::Unfinished { name, rest: rest.trim_end() });
    }
    if rest.ends_with("<unfinished ...>) = ?") || rest.ends_with("<detached ...>") {
        return Some(What::Nothing);
    }
    Some(What::Call { name, rest })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn end(text: &str) -> Option<What<'_>> {
    if let Some(rest) = text.strip_prefix("exited with ") {
        return Some(What::Exited(rest.split(' ').next()?.parse().ok()?));
    }
    if let Some(rest) = text.strip_prefix("killed by ") {
        return Some(What::Killed(errno::signal(rest.split(' ').next()?)));
    }
    if let Some(rest) = text.strip_prefix("superseded by execve in pid ") {
        return Some(What::Superseded(rest.split(' ').next()?.parse().ok()?));
    }
    Some(What::Nothing)
}

/// What a call gave: `= 3</a>`, `= -1 ENOENT (…)`, `= ?`. `None`: it gave nothing, or strace did not see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome<'a> {
    pub result: Option<i64>,
    /// With its note, as an argument has it.
    pub text: &'a str,
}

pub(crate) fn outcome(rest: &str) -> Option<Outcome<'_>> {
    let text = rest.trim_start().strip_prefix('=')?.trim();
    let text = without_duration(text);
    if let Some(error) = text.strip_prefix("-1 ") {
        let name = error.split([' ', '(']).next().unwrap_or_default();
        return Some(Outcome { result: Some(errno::negative(name)), text });
    }
    // With pid namespaces: the number that strace knows it by (`--decode-pids`).
    let outside = text.split_once(" /* ").and_then(|(_, note)| note.split_once(" in strace's PID NS"));
    let number = outside.map_or(text, |(number, _)| number);
    Some(Outcome { result: crate::value::number(number), text })
}

/// `<0.000123>` at the end (`-T`).
fn without_duration(text: &str) -> &str {
    text.strip_suffix('>')
        .and_then(|rest| rest.rsplit_once(" <"))
        .filter(|(_, seconds)| seconds.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        .map_or(text, |(rest, _)| rest.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, pid: Option<u32>, what: What<'_>) {
        assert_eq!(parse(line), Ok(Line { pid, time_ns: 1_795_452_292_869_030_000, what }), "{line}");
    }

    #[test]
    fn lines_of_all_forms() {
        let call = What::Call { name: "execve", rest: "\"/a\") = 0" };
        check("97    1795452292.869030 execve(\"/a\") = 0", Some(97), call.clone());
        check("[pid    97] 1795452292.869030 execve(\"/a\") = 0", Some(97), call.clone());
        check("[pid 97<sh x>] 1795452292.869030 execve(\"/a\") = 0", Some(97), call.clone());
        check("97<bash> 1795452292.869030 execve(\"/a\") = 0", Some(97), call.clone());
        check("1795452292.869030 execve(\"/a\") = 0", None, call.clone());
        check("97 1795452292.869030 [00007f12] [ 59] execve(\"/a\") = 0", Some(97), call);
        check(
            "97    1795452292.869030 vfork( <unfinished ...>",
            Some(97),
            What::Unfinished { name: "vfork", rest: "" },
        );
        check(
            "97    1795452292.869030 <... openat resumed>) = 3</a>",
            Some(97),
            What::Resumed { name: "openat", rest: ") = 3</a>" },
        );
        check("97 1795452292.869030 +++ exited with 3 +++", Some(97), What::Exited(3));
        check(
            "97 1795452292.869030 +++ killed by SIGKILL (core dumped) +++",
            Some(97),
            What::Killed(Some(9)),
        );
        check("97 1795452292.869030 --- SIGCHLD {si_signo=SIGCHLD} ---", Some(97), What::Signal);
        check("7 1795452292.869030 +++ superseded by execve in pid 9 +++", Some(7), What::Superseded(9));
        check("7 1795452292.869030 read(0,  <unfinished ...>) = ?", Some(7), What::Nothing);
    }

    #[test]
    fn lines_that_are_none() {
        for line in [
            "12:30:01.123456 execve(\"/a\") = 0",
            "97 12:30:01 read(0) = 0",
            "0.000123 read(0) = 0",
            "execve(\"/a\", [\"a\"], 0x7ff /* 3 vars */) = 0",
        ] {
            assert_eq!(parse(line), Err(NoLine::Time), "{line}");
        }
        for line in
            ["hello", "97 hello there", "97 1795452292.869030 =", "1795452292.869030 a b(", "{\"x\": 1}"]
        {
            assert_eq!(parse(line), Err(NoLine::Form), "{line}");
        }
    }

    #[test]
    fn what_calls_give() {
        #[track_caller]
        fn check(rest: &str, expected: Option<i64>) {
            assert_eq!(outcome(rest).unwrap().result, expected, "{rest}");
        }
        check("   = ?", None);
        check(" = 3</a> <0.000012>", Some(3));
        check(" = -1 ENOENT (No such file or directory)", Some(-2));
        check(" = 5 /* 123 in strace's PID NS */", Some(123));
        check(" = 0 (Timeout)", Some(0));
        check(" = ? ERESTARTSYS (To be restarted)", None);
        assert_eq!(outcome(""), None);
    }
}
