"""Record `office.pcap`, and write its time into `policy.json`.

    sudo python3 record.py [DIRECTORY]

For Linux, as root: it makes network namespaces for a client, a gateway and two hosts,
joined to each other and to nothing else, so no packet leaves them; at the end, or after a
failure, it takes them away. The gateway routes and does not filter: the capture shows what
the network does, a replay what the filter would have decided. A recording takes five
seconds and is given up after 60.
"""
# ruff: noqa: INP001, S603, T201
# A script beside its data is no package, the commands that it runs are all written below,
# and printing is how it tells what it did.

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

TOOLS = ("ip", "ethtool", "tcpdump", "ping", "curl")
TIME_LIMIT = 60
SIZE_LIMIT = 200_000

GATEWAY = ("100.64.0.1", "fd00:2021:1111::1")
CLIENT = ("100.64.0.2", "fd00:2021:1111::2")
FILES, FILES_IPV6, DOWNLOADS = "10.20.0.10", "fd10:20::10", "10.20.0.11"
DB, PAYROLL = "10.20.1.20", "10.30.0.10"

# The same at both ends of a link: with ARP off, Linux sends to its own hardware address.
MAC = "02:00:00:00:00:01"

# A tunnel's. The hosts have it too: their links are not captured, and without finding out
# the path's MTU there, the story of a packet is all in the capture.
MTU = "1280"

# Without the settings of whoever records, whose proxy is not in here.
CURL = ("curl", "-q", "--noproxy", "*", "-A", "curl", "-m", "20", "-fsS", "-o", "/dev/null")
HEADERS = b"HTTP/1.0 200 OK\r\nServer: office\r\nContent-Type: text/plain\r\n\r\n"
PAGE = HEADERS + b"".join(b"%03d The files of the office.\n" % line for line in range(100))
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # how a client of PostgreSQL begins

DOWNLOAD_CUT = threading.Event()


def run(*command: str) -> None:
    """Run a tool; what it says is shown only if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Make sockets and start tools in *namespace*; they stay in it afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12

    def enter(fd: int) -> None:
        if libc.setns(fd, 0):
            raise OSError(ctypes.get_errno(), "setns")

    with Path("/proc/self/ns/net").open() as ours, Path("/run/netns", namespace).open() as theirs:
        enter(theirs.fileno())
        try:
            yield
        finally:
            enter(ours.fileno())


# The network


def add_namespace(name: str, clean_up: contextlib.ExitStack) -> str:
    """Add a namespace that is this run's own, and return its name."""
    namespace = f"office-{os.getpid()}-{name}"
    clean_up.callback(subprocess.run, ("ip", "netns", "del", namespace), capture_output=True)
    run("ip", "netns", "add", namespace)
    run("ip", "-n", namespace, "link", "set", "lo", "up")
    return namespace


