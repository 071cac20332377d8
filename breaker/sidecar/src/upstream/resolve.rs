//! Names of endpoints, and of collectors, become addresses: by the hosts file, then by DNS.
//!
//! Not by the C library: its resolver blocks a thread for each name, and in a static binary there
//! is none that knows what the system's knows.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, vec};

use breaker_tower::breaker_core::MAX_ENDPOINTS;
use futures_util::future::{Either, select};
use futures_util::stream::{self, StreamExt as _};

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use hyper_util::client::legacy::connect::dns;
use tokio::time::{Instant, timeout};
use tower_service::Service;

/// Where names are looked up. Clones share the hosts.
#[derive(Clone, Debug)]
pub struct Names {
    hosts: Arc<Hosts>,
    config: ResolverConfig,
    options: ResolverOpts,
    /// Whether they are the system's, and change with its files.
    is_system: bool,
}

/// Looks names up. Its queries run on the runtime that asked first, so each runtime needs one of
/// its own; clones share it.
#[derive(Clone)]
pub(crate) struct Resolver {
    hosts: Arc<Hosts>,
    dns: TokioResolver,
}

/// What a name stands for, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) targets: Vec<Target>,
    pub(super) valid: Duration,
    /// How many names were looked up for it.
    pub(super) names: usize,
}

/// One address that a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Target {
    pub(crate) address: IpAddr,
    /// Where an SRV record says one.
    pub(crate) port: Option<u16>,
    /// The share of the requests, compared with those of the others; at least 1.
    pub(crate) weight: u16,
}

// === impl Names ===

impl Names {
    /// Reads the system's configuration, `/etc/hosts` and `/etc/resolv.conf`.
    ///
    /// What can't be read is as if it was empty: no hosts, and a server at 127.0.0.1, as
    /// resolv.conf(5) says.
    pub fn of_system() -> Self {
        let hosts = Hosts::from_system().unwrap_or_else(|error| {
            tracing::debug!(%error, "the hosts file can't be read");
            Hosts::default()
        });
        let (config, options) = system_conf::read_system_conf().unwrap_or_else(|error| {
            tracing::info!(%error, "resolv.conf can't be used; names are asked of 127.0.0.1");
            let local = NameServerConfig::udp_and_tcp(IpAddr::from([127, 0, 0, 1]));
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![local]);
            (config, ResolverOpts::default())
        });
        Self {
            is_system: true,
            ..Self::with(hosts, config, options)
        }
    }

    /// Whether the names are those of the system's files.
    pub(super) const fn is_system(&self) -> bool {
        self.is_system
    }

    /// Looks names up in `hosts`, which is written as hosts(5) says, then asks the DNS server at
    /// `server` by UDP.
    ///
    /// Lines of `hosts` that can't be read are skipped.
    pub fn of(hosts: &str, server: SocketAddr) -> Self {
        let mut known = Hosts::default();
        if let Err(error) = known.read_hosts_conf(hosts.as_bytes()) {
            tracing::warn!(%error, "hosts can't be read");
        }
        let mut by_udp = ConnectionConfig::udp();
        by_udp.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![by_udp]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        Self::with(known, config, ResolverOpts::default())
    }

    fn with(hosts: Hosts, config: ResolverConfig, mut options: ResolverOpts) -> Self {
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        // A zone may let negative answers be kept for a day, and a service may start a minute
        // later.
        options.negative_max_ttl = Some(LONGEST_NEGATIVE);
        Self {
            hosts: Arc::new(hosts),
            config,
            options,
            is_system: false,
        }
    }
}

// === impl Resolver ===

impl Resolver {
    /// Makes a resolver for the runtime of the caller.
    ///
    /// # Errors
    ///
    /// When the configuration has no way of reaching a server.
    pub(crate) fn new(names: &Names) -> Result<Self, NetError> {
        let provider = TokioRuntimeProvider::default();
        let dns = TokioResolver::builder_with_config(names.config.clone(), provider)
            .with_options(names.options.clone())
            .build()?;
        Ok(Self {
            hosts: names.hosts.clone(),
            dns,
        })
    }

    /// The addresses of `host`; at least one.
    pub(crate) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, NetError> {
        let answer = self.addresses(host).await?;
        Ok(answer.targets.iter().map(|target| target.address).collect())
    }

