//! What a command does, as far as its text tells.

use super::*;

fn find<'a>(shell: &'a Shell, program: &str) -> &'a Simple {
    let all = &shell.commands;
    all.iter().find(|s| s.words[0] == program && !s.wraps).unwrap_or_else(|| panic!("{program} in {all:?}"))
}

#[track_caller]
fn check(text: &str, program: &str, expected: Option<&str>) {
    let shell = read(text).unwrap();
    assert_eq!(find(&shell, program).masked, expected, "{text}");
    assert!(shell.whole, "{text}");
}

#[test]
fn what_masks_a_status() {
    check("pytest -q", "pytest", None);
    check("cd x && FOO=1 pytest -q", "pytest", None);
    check("pytest || true", "pytest", Some("`||` takes its place"));
    check("cd x && pytest || true", "pytest", Some("`||` takes its place"));
    check("test -f x || pip install y && pytest", "pytest", None);
    check("pytest -q; exit 0", "pytest", Some("another command follows"));
    check("pytest -q\necho done", "pytest", Some("another command follows"));
    check("pytest -q # all of them\n", "pytest", None);
    check("set -e; pytest -q; echo done", "pytest", None);
    check("pytest 2>&1 | tail -5", "pytest", Some("a pipe takes its status"));
    check("set -o pipefail; pytest 2>&1 | tail -5", "pytest", None);
    check("echo x | pytest > out", "pytest", None);
    check("if pytest; then echo ok; fi", "pytest", Some("it is a condition"));
    check("if true; then pytest; fi", "pytest", None);
    check("if false; then ls; elif pytest; then ls; else rm x; fi", "pytest", Some("it is a condition"));
    check("if false; then ls; elif pytest; then ls; else rm x; fi", "rm", None);
    check("while pytest; do sleep 1; done", "pytest", Some("it is a condition"));
    check("for i in 1 2 3; do pytest; done", "pytest", Some("a loop"));
    check("case x in y) pytest;; esac", "pytest", None);
    check("! pytest", "pytest", Some("`!` turns it round"));
    check("(pytest && git push) || exit 0", "pytest", Some("`||` takes its place"));
    check("pytest &", "pytest", Some("it runs beside"));
    check("f() { pytest; }; f", "pytest", Some("it is in a function"));
    check("echo $(pytest)", "pytest", Some("it is in a substitution"));
    check("x=`pytest`", "pytest", Some("it is in a substitution"));
    check("diff <(pytest) b", "pytest", Some("it is in a substitution"));
    check("timeout 60 pytest", "pytest", None);
    check("timeout -k 5 60 pytest -q || true", "pytest", Some("`||` takes its place"));
    check("bash -c 'pytest; exit 0'", "pytest", Some("another command follows"));
    check("bash -lc 'pytest' | tail", "pytest", Some("a pipe takes its status"));
    check("pytest <<E || true\nx\nE\n", "pytest", Some("`||` takes its place"));
    check("pytest <<E | tail\nx\nE\n", "pytest", Some("a pipe takes its status"));
    check("set -e\nbash -c 'pytest; ls'", "pytest", Some("another command follows"));
}

