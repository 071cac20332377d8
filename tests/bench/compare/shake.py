"""Shakes hands with a server as often as it goes, and prints how often: `shake.py PORT SECONDS full|resumed`."""

import socket
import sys
import time

from measure import insecure

port, seconds, resumes = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "resumed"
context = insecure()


def connect(session=None):
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), session=session)


session = None
if resumes:
    with connect() as first:
        # The tickets of TLS 1.3 come with the answer.
        first.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        first.recv(4096)
        session = first.session

count, end = 0, time.monotonic() + seconds
while time.monotonic() < end:
    with connect(session) as connection:
        if connection.session_reused != resumes:
            sys.exit("the session was not resumed, or was though it should not be")
    count += 1
print(count)
