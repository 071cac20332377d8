//! Whatever the text is, turning JSON into protobuf does not panic, and what comes out is protobuf.
#![no_main]

use breaker_otlp::json;
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

fuzz_target!(|text: &[u8]| {
    let logs = json::check_logs(text);
    if let Ok(request) = json::traces(text) {
        ExportTraceServiceRequest::decode(&request.message[..]).expect("well formed");
        logs.as_ref()
            .expect("an object for one signal is one for another");
    }
    if let Ok(request) = json::metrics(text) {
        ExportMetricsServiceRequest::decode(&request.message[..]).expect("well formed");
    }
});
