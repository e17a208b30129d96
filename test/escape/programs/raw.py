"""Packets that no ordinary socket would send. Usage: raw.py KIND ARGUMENTS... (see the functions; run in the pod)."""
import os
import socket
import struct
import sys

UDP = 17
TCP = 6


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def is6(ip):
    return ":" in ip


def packed(ip):
    return socket.inet_pton(socket.AF_INET6 if is6(ip) else socket.AF_INET, ip)


def pseudo(src, dst, protocol, length):
    if is6(dst):
        return packed(src) + packed(dst) + struct.pack("!IxxxB", length, protocol)
    return packed(src) + packed(dst) + struct.pack("!xBH", protocol, length)


def udp(src, dst, port, payload):
    length = 8 + len(payload)
    head = struct.pack("!HHHH", 4444, port, length, 0)
    total = checksum(pseudo(src, dst, UDP, length) + head + payload) or 0xFFFF
    return struct.pack("!HHHH", 4444, port, length, total) + payload


def tcp(src, dst, port, flags, payload, source_port=4444):
    def head(total):
        return struct.pack("!HHIIBBHHH", source_port, port, 1000, 2000 if flags & 0x10 else 0, 5 << 4, flags, 65535, total, 0)

    total = checksum(pseudo(src, dst, TCP, 20 + len(payload)) + head(0) + payload)
    return head(total) + payload


def ip4(src, dst, protocol, payload, offset=0, more=False, identity=0x5A11, options=b""):
    words = 5 + len(options) // 4
    fragment = (0x2000 if more else 0) | (offset // 8)

    def head(total):
        return (
            struct.pack("!BBHHHBBH", 0x40 | words, 0, words * 4 + len(payload), identity, fragment, 64, protocol, total)
            + packed(src)
            + packed(dst)
            + options
        )

    return head(checksum(head(0))) + payload


def ip6(src, dst, following, payload):
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 64) + packed(src) + packed(dst) + payload


def send(dst, packet):
    """A whole IP packet, its header included."""
    family = socket.AF_INET6 if is6(dst) else socket.AF_INET
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        if family == socket.AF_INET6:
            raw.setsockopt(socket.IPPROTO_IPV6, 36, 1)  # IPV6_HDRINCL
        raw.sendto(packet, (dst, 0))


def protocol(number, dst, token):
    """An IP protocol of its own: what has no ports."""
    family = socket.AF_INET6 if is6(dst) else socket.AF_INET
    with socket.socket(family, socket.SOCK_RAW, int(number)) as raw:
        raw.sendto(b"\0\0\0\0" + token.encode(), (dst, 0))


def spoof(src, dst, port, token):
    datagram = udp(src, dst, int(port), token.encode())
    send(dst, ip6(src, dst, UDP, datagram) if is6(dst) else ip4(src, dst, UDP, datagram))


