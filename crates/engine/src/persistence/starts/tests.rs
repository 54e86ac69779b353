//! A table of texts and what they start.

use super::{Reader, Starts};

#[track_caller]
fn check(reader: Reader, path: &str, text: &str, expected: &[&[&str]]) -> Option<String> {
    let Starts { commands, unit, marks: _ } = reader.read(path, text);
    assert_eq!(commands, expected, "{text}");
    unit
}

#[test]
fn tables_of_cron() {
    let user = |text, expected: &[&[&str]]| check(Reader::UserCrontab, "", text, expected);
    user("# none\n\nMAILTO=me\n*/5 * * * * /tmp/x --quiet\n", &[&["sh", "-c", "/tmp/x --quiet"]]);
    user("@reboot\t/opt/a &", &[&["sh", "-c", "/opt/a &"]]);
    user("SHELL = \"/bin/bash\"\n0 4 * * 1 a=1 b", &[&["/bin/bash", "-c", "a=1 b"]]);
    user("0 4 * * 1 mail -s x me%one%two", &[&["sh", "-c", "mail -s x me"]]);
    user("0 4 * * 1 date +\\%F > /tmp/a", &[&["sh", "-c", "date +%F > /tmp/a"]]);
    user("* * * *\n*", &[]);
    check(
        Reader::SystemCrontab,
        "",
        "17 * * * * root cd / && run-parts /x",
        &[&["sh", "-c", "cd / && run-parts /x"]],
    );
    check(Reader::SystemCrontab, "", "@daily nobody /x", &[&["sh", "-c", "/x"]]);
    check(
        Reader::Anacrontab,
        "",
        "START_HOURS_RANGE=3-22\n1 5 cron.daily nice run-parts /etc/cron.daily",
        &[&["sh", "-c", "nice run-parts /etc/cron.daily"]],
    );
}

#[test]
fn jobs_of_at() {
    let text = "#!/bin/sh\n# atrun uid=0 gid=0\numask 22\nHOME=/root; export HOME\ncd /w || {\n\t echo 'Execution directory \
                inaccessible' >&2\n\t exit 1\n}\n/tmp/beacon --at 7\n";
    check(Reader::AtJob, "", text, &[&["/tmp/beacon", "--at", "7"]]);
}

#[test]
fn units() {
    let unit = check(
        Reader::Unit,
        "/etc/systemd/system/x.service",
        "[Unit]\nDescription=X\n[Service]\nExecStartPre=-/bin/mkdir -p \"/run/my x\"\nExecStart=@/opt/x x-called \\\n  --flag\n\
         ExecStop=/bin/a ; /bin/b c\n[Install]\nWantedBy=multi-user.target\n",
        &[&["/bin/mkdir", "-p", "/run/my x"], &["/opt/x", "--flag"], &["/bin/a"], &["/bin/b", "c"]],
    );
    assert_eq!(unit.as_deref(), Some("x.service"));
    let name = |path, text| check(Reader::Unit, path, text, &[]);
    assert_eq!(
        name("/etc/systemd/system/x.timer", "[Timer]\nOnCalendar=daily\n").as_deref(),
        Some("x.service")
    );
    assert_eq!(name("/a/x.timer", "[Timer]\nUnit=y.service\n").as_deref(), Some("y.service"));
    assert_eq!(
        name("/etc/systemd/system/ssh.service.d/o.conf", "[Service]\nNice=1").as_deref(),
        Some("ssh.service")
    );
    assert_eq!(name("/e/multi-user.target.wants/x.service", "").as_deref(), Some("x.service"));
    check(
        Reader::Desktop,
        "",
        "[Desktop Entry]\nName=X\nExec=/opt/x --open %U \"a b\"",
        &[&["/opt/x", "--open", "a b"]],
    );
    let unit = check(
        Reader::Desktop,
        "",
        "[D-BUS Service]\nName=a.b\nExec=/opt/x\nSystemdService=x.service",
        &[&["/opt/x"]],
    );
    assert_eq!(unit.as_deref(), Some("x.service"));
}

