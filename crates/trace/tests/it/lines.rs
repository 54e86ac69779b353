//! Lines of strace 6.x and 5.x as they are, in all the ways that it prints them.

use muster_trace::{Part, Warning};

use crate::check;

#[test]
fn a_shell_and_its_child() {
    let log = r#"97    1795452292.869030 execve("/bin/sh", ["sh", "-c", "echo \"a\" > out.txt"], 0x7ffee4825e20 /* 10 vars */) = 0
97    1795452292.874772 openat(AT_FDCWD</home/dev/proj>, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3</etc/ld.so.cache>
97    1795452292.880000 openat(AT_FDCWD</home/dev/proj>, "out.txt", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</home/dev/proj/out.txt>
97    1795452292.900000 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f) = 98
98    1795452292.910000 execve("/bin/ls", ["ls", "-l"], 0x55 /* 10 vars */) = 0
98    1795452292.920000 exit_group(2)     = ?
98    1795452292.930000 +++ exited with 2 +++
97    1795452292.931000 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=98, si_uid=0, si_status=2} ---
97    1795452292.940000 +++ killed by SIGTERM +++
"#;
    let warnings = check(
        log,
        &[
            "97 exec /bin/sh [sh -c echo \"a\" > out.txt] in /start of 0",
            "97 open write /home/dev/proj/out.txt 0",
            "97 fork 98",
            "98 exec /bin/ls [ls -l] in /home/dev/proj of 97",
            "98 exit Some(2) None",
            "97 exit None Some(15)",
        ],
    );
    assert_eq!(warnings.lost(), 0);
}

#[test]
fn a_child_that_is_seen_before_its_parent_tells() {
    // Two births at once; the children come first, in the other order.
    let log = r#"10 1795452292.100000 execve("/a", ["a"], 0x1 /* 1 var */) = 0
10 1795452292.110000 clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0} => {parent_tid=[11]}, 88) = 11
10 1795452292.120000 vfork( <unfinished ...>
11 1795452292.121000 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>
13 1795452292.130000 execve("/thirteen", ["t"], 0x1 /* 1 var */) = 0
12 1795452292.131000 chdir("sub") = 0
12 1795452292.132000 execve("./twelve", ["t"], 0x1 /* 1 var */) = 0
11 1795452292.140000 <... clone resumed>, child_tidptr=0x7f) = 13
10 1795452292.141000 <... vfork resumed>) = 12
11 1795452292.150000 openat(AT_FDCWD, "w", O_WRONLY) = 3
12 1795452292.160000 +++ exited with 0 +++
11 1795452292.170000 +++ exited with 0 +++
10 1795452292.180000 +++ exited with 0 +++
"#;
    let warnings = check(
        log,
        &[
            "10 exec /a [a] in /start of 0",
            "10 fork 13",
            "13 exec /thirteen [t] in /start of 10",
            "10 fork 12",
            "12 exec /start/sub/twelve [t] in /start/sub of 10",
            // The thread's file is the process's.
            "10 open write /start/w 0",
            "12 exit Some(0) None",
            "10 exit Some(0) None",
        ],
    );
    assert_eq!(warnings.iter().count(), 0, "{warnings:?}");
}

#[test]
fn folders_and_descriptors_make_paths_absolute() {
    let log = r#"5 1795452292.100000 execve("/a", ["a"], 0x1 /* 1 var */) = 0
5 1795452292.110000 openat(AT_FDCWD, "/w/dir", O_RDONLY|O_CLOEXEC|O_PATH) = 14
5 1795452292.120000 openat(AT_FDCWD, "/proc/self/fd/14/f.tmp", O_WRONLY|O_CREAT|O_EXCL, 0666) = 16
5 1795452292.130000 rename("/proc/self/fd/14/f.tmp", "/proc/self/fd/14/f") = 0
5 1795452292.140000 openat(14, "../g", O_RDWR|O_CREAT, 0644) = -1 EACCES (Permission denied)
5 1795452292.150000 fchdir(14) = 0
5 1795452292.160000 unlink("f") = 0
5 1795452292.170000 dup3(14, 20, O_CLOEXEC) = 20
5 1795452292.180000 unlinkat(20, "h", AT_REMOVEDIR) = -1 ENOENT (No such file or directory)
5 1795452292.190000 openat(AT_FDCWD, "/proc/self/cwd/x", O_WRONLY) = 21
5 1795452292.200000 execve("/b", ["b"], 0x1 /* 1 var */) = 0
5 1795452292.210000 unlinkat(20, "h", 0) = -1 EBADF (Bad file descriptor)
"#;
    let warnings = check(
        log,
        &[
            "5 exec /a [a] in /start of 0",
            "5 open write /w/dir/f.tmp 0",
            "5 rename /w/dir/f.tmp /w/dir/f 0",
            "5 open write /w/g -13",
            "5 unlink /w/dir/f false 0",
            "5 unlink /w/dir/h true -2",
            "5 open write /w/dir/x 0",
            "5 exec /b [b] in /w/dir of 0",
            // Closed by the execution: nobody knows.
            "5 unlink ?/h false -9",
        ],
    );
    assert_eq!(warnings.get(Warning::UnknownFolder), 1);
}

