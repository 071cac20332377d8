"""Reads OpenMetrics from standard input as Prometheus' own client for Python does; prints families, samples and exemplars as JSON."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

families = list(text_string_to_metric_families(sys.stdin.read()))
exemplars = [
    {"name": sample.name, "le": sample.labels["le"], "trace": sample.exemplar.labels["trace_id"], "value": sample.exemplar.value}
    for family in families
    for sample in family.samples
    if sample.exemplar
]
print(json.dumps({"families": {family.name: family.type for family in families}, "exemplars": exemplars}))
