//! Which part of the output that an account shows is the command's own: products put notes of theirs around it.

use crate::Format;

/// Notes that products put in blocks of their own.
const BLOCKS: &[&str] = &["sandbox_violations", "system-reminder", "shell_metadata", "bash_metadata"];
/// Where a product says that it shows a part only, or something else instead.
const PARTIAL: &[&str] = &[
    "<persisted-output>",
    "Output too large",
    "...output truncated...",
    "tokens truncated",
    "characters omitted",
    "bytes omitted",
    "[... omitted",
    "lines truncated",
    "Total output lines: ",
];

/// The command's own output as this product's account shows it; `None` where the account does not show it whole, or how
/// this product shows it is not known.
pub fn command_output(product: &str, output: &str) -> Option<String> {
    let format: Format = product.parse().ok()?;
    if PARTIAL.iter().any(|note| output.contains(note)) {
        return None;
    }
    let own = without_blocks(output);
    match format {
        Format::ClaudeCode => Some(claude(&own)),
        Format::Codex => Some(own),
        Format::GeminiCli => gemini(&own),
        Format::OpenCode => Some(if own.trim() == "(no output)" { String::new() } else { own }),
        // What a terminal showed, prompts and all.
        Format::OpenHands => None,
    }
}

/// Notes behind one output.
const NOTES_MAX: usize = 4;

fn without_blocks(output: &str) -> String {
    let mut out = output.to_owned();
    for name in BLOCKS {
        let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
        let mut kept = String::new();
        let mut rest = out.as_str();
        while let Some((before, inside)) = rest.split_once(&begin) {
            let Some((_, after)) = inside.split_once(&end) else { break };
            kept.push_str(before);
            kept.push('\n');
            rest = after;
        }
        if !kept.is_empty() {
            kept.push_str(rest);
            out = kept;
        }
    }
    out
}

fn claude(output: &str) -> String {
    let mut own = output;
    if let Some(rest) = own.strip_prefix("Exit code ") {
        let (code, rest) = rest.split_once('\n').unwrap_or((rest, ""));
        if code.trim().parse::<i32>().is_ok() {
            own = rest;
        }
    }
    // Each stands behind the output, in its own line.
    for _ in 0..NOTES_MAX {
        let (before, last) = own.trim_end().rsplit_once('\n').unwrap_or(("", own.trim_end()));
        if !is_note(last) {
            break;
        }
        own = before;
    }
    match own.trim() {
        "(Bash completed with no output)" | "(no output)" | "(No content)" => String::new(),
        _ => own.to_owned(),
    }
}

/// A sentence of the product's own: `[This command modified 1 file …]`.
fn is_note(line: &str) -> bool {
    let sentence = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(".]"));
    line.starts_with("Shell cwd was reset to ")
        || sentence.is_some_and(|text| text.starts_with("This ") || text.starts_with("Note: "))
}

/// `Output: …` and a block of `Name: value` lines behind it, which ends with the process group.
fn gemini(output: &str) -> Option<String> {
    const NAMES: [&str; 5] =
        ["Error: ", "Exit Code: ", "Signal: ", "Background PIDs: ", "Process Group PGID: "];
    let mut own = output.trim_end().strip_prefix("Output: ")?;
    // Each stands there once, in this order: what comes before is the command's.
    for name in NAMES.iter().rev() {
        let (before, last) = own.rsplit_once('\n').unwrap_or(("", own));
        if last.starts_with(name) {
            own = before;
        } else if *name == "Process Group PGID: " {
            return None;
        }
    }
    Some(if own.trim() == "(empty)" { String::new() } else { own.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(product: &str, output: &str, expected: Option<&str>) {
        assert_eq!(command_output(product, output).as_deref(), expected, "{output}");
    }

    #[test]
    fn what_products_add_is_not_the_commands() {
        check("claude-code", "Exit code 2\nno such file", Some("no such file"));
        check("claude-code", "Exit code 2", Some(""));
        check("claude-code", "Exit code of it all", Some("Exit code of it all"));
        check("claude-code", "(Bash completed with no output)", Some(""));
        check("claude-code", "/tmp\nShell cwd was reset to /w", Some("/tmp"));
        check(
            "claude-code",
            "[This command modified 1 file you've previously read: a.txt. Call Read.]",
            Some(""),
        );
        check("claude-code", "[1/3] ok\n[2/3] ok.", Some("[1/3] ok\n[2/3] ok."));
        check("claude-code", "<persisted-output>\nOutput too large", None);
        check("codex", "a\nb\n", Some("a\nb\n"));
        check("gemini-cli", "Output: a\nb\nExit Code: 3\nProcess Group PGID: 7", Some("a\nb"));
        check("gemini-cli", "Output: (empty)\nProcess Group PGID: 7", Some(""));
        // The command's own lines may look like the product's.
        check(
            "gemini-cli",
            "Output: Exit Code: 0\nExit Code: 3\nProcess Group PGID: 7",
            Some("Exit Code: 0"),
        );
        check("gemini-cli", "All tests pass.", None);
        check("opencode", "(no output)", Some(""));
        check("opencode", "a\n<shell_metadata>\nnote\n</shell_metadata>", Some("a\n\n"));
        check("unknown", "a", None);
    }
}
