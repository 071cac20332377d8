use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::Record;
use tokio::net::UdpSocket;

use super::*;

/// A DNS server with this many SRV records, which answers queries for addresses only when no more
/// come. Returns where it is, and a task that ends with the most that waited at once.
async fn srv_server(records: u16) -> (SocketAddr, tokio::task::JoinHandle<usize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut buffer = [0; 1500];
        let (mut waiting, mut most, mut answered) = (Vec::new(), 0, 0);
        while answered < 2 * usize::from(records) {
            let Ok(received) = timeout(QUIET, socket.recv_from(&mut buffer)).await else {
                most = most.max(waiting.len());
                answered += waiting.len();
                for (answer, peer) in waiting.drain(..) {
                    send(&socket, answer, peer).await;
                }
                continue;
            };
            let (size, peer) = received.unwrap();
            let mut answer = Message::from_vec(&buffer[..size]).unwrap().into_response();
            let query = answer.queries[0].clone();
            let name = query.name().clone();
            if query.query_type() == RecordType::SRV {
                for number in 0..records {
                    let target = Name::from_ascii(format!("{number}.example.")).unwrap();
                    let data = RData::SRV(SRV::new(0, 0, number + 1, target));
                    answer.add_answer(Record::from_rdata(name.clone(), 60, data));
                }
                send(&socket, answer, peer).await;
                continue;
            }
            let address: IpAddr = match query.query_type() {
                RecordType::A => [127, 0, 0, 1].into(),
                _ => std::net::Ipv6Addr::LOCALHOST.into(),
            };
            answer.add_answer(Record::from_rdata(name, 60, RData::from(address)));
            waiting.push((answer, peer));
        }
        most
    });
    (address, serving)
}

async fn send(socket: &UdpSocket, answer: Message, peer: SocketAddr) {
    let answer = answer.to_vec().unwrap();
    socket.send_to(&answer, peer).await.unwrap();
}

#[tokio::test]
async fn many_srv_records_are_looked_up_few_at_a_time_and_all_are_found() {
    let (server, serving) = srv_server(30).await;
    let resolver = Resolver::new(&Names::of("", server)).unwrap();
    let answer = resolver.instances("pay.example").await.unwrap();
    let ports: std::collections::BTreeSet<_> = answer.targets.iter().map(|it| it.port).collect();
    assert_eq!((answer.targets.len(), ports.len()), (60, 30));
    let most = serving.await.unwrap();
    assert!(most <= 2 * AT_ONCE, "{most} queries at once");
}

/// After so long no further query is expected before an answer.
const QUIET: Duration = Duration::from_millis(100);