#[test]
fn the_network() {
    let log = r#"5 1795452292.100000 execve("/usr/bin/curl", ["curl"], 0x1 /* 1 var */) = 0
5 1795452292.110000 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.53")}, 16) = 0
5 1795452292.120000 sendto(3, "b@\1\0\0\1\0\0\0\0\0\0\3api\6github\3com\0\0\1\0\1", 32, MSG_NOSIGNAL, NULL, 0) = 32
5 1795452292.130000 sendto(4<UDP:[0.0.0.0:1->10.0.0.53:53]>, "b@\1\0\0\1\0\0\0\0\0\0\1x\2yz\0\0\34\0\1", 20, 0, NULL, 0) = 20
5 1795452292.140000 sendto(6, "b@\1\0\0\1\0\0\0\0\0\0\1x\2yz\0\0\34\0\1", 20, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.53")}, 16) = -1 ENETUNREACH (Network is unreachable)
5 1795452292.145000 sendmsg(6, {msg_name={sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.53")}, msg_namelen=16, msg_iov=[{iov_base="b@\1\0\0\1\0\0\0\0\0\0\1m\2yz\0\0\1\0\1", iov_len=20}], msg_iovlen=1}, 0) = 20
5 1795452292.150000 connect(5, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = -1 EINPROGRESS (Operation now in progress)
"#;
    check(
        log,
        &[
            "5 exec /usr/bin/curl [curl] in /start of 0",
            "5 connect 10.0.0.53:53 0",
            "5 dns api.github.com A 10.0.0.53:53",
            "5 dns x.yz AAAA 10.0.0.53:53",
            "5 send 10.0.0.53:53 -101",
            "5 send 10.0.0.53:53 20",
            "5 dns m.yz A 10.0.0.53:53",
            "5 connect [2001:db8::1]:443 -115",
        ],
    );
}

#[test]
fn a_log_without_process_numbers() {
    let log = r#"1795452292.100000 execve("/a", ["a"], 0x1 /* 1 var */) = 0
1795452292.110000 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>
strace: Process 8 attached
[pid     8] 1795452292.120000 execve("/b", ["b"], 0x1 /* 1 var */ <unfinished ...>
[pid     7] 1795452292.121000 <... clone resumed>, child_tidptr=0x7f) = 8
[pid     8] 1795452292.122000 <... execve resumed>) = 0
[pid     7] 1795452292.123000 openat(AT_FDCWD, "x", O_WRONLY) = 3
[pid     8] 1795452292.130000 +++ exited with 0 +++
1795452292.140000 openat(AT_FDCWD, "y", O_WRONLY) = 3
"#;
    let warnings = check(
        log,
        &[
            "1 exec /a [a] in /start of 0",
            "1 fork 8",
            "8 exec /b [b] in /start of 1",
            "1 open write /start/x 0",
            "8 exit Some(0) None",
            "1 open write /start/y 0",
        ],
    );
    assert_eq!(warnings.lost(), 0, "{warnings:?}");
}

#[test]
fn a_number_that_is_used_again_is_another_process() {
    let log = r#"5 1795452292.100000 vfork() = 6
6 1795452292.110000 execve("/b", ["b"], 0x1 /* 1 var */) = 0
6 1795452292.120000 +++ exited with 0 +++
5 1795452293.100000 vfork() = 6
6 1795452293.110000 execve("/c", ["c"], 0x1 /* 1 var */) = 0
"#;
    let (events, _) = crate::read(muster_trace::Form::Strace, log);
    let keys: std::collections::BTreeSet<_> =
        events.iter().map(|e| e.process).filter(|key| key.pid == 6).collect();
    assert_eq!(keys.len(), 2, "{events:?}");
}

#[test]
fn a_thread_that_executes_goes_on_as_the_process() {
    let log = r#"5 1795452292.100000 execve("/a", ["a"], 0x1 /* 1 var */) = 0
5 1795452292.110000 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = 6
6 1795452292.120000 execve("/b", ["b"], 0x1 /* 1 var */ <unfinished ...>
5 1795452292.121000 +++ superseded by execve in pid 6 +++
5 1795452292.122000 <... execve resumed>) = 0
5 1795452292.130000 +++ exited with 4 +++
"#;
    check(log, &["5 exec /a [a] in /start of 0", "5 exec /b [b] in /start of 0", "5 exit Some(4) None"]);
}

#[test]
fn an_end_that_only_the_parent_tells() {
    let log = r#"5 1795452292.100000 vfork() = 6
6 1795452292.110000 execve("/b", ["b"], 0x1 /* 1 var */) = 0
5 1795452292.120000 wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGPIPE}], 0, NULL) = 6
5 1795452292.130000 vfork() = 7
7 1795452292.140000 execve("/b", ["b"], 0x1 /* 1 var */) = 0
5 1795452292.150000 waitid(P_PID, 7, {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=7, si_uid=0, si_status=3, si_utime=0}, WEXITED, NULL) = 0
"#;
    check(
        log,
        &[
            "5 fork 6",
            "6 exec /b [b] in /start of 5",
            "6 exit None Some(13)",
            "5 fork 7",
            "7 exec /b [b] in /start of 5",
            "7 exit Some(3) None",
        ],
    );
}

#[test]
fn cut_strings_and_secrets() {
    let log = "5 1795452292.100000 execve(\"/bin/sh\", [\"sh\", \"-c\", \"echo a\"..., \"--api-key\", \"0123456789abcdef\"], \
        [\"HOME=/root\", \"ANTHROPIC_API_KEY=sk-x\"]) = 0\n\
        5 1795452292.110000 openat(AT_FDCWD, \"/root/.ssh/id_rsa\", O_RDONLY) = 3\n";
    let warnings = check(
        log,
        &[
            "5 exec /bin/sh [sh -c echo a --api-key [redacted]]… in /start of 0",
            "5 open read /root/.ssh/id_rsa 0",
        ],
    );
    assert_eq!(warnings.get(Warning::CutArguments), 1);
    let (events, record) = crate::read(muster_trace::Form::Strace, log);
    let muster_event::Kind::Exec { env, .. } = &events[0].kind else { panic!() };
    assert_eq!(env.iter().collect::<Vec<_>>(), [(&"HOME".to_owned(), &"/root".to_owned())]);
    assert!(!record.parts().shows(Part::Arguments));
}
