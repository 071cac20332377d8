"""`client.py ADDRESS METHOD MESSAGE... [--times N] [--retry] [--tls ROOTS CERT KEY]`: calls, prints one
JSON line a call."""

import argparse
import json
import time

import grpc

RETRY = {
    "methodConfig": [
        {
            "name": [{"service": "peer.Echo"}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("method", choices=["Say", "Count", "Echo", "Fail"])
    parser.add_argument("messages", nargs="+")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--retry", action="store_true")
    parser.add_argument("--tls", nargs=3)
    options = parser.parse_args()

    channel_options = [("grpc.enable_retries", int(options.retry))]
    if options.retry:
        channel_options.append(("grpc.service_config", json.dumps(RETRY)))
    with connect(options, channel_options) as channel:
        for _ in range(options.times):
            print(json.dumps(call(channel, options.method, [m.encode() for m in options.messages])), flush=True)


def connect(options, channel_options):
    if not options.tls:
        return grpc.insecure_channel(options.address, channel_options)
    roots, cert, key = (open(file, "rb").read() for file in options.tls)
    credentials = grpc.ssl_channel_credentials(roots, key, cert)
    return grpc.secure_channel(options.address, credentials, channel_options)


def call(channel, method, messages):
    start = time.monotonic()
    path = f"/peer.Echo/{method}"
    answers = []
    try:
        if method == "Echo":
            ongoing = channel.stream_stream(path)(iter(messages), timeout=15)
        else:
            ongoing = channel.unary_stream(path)(messages[0], timeout=15)
        answers = [answer.decode() for answer in ongoing]
    except grpc.RpcError:
        pass
    return {
        "code": ongoing.code().name,
        "details": ongoing.details(),
        "answers": answers,
        "initial": dict(ongoing.initial_metadata()),
        "trailers": {key: str(value) for key, value in ongoing.trailing_metadata()},
        "seconds": time.monotonic() - start,
    }


if __name__ == "__main__":
    main()