    /// The addresses of `host`, and for how long they are valid.
    ///
    /// Both families are asked for at once. The one that answers last has a moment, then the other
    /// is enough (RFC 8305, section 3): there are name servers that never answer for IPv6.
    pub(super) async fn addresses(&self, host: &str) -> Result<Answer, NetError> {
        let name = Name::from_str_relaxed(host)?;
        let known = self.known(&name);
        if !known.is_empty() {
            return Ok(Answer::of(known, LONGEST));
        }
        let v4 = pin!(self.family(name.clone(), RecordType::A));
        let v6 = pin!(self.family(name, RecordType::AAAA));
        let (first, other) = match select(v4, v6).await {
            Either::Left((first, other)) => (first, Either::Left(other)),
            Either::Right((first, other)) => (first, Either::Right(other)),
        };
        let second = match &first {
            Ok(_) => match timeout(RESOLUTION_DELAY, other).await {
                Ok(second) => second,
                Err(_late) => return first,
            },
            Err(_) => other.await,
        };
        match (first, second) {
            (Ok(one), Ok(other)) => Ok(one.with(other)),
            (Ok(answer), Err(_)) | (Err(_), Ok(answer)) => Ok(answer),
            // That nothing is there is known only if both say so.
            (Err(one), Err(other)) if one.is_no_records_found() => Err(other),
            (Err(one), Err(_)) => Err(one),
        }
    }

    async fn family(&self, name: Name, kind: RecordType) -> Result<Answer, NetError> {
        let lookup = self.dns.lookup(name, kind).await?;
        let valid = lookup.valid_until();
        let valid = valid.saturating_duration_since(Instant::now().into_std());
        let records = lookup.answers().iter();
        let addresses: Vec<_> = records.filter_map(|record| record.data.ip_addr()).collect();
        if addresses.is_empty() {
            return Err(NetError::Message("no address in the answer"));
        }
        Ok(Answer::of(addresses, valid))
    }

    /// The addresses of the instances that the SRV records of `name` say, those with the least
    /// priority number (RFC 2782).
    pub(super) async fn instances(&self, name: &str) -> Result<Answer, NetError> {
        let name = Name::from_str_relaxed(name)?;
        let lookup = self.dns.lookup(name, RecordType::SRV).await?;
        let valid = lookup.valid_until();
        let mut valid = valid.saturating_duration_since(Instant::now().into_std());
        let records = lookup.answers().iter();
        let records = records.filter_map(|record| match &record.data {
            // The target `.` says that there is no such service.
            RData::SRV(record) if !record.target.is_root() => Some(record),
            _ => None,
        });
        let records: Vec<&SRV> = records.collect();
        let first = records.iter().map(|record| record.priority).min();
        let firsts = records.into_iter().filter(|it| Some(it.priority) == first);
        let mut firsts: Vec<SRV> = firsts.cloned().collect();
        firsts.truncate(MAX_ENDPOINTS);
        let lookups = firsts.into_iter().map(|record| async move {
            let answer = self.addresses(&record.target.to_utf8()).await?;
            Ok::<_, NetError>((record, answer))
        });
        // An answer of thousands must not take as many sockets at once.
        let mut found = stream::iter(lookups).buffer_unordered(AT_ONCE);
        let (mut targets, mut names) = (Vec::new(), 1);
        let mut failure = NetError::Message("no instance in the answer");
        while let Some(found) = found.next().await {
            names += 1;
            match found {
                Ok((record, answer)) => {
                    valid = valid.min(answer.valid);
                    targets.extend(answer.targets.into_iter().map(|target| Target {
                        port: Some(record.port),
                        weight: record.weight.max(1),
                        ..target
                    }));
                }
                Err(error) => failure = error,
            }
        }
        if targets.is_empty() {
            return Err(failure);
        }
        Ok(Answer {
            targets,
            valid,
            names,
        })
    }

    /// What the hosts file says. hickory would ask DNS for what it lacks, one address family or a
    /// search domain, and let that be waited for.
    fn known(&self, name: &Name) -> Vec<IpAddr> {
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|kind| {
                self.hosts
                    .lookup_static_host(&Query::query(name.clone(), kind))
            })
            .flat_map(|lookup| {
                let records = lookup.answers().iter();
                records
                    .filter_map(|record| record.data.ip_addr())
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

// === impl Answer ===

impl Answer {
    fn of(addresses: Vec<IpAddr>, valid: Duration) -> Self {
        let targets = addresses.into_iter().map(|address| Target {
            address,
            port: None,
            weight: 1,
        });
        Self {
            targets: targets.collect(),
            valid,
            names: 1,
        }
    }

    fn with(mut self, other: Self) -> Self {
        self.targets.extend(other.targets);
        self.valid = self.valid.min(other.valid);
        self
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// For hyper's connector, which has the port.
impl Service<dns::Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = NetError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NetError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.resolve(name.as_str()).await?;
            let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(addresses.collect::<Vec<_>>().into_iter())
        })
    }
}

/// How long the hosts file is taken as it was, unless it changes.
const LONGEST: Duration = Duration::from_secs(300);
/// How long a name is unknown after a name server has said so.
const LONGEST_NEGATIVE: Duration = Duration::from_secs(5);
/// Targets of SRV records whose addresses are looked up at once: each takes two sockets.
const AT_ONCE: usize = 16;
/// How long the other family of addresses is waited for (RFC 8305, section 8).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
