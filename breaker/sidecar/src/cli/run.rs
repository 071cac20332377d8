//! `breaker run`: the proxy, by a configuration file or for a single upstream.

use std::convert::Infallible;
use std::env;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use breaker_tower::Policy;
use breaker_tower::breaker_core::policy::yaml;
use clap::{ArgGroup, Args, value_parser};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::client::TOKEN_VARIABLE;
use super::{BAD_INPUT, FAILED, logging, otlp_env, output};
use breaker_sidecar::app::{App, Reloader, StartError};
use breaker_sidecar::config::Token;
use breaker_sidecar::config::{self, Config, ConfigError, EndpointUrl, Size};
use breaker_sidecar::control::Readiness;
use breaker_sidecar::descriptors;
use breaker_sidecar::ingest::Addresses;
use breaker_sidecar::recording::RecordingSettings;
use breaker_sidecar::sandbox::Mode;
use breaker_sidecar::sockets::ListenAddress;
use breaker_sidecar::telemetry::Environment;

/// Arguments of `breaker run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    sidecar: Sidecar,
    /// Records requests as JSON lines, for breaker backtest
    #[arg(long, env = "BREAKER_RECORD", value_name = "FILE")]
    record: Option<PathBuf>,
    /// With --record: begins another file at this size
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    record_max_size: Size,
    /// With --record: how many full files to keep, as FILE.1, FILE.2 and so on
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u32).range(0..=1000))]
    record_rotate: u32,
    /// Prints the variables with which applications send their telemetry here, and runs nothing:
    /// env $(breaker run --config FILE --otlp-env | grep -v '^#') APP
    #[arg(long)]
    otlp_env: bool,
    /// With --otlp-env: prints JSON, for programs
    #[arg(long, requires = "otlp_env")]
    json: bool,
}

/// Arguments of `breaker record`: the proxy, and where to record.
#[derive(Debug, Args)]
pub(crate) struct Record {
    #[command(flatten)]
    sidecar: Sidecar,
    /// Where to record
    #[arg(long, env = "BREAKER_RECORD", value_name = "FILE")]
    out: PathBuf,
    /// Begins another file at this size
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    max_size: Size,
    /// How many full files to keep, as FILE.1, FILE.2 and so on
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u32).range(0..=1000))]
    rotate: u32,
}

/// Which proxy to run.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").args(["config", "upstream"]).required(true))]
struct Sidecar {
    /// Configuration file
    #[arg(long, env = "BREAKER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Without a file: send everything to this service, http://host:port, https://host:port,
    /// h2c://host:port or unix:/path
    #[arg(long, env = "BREAKER_UPSTREAM", value_name = "URL")]
    upstream: Option<EndpointUrl>,
    /// Where clients connect to, instead of what the file says, an address or unix:/path [default:
    /// 127.0.0.1:8080]
    #[arg(long, env = "BREAKER_LISTEN", value_name = "ADDR")]
    listen: Option<ListenAddress>,
    /// Where health, metrics and breakers are served; beyond loopback only with a control token
    /// [default: 127.0.0.1:9900]
    #[arg(long, env = "BREAKER_ADMIN", value_name = "ADDR")]
    admin: Option<ListenAddress>,
    /// A file with the token that changes on the admin port need; BREAKER_CONTROL_TOKEN can have it
    /// instead
    #[arg(long, env = "BREAKER_CONTROL_TOKEN_FILE", value_name = "FILE")]
    control_token_file: Option<PathBuf>,
    /// Keeps what the breakers learn to be usual in this file, over a restart
    #[arg(long, env = "BREAKER_STATE", value_name = "FILE")]
    state: Option<PathBuf>,
    /// The sandbox, instead of what the file says [default: best_effort]
    #[arg(long, env = "BREAKER_SANDBOX", value_name = "MODE")]
    sandbox: Option<Mode>,
    /// With --upstream: when to trip and how to recover, a built-in policy or a file [default:
    /// adaptive]
    #[arg(
        long,
        env = "BREAKER_POLICY",
        value_name = "NAME|FILE",
        conflicts_with = "config"
    )]
    policy: Option<String>,
}

impl Run {
    pub(super) fn run(self) -> ExitCode {
        let recording = self
            .record
            .map(|file| recording(file, self.record_max_size, self.record_rotate));
        match self.sidecar.configure() {
            Ok(config) if self.otlp_env => print_otlp_env(&config, self.json),
            Ok(config) => serve(&config, recording.as_ref()),
            Err(error) => fail(BAD_INPUT, &error),
        }
    }
}

impl Record {
    pub(super) fn run(self) -> ExitCode {
        let recording = recording(self.out, self.max_size, self.rotate);
        match self.sidecar.configure() {
            Ok(config) => serve(&config, Some(&recording)),
            Err(error) => fail(BAD_INPUT, &error),
        }
    }
}

fn recording(file: PathBuf, max_size: Size, rotate: u32) -> RecordingSettings {
    let mut settings = RecordingSettings::new(file);
    settings.max_size = max_size.bytes();
    settings.rotate = rotate;
    settings
}

