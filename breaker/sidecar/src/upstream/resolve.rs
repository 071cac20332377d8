//! Names of endpoints, and of collectors, become addresses: by the hosts file, then by DNS.
//!
//! Not by the C library: its resolver blocks a thread for each name, and in a static binary there
//! is none that knows what the system's knows. Answers are kept for as long as they say.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, vec};

use futures_util::future::{Either, select};
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use hyper_util::client::legacy::connect::dns;
use tokio::time::timeout;
use tower_service::Service;

/// Where names are looked up. Clones share the hosts.
#[derive(Clone, Debug)]
pub struct Names {
    hosts: Arc<Hosts>,
    config: ResolverConfig,
    options: ResolverOpts,
}

/// Looks names up, and keeps the answers. Its queries run on the runtime that asked first, so each
/// runtime needs one of its own; clones share it.
#[derive(Clone)]
pub(crate) struct Resolver {
    hosts: Arc<Hosts>,
    dns: TokioResolver,
}

// === impl Names ===

impl Names {
    /// Reads the system's configuration, `/etc/hosts` and `/etc/resolv.conf`; later changes of them
    /// are not seen.
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
        Self::with(hosts, config, options)
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
        Self {
            hosts: Arc::new(hosts),
            config,
            options,
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

    /// The addresses of `host`, those of IPv4 first; at least one. Once those of one version of IP
    /// are known, the others have a moment to come too (RFC 8305, section 3): some servers never
    /// answer for a version that they have nothing for.
    pub(crate) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, NetError> {
        let name = Name::from_str_relaxed(host)?;
        let known = self.known(&name);
        if !known.is_empty() {
            return Ok(known);
        }
        let v4 = pin!(self.look_up(name.clone(), RecordType::A));
        let v6 = pin!(self.look_up(name, RecordType::AAAA));
        let (v4, v6) = match select(v4, v6).await {
            Either::Left((v4, v6)) => {
                let v6 = unless_known(&v4, v6).await;
                (v4, v6)
            }
            Either::Right((v6, v4)) => (unless_known(&v6, v4).await, v6),
        };
        match (v4, v6) {
            (Ok(mut v4), Ok(v6)) => {
                v4.extend(v6);
                Ok(v4)
            }
            (Ok(known), Err(_)) | (Err(_), Ok(known)) => Ok(known),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// The addresses of one version of IP; at least one.
    async fn look_up(&self, name: Name, version: RecordType) -> Result<Vec<IpAddr>, NetError> {
        let found = self.dns.lookup(name, version).await?;
        let records = found.answers().iter();
        let addresses: Vec<_> = records.filter_map(|record| record.data.ip_addr()).collect();
        match addresses.is_empty() {
            true => Err(NetError::Message("no address in the answer")),
            false => Ok(addresses),
        }
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

/// The `other` addresses, for which nobody waits long if the `first` are known.
async fn unless_known<T>(
    first: &Result<T, NetError>,
    other: impl Future<Output = Result<T, NetError>>,
) -> Result<T, NetError> {
    if first.is_err() {
        return other.await;
    }
    let late = |_| Err(NetError::Message("the other version of IP was sooner"));
    timeout(RESOLUTION_DELAY, other).await.unwrap_or_else(late)
}

/// By RFC 8305, section 8.
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

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
