"""The messages of a fleet, written a second time: by the text of fleet.proto and docs/fleet.md alone.

    second.py open KEY FLEET TOPIC         a sealed report on stdin, as JSON on stdout
    second.py seal KEY FLEET TOPIC         a report as JSON on stdin, sealed on stdout
"""

import hashlib
import hmac
import json
import sys

# Field numbers by message: name, kind.
NAME = {1: ("route", "text"), 2: ("source", "text")}
SIGNAL = {
    1: ("signal", "number"),
    2: ("observations", "number"),
    3: ("hits", "number"),
    4: ("normal", "number"),
    5: ("learned", "number"),
    6: ("learned_hits", "number"),
}
ROUTE = {
    1: ("route", "number"),
    2: ("arrivals", "number"),
    3: ("signals", SIGNAL),
    4: ("probes_succeeded", "number"),
    5: ("probes_failed", "number"),
    6: ("state", "number"),
    7: ("led", "number"),
}
REPORT = {
    1: ("instance", "bytes"),
    2: ("boot", "number"),
    3: ("seq", "number"),
    4: ("age_millis", "number"),
    5: ("config", "fixed"),
    6: ("names", NAME),
    7: ("routes", ROUTE),
    8: ("host", "text"),
}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def put_varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read(data, fields):
    message = {name: [] for name, kind in fields.values() if isinstance(kind, dict)}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        name, kind = fields[tag >> 3]
        if tag & 7 == 0:
            message[name], at = varint(data, at)
        elif tag & 7 == 1:
            message[name] = int.from_bytes(data[at : at + 8], "little")
            at += 8
        else:
            assert tag & 7 == 2, tag
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
            assert len(value) == length, "cut off"
            if isinstance(kind, dict):
                message[name].append(read(value, kind))
            else:
                message[name] = value.hex() if kind == "bytes" else value.decode()
    return message


def write(message, fields):
    out = b""
    for number, (name, kind) in fields.items():
        value = message.get(name)
        if not value:
            continue
        if kind == "number":
            out += put_varint(number << 3) + put_varint(value)
        elif kind == "fixed":
            out += put_varint(number << 3 | 1) + value.to_bytes(8, "little")
        else:
            if isinstance(kind, dict):
                values = [write(each, kind) for each in value]
            else:
                values = [bytes.fromhex(value) if kind == "bytes" else value.encode()]
            for each in values:
                out += put_varint(number << 3 | 2) + put_varint(len(each)) + each
    return out


def signature(key, fleet, topic, message):
    names = b"".join(len(name).to_bytes(4, "big") + name.encode() for name in (fleet, topic))
    return hmac.new(key.encode(), names + message, hashlib.sha256).digest()


def main():
    what, key, fleet, topic = sys.argv[1:5]
    data = sys.stdin.buffer.read()
    if what == "open":
        given, message = data[:32], data[32:]
        assert hmac.compare_digest(given, signature(key, fleet, topic, message)), "its signature"
        print(json.dumps(read(message, REPORT)))
    else:
        report = json.loads(data)
        message = write(report, REPORT)
        assert read(message, REPORT) == {"names": [], "routes": [], **report}, message
        sys.stdout.buffer.write(signature(key, fleet, topic, message) + message)


main()