def join(namespace: str, device: str, gateway: str, port: str) -> None:
    """Lay a link from *device* in *namespace* to *port* of the gateway."""
    near = (device, "address", MAC, "mtu", MTU, "netns", namespace)
    far = ("name", port, "address", MAC, "mtu", MTU, "netns", gateway)
    run("ip", "link", "add", *near, "type", "veth", "peer", *far)
    for end, name in ((namespace, device), (gateway, port)):
        # Offloading would leave checksums unfinished and packets longer than the MTU.
        with inside(end):
            run("ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
        bring_up(end, name)


def bring_up(namespace: str, device: str) -> None:
    """Bring *device* up as a tunnel: without ARP, neighbour discovery and multicast."""
    run("ip", "-n", namespace, "link", "set", device, "addrgenmode", "none")
    run("ip", "-n", namespace, "link", "set", device, "arp", "off", "multicast", "off", "up")


def configure(namespace: str, device: str, *addresses: str) -> None:
    """Give a client or host its addresses, and its only way to everything else."""
    for address in addresses:
        run("ip", "-n", namespace, "address", "add", address, "dev", device)
    for family in ("-4", "-6"):
        run("ip", "-n", namespace, family, "route", "add", "default", "dev", device)


def build(client: str, gateway: str, files: str, db: str) -> None:
    """Join the namespaces, and start what the hosts serve."""
    for namespace, device, port, addresses in (
        (client, "tunnel", "clients", CLIENT),
        (files, "eth0", "files", (FILES, FILES_IPV6, DOWNLOADS)),
        (db, "eth0", "db", (DB, PAYROLL)),
    ):
        join(namespace, device, gateway, port)
        configure(namespace, device, *addresses)
        for address in addresses:
            run("ip", "-n", gateway, "route", "add", address, "dev", port)
    for address in GATEWAY:
        run("ip", "-n", gateway, "address", "add", address, "dev", "clients")
    # Only now: on devices with multicast a router joins groups, and reports it to the client.
    with inside(gateway):
        for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            Path("/proc/sys/net", switch).write_text("1")

    serve(files, FILES, 80, [PAGE])
    serve(files, FILES_IPV6, 80, [PAGE])
    serve(files, FILES, 22, [b"SSH-2.0-office\r\n"])
    serve(files, DOWNLOADS, 8080, trickle())
    serve(db, DB, 5432, [b"N"])
    serve(db, PAYROLL, 80, [PAGE])
    echo_datagrams(db, DB, 4000)


def serve(namespace: str, address: str, port: int, answer: Iterable[bytes]) -> None:
    """Answer TCP connections, one after the other, until this process ends."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(namespace):
        listener = socket.create_server((address, port), family=family)

    def loop() -> None:
        while True:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                try:
                    for part in answer:
                        peer.sendall(part)
                except ConnectionError:
                    DOWNLOAD_CUT.set()

    threading.Thread(target=loop, daemon=True).start()


def trickle() -> Iterator[bytes]:
    """Send a download that lasts, and is small nevertheless."""
    yield HEADERS
    while True:
        yield b"A large file, on a slow line.\n" * 7
        time.sleep(0.1)


def echo_datagrams(namespace: str, address: str, port: int) -> None:
    """Send datagrams back, until this process ends."""
    with inside(namespace):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))

    def loop() -> None:
        while True:
            sock.sendto(*sock.recvfrom(2048))

    threading.Thread(target=loop, daemon=True).start()


# The stories


def ping(address: str, count: int, *options: str) -> None:
    """Ping, and fail if nothing comes back."""
    run("ping", "-n", "-c", str(count), "-i", "0.2", "-W", "2", *options, address)


def send_datagrams(port: int, count: int) -> None:
    """Send datagrams to db, each after the answer to the one before."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.connect((DB, port))
        for number in range(count):
            sock.send(b"datagram %d" % number)
            # How a connected socket tells that ICMP said "port unreachable".
            with contextlib.suppress(ConnectionRefusedError):
                sock.recv(2048)


def talk(address: str, port: int, request: bytes) -> None:
    """Say one thing over TCP, and listen until the host closes."""
    with socket.create_connection((address, port), timeout=2) as sock:
        sock.sendall(request)
        while sock.recv(2048):
            pass


def use(namespace: str) -> None:
    """Do what the policy permits, then what it refuses."""
    with inside(namespace):
        for address in (*GATEWAY, FILES, FILES_IPV6):
            ping(address, 2)
        for address in (FILES, FILES_IPV6):
            ping(address, 1, "-s", "2000")  # in fragments
        run(*CURL, f"http://{FILES}/")
        run(*CURL, f"http://[{FILES_IPV6}]/")
        send_datagrams(4000, count=4)
        send_datagrams(4009, count=1)  # where nobody listens
        talk(DB, 5432, SSL_REQUEST)

        talk(FILES, 22, b"SSH-2.0-client\r\n")
        send_datagrams(9, count=1)
        ping(DB, 1)
        run(*CURL, f"http://{PAYROLL}/")


def restart(old: str, clean_up: contextlib.ExitStack) -> int:
    """Restart the client in the middle of a download; return when."""
    with inside(old):
        download = subprocess.Popen((*CURL, f"http://{DOWNLOADS}:8080/"))
    clean_up.enter_context(download)
    clean_up.callback(download.kill)
    new = add_namespace("restarted", clean_up)

    # That the portal takes the download's access away is an `expires_at` in the policy, in
    # whole seconds, so the client restarts at the beginning of one.
    restarted_at = int(time.time()) + 2
    time.sleep(restarted_at - time.time())

    # The device goes first: what the old kernel says when curl dies gets no further, as in a
    # crash. It goes on to the new kernel because the recording ends with the link.
    run("ip", "-n", old, "link", "set", "tunnel", "netns", new)
    download.kill()
    download.wait()
    run("ip", "netns", "del", old)

    # The download keeps coming. Without its addresses the client is silent; with them it
    # answers that it knows of no such connection.
    bring_up(new, "tunnel")
    time.sleep(1)
    configure(new, "tunnel", *CLIENT)
    with inside(new):
        run(*CURL, f"http://{FILES}/")
        run(*CURL, f"http://[{FILES_IPV6}]/")
        ping(FILES, 1)
    if not DOWNLOAD_CUT.wait(timeout=10):
        raise RuntimeError("the client did not reset the old download")
    return restarted_at


# The recording


def start(gateway: str, path: Path, clean_up: contextlib.ExitStack) -> subprocess.Popen[str]:
    """Record what passes between client and gateway; return when it has begun."""
    # Packets are handed over at once (--immediate-mode) and written at once (-U), so that
    # none is missing at the end; -Z, or it would write as a user that may not write here.
    command = ("tcpdump", "-n", "-U", "--immediate-mode", "-Z", "root", "-i", "clients")
    with inside(gateway):
        recording = subprocess.Popen((*command, "-w", path), stderr=subprocess.PIPE, text=True)
    clean_up.enter_context(recording)
    clean_up.callback(recording.kill)
    if not any("listening on" in line for line in recording.stderr or ()):
        raise RuntimeError("tcpdump ended before it began")
    return recording


def stop(recording: subprocess.Popen[str]) -> None:
    """End it, and see that it is complete."""
    recording.terminate()
    _, counts = recording.communicate(timeout=10)
    if not re.search(r"^0 packets dropped by kernel", counts, re.MULTILINE):
        raise RuntimeError(f"the recording is not complete: {counts}")


def record(directory: Path, clean_up: contextlib.ExitStack) -> None:
    """Record; nothing is written unless all of it went well."""
    capture = Path(clean_up.enter_context(tempfile.TemporaryDirectory()), "office.pcap")
    names = ("client", "gateway", "files", "db")
    client, gateway, files, db = (add_namespace(name, clean_up) for name in names)
    build(client, gateway, files, db)
    recording = start(gateway, capture, clean_up)
    use(client)
    restarted_at = restart(client, clean_up)
    stop(recording)

    size = capture.stat().st_size
    if size >= SIZE_LIMIT:
        raise RuntimeError(f"{size:,} bytes are too many for an example")
    # Copied rather than moved: a file that was there keeps its owner, who is hardly root.
    shutil.copyfile(capture, directory / "office.pcap")
    policy = Path(__file__).with_name("policy.json").read_text()
    policy = re.sub(r'("expires_at":) \d+', rf"\g<1> {restarted_at}", policy)
    (directory / "policy.json").write_text(policy)
    print(f"{size:,} bytes; the client restarted at {restarted_at}")


def give_up(number: int, _frame: object) -> NoReturn:
    """End by an exception, whose way leads through the clean-up."""
    raise SystemExit(f"given up: {signal.Signals(number).name}")


def main() -> None:
    """Record into the directory that is named, or beside this script."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise SystemExit(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        raise SystemExit("only root can make network namespaces: sudo python3 record.py")

    signals = (signal.SIGALRM, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    for number in signals:
        signal.signal(number, give_up)
    signal.alarm(TIME_LIMIT)
    with contextlib.ExitStack() as clean_up:
        try:
            record(directory, clean_up)
        finally:
            # The clean-up is short, and half of one would leave namespaces behind.
            for number in signals:
                signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    main()
