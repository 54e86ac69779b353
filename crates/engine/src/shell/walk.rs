//! Goes through a parsed command and takes down its simple commands, with what hides the end of each.

use tree_sitter::Node;

use crate::shell::word::{body, unquoted};
use crate::shell::wrapper::{Inner, inner};
use crate::shell::{Shell, Simple, Work, parse};

/// Nesting that is followed: more than anybody writes, and little enough for the stack.
pub(crate) const DEPTH_MAX: usize = 80;
/// Shells within shells that are looked into.
const SHELLS_MAX: usize = 4;
/// Nodes of one command and what stands in it.
const NODES_MAX: usize = 60_000;
/// Of the text that a command is given as its input, in bytes.
const HEREDOC_MAX: usize = 64 * 1024;
/// Heredoc text that is kept of one command, in bytes.
const HEREDOCS_MAX: usize = 256 * 1024;

type Masked = Option<&'static str>;

/// Where input and output of a command go.
#[derive(Clone, Default)]
struct Redirected {
    written: Vec<String>,
    read: Vec<String>,
    input: Option<String>,
    /// A `-` before a heredoc, which the grammar passes over.
    dash: bool,
}

impl Redirected {
    fn add(&mut self, other: Redirected) {
        self.written.extend(other.written);
        self.read.extend(other.read);
        self.input = self.input.take().or(other.input);
        self.dash |= other.dash;
    }

    fn put(self, simple: &mut Simple) {
        simple.written.extend(self.written);
        simple.read.extend(self.read);
        simple.heredoc = simple.heredoc.take().or(self.input);
        if self.dash {
            simple.words.push("-".to_owned());
        }
    }
}

pub(crate) struct Walk<'w> {
    out: Vec<Simple>,
    work: &'w mut Work,
    simple_max: usize,
    nodes: usize,
    heredocs: usize,
    depth: usize,
    shells: usize,
    whole: bool,
    pipefail: bool,
    errexit: bool,
    /// Of the statement that comes next.
    redirected: Redirected,
}

impl<'w> Walk<'w> {
    pub fn new(work: &'w mut Work, simple_max: usize) -> Self {
        Walk {
            out: Vec::new(),
            work,
            simple_max,
            nodes: NODES_MAX,
            heredocs: HEREDOCS_MAX,
            depth: 0,
            shells: 0,
            whole: true,
            pipefail: false,
            errexit: false,
            redirected: Redirected::default(),
        }
    }

    pub fn into_shell(self) -> Shell {
        Shell { commands: self.out, whole: self.whole }
    }

    pub fn program(&mut self, root: Node<'_>, text: &str, masked: Masked) {
        self.whole &= !root.has_error();
        self.sequence(root, text, masked, false);
    }

    /// One more node: `false` when there were too many, or too deep.
    fn enter(&mut self) -> bool {
        let enough = self.nodes == 0 || self.depth >= DEPTH_MAX;
        self.nodes = self.nodes.saturating_sub(1);
        self.whole &= !enough;
        !enough
    }