#[test]
fn start_up_files_of_shells() {
    let text = "export PATH=$HOME/bin:$PATH\nalias ll='ls -l'\n[ -f ~/.aliases ] && . ~/.aliases\nnohup /tmp/x -q >/dev/null 2>&1 &\n";
    check(Reader::Shell, "", text, &[&["/tmp/x", "-q"], &["ls", "-l"]]);
    check(Reader::Shell, "", "PROMPT_COMMAND='/tmp/y z'", &[&["/tmp/y", "z"]]);
    check(Reader::Shell, "", "trap '/tmp/y z' EXIT", &[&["/tmp/y", "z"]]);
}

#[test]
fn configuration_of_git() {
    let git = |text, expected: &[&[&str]]| check(Reader::GitConfig, "", text, expected);
    git(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n[remote \"origin\"]\n\turl = https://a/b\n",
        &[],
    );
    git("[core]\n\thooksPath = /tmp/h\n", &[&["/tmp/h/$HOOK"]]);
    git("[core]\n\tfsmonitor = true\n\thooksPath = /dev/null", &[]);
    git("[core] fsmonitor = \"/tmp/m --v\" # c", &[&["sh", "-c", "/tmp/m --v"], &["/tmp/m", "--v"]]);
    git("[alias]\n st = status\n x = !/tmp/a b", &[&["sh", "-c", "/tmp/a b"], &["/tmp/a", "b"]]);
    git(
        "[credential]\n helper = store\n[credential \"https://x\"]\n helper = evil -v",
        &[&["git-credential-evil", "-v"]],
    );
    git(
        "[filter \"lfs\"]\n clean = git-lfs clean -- %f\n[filter \"z\"]\n smudge = /tmp/z",
        &[&["sh", "-c", "/tmp/z"], &["/tmp/z"]],
    );
}

#[test]
fn scripts_of_npm() {
    check(
        Reader::PackageJson,
        "",
        r#"{"name": "a", "scripts": {"postinstall": "node x.js", "test": "jest"}}"#,
        &[&["sh", "-c", "node x.js"], &["sh", "-c", "jest"]],
    );
    check(Reader::PackageJson, "", "{", &[]);
}

#[test]
fn settings() {
    let json = |text, expected: &[&[&str]]| check(Reader::Settings, "/w/.x/settings.json", text, expected);
    json(r#"{"permissions": {"allow": ["Bash"]}}"#, &[]);
    json(
        r#"{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "/tmp/h x"}]}]}}"#,
        &[&["sh", "-c", "/tmp/h x"], &["/tmp/h", "x"]],
    );
    json(r#"{"mcpServers": {"a": {"command": "npx", "args": ["-y", "a"]}}}"#, &[&["npx", "-y", "a"]]);
    json(r#"{"mcp": {"a": {"type": "local", "command": ["bun", "x"]}}}"#, &[&["bun", "x"]]);
    json(
        "{ // tasks\n \"tasks\": [ {\"command\": \"/tmp/t\", /* now */ \"runOptions\": {\"runOn\": \"folderOpen\"},}, ],}",
        &[&["sh", "-c", "/tmp/t"], &["/tmp/t"]],
    );
    let toml = |text, expected: &[&[&str]]| check(Reader::Settings, "/w/.codex/config.toml", text, expected);
    toml(
        "notify = [\"/tmp/n\", \"a\"]\n[mcp_servers.x]\ncommand = \"npx\"\nargs = [\"b\"]\n",
        &[&["npx", "b"], &["/tmp/n", "a"]],
    );
    check(
        Reader::Settings,
        "/w/.cargo/config.toml",
        "[build]\nrustc-wrapper = \"/tmp/w\"\n",
        &[&["sh", "-c", "/tmp/w"], &["/tmp/w"]],
    );
}

#[test]
fn small_formats() {
    check(
        Reader::Pam,
        "",
        "auth required pam_unix.so\nsession optional pam_exec.so quiet /tmp/p a",
        &[&["/tmp/p", "a"]],
    );
    check(Reader::Udev, "", "ACTION==\"add\", SUBSYSTEM==\"net\", RUN+=\"/tmp/u a\"", &[&["/tmp/u", "a"]]);
    check(Reader::Inittab, "", "x:2345:respawn:/tmp/i", &[&["sh", "-c", "/tmp/i"], &["/tmp/i"]]);
    check(Reader::Apt, "", "APT::Update::Pre-Invoke {\"/tmp/a b\";};", &[&["sh", "-c", "/tmp/a b"]]);
    check(
        Reader::Logrotate,
        "",
        "/var/log/x {\n daily\n postrotate\n  /tmp/l x\n endscript\n}",
        &[&["sh", "-c", "/tmp/l x"], &["/tmp/l", "x"]],
    );
    check(
        Reader::Sshd,
        "",
        "Port 22\nForceCommand /tmp/f\nSubsystem sftp /usr/lib/openssh/sftp-server",
        &[&["sh", "-c", "/tmp/f"], &["/tmp/f"]],
    );
    check(
        Reader::AuthorizedKeys,
        "",
        "restrict,command=\"/tmp/k \\\"a\\\"\" ssh-ed25519 AAAA x\nssh-rsa BBBB y",
        &[&["sh", "-c", "/tmp/k \"a\""]],
    );
    check(
        Reader::Modprobe,
        "",
        "options a b=1\ninstall dccp /bin/true\ninstall x /tmp/m",
        &[&["sh", "-c", "/tmp/m"]],
    );
    check(Reader::Binfmt, "", ":x:M::MZ::/tmp/b:", &[&["/tmp/b"]]);
    check(Reader::Sysctl, "/proc/sys/kernel/core_pattern", "|/tmp/c %p", &[&["/tmp/c", "%p"]]);
    check(
        Reader::Sysctl,
        "/etc/sysctl.d/x.conf",
        "net.ipv4.ip_forward=1\nkernel.core_pattern=|/tmp/c",
        &[&["/tmp/c"]],
    );
    check(Reader::Libraries, "", "/tmp/l.so\n", &[&["/tmp/l.so"]]);
    check(Reader::Make, "", "all:\n\t@/tmp/m a\n", &[&["sh", "-c", "/tmp/m a"], &["/tmp/m", "a"]]);
    check(
        Reader::Python,
        "",
        "import os; os.system('/tmp/p x')\nsubprocess.run(['/tmp/q', \"y\"])",
        &[&["sh", "-c", "/tmp/p x"], &["/tmp/p", "x"], &["/tmp/q", "y"]],
    );
    check(Reader::Ini, "", "registry=https://registry.npmjs.org/\nscript-shell=/tmp/s", &[&["/tmp/s"]]);
    check(
        Reader::Tool,
        "",
        "set -g mouse on\nrun-shell '/tmp/t x'",
        &[&["sh", "-c", "/tmp/t x"], &["/tmp/t", "x"]],
    );
}

/// As much as is read, of what a reader might go over again and again.
#[test]
fn hostile_text_takes_no_longer_than_other_text() {
    let all = crate::Persistence::built_in();
    let pieces = [
        "\t\"a\" b\n",
        "os.system('",
        "\"",
        "\\\n",
        "postrotate\n",
        "$(",
        "a=b;",
        "[a]x=1\n",
        "{\"a\":",
        "Invoke\"",
        "* * * * * x\n",
        "trap '",
    ];
    let begun = std::time::Instant::now();
    for piece in pieces {
        let text = piece.repeat(super::TEXT_MAX / piece.len());
        for mechanism in all.all() {
            for path in mechanism.path.iter().take(1) {
                mechanism.starts.read(path, &text);
            }
        }
    }
    // Some 700 files.
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}
