//! `breaker demo-service`, `demo-collector` and `demo-chaos`: the parts of the chaos demo, each a
//! container of `docker-compose.yml`.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use breaker_sidecar::config::Address;
use breaker_sidecar::shop::{self, Collector, Service, ServiceSettings};
use breaker_tower::core::policy::yaml::Period;
use clap::{Args, value_parser};
use http::Uri;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::{FAILED, output};

/// Arguments of `breaker demo-service`.
#[derive(Debug, Args)]
pub(crate) struct DemoService {
    /// The service's name
    #[arg(long)]
    name: String,
    /// Where it serves
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    listen: Address,
    /// Where it takes its faults, by PUT /fault: {"kind": "errors", "share": 0.5}, {"kind": "slow",
    /// "latency": "1s"}, {"kind": "hang"} or {"kind": "none"}
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    faults: Address,
    /// The service that it needs for each answer
    #[arg(long, value_name = "URL")]
    calls: Option<Uri>,
    /// How long an attempt to call it may take
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    timeout: Duration,
    /// How often a failed call is repeated, at once
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u32).range(0..=10))]
    retries: u32,
    /// How many requests it works on at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u16).range(1..))]
    workers: u16,
    /// How many more may wait
    #[arg(long, value_name = "N", default_value_t = 256)]
    queue: u16,
    /// How long a request takes, without what it calls
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = time)]
    takes: Duration,
}

/// Arguments of `breaker demo-collector`.
#[derive(Debug, Args)]
pub(crate) struct DemoCollector {
    /// Where it receives OTLP/HTTP, and tells at /services and /events/{after} what it saw
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4318")]
    listen: Address,
}

/// Arguments of `breaker demo-chaos`.
#[derive(Debug, Args)]
pub(crate) struct DemoChaos {
    /// Where the shop with breakers takes orders
    #[arg(long, value_name = "URL")]
    shop: Uri,
    /// A fault port of it: checkout, payments and ledger are wanted
    #[arg(long, value_name = "NAME=URL", value_parser = fault_port)]
    faults: Vec<(String, Uri)>,
    /// Where the same shop without breakers takes orders; left out if it does not answer
    #[arg(long, value_name = "URL", requires = "bare_faults")]
    bare: Option<Uri>,
    /// A fault port of it
    #[arg(long, value_name = "NAME=URL", value_parser = fault_port)]
    bare_faults: Vec<(String, Uri)>,
    /// The demo's collector
    #[arg(long, value_name = "URL")]
    collector: Uri,
    /// Orders a second
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// How much faster than in two minutes
    #[arg(long, env = "BREAKER_DEMO_PACE", value_name = "FACTOR", default_value = "1", value_parser = pace)]
    pace: f64,
}

impl DemoService {
    pub(super) fn run(self) -> ExitCode {
        let settings = ServiceSettings {
            name: self.name,
            listen: self.listen.socket(),
            faults: self.faults.socket(),
            calls: self.calls,
            timeout: self.timeout,
            retries: self.retries,
            workers: self.workers.into(),
            queue: self.queue.into(),
            takes: self.takes,
        };
        until_stopped(async {
            let service = Service::bind(settings).await?;
            let (listen, faults) = service.addresses()?;
            tracing::info!(%listen, %faults, "serving");
            Ok(service.serve().await?)
        })
    }
}

impl DemoCollector {
    pub(super) fn run(self) -> ExitCode {
        until_stopped(async {
            let collector = Collector::bind(self.listen.socket()).await?;
            tracing::info!(listen = %collector.address()?, "receiving telemetry");
            Ok(collector.serve().await?)
        })
    }
}

impl DemoChaos {
    pub(super) fn run(self) -> ExitCode {
        let shop = |orders, faults: Vec<_>| shop::Shop {
            orders,
            faults: faults.into_iter().collect(),
        };
        let chaos = shop::Chaos {
            shop: shop(self.shop, self.faults),
            bare: self.bare.map(|orders| shop(orders, self.bare_faults)),
            collector: self.collector,
            rate: self.rate,
            pace: self.pace,
        };
        until_stopped(chaos.run())
    }
}

/// Runs it to its end, or to the first signal that asks the process to stop: as process 1 of a
/// container it would not see another.
fn until_stopped(work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let runtime = Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                ended = work => ended,
                _ = terminate.recv() => Ok(()),
                _ = interrupt.recv() => Ok(()),
            }
        })
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("{error:#}\n"));
            ExitCode::from(FAILED)
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    Period::parse(text).map(|Period(time)| time)
}

fn fault_port(text: &str) -> Result<(String, Uri), String> {
    let (name, url) = text.split_once('=').ok_or("must be NAME=URL")?;
    let url = format!("{}/fault", url.trim_end_matches('/'));
    let url = url.parse().map_err(|error| format!("{error}"))?;
    Ok((name.to_owned(), url))
}

fn pace(text: &str) -> Result<f64, String> {
    let pace = text.parse().ok().filter(|pace| (0.1..=10.0).contains(pace));
    pace.ok_or_else(|| "must be 0.1 to 10".to_owned())
}
