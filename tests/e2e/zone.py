"""A name server behind the gateway, which knows a few names.

    python -m tests.e2e.zone

It serves port 53 of all addresses, UDP and TCP.
"""

import socket
import socketserver
import struct
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.e2e.network import FILES, OTHER

GIT, WIKI, LONG, ELSEWHERE = (
    "git.example.com",
    "wiki.example.com",
    "long.example.com",
    "www.example.net",
)

PIECES = 100

RECORDS = {
    (GIT, "A"): [FILES[0]],
    (GIT, "AAAA"): [FILES[1]],
    (WIKI, "A"): [OTHER[0]],
    (WIKI, "AAAA"): [OTHER[1]],
    # More than goes into a datagram, and into a packet.
    (LONG, "TXT"): [f'"{number:0200}"' for number in range(PIECES)],
    (ELSEWHERE, "A"): ["198.51.100.7"],
}


def answer(question: bytes, size: int) -> bytes:
    """Answer in so many bytes at most."""
    query = dns.message.from_wire(question)
    reply = dns.message.make_response(query, recursion_available=True)
    (asked,) = query.question
    name, kind = asked.name.to_text(omit_final_dot=True).lower(), asked.to_text().split()[-1]
    if records := RECORDS.get((name, kind)):
        reply.answer.append(dns.rrset.from_text(asked.name, 300, "IN", kind, *records))
    elif all(known != name for known, _ in RECORDS):
        reply.set_rcode(dns.rcode.NXDOMAIN)
    wire = reply.to_wire(max_size=65_535)
    if len(wire) > size:
        reply.answer.clear()
        reply.flags |= dns.flags.TC
        wire = reply.to_wire(max_size=65_535)
    return wire


class Datagrams(socketserver.BaseRequestHandler):
    """Answers one datagram."""

    def handle(self) -> None:
        question, sock = self.request
        sock.sendto(answer(question, 1232), self.client_address)


class Connection(socketserver.StreamRequestHandler):
    """Answers all questions of a connection."""

    def handle(self) -> None:
        while len(head := self.rfile.read(2)) == 2:
            reply = answer(self.rfile.read(*struct.unpack("!H", head)), 65_535)
            self.wfile.write(struct.pack("!H", len(reply)) + reply)


class ByDatagrams(socketserver.UDPServer):
    """Serves IPv4 and IPv6 at one socket."""

    address_family = socket.AF_INET6


class ByConnections(socketserver.ThreadingTCPServer):
    """Serves IPv4 and IPv6 at one socket."""

    address_family = socket.AF_INET6
    daemon_threads = True


def main() -> None:
    """Serve until killed."""
    datagrams, connections = (
        ByDatagrams(("::", 53), Datagrams),
        ByConnections(("::", 53), Connection),
    )
    threading.Thread(target=connections.serve_forever, daemon=True).start()
    print("serving", flush=True)  # noqa: T201 - somebody waits for it
    datagrams.serve_forever()


if __name__ == "__main__":
    main()