def segment(src, dst, port, flags, token):
    """A TCP segment that belongs to no connection; flags as letters."""
    bits = sum({"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}[letter] for letter in flags)
    data = tcp(src, dst, int(port), bits, token.encode())
    send(dst, ip6(src, dst, TCP, data) if is6(dst) else ip4(src, dst, TCP, data))


def fragments(src, dst, port, token, size):
    """A datagram in two pieces, the first of so many bytes; with 8, the ports stand alone there."""
    datagram = udp(src, dst, int(port), token.encode() * 8)
    size = int(size)
    for at, piece in ((0, datagram[:size]), (size, datagram[size:])):
        more = at == 0
        if is6(dst):
            extension = struct.pack("!BBHI", UDP, 0, at | (1 if more else 0), 0x5A115A11)
            send(dst, ip6(src, dst, 44, extension + piece))
        else:
            send(dst, ip4(src, dst, UDP, piece, at, more))


def lonely(src, dst, token):
    """A later fragment whose first one never comes."""
    piece = token.encode() * 8
    if is6(dst):
        send(dst, ip6(src, dst, 44, struct.pack("!BBHI", UDP, 0, 64, 0x5A115A12) + piece))
    else:
        send(dst, ip4(src, dst, UDP, piece, 64, False, 0x5A12))


def overlap(src, dst, resolver_port, port, token):
    """Two first fragments: one to a port that is open, one over it to another."""
    good = udp(src, dst, int(resolver_port), b"nothing to see " * 8)
    bad = udp(src, dst, int(port), token.encode() * 8)
    send(dst, ip4(src, dst, UDP, good[:24], 0, True, 0x5A13))
    send(dst, ip4(src, dst, UDP, bad[:24], 0, True, 0x5A13))
    send(dst, ip4(src, dst, UDP, good[24:], 24, False, 0x5A13))


def options4(src, dst, token, kind):
    """IPv4 options: loose source route through the node (kind 131), record route (7), router alert (148)."""
    option = {
        "lsrr": lambda: struct.pack("!BBB", 131, 7, 4) + packed("10.78.0.1") + b"\0",
        "rr": lambda: struct.pack("!BBB", 7, 7, 4) + b"\0\0\0\0" + b"\0",
        "alert": lambda: struct.pack("!BBH", 148, 4, 0),
    }[kind]()
    send(dst, ip4(src, dst, UDP, udp(src, dst, 9999, token.encode()), options=option))


def extension6(src, dst, token, kind):
    """A datagram behind IPv6 extension headers (RFC 8200 section 4)."""
    datagram = udp(src, dst, 9999, token.encode())
    padding = b"\x01\x04\0\0\0\0"
    chain = {
        "hop": (0, bytes([UDP, 0]) + padding),
        "destination": (60, bytes([UDP, 0]) + padding),
        "many": (60, bytes([60, 0]) + padding + bytes([60, 0]) + padding + bytes([UDP, 0]) + padding),
        # Type 0 is refused by RFC 5095; type 4 is segment routing.
        "routing": (43, bytes([UDP, 2, 0, 0, 0, 0, 0, 0]) + packed(dst)),
        "atomic": (44, struct.pack("!BBHI", UDP, 0, 0, 0x5A115A14)),
    }[kind]
    send(dst, ip6(src, dst, chain[0], chain[1] + datagram))


def icmp(dst, kind, code, token):
    family, number = (socket.AF_INET6, 58) if is6(dst) else (socket.AF_INET, 1)
    body = struct.pack("!BBHI", int(kind), int(code), 0, 0x5A110001) + token.encode()
    if family == socket.AF_INET:
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    with socket.socket(family, socket.SOCK_RAW, number) as raw:
        raw.sendto(body, (dst, 0))


def discovery(dst, token):
    """A neighbour solicitation that carries more than it should."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, 16, 255)  # IPV6_UNICAST_HOPS
        raw.sendto(struct.pack("!BBHI", 135, 0, 0, 0) + packed(dst) + bytes([1, 3]) + token.encode().ljust(22, b"\0"), (dst, 0))


def ping(dst, token):
    """An echo request; prints "answered" when its own echo comes back."""
    six = is6(dst)
    family, number = (socket.AF_INET6, 58) if six else (socket.AF_INET, 1)
    identity = os.getpid() & 0xFFFF
    body = struct.pack("!BBHHH", 128 if six else 8, 0, 0, identity, 1) + token.encode()
    if not six:
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    with socket.socket(family, socket.SOCK_RAW, number) as raw:
        raw.settimeout(1)
        raw.sendto(body, (dst, 0))
        try:
            while True:
                answer = raw.recv(2048)
                kind = answer[0] if six else answer[(answer[0] & 15) * 4]
                if kind == (129 if six else 0) and token.encode() in answer:
                    print("answered")
                    return
        except OSError:
            pass


def frame(interface, to, ethertype, token, vlan="0"):
    """An Ethernet frame. `to` is a MAC; a VLAN number puts a tag in front."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((interface, 0))
        mine = raw.getsockname()[4]
        tag = struct.pack("!HH", 0x8100, int(vlan)) if vlan != "0" else b""
        raw.send(bytes.fromhex(to.replace(":", "")) + mine + tag + struct.pack("!H", int(ethertype, 16)) + token.encode() * 4)


def tagged(interface, to, src, dst, token):
    """A good datagram inside a VLAN tag, which no rule about IP reads."""
    packet = ip4(src, dst, UDP, udp(src, dst, 9999, token.encode()))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((interface, 0))
        mine = raw.getsockname()[4]
        raw.send(bytes.fromhex(to.replace(":", "")) + mine + struct.pack("!HHH", 0x8100, 5, 0x0800) + packet)


def multicast(group, port, token):
    six = is6(group)
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        if six:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("eth0"))
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 8)
        else:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
            sender.setsockopt(socket.IPPROTO_IP, 32, struct.pack("4s4si", b"\0" * 4, b"\0" * 4, socket.if_nametoindex("eth0")))
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.sendto(token.encode(), (group, int(port)))


KINDS = {
    name: value
    for name, value in list(globals().items())
    if callable(value) and name in (
        "protocol spoof segment fragments lonely overlap options4 extension6 icmp ping frame tagged multicast discovery".split()
    )
}

if __name__ == "__main__":
    try:
        KINDS[sys.argv[1]](*sys.argv[2:])
    except OSError as error:
        # The kernel itself would not send it, or was told that it is prohibited: nothing left, which is what is judged.
        print(error, file=sys.stderr)