    /// Statements after one another. `more`: others follow, whose status counts instead.
    fn sequence(&mut self, node: Node<'_>, text: &str, masked: Masked, more: bool) {
        // Each with whether it runs beside.
        let mut statements: Vec<(Node<'_>, bool)> = Vec::new();
        for child in node.children(&mut node.walk()) {
            if child.is_named() && child.kind() != "comment" {
                statements.push((child, false));
            } else if child.kind() == "&"
                && let Some(last) = statements.last_mut()
            {
                last.1 = true;
            }
        }
        let count = statements.len();
        for (at, (statement, beside)) in statements.into_iter().enumerate() {
            let last = at + 1 == count && !more;
            let by_next = (!last && !self.errexit).then_some("another command follows");
            let beside = beside.then_some("it runs beside");
            self.statement(statement, text, masked.or(beside).or(by_next));
        }
    }

    fn statement(&mut self, node: Node<'_>, text: &str, masked: Masked) {
        if !self.enter() {
            return;
        }
        self.depth += 1;
        self.any(node, text, masked);
        self.depth -= 1;
    }

    fn any(&mut self, node: Node<'_>, text: &str, masked: Masked) {
        let redirected = std::mem::take(&mut self.redirected);
        match node.kind() {
            "command" => self.command(node, text, masked, redirected),
            "declaration_command" | "unset_command" => self.declaration(node, text, masked, redirected),
            "redirected_statement" => self.redirected(node, text, masked, redirected),
            "list" => self.list(node, text, masked, redirected),
            "pipeline" => self.pipeline(node, text, masked, redirected),
            _ => {
                let began = self.out.len();
                self.compound(node, text, masked);
                let redirected = Redirected { dash: false, ..redirected };
                for simple in self.out.iter_mut().skip(began) {
                    redirected.clone().put(simple);
                }
            }
        }
    }

    fn compound(&mut self, node: Node<'_>, text: &str, masked: Masked) {
        const LOOP: Masked = Some("a loop");
        match node.kind() {
            "negated_command" => self.sequence(node, text, masked.or(Some("`!` turns it round")), false),
            "if_statement" | "elif_clause" | "else_clause" => self.branches(node, text, masked),
            "while_statement" | "for_statement" | "c_style_for_statement" => {
                let run = node.child_by_field_name("body");
                for child in node.named_children(&mut node.walk()) {
                    if Some(child) == run {
                        self.sequence(child, text, masked.or(LOOP), false);
                    } else {
                        self.statement(child, text, Some("it is a condition"));
                    }
                }
            }
            "case_statement" => {
                for child in node.named_children(&mut node.walk()) {
                    self.statement(child, text, masked);
                }
            }
            "function_definition" => {
                if let Some(body) = node.child_by_field_name("body") {
                    self.statement(body, text, Some("it is in a function"));
                }
            }
            "command_substitution" | "process_substitution" => {
                self.sequence(node, text, masked.or(Some("it is in a substitution")), false);
            }
            // Also values and expressions: what stands in them.
            _ => self.sequence(node, text, masked, false),
        }
    }

    fn branches(&mut self, node: Node<'_>, text: &str, masked: Masked) {
        let mut statements = Vec::new();
        let mut cursor = node.walk();
        let mut at = cursor.goto_first_child();
        while at {
            let child = cursor.node();
            match (child.kind(), cursor.field_name()) {
                (_, Some("condition")) => self.statement(child, text, Some("it is a condition")),
                ("elif_clause" | "else_clause", _) => self.statement(child, text, masked),
                ("then", _) => {
                    // `elif` has no name for its condition: what came before `then` is it.
                    for condition in statements.drain(..) {
                        self.statement(condition, text, Some("it is a condition"));
                    }
                }
                _ if child.is_named() && child.kind() != "comment" => statements.push(child),
                _ => {}
            }
            at = cursor.goto_next_sibling();
        }
        let count = statements.len();
        for (at, statement) in statements.into_iter().enumerate() {
            let by_next = (at + 1 < count && !self.errexit).then_some("another command follows");
            self.statement(statement, text, masked.or(by_next));
        }
    }

    /// `a && b || c`, which stands as `(a && b) || c`.
    fn list(&mut self, node: Node<'_>, text: &str, masked: Masked, redirected: Redirected) {
        // From the last to the first, with the sign before each.
        let mut parts: Vec<(Node<'_>, bool)> = Vec::new();
        let mut left = node;
        while left.kind() == "list" && self.enter() {
            let mut first = None;
            let mut or = false;
            for child in left.children(&mut left.walk()) {
                match child.kind() {
                    "||" => or = true,
                    _ if !child.is_named() => {}
                    _ if first.is_none() => first = Some(child),
                    _ => parts.push((child, or)),
                }
            }
            let Some(first) = first else { return };
            left = first;
        }
        parts.push((left, false));
        // `c` runs in place of what failed.
        let count = parts.len();
        let last_or = parts.iter().position(|(_, or)| *or).map(|at| count - at);
        for (at, (part, _)) in parts.into_iter().rev().enumerate() {
            let by_or = last_or.is_some_and(|or| at + 1 < or).then_some("`||` takes its place");
            if at + 1 == count {
                self.redirected = redirected.clone();
            }
            self.statement(part, text, masked.or(by_or));
        }
    }

    fn pipeline(&mut self, node: Node<'_>, text: &str, masked: Masked, redirected: Redirected) {
        let parts: Vec<Node<'_>> =
            node.named_children(&mut node.walk()).filter(|n| n.kind() != "comment").collect();
        let count = parts.len();
        let mut began = Vec::new();
        for (at, part) in parts.into_iter().enumerate() {
            let piped = (at + 1 < count && !self.pipefail).then_some("a pipe takes its status");
            began.push(self.out.len());
            if at + 1 == count {
                self.redirected = redirected.clone();
            }
            self.statement(part, text, masked.or(piped));
        }
        self.cut_off(&began);
    }

    /// Marks what writes to a program that may end before it. `began`: where the commands of each part begin.
    fn cut_off(&mut self, began: &[usize]) {
        let stops = began.iter().rev().find(|at| self.out.get(**at).is_some_and(stops_early)).copied();
        let first = began.first().copied().unwrap_or_default();
        for simple in self.out.get_mut(first..stops.unwrap_or(first)).unwrap_or_default() {
            simple.cut_off = true;
        }
    }

    /// A statement with its redirections. Those of a list belong to its last command, those of `{ … }` to all in it.
    fn redirected(&mut self, node: Node<'_>, text: &str, masked: Masked, outer: Redirected) {
        let began = self.out.len();
        let body = node.child_by_field_name("body");
        let redirects: Vec<Node<'_>> =
            node.named_children(&mut node.walk()).filter(|child| Some(*child) != body).collect();
        let mut own = Redirected::default();
        let mut masked_body = masked;
        for redirect in &redirects {
            self.redirect(*redirect, text, &mut own);
            // What follows a heredoc on its line stands within it.
            for child in redirect.children(&mut redirect.walk()) {
                masked_body = masked_body.or(match child.kind() {
                    "pipeline" if !self.pipefail => Some("a pipe takes its status"),
                    "||" => Some("`||` takes its place"),
                    _ => None,
                });
            }
        }
        own.add(outer);
        let mut at = node.start_byte();
        for child in node.children(&mut node.walk()) {
            own.dash |= text.get(at..child.start_byte()).is_some_and(|gap| gap.trim() == "-");
            at = child.end_byte();
        }
        if let Some(body) = body {
            self.redirected = own;
            self.statement(body, text, masked_body);
            self.redirected = Redirected::default();
        }
        for redirect in &redirects {
            self.behind(*redirect, text, masked, began);
        }
    }

    /// What a heredoc has on its line behind it.
    fn behind(&mut self, redirect: Node<'_>, text: &str, masked: Masked, began: usize) {
        if redirect.kind() != "heredoc_redirect" {
            return;
        }
        let right = redirect.child_by_field_name("right");
        for child in redirect.named_children(&mut redirect.walk()) {
            if Some(child) == right {
                self.statement(child, text, masked);
            } else if child.kind() == "pipeline" {
                let at = self.out.len();
                self.pipeline(child, text, masked, Redirected::default());
                self.cut_off(&[began, at]);
            } else if child.kind() == "heredoc_body" {
                self.statement(child, text, Some("it is in a substitution"));
            }
        }
    }

    fn redirect(&mut self, node: Node<'_>, text: &str, own: &mut Redirected) {
        if !self.enter() {
            return;
        }
        match node.kind() {
            "file_redirect" => self.file(node, text, own),
            "herestring_redirect" => {
                if let Some(word) = node.named_children(&mut node.walk()).last() {
                    own.input = self.keep(&unquoted(word, text));
                    self.substitutions(word, text);
                }
            }
            "heredoc_redirect" => {
                // `cat <<END > file`.
                for inner in node.named_children(&mut node.walk()) {
                    if matches!(inner.kind(), "file_redirect" | "herestring_redirect") {
                        self.redirect(inner, text, own);
                    }
                }
                if let Some(body) = body(node, text) {
                    own.input = self.keep(body);
                }
            }
            _ => self.whole = false,
        }
    }

    fn file(&mut self, node: Node<'_>, text: &str, own: &mut Redirected) {
        let operator = node
            .children(&mut node.walk())
            .find(|c| !c.is_named())
            .map(|c| c.kind().to_owned())
            .unwrap_or_default();
        for word in node.children_by_field_name("destination", &mut node.walk()) {
            let path = unquoted(word, text);
            let descriptor = operator.ends_with('&') && path.bytes().all(|b| b.is_ascii_digit() || b == b'-');
            self.substitutions(word, text);
            if descriptor || word.kind() == "process_substitution" {
                continue;
            }
            if operator.contains('>') {
                own.written.push(path);
            } else {
                own.read.push(path);
            }
        }
    }

    fn keep(&mut self, text: &str) -> Option<String> {
        let kept = text
            .get(..text.floor_char_boundary(HEREDOC_MAX.min(self.heredocs)))
            .unwrap_or_default()
            .to_owned();
        self.heredocs -= kept.len();
        Some(kept)
    }

    fn command(&mut self, node: Node<'_>, text: &str, masked: Masked, mut redirected: Redirected) {
        let mut simple = Simple { masked, ..Simple::default() };
        let mut values = Vec::new();
        let mut cursor = node.walk();
        let mut more = cursor.goto_first_child();
        while more {
            let (child, field) = (cursor.node(), cursor.field_name());
            more = cursor.goto_next_sibling();
            if !self.enter() {
                return;
            }
            match child.kind() {
                // A lone `-` is an argument without a name.
                _ if !child.is_named() => {
                    if field == Some("argument") {
                        simple.words.push(unquoted(child, text));
                    }
                    continue;
                }
                "variable_assignment" if simple.words.is_empty() => {}
                "file_redirect" | "herestring_redirect" => {
                    self.redirect(child, text, &mut redirected);
                    continue;
                }
                "ERROR" | "process_substitution" | "comment" => {}
                _ => simple.words.push(unquoted(child, text)),
            }
            values.push(child);
        }
        redirected.put(&mut simple);
        self.simple(simple);
        for value in values {
            self.substitutions(value, text);
        }
    }

    fn declaration(&mut self, node: Node<'_>, text: &str, masked: Masked, redirected: Redirected) {
        let words = node.children(&mut node.walk()).map(|child| unquoted(child, text)).collect();
        let mut simple = Simple { words, masked, ..Simple::default() };
        redirected.put(&mut simple);
        self.simple(simple);
        for child in node.named_children(&mut node.walk()) {
            self.substitutions(child, text);
        }
    }

    /// What runs within a word.
    fn substitutions(&mut self, word: Node<'_>, text: &str) {
        if word.named_child_count() > 0 {
            self.statement(word, text, Some("it is in a substitution"));
        }
    }

    fn simple(&mut self, simple: Simple) {
        let words = &simple.words;
        if words.is_empty() {
            return;
        }
        if words.first().is_some_and(|w| w == "set") {
            self.pipefail |= words.iter().any(|w| w == "pipefail");
            self.errexit |=
                words.iter().skip(1).any(|w| w.starts_with('-') && !w.starts_with("--") && w.contains('e'));
        }
        if self.out.len() >= self.simple_max {
            self.whole = false;
            return;
        }
        let at = self.out.len();
        self.out.push(simple.clone());
        self.wrapped(&simple, at);
    }

    /// Adds what a wrapper starts, as the shell or program that it starts would.
    fn wrapped(&mut self, simple: &Simple, at: usize) {
        let Some(inner) = inner(simple) else { return };
        if self.shells >= SHELLS_MAX {
            self.whole = false;
            return;
        }
        self.shells += 1;
        let before = self.out.len();
        match inner {
            Inner::Words(words) => self.simple(Simple { words, wraps: false, ..simple.clone() }),
            Inner::Text(text) => match parse(&text, self.work) {
                Some(tree) => {
                    let options = (self.pipefail, self.errexit);
                    (self.pipefail, self.errexit) = (false, false);
                    self.program(tree.root_node(), &text, simple.masked);
                    (self.pipefail, self.errexit) = options;
                    for inner in self.out.iter_mut().skip(before) {
                        inner.cut_off |= simple.cut_off;
                    }
                }
                None => self.whole = false,
            },
        }
        self.shells -= 1;
        let found = self.out.len() > before;
        if let Some(outer) = self.out.get_mut(at) {
            outer.wraps |= found;
        }
    }
}

/// `head`, `grep -q`: they close the pipe when they have enough, and what writes on ends with an error of its own.
fn stops_early(simple: &Simple) -> bool {
    match simple.words.first().map(String::as_str) {
        Some("head") => true,
        Some("grep" | "rg" | "sed") => simple.words.iter().any(|w| {
            matches!(w.as_str(), "--quiet" | "--silent")
                || w.starts_with('-') && !w.starts_with("--") && w.contains(['q', 'm'])
        }),
        _ => false,
    }
}
