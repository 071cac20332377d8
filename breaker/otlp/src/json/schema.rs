//! The fields that are read, with their JSON names and their protobuf numbers.
//!
//! From opentelemetry-proto 1.x: `trace.proto`, `metrics.proto`, `resource.proto`, `common.proto`.
//! The original snake_case names are not valid in OTLP/JSON, so they are unknown.

/// A message: its fields.
pub(super) struct Message(pub(super) &'static [Field]);

/// One field of a message.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    /// Whether it is a list. Lists of numbers are packed.
    pub(super) repeated: bool,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Bytes, as everywhere but in ids.
    Base64,
    Bool,
    Double,
    /// The names of the numbers from 0 on.
    Enum(&'static [&'static str]),
    Fixed64,
    /// Trace and span ids.
    Hex,
    Int64,
    Message(&'static Message),
    Sint32,
    Text,
    Uint32,
    Uint64,
}

const fn one(name: &'static str, number: u32, kind: Kind) -> Field {
    Field {
        name,
        number,
        kind,
        repeated: false,
    }
}

const fn many(name: &'static str, number: u32, kind: Kind) -> Field {
    Field {
        name,
        number,
        kind,
        repeated: true,
    }
}

pub(super) static TRACES: Message = Message(&[many(
    "resourceSpans",
    1,
    Kind::Message(&Message(&[
        one("resource", 1, Kind::Message(&RESOURCE)),
        many(
            "scopeSpans",
            2,
            Kind::Message(&Message(&[
                one("scope", 1, Kind::Message(&SCOPE)),
                many("spans", 2, Kind::Message(&SPAN)),
            ])),
        ),
    ])),
)]);

pub(super) static METRICS: Message = Message(&[many(
    "resourceMetrics",
    1,
    Kind::Message(&Message(&[
        one("resource", 1, Kind::Message(&RESOURCE)),
        many(
            "scopeMetrics",
            2,
            Kind::Message(&Message(&[
                one("scope", 1, Kind::Message(&SCOPE)),
                many("metrics", 2, Kind::Message(&METRIC)),
            ])),
        ),
    ])),
)]);

static RESOURCE: Message = Message(&[many("attributes", 1, Kind::Message(&KEY_VALUE))]);

static SCOPE: Message = Message(&[one("name", 1, Kind::Text), one("version", 2, Kind::Text)]);

static KEY_VALUE: Message = Message(&[
    one("key", 1, Kind::Text),
    one("value", 2, Kind::Message(&ANY_VALUE)),
]);

static ANY_VALUE: Message = Message(&[
    one("stringValue", 1, Kind::Text),
    one("boolValue", 2, Kind::Bool),
    one("intValue", 3, Kind::Int64),
    one("doubleValue", 4, Kind::Double),
    one(
        "arrayValue",
        5,
        Kind::Message(&Message(&[many("values", 1, Kind::Message(&ANY_VALUE))])),
    ),
    one(
        "kvlistValue",
        6,
        Kind::Message(&Message(&[many("values", 1, Kind::Message(&KEY_VALUE))])),
    ),
    one("bytesValue", 7, Kind::Base64),
]);

static SPAN: Message = Message(&[
    one("traceId", 1, Kind::Hex),
    one("spanId", 2, Kind::Hex),
    one("name", 5, Kind::Text),
    one(
        "kind",
        6,
        Kind::Enum(&[
            "SPAN_KIND_UNSPECIFIED",
            "SPAN_KIND_INTERNAL",
            "SPAN_KIND_SERVER",
            "SPAN_KIND_CLIENT",
            "SPAN_KIND_PRODUCER",
            "SPAN_KIND_CONSUMER",
        ]),
    ),
    one("startTimeUnixNano", 7, Kind::Fixed64),
    one("endTimeUnixNano", 8, Kind::Fixed64),
    many("attributes", 9, Kind::Message(&KEY_VALUE)),
    one(
        "status",
        15,
        Kind::Message(&Message(&[one(
            "code",
            3,
            Kind::Enum(&["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"]),
        )])),
    ),
]);

static METRIC: Message = Message(&[
    one("name", 1, Kind::Text),
    one("unit", 3, Kind::Text),
    one(
        "histogram",
        9,
        Kind::Message(&Message(&[
            many("dataPoints", 1, Kind::Message(&POINT)),
            TEMPORALITY,
        ])),
    ),
    one(
        "exponentialHistogram",
        10,
        Kind::Message(&Message(&[
            many("dataPoints", 1, Kind::Message(&EXPONENTIAL_POINT)),
            TEMPORALITY,
        ])),
    ),
]);

const TEMPORALITY: Field = one(
    "aggregationTemporality",
    2,
    Kind::Enum(&[
        "AGGREGATION_TEMPORALITY_UNSPECIFIED",
        "AGGREGATION_TEMPORALITY_DELTA",
        "AGGREGATION_TEMPORALITY_CUMULATIVE",
    ]),
);

static POINT: Message = Message(&[
    one("startTimeUnixNano", 2, Kind::Fixed64),
    one("timeUnixNano", 3, Kind::Fixed64),
    one("count", 4, Kind::Fixed64),
    one("sum", 5, Kind::Double),
    many("bucketCounts", 6, Kind::Fixed64),
    many("explicitBounds", 7, Kind::Double),
    many("attributes", 9, Kind::Message(&KEY_VALUE)),
    one("flags", 10, Kind::Uint32),
]);

static EXPONENTIAL_POINT: Message = Message(&[
    many("attributes", 1, Kind::Message(&KEY_VALUE)),
    one("startTimeUnixNano", 2, Kind::Fixed64),
    one("timeUnixNano", 3, Kind::Fixed64),
    one("count", 4, Kind::Fixed64),
    one("sum", 5, Kind::Double),
    one("scale", 6, Kind::Sint32),
    one("zeroCount", 7, Kind::Fixed64),
    one("positive", 8, Kind::Message(&RANGE)),
    one("negative", 9, Kind::Message(&RANGE)),
    one("flags", 10, Kind::Uint32),
    one("zeroThreshold", 14, Kind::Double),
]);

static RANGE: Message = Message(&[
    one("offset", 1, Kind::Sint32),
    many("bucketCounts", 2, Kind::Uint64),
]);
