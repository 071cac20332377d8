//! A client of the control API.

use breaker_proto::v1::control_client::ControlClient;
use tonic::transport::Endpoint;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let _client = ControlClient::new(channel);
}
