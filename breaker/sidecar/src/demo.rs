//! A demo in one process: a service with an incident, open-loop load, and the sidecar between them.

mod account;
mod load;
mod script;
mod service;

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use breaker_tower::breaker_core::{Event, Timestamp};
use breaker_tower::{BreakerHandle, Policy, State};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval};

use self::account::Account;
use self::load::Call;
use self::script::Phase;
use crate::app::App;
use crate::client::Client;
use crate::config::{Address, Config};
use crate::telemetry::Environment;

/// The shortest demo: by then the breaker has closed again.
pub const SHORTEST: Duration = script::RECOVERED;

/// How to run the demo.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    /// How long, at least [`SHORTEST`].
    pub lasts: Duration,
    /// Where the sidecar listens.
    pub listen: Address,
    /// Where it tells of itself.
    pub admin: Address,
}

impl Demo {
    /// Runs the demo and tells of it on standard output. Says whether the breaker opened and closed
    /// again.
    ///
    /// # Errors
    /// When an address can't be listened on, or names can't be resolved here.
    pub async fn run(self) -> anyhow::Result<bool> {
        let began = Instant::now();
        let client = Client::new()?;
        let service = service::start(began).await?;
        let upstream = format!("http://{service}")
            .parse()
            .expect("an address makes a good URL");
        let config = Config::of_upstream(upstream, Policy::sensitive())?
            .with_listen(self.listen.into())
            .with_admin(self.admin.into());
        let app = App::bind(&config, &Environment::of_process())?;
        let breaker = app.breakers()[0].clone();
        introduce(&app);

        let proxy = app.listen().and_then(|listen| listen.tcp()).expect(PROXIED);
        let (stop, stopped) = oneshot::channel::<()>();
        let sidecar = tokio::spawn(app.run(async { drop(stopped.await) }));
        let (calls, told) = mpsc::unbounded_channel();
        let load = tokio::spawn(load::run(client, proxy, began, self.lasts, calls));
        let account = tell(began, self.lasts, &breaker, told).await;
        load.await?;
        drop(stop);
        sidecar.await??;

        let breaker_began = began
            .elapsed()
            .saturating_sub(breaker.now().saturating_since(Timestamp::ZERO));
        anstream::println!("\n{}", account.summary(breaker_began));
        Ok(account.opened_and_closed())
    }
}

const PROXIED: &str = "the demo's route has an upstream";

/// A line a second and one for each event, until all calls are told.
async fn tell(
    began: Instant,
    lasts: Duration,
    breaker: &BreakerHandle,
    mut calls: mpsc::UnboundedReceiver<Call>,
) -> Account {
    let mut account = Account::default();
    let mut events = breaker.subscribe();
    let mut seconds = interval(Duration::from_secs(1));
    seconds.tick().await;
    loop {
        tokio::select! {
            call = calls.recv() => match call {
                Some(call) => account.call(call),
                None => return account,
            },
            Some(event) = events.recv() => {
                tell_event(began, &event);
                account.event(&event);
            }
            _ = seconds.tick() => {
                let elapsed = began.elapsed();
                if elapsed < lasts {
                    tell_second(elapsed, breaker.state(), &account.second());
                }
            }
        }
    }
}

fn introduce(app: &App) {
    let (listen, admin) = (app.listen().expect(PROXIED), app.admin());
    anstream::println!(
        "A service behind the sidecar with the policy `sensitive`, {} requests a second.",
        load::RATE
    );
    anstream::println!(
        "It is well for 4 s, fails 4 of 5 requests for 4 s, takes 1.5 s each for 4 s, and is well again."
    );
    anstream::println!(
        "Proxy http://{listen}  admin http://{admin}/breakers  http://{admin}/metrics\n"
    );
    anstream::println!("   time  service  breaker    req/s   failed       p99  rejected");
}

fn tell_second(elapsed: Duration, state: State, second: &account::Second) {
    let style = style_of(state);
    let service = Phase::at(elapsed.saturating_sub(Duration::from_secs(1))).name();
    anstream::println!(
        "{:>5} s  {service:<7}  {style}{state:<9}{style:#}  {second}",
        elapsed.as_secs()
    );
}

fn tell_event(began: Instant, event: &Event) {
    let time = began.elapsed().as_secs_f64();
    match event {
        Event::Transition(change) => {
            let style = style_of(change.to).bold();
            let (from, to, reason) = (change.from, change.to, &change.reason);
            anstream::println!("{style}{time:>5.1} s  {from} → {to}{style:#}: {reason}");
        }
        Event::RampStarted { succeeded, .. } => {
            anstream::println!(
                "{time:>5.1} s  {succeeded} probes succeeded: a growing share of the traffic is admitted"
            );
        }
        Event::Alert(alert) => {
            let numbers: Vec<_> = alert.evidence.iter().map(ToString::to_string).collect();
            anstream::println!("{time:>5.1} s  alert: {}", numbers.join(" and "));
        }
        Event::AlertEnded { signal, .. } => {
            anstream::println!("{time:>5.1} s  the alert on {signal} is over");
        }
        Event::ClosedWithErrors { share, usual, .. } => {
            anstream::println!("{time:>5.1} s  {share} of the requests fail, {usual} is usual");
        }
        Event::UsualChanged { change, .. } => {
            anstream::println!("{time:>5.1} s  {change}");
        }
        Event::SheddingStarted { reason, .. } => {
            anstream::println!("{time:>5.1} s  shedding: {reason}");
        }
        Event::SheddingEnded { rejected, .. } => {
            anstream::println!("{time:>5.1} s  shedding ended: {rejected} requests were rejected");
        }
        _ => {}
    }
}

fn style_of(state: State) -> Style {
    let color = match state {
        State::Closed => AnsiColor::Green,
        State::Open => AnsiColor::Red,
        State::HalfOpen => AnsiColor::Yellow,
    };
    color.on_default()
}