impl Sidecar {
    fn configure(self) -> Result<Config, ConfigError> {
        let mut config = match (self.upstream, self.config) {
            (Some(upstream), _) => {
                let policy = self.policy.as_deref().map(policy).transpose()?;
                Config::of_upstream(upstream, policy.unwrap_or_else(Policy::adaptive))?
            }
            (None, file) => Config::load(&file.unwrap_or_default())?,
        };
        if let Some(listen) = self.listen {
            config = config.with_listen(listen);
        }
        if let Some(admin) = self.admin {
            config = config.with_admin(admin);
        }
        if let Some(state) = self.state {
            config = config.with_state(state);
        }
        if let Some(sandbox) = self.sandbox {
            config = config.with_sandbox(sandbox);
        }
        // The file's counts before the variable's, and either before the configuration's.
        if let Some(file) = &self.control_token_file {
            config = config.with_token_file(file)?;
        } else if let Some(token) = control_token()? {
            config = config.with_token(token);
        }
        Ok(config)
    }
}

/// The token of the environment, if it has one.
fn control_token() -> Result<Option<Token>, ConfigError> {
    let rule = match env::var(TOKEN_VARIABLE) {
        // Left empty, it is left out.
        Ok(token) if token.is_empty() => return Ok(None),
        Ok(token) => match Token::new(&token) {
            Ok(token) => return Ok(Some(token)),
            Err(rule) => rule.to_owned(),
        },
        Err(env::VarError::NotPresent) => return Ok(None),
        Err(env::VarError::NotUnicode(_)) => Token::RULE.to_owned(),
    };
    Err(ConfigError::Unreadable {
        file: TOKEN_VARIABLE.to_owned(),
        rule,
    })
}

fn print_otlp_env(config: &Config, json: bool) -> ExitCode {
    match otlp_env::variables(config) {
        Ok(variables) if json => output::print(&format!("{:#}\n", otlp_env::in_json(&variables))),
        Ok(variables) => output::print(&otlp_env::in_lines(&variables)),
        Err(rule) => fail(BAD_INPUT, &rule),
    }
}

fn serve(config: &Config, recording: Option<&RecordingSettings>) -> ExitCode {
    descriptors::raise();
    let mut app = match App::bind(config, &Environment::of_process()) {
        Ok(app) => app,
        Err(error @ StartError::Setting(_)) => return fail(BAD_INPUT, &error),
        Err(error) => return fail(FAILED, &error),
    };
    if let Some(Err(error)) = recording.map(|settings| app.record(settings)) {
        return fail(FAILED, &error);
    }
    if let Err(error) = app.confine(config) {
        return fail(FAILED, &error);
    }
    logging::begin();
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(FAILED, &error),
    };
    // This thread does nothing else from here on: a signal is always heard.
    let served: anyhow::Result<()> = runtime.block_on(async {
        // The handlers are there before anyone is told that the sidecar is.
        let stop = stop(app.readiness(), config.drain_delay())?;
        let reloads = reload_on_hangup(app.reloader())?;
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        match app.listen() {
            Some(listen) => tracing::info!(%listen, admin = %app.admin(), "listening"),
            None => tracing::info!(admin = %app.admin(), "listening; no route has an upstream"),
        }
        if let Some(Addresses { grpc, http }) = app.receives() {
            let kafka = config.receive().and_then(|it| it.kafka());
            let kafka = kafka.map(|kafka| kafka.topics().collect::<Vec<_>>().join(","));
            let (grpc, http) = (
                grpc.map(tracing::field::display),
                http.map(tracing::field::display),
            );
            tracing::info!(grpc, http, kafka, "receiving telemetry");
        }
        tokio::select! {
            ended = app.run(stop) => ended,
            never = reloads => match never {},
        }
    });
    // What still hangs, at a disk or in a file system, is not waited for.
    runtime.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &format!("{error:#}")),
    }
}

/// Ends with the first signal that asks the process to stop; after SIGTERM only when callers have
/// had `delay` to hear that it is not ready, or with the second signal.
fn stop(readiness: Readiness, delay: Duration) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            // Somebody sits before it.
            _ = interrupt.recv() => return,
        }
        readiness.drain();
        if delay.is_zero() {
            return;
        }
        tracing::info!(?delay, "not ready any more; connections are still taken");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Loads the configuration anew at each SIGHUP.
fn reload_on_hangup(reloader: Reloader) -> io::Result<impl Future<Output = Infallible>> {
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            hangup.recv().await;
            // What came of it is logged.
            let _ = reloader.reload().await;
        }
    })
}

fn fail(code: u8, error: &dyn Display) -> ExitCode {
    output::complain(&format!("{error}\n"));
    ExitCode::from(code)
}

/// The built-in policy called `name`, or else the one in the file of that name.
pub(super) fn policy(name: &str) -> Result<Policy, ConfigError> {
    if let Some(policy) = Policy::builtin(name) {
        return Ok(policy);
    }
    let text = config::read(Path::new(name)).map_err(|error| match error {
        ConfigError::Unreadable { file, rule } => {
            let builtin = Policy::BUILTIN.join(", ");
            let rule = format!("{rule}, or be a built-in policy: {builtin}");
            ConfigError::Unreadable { file, rule }
        }
        invalid => invalid,
    })?;
    let document = config::document(&text, Some(name))?;
    Ok(yaml::read(&document, Policy::builtin)?)
}
