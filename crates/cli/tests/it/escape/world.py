"""What is around an agent that tries to escape, in a network namespace of its own: listeners that answer with a secret, a
resolver, a victim. Prints `ready` and its process id, then waits for the end of its input."""
import os, socket, struct, subprocess, sys, threading

T = os.environ["T"]
SECRET = b"s3cret-of-the-test"
ADDRESSES = {"allowed.example": "203.0.113.10", "evil.example": "203.0.113.11", "rebind.example": "127.0.0.1"}
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for address in ("203.0.113.10", "203.0.113.11", "203.0.113.53"):
    subprocess.run(["ip", "addr", "add", address + "/32", "dev", "lo"], check=True)


def serve(s):
    while True:
        c, _ = s.accept()
        try: c.settimeout(3); c.recv(100); c.send(SECRET); c.close()
        except OSError: pass


def stream(family, address):
    s = socket.socket(family); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6: s.setsockopt(41, 26, 1)
    s.bind(address); s.listen(16); threading.Thread(target=serve, args=(s,), daemon=True).start()


def echo(s):
    while True:
        _, peer = s.recvfrom(100); s.sendto(SECRET, peer)


def names(s):
    while True:
        q, peer = s.recvfrom(512)
        labels, at = [], 12
        while q[at]: labels.append(q[at + 1:at + 1 + q[at]].decode()); at += q[at] + 1
        kind = struct.unpack("!H", q[at + 1:at + 3])[0]
        ip = ADDRESSES.get(".".join(labels).lower())
        answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(ip) if ip and kind == 1 else b""
        s.sendto(q[:2] + b"\x81\x80\0\1" + struct.pack("!H", bool(answer)) + b"\0\0\0\0" + q[12:at + 5] + answer, peer)


for port in (8443, 9443, 8444):
    stream(socket.AF_INET, ("0.0.0.0", port)); stream(socket.AF_INET6, ("::", port))
for port, f in ((9443, echo), (5353, names)):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", port)); threading.Thread(target=f, args=(s,), daemon=True).start()
for name in ("outside/docker.sock", "outside/private", "outside/tmux", "outside/agent.sock", "work/own.sock"):
    stream(socket.AF_UNIX, f"{T}/{name}")
stream(socket.AF_UNIX, "\0" + os.environ["ABSTRACT"])
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); log.bind(T + "/outside/log")
held = open(T + "/outside/secret.txt")
os.set_inheritable(held.fileno(), True)
print("ready", os.getpid(), flush=True)
sys.stdin.read()