/// All commands, as words with `|` between them.
#[track_caller]
fn commands(text: &str, expected: &[&str]) {
    let shell = read(text).unwrap();
    let found: Vec<String> = shell.commands.iter().filter(|s| !s.wraps).map(|s| s.words.join("|")).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn words_come_without_their_quotes() {
    commands(r#"a 'b c' "d $x e" f\ g h'i'"j""#, &["a|b c|d $x e|f g|hij"]);
    commands(r#"a "x\"y\n" $'t\tu\x41' "$(b)" "\$z""#, &["a|x\"y\\n|t\tuA|$(b)|$z", "b"]);
    commands("a --b=\"c d\" {e,f} *.g ~/h", &["a|--b=c d|{e,f}|*.g|~/h"]);
    commands("a \\\n  b", &["a|b"]);
    commands("A=1 B=2 c D=3", &["c|D=3"]);
    commands("a -b - == =~ c", &["a|-b|-|==|=~|c"]);
    commands("a -F - <<E\nx\nE\n", &["a|-F|-"]);
    commands("a && b - <<E >c\nx\nE\n", &["a", "b|-"]);
    commands("export A=1 && unset B", &["export|A=1", "unset|B"]);
}

#[test]
fn wrappers_are_looked_through() {
    commands("sudo -u x A=1 rm -rf /y", &["rm|-rf|/y"]);
    commands("env -i A=1 B=2 rm x", &["rm|x"]);
    commands("nohup nice -n 5 stdbuf -oL rm x &", &["rm|x"]);
    commands(
        "time -p rm x; exec rm y; command rm z; command -v rm",
        &["rm|x", "rm|y", "rm|z", "command|-v|rm"],
    );
    commands("find . -name x -exec rm {} ';' -print", &["rm|{}"]);
    commands("ls | xargs -I {} -n 1 rm {}", &["ls", "rm|{}"]);
    commands("eval 'rm x' ';' ls", &["rm|x", "ls"]);
    commands("bash -euo pipefail -c 'rm x && ls'", &["rm|x", "ls"]);
    commands("sh -c \"sh -c 'sh -c ls'\"", &["ls"]);
    commands("bash script.sh -c x", &["bash|script.sh|-c|x"]);
    commands("bash <<'E'\nrm x\nE\n", &["rm|x"]);
    commands("sudo bash -s <<E\nrm x\nE\n", &["rm|x"]);
    commands("f() { rm x; }; echo \"a $(rm y) `rm z`\"", &["rm|x", "echo|a $(rm y) `rm z`", "rm|y", "rm|z"]);
    let shell = read("sudo tee /etc/x >/dev/null <<E\ny\nE\n").unwrap();
    let tee = find(&shell, "tee");
    assert_eq!(
        (tee.heredoc.as_deref(), tee.written.as_slice()),
        (Some("y\n"), &["/dev/null".to_owned()][..])
    );
}

#[test]
fn input_and_output() {
    #[track_caller]
    fn files(text: &str, program: &str, read: &[&str], written: &[&str], heredoc: Option<&str>) {
        let shell = super::read(text).unwrap();
        let found = find(&shell, program);
        assert_eq!(found.read, read, "{text}");
        assert_eq!(found.written, written, "{text}");
        assert_eq!(found.heredoc.as_deref(), heredoc, "{text}");
    }
    files("a <in >out 2>>err", "a", &["in"], &["out", "err"], None);
    files("a >out 2>&1", "a", &[], &["out"], None);
    files("a &>out", "a", &[], &["out"], None);
    files("a && b >out", "a", &[], &[], None);
    files("a && b >out", "b", &[], &["out"], None);
    files("a | b >out", "a", &[], &[], None);
    files("{ a; b; } >out", "a", &[], &["out"], None);
    files("(a; b) >out", "b", &[], &["out"], None);
    files("while a; do b; done <in", "a", &["in"], &[], None);
    files("a <<<'x y'", "a", &[], &[], Some("x y"));
    files("python3 - <<'E'\nimport os\nE\n", "python3", &[], &[], Some("import os\n"));
    files("cat >f <<E\nx $(b) y\nE\n", "cat", &[], &["f"], Some("x $(b) y\n"));
    files("cat >f <<E\nx $(b) y\nE\n", "b", &[], &[], None);
    files("cat <<E >f\nx\nE\n", "cat", &[], &["f"], Some("x\n"));
    files("cat <<E | python3 -\nx\nE\n", "python3", &[], &[], None);
    files("cat <<E && b\nx\nE\n", "b", &[], &[], None);
    let long = format!("cat >f <<'E'\n{}\nE\nls", "let x = \"$(y)\"; // `z` ((\n".repeat(4_000));
    assert!(long.len() > 100_000);
    files(&long, "ls", &[], &[], None);
}

#[test]
fn what_is_cut_off() {
    let cut_off = |text: &str| find(&read(text).unwrap(), "pytest").cut_off;
    assert!(cut_off("pytest | head -5"));
    assert!(cut_off("pytest | tee x | grep -q y"));
    assert!(!cut_off("pytest | tail -5"));
    assert!(!cut_off("head x | pytest"));
    assert!(!cut_off("pytest; ls | head"));
    assert!(cut_off("bash -c pytest | head -1"));
}

#[test]
fn what_is_not_understood_is_told_of() {
    for text in ["echo \"unclosed", "if true; then ls", "ls )", "a <<E\nno end", "case x in"] {
        assert!(!read(text).unwrap().whole, "{text}");
    }
    assert_eq!(read("ls; echo \"unclosed").unwrap().commands[0].words, ["ls"]);
    assert_eq!(read("a\0b"), None);
    assert_eq!(read(&"a".repeat(COMMAND_MAX + 1)), None);
    // More than is kept.
    let many = read(&"ls;".repeat(SIMPLE_MAX + 1)).unwrap();
    assert_eq!((many.commands.len(), many.whole), (SIMPLE_MAX, false));
    let deep = read(&format!("{}ls{}", "(".repeat(200), ")".repeat(200)));
    assert!(deep.is_none_or(|shell| !shell.whole));
}

#[test]
fn characters_beyond_ascii_are_no_index_into_a_table() {
    commands(
        "echo 'größe' \u{10ffff}$\u{10ffff}{\u{10ffff}..1}",
        &["echo|größe|\u{10ffff}$\u{10ffff}{\u{10ffff}..1}"],
    );
    for character in ['é', '\u{a0}', '\u{fffd}', '\u{fffe}', '\u{feff}', '\u{10ffff}'] {
        for around in
            ["{C", "{1..C", "{C..C}", "<<C\nC\n", "$C", "${C#C}", "C=C", "$'C'", "[[ C =~ C", "C>C", "`C"]
        {
            let text = around.replace('C', &character.to_string());
            for piece in [text.clone(), text.repeat(100), format!("{}{text}", "a".repeat(CHUNK - 3))] {
                let _ = read(&piece);
            }
        }
    }
}

/// Text that is made to be slow or to take much room: each piece, as often as fits.
#[test]
fn hostile_text_is_bounded() {
    for piece in hostile::PIECES {
        for length in [1_000, 16 * 1024] {
            let text = piece.repeat(length / piece.len());
            let first = read(&text);
            assert!(first == read(&text), "{piece}");
            assert!(first.is_none_or(|shell| shell.commands.len() <= SIMPLE_MAX), "{piece}");
        }
    }
}

mod hostile {
    pub const PIECES: &[&str] = &[
        "(",
        "((",
        "$(",
        "$((",
        "${",
        "${${${",
        "`",
        "`a",
        "\"",
        "'",
        "$'",
        "$\"",
        "{ ",
        "{a,",
        "[[ ",
        "[ ",
        "if ",
        "if a; then ",
        "while ",
        "while a; do ",
        "for i in ",
        "for ((",
        "case x in ",
        "case x in a) ",
        "f() { ",
        "f() ",
        "function f ",
        "! ",
        "&& ",
        "a && ",
        "a || ",
        "a | ",
        "a |& ",
        "a; ",
        "a & ",
        "a\n",
        "<<a\n",
        "<<a ",
        "a <<a\n",
        "<<-a\n",
        "<<'a'\n",
        "a <<a <<b\n",
        "<<< ",
        "<<<a ",
        "> ",
        ">a ",
        "a >a ",
        ">& ",
        "<(",
        ">(",
        "<(a ",
        "a <(b) ",
        "$",
        "$a",
        "${a}",
        "${a:-",
        "${a/b/",
        "${a#",
        "${#",
        "${!",
        "${a[",
        "\\",
        "\\\n",
        "a=",
        "a=(",
        "a=b ",
        "a[1]=",
        "*",
        "?(",
        "+(a|",
        "@(",
        "#",
        "# a\n",
        "a\t",
        ";;",
        "esac",
        "done",
        "fi",
        "} ",
        ") ",
        ")",
        "]]",
        "coproc ",
        "time ",
        "sudo ",
        "bash -c ",
        "eval ",
        "eval a;",
        "bash -c 'a;",
        "env ",
        "xargs ",
        "find -exec ",
        "\r\n",
        "é",
        "\u{10ffff}",
        "<<é\n",
        "<<\\",
        "<<\"",
        "<<''\n",
        "=~ ",
        "a =~ (",
        "[[ a =~ (",
        "$[",
        "$[a",
        "~+",
        "1>",
        "1>&2 ",
        "$(a ",
        "$(cat <<a\n",
        "\"$(",
        "\"${a",
        "\"`",
        "a\"b",
        "a'b",
        "a$b",
        "a`b`",
        "a{1..2}",
        "declare ",
        "declare -A a=(",
        "unset ",
        "select a in ",
        "until a; do ",
        "(( a ? ",
        "(( 1 + ",
        "((a++",
        "let a=",
        "a:b:",
        "+",
        "-",
        "--",
        "%",
        "^",
        ",",
    ];
}
