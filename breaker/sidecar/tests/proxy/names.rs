//! Upstreams that are known by name: the hosts file, DNS, and what is answered where neither knows.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use breaker_sidecar::upstream::{Endpoint, Names, Upstream};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SOA;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

use crate::harness::{GET, Origin, Sidecar, header, status};

/// A DNS server that knows one name.
struct Dns {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Dns {
    async fn knowing(name: &'static str, address: IpAddr, seconds: u32) -> Self {
        Self::serving(name, address, seconds, None).await
    }

    /// One that never answers queries of a kind.
    async fn serving(
        name: &'static str,
        address: IpAddr,
        seconds: u32,
        silent: Option<RecordType>,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((size, peer)) = socket.recv_from(&mut buffer).await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut answer = Message::from_vec(&buffer[..size]).unwrap().into_response();
                let query = answer.queries[0].clone();
                if silent == Some(query.query_type()) {
                    continue;
                }
                let data = RData::from(address);
                let is_known = query.name().to_utf8().trim_end_matches('.') == name;
                if is_known && query.query_type() == data.record_type() {
                    answer.add_answer(Record::from_rdata(query.name().clone(), seconds, data));
                } else {
                    if !is_known {
                        answer.metadata.response_code = ResponseCode::NXDomain;
                    }
                    // Says how long it is valid that there is nothing.
                    let root = Name::root();
                    let soa = SOA::new(root.clone(), root.clone(), 1, 60, 60, 60, seconds);
                    answer.add_authority(Record::from_rdata(root, seconds, RData::SOA(soa)));
                }
                socket
                    .send_to(&answer.to_vec().unwrap(), peer)
                    .await
                    .unwrap();
            }
        });
        Self {
            address: server,
            asked,
        }
    }

    /// Waits until it was asked as often.
    async fn asked_times(&self, times: usize) {
        while self.asked() < times {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn endpoint(name: &str, origin: &Origin) -> Endpoint {
    Endpoint::Name(name.to_owned(), origin.address.port())
}

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
/// Closes its connection, so that the next request needs another one.
const LAST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

#[tokio::test]
async fn a_name_is_asked_of_dns_and_the_answer_kept_while_it_is_valid() {
    let origin = Origin::answering(|_, _| LAST.to_owned()).await;
    let dns = Dns::knowing("pay.example", LOOPBACK, 60).await;
    let names = Names::of("", dns.address);
    let sidecar = Sidecar::by_name(endpoint("pay.example", &origin), names);
    assert_eq!(status(&sidecar.ask(GET).await), "200");
    let first = dns.asked();
    assert!(first >= 1);
    assert_eq!(status(&sidecar.ask(GET).await), "200");
    assert_eq!(dns.asked(), first);
}

#[tokio::test]
async fn an_answer_that_is_valid_for_no_time_is_kept_for_a_second_and_asked_for_again() {
    let origin = Origin::answering(|_, _| LAST.to_owned()).await;
    let dns = Dns::knowing("pay.example", LOOPBACK, 0).await;
    let names = Names::of("", dns.address);
    let sidecar = Sidecar::by_name(endpoint("pay.example", &origin), names);
    assert_eq!(status(&sidecar.ask(GET).await), "200");
    // No request is needed: a query of each family, each second.
    dns.asked_times(6).await;
    assert_eq!(status(&sidecar.ask(GET).await), "200");
}

#[tokio::test]
async fn the_hosts_file_goes_before_dns_which_is_not_asked() {
    let origin = Origin::ok().await;
    let dns = Dns::knowing("pay", IpAddr::from([127, 0, 0, 99]), 60).await;
    let names = Names::of("# ours\n127.0.0.1 other Pay # and more\n", dns.address);
    let sidecar = Sidecar::by_name(endpoint("pay", &origin), names);
    assert_eq!(status(&sidecar.ask(GET).await), "200");
    assert_eq!(dns.asked(), 0);
}

#[tokio::test]
async fn a_name_may_have_underscores() {
    let origin = Origin::ok().await;
    let dns = Dns::knowing("my_service", LOOPBACK, 60).await;
    let names = Names::of("", dns.address);
    let sidecar = Sidecar::by_name(endpoint("my_service", &origin), names);
    assert_eq!(status(&sidecar.ask(GET).await), "200");
}

#[tokio::test]
async fn an_upstream_of_ipv6_alone_is_reached() {
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else {
        // A machine without IPv6.
        return;
    };
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        crate::harness::read_head(&mut stream).await;
        stream.write_all(LAST.as_bytes()).await.unwrap();
    });
    let dns = Dns::knowing("pay.example", "::1".parse().unwrap(), 60).await;
    let names = Names::of("", dns.address);
    let sidecar = Sidecar::by_name(Endpoint::Name("pay.example".to_owned(), port), names);
    assert_eq!(status(&sidecar.ask(GET).await), "200");
}

#[tokio::test]
async fn the_next_address_of_a_name_is_tried_when_one_is_dead() {
    let origin = Origin::ok().await;
    let dns = Dns::knowing("other", LOOPBACK, 60).await;
    // Nobody listens on the origin's port there.
    let names = Names::of("127.0.0.99 pay\n127.0.0.1 pay\n", dns.address);
    let sidecar = Sidecar::by_name(endpoint("pay", &origin), names);
    assert_eq!(status(&sidecar.ask(GET).await), "200");
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_502_and_says_nothing_of_the_service() {
    let origin = Origin::ok().await;
    let dns = Dns::knowing("pay.example", LOOPBACK, 60).await;
    let names = Names::of("", dns.address);
    let sidecar = Sidecar::by_name(endpoint("nowhere.example", &origin), names);
    let response = sidecar.ask(GET).await;
    assert_eq!(status(&response), "502", "{response}");
    let why = header(&response, "proxy-status").unwrap();
    assert!(why.contains("error=dns_error"), "{why}");
    assert_eq!(sidecar.totals(), (0, 0, 1));
}

#[tokio::test]
async fn a_dns_server_that_does_not_answer_is_504_within_the_connect_timeout() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let names = Names::of("", silent.local_addr().unwrap());
    let endpoint = Endpoint::Name("pay.example".to_owned(), 80);
    let sidecar = Sidecar::by_names(Upstream::new("app", vec![endpoint]), names);
    let response = sidecar.ask(GET).await;
    assert_eq!(status(&response), "504", "{response}");
    let why = header(&response, "proxy-status").unwrap();
    assert!(why.contains("error=dns_timeout"), "{why}");
}

#[tokio::test]
async fn a_version_of_ip_that_dns_never_answers_for_keeps_nobody_waiting() {
    let origin = Origin::answering(|_, _| LAST.to_owned()).await;
    let silent = Some(RecordType::AAAA);
    let dns = Dns::serving("pay.example", LOOPBACK, 60, silent).await;
    let names = Names::of("", dns.address);
    let sidecar = Sidecar::by_name(endpoint("pay.example", &origin), names);
    for _ in 0..3 {
        assert_eq!(status(&sidecar.ask(GET).await), "200");
    }
    assert_eq!(sidecar.totals(), (3, 0, 0));
}

/// A proxy whose upstream's name nobody knows.
pub(crate) async fn nobody_known() -> Sidecar {
    let dns = Dns::knowing("other.example", LOOPBACK, 60).await;
    let names = Names::of("", dns.address);
    Sidecar::by_name(Endpoint::Name("pay.example".to_owned(), 80), names)
}
