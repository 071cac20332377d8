"""Writes spans, each a batch of its own, to a topic of Kafka or to a collector.

    write.py create PORT TOPIC PARTITIONS
    write.py kafka PORT TOPIC good|bad COUNT
    write.py kafka PORT TOPIC garbage COUNT
    write.py otlp URL good|bad COUNT
"""

import os
import sys
import time
import urllib.request

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def batch(kind):
    if kind == "garbage":
        return b"\xff\xff no batch"
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    name = resource.resource.attributes.add(key="service.name")
    name.value.string_value = "shop"
    now = time.time_ns()
    resource.scope_spans.add().spans.append(
        Span(
            trace_id=os.urandom(16),
            span_id=os.urandom(8),
            name="pay",
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=now - 10_000_000,
            end_time_unix_nano=now,
            status=Status(code=Status.STATUS_CODE_ERROR if kind == "bad" else 0),
        )
    )
    return request.SerializeToString()


def servers(port):
    return {"bootstrap.servers": f"127.0.0.1:{port}"}


def create(port, topic, partitions):
    client = AdminClient(servers(port))
    client.create_topics([NewTopic(topic, int(partitions), 1)])[topic].result(20)


def kafka(port, topic, kind, count):
    # Compressed, as many have it; each message by itself, so that it may go to any partition.
    producer = Producer(servers(port) | {"compression.type": "zstd", "linger.ms": 0})
    for _ in range(int(count)):
        producer.produce(topic, batch(kind))
    left = producer.flush(30)
    assert left == 0, f"{left} messages were not written"


def otlp(url, kind, count):
    for _ in range(int(count)):
        headers = {"content-type": "application/x-protobuf"}
        request = urllib.request.Request(f"{url}/v1/traces", batch(kind), headers)
        urllib.request.urlopen(request, timeout=10).read()


{"create": create, "kafka": kafka, "otlp": otlp}[sys.argv[1]](*sys.argv[2:])
