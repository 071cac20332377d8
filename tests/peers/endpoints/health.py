"""A gRPC server with grpcio's health service: SIGUSR1 makes `peer.Echo` NOT_SERVING, SIGUSR2 SERVING. Prints its port."""

import signal
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVICE = "peer.Echo"
STATES = {
    signal.SIGUSR1: health_pb2.HealthCheckResponse.NOT_SERVING,
    signal.SIGUSR2: health_pb2.HealthCheckResponse.SERVING,
}


def main():
    # Before the threads of grpc, which inherit it.
    awaited = [*STATES, signal.SIGTERM, signal.SIGINT]
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    server = grpc.server(futures.ThreadPoolExecutor(8))
    port = server.add_insecure_port("127.0.0.1:0")
    say = grpc.unary_unary_rpc_method_handler(lambda request, context: f"127.0.0.1:{port}".encode())
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Say": say}),))
    states = health.HealthServicer()
    states.set(SERVICE, STATES[signal.SIGUSR2])
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    server.start()
    print(f"port {port}", flush=True)
    while (state := STATES.get(signal.sigwait(awaited))) is not None:
        states.set(SERVICE, state)


if __name__ == "__main__":
    main()
