//! The command line: a service of the shop, the collector, or the chaos itself.
//!
//! Exit codes: 0 good, 1 failed, 2 for wrong usage.

use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use breaker_sidecar::config::Address;
use breaker_tower::breaker_core::policy::yaml::Period;
use clap::{Args, Parser, Subcommand, value_parser};
use http::Uri;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::chaos::{self, Chaos};
use crate::collector::Collector;
use crate::fleet::{self, DemoReplica, FleetDemo};
use crate::service::{Service, ServiceSettings};

/// The chaos demo of Breaker: a shop that fails by a script, behind sidecars and without
#[derive(Debug, Parser)]
#[command(name = "breaker-chaos", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to log: error, warn, info, debug or trace, also by module
    #[arg(
        long,
        global = true,
        env = "BREAKER_LOG",
        value_name = "FILTER",
        default_value = "info",
        value_parser = filter
    )]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves as one service of the shop
    Service(ServiceArgs),
    /// Receives telemetry, and counts it
    Collector(CollectorArgs),
    /// Sends orders, sets faults, narrates, and prints a table at the end
    Run(RunArgs),
    /// Sends few orders to replicas in a fleet and to replicas that are alone, breaks the ledger,
    /// and says when their breakers open
    Fleet(FleetArgs),
}

/// Arguments of `breaker-chaos service`.
#[derive(Debug, Args)]
struct ServiceArgs {
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
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = value_parser!(u32).range(0..=10)
    )]
    retries: u32,
    /// How many requests it works on at once
    #[arg(
        long,
        value_name = "N",
        default_value_t = 16,
        value_parser = value_parser!(u16).range(1..)
    )]
    workers: u16,
    /// How many more may wait
    #[arg(long, value_name = "N", default_value_t = 256)]
    queue: u16,
    /// How long a request takes, without what it calls
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = time)]
    takes: Duration,
}

/// Arguments of `breaker-chaos collector`.
#[derive(Debug, Args)]
struct CollectorArgs {
    /// Where it receives OTLP/HTTP, and tells at /services and /events/{after} what it saw
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4318")]
    listen: Address,
}

/// Arguments of `breaker-chaos run`.
#[derive(Debug, Args)]
struct RunArgs {
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
    #[arg(
        long,
        value_name = "N",
        default_value_t = 40,
        value_parser = value_parser!(u32).range(1..=1000)
    )]
    rate: u32,
    /// How much faster than in two minutes
    #[arg(
        long,
        env = "BREAKER_DEMO_PACE",
        value_name = "FACTOR",
        default_value = "1",
        value_parser = pace
    )]
    pace: f64,
}

/// Arguments of `breaker-chaos fleet`.
#[derive(Debug, Args)]
struct FleetArgs {
    /// The replicas in a fleet: HOST (ports 8080 and 9900), or HOST:PORT/HOST:ADMIN-PORT
    #[arg(long, value_name = "REPLICA,..", value_delimiter = ',', value_parser = fleet::replica)]
    together: Vec<DemoReplica>,
    /// The replicas that are alone
    #[arg(long, value_name = "REPLICA,..", value_delimiter = ',', value_parser = fleet::replica)]
    alone: Vec<DemoReplica>,
    /// The fault port of the ledger behind all of them
    #[arg(long, value_name = "URL")]
    faults: Uri,
    /// Orders a second, of each group in all
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = value_parser!(u32).range(1..=1000)
    )]
    rate: u32,
    /// Orders a second before that, for a minute: what replicas learn from
    #[arg(
        long,
        value_name = "N",
        default_value_t = 30,
        value_parser = value_parser!(u32).range(1..=1000)
    )]
    busy_rate: u32,
    /// For how long the ledger is still well after that: what was learned counts after a minute
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = time)]
    well: Duration,
    /// For how long the outage is watched, at most
    #[arg(long, value_name = "TIME", default_value = "45s", value_parser = time)]
    watched: Duration,
}

impl Cli {
    /// Does it.
    pub(crate) fn run(self) -> ExitCode {
        tracing_subscriber::fmt()
            // The filter was tried when the arguments were parsed.
            .with_env_filter(EnvFilter::new(self.log))
            .with_ansi(false)
            .with_writer(io::stderr)
            .init();
        match self.command {
            Command::Service(service) => until_stopped(service.serve()),
            Command::Collector(collector) => until_stopped(collector.serve()),
            Command::Run(run) => until_stopped(run.chaos().run()),
            Command::Fleet(fleet) => until_stopped(fleet.demo().run()),
        }
    }
}

impl ServiceArgs {
    async fn serve(self) -> anyhow::Result<()> {
        let service = Service::bind(ServiceSettings {
            name: self.name,
            listen: self.listen.socket(),
            faults: self.faults.socket(),
            calls: self.calls,
            timeout: self.timeout,
            retries: self.retries,
            workers: self.workers.into(),
            queue: self.queue.into(),
            takes: self.takes,
        });
        let service = service.await?;
        let (listen, faults) = service.addresses()?;
        tracing::info!(%listen, %faults, "serving");
        Ok(service.serve().await?)
    }
}

impl CollectorArgs {
    async fn serve(self) -> anyhow::Result<()> {
        let collector = Collector::bind(self.listen.socket()).await?;
        tracing::info!(listen = %collector.address()?, "receiving telemetry");
        Ok(collector.serve().await?)
    }
}

impl RunArgs {
    fn chaos(self) -> Chaos {
        let shop = |orders, faults: Vec<_>| chaos::Shop {
            orders,
            faults: faults.into_iter().collect(),
        };
        Chaos {
            shop: shop(self.shop, self.faults),
            bare: self.bare.map(|orders| shop(orders, self.bare_faults)),
            collector: self.collector,
            rate: self.rate,
            pace: self.pace,
        }
    }
}

impl FleetArgs {
    fn demo(self) -> FleetDemo {
        let faults = format!("{}fault", self.faults).parse();
        FleetDemo {
            together: self.together,
            alone: self.alone,
            faults: faults.unwrap_or(self.faults),
            rate: self.rate,
            busy_rate: self.busy_rate,
            well: self.well,
            watched: self.watched,
        }
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
            anstream::eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn filter(text: &str) -> Result<String, ParseError> {
    EnvFilter::builder().parse(text)?;
    Ok(text.to_owned())
}

fn time(text: &str) -> anyhow::Result<Duration> {
    let Period(time) = Period::parse(text)?;
    Ok(time)
}

fn fault_port(text: &str) -> anyhow::Result<(String, Uri)> {
    let (name, url) = text.split_once('=').context("must be NAME=URL")?;
    let url = format!("{}/fault", url.trim_end_matches('/')).parse()?;
    Ok((name.to_owned(), url))
}

fn pace(text: &str) -> anyhow::Result<f64> {
    let pace = text.parse().unwrap_or(f64::NAN);
    ensure!((0.1..=10.0).contains(&pace), "must be 0.1 to 10");
    Ok(pace)
}
