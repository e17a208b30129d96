"""Sends for as long as it lives. Usage: stream.py TOKEN ADDRESS... (run in the pod; ends with its standard input)"""
import select
import socket
import sys

PORT = 8080
PAUSE_SECONDS = 0.001

token = sys.argv[1].encode()
sockets = []
for address in sys.argv[2:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sender = socket.socket(family, socket.SOCK_DGRAM)
    sender.setblocking(False)
    sockets.append((sender, (address, PORT)))
print("sending", flush=True)
while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
    for sender, to in sockets:
        try:
            sender.sendto(token, to)
        except OSError:
            # Refused, which is said to the next datagram; tried again.
            pass
