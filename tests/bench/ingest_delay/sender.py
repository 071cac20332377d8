"""sender.py RATE SECONDS: client spans at an even rate, good ones for so long, then failing ones; prints when the first of those ended."""

import sys
import time

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

rate, healthy = float(sys.argv[1]), float(sys.argv[2])
tracer = trace.get_tracer("sender")
begun = time.monotonic()
told = False
sent = 0
while True:
    fails = time.monotonic() - begun >= healthy
    with tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT, attributes={"db.system.name": "postgresql"}) as span:
        if fails:
            span.set_status(Status(StatusCode.ERROR))
    if fails and not told:
        print(time.time(), flush=True)
        told = True
    sent += 1
    time.sleep(max(0, begun + sent / rate - time.monotonic()))
