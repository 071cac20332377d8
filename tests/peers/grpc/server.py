"""A gRPC service without generated code: messages are bytes. Prints its port."""

import signal
from concurrent import futures

import grpc

calls = {"count": 0}


def say(request, context):
    """Answers with the request, and in a trailer how many calls there were."""
    calls["count"] += 1
    context.set_trailing_metadata((("x-calls", str(calls["count"])),))
    return request


def count(request, context):
    """Streams as many messages as the request says."""
    for number in range(int(request)):
        yield str(number).encode()


def echo(requests, context):
    """Answers every message when it comes."""
    yield from requests


def fail(request, context):
    """Sends a good head first: only the trailers tell of the failure."""
    context.send_initial_metadata(())
    context.abort(grpc.StatusCode.UNAVAILABLE, "the service is down")


def main():
    server = grpc.server(futures.ThreadPoolExecutor(8))
    handlers = {
        "Say": grpc.unary_unary_rpc_method_handler(say),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peer.Echo", handlers),))
    print(f"port {server.add_insecure_port('127.0.0.1:0')}", flush=True)
    server.start()
    signal.sigwait([signal.SIGTERM, signal.SIGINT])


if __name__ == "__main__":
    main()
