//! `breaker top`: the breakers of a running sidecar, live in the terminal.
//!
//! `feed` hears from the sidecar, `model` knows and decides (`keys`, `order`, `route` are parts of
//! it), `view` shows. This file has the terminal and the clock.

mod feed;
mod keys;
mod model;
mod order;
mod route;
#[cfg(test)]
mod tests;
mod view;

use std::env;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use breaker_sidecar::report::Breakers;
use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use self::model::{Effect, Model};
use self::order::{Key, Sort};
use self::view::View;
use super::client::{Client, Connect};
use super::output::complain;
use super::status::{self, Around};

/// Arguments of `breaker top`.
#[derive(Debug, Args)]
pub(crate) struct Top {
    #[command(flatten)]
    connect: Connect,
    /// What the table is sorted by at first
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// Prints the table once, as it does where the output is no terminal
    #[arg(long)]
    once: bool,
    /// Prints JSON once, for programs
    #[arg(long)]
    json: bool,
}

impl Top {
    pub(super) fn run(self) -> ExitCode {
        let Self {
            connect,
            sort,
            once,
            json,
        } = self;
        let is_live = io::stdout().is_terminal() && io::stdin().is_terminal();
        connect.run(async |client| {
            // Whoever is not there is told before the screen is taken.
            let mut all: Breakers = client.get("/api/v1/breakers").await?;
            if once || json || !is_live {
                sort_once(&mut all, sort);
                let around = Around::of(client).await;
                return Ok(status::print(&all, json, |all| {
                    around.with(&status::table(&all.breakers))
                }));
            }
            Ok(live(client, sort).await)
        })
    }
}

fn sort_once(all: &mut Breakers, sort: Sort) {
    all.breakers.sort_by(|a, b| {
        let [a, b] = [a, b].map(|breaker| {
            let own = breaker.window();
            Key {
                breaker,
                rate: own.map_or(0.0, |own| own.requests as f64),
                error_rate: own.map_or(0.0, |own| own.error_rate),
                p99: own
                    .and_then(|own| own.latency)
                    .map_or(0.0, |latency| latency.p99),
            }
        });
        sort.compare(&a, &b)
    });
}

/// Takes the screen, and gives it back: at the end, and by ratatui's hook at a panic.
async fn live(client: &Client, sort: Sort) -> ExitCode {
    let terminal = ratatui::try_init();
    let shown = match terminal {
        Ok(mut terminal) => show(&mut terminal, client, sort).await,
        Err(error) => Err(error),
    };
    ratatui::restore();
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("can't use the terminal: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn show(terminal: &mut DefaultTerminal, client: &Client, sort: Sort) -> io::Result<()> {
    let start = Instant::now();
    let mut model = Model::new(sort);
    let has_colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut view = View::new(client.admin().to_string(), has_colour);
    let (ear, mut told) = mpsc::channel(QUEUE);
    tokio::spawn(feed::follow(client.clone(), ear.clone()));
    let mut keys = keyboard();
    let mut ended = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
        signal(SignalKind::interrupt())?,
    ];
    let mut ticks = interval(TICK);
    loop {
        terminal.draw(|frame| view.draw(frame, &mut model, start.elapsed()))?;
        let [terminate, hangup, interrupt] = &mut ended;
        let effect = tokio::select! {
            key = keys.recv() => match key {
                Some(Ok(Event::Key(key))) => model.press(key),
                // The size changed: it is drawn anew.
                Some(Ok(_)) => None,
                Some(Err(error)) => return Err(error),
                None => Some(Effect::Leave),
            },
            Some(told) = told.recv() => model.hear(told, start.elapsed()),
            _ = ticks.tick() => None,
            _ = terminate.recv() => Some(Effect::Leave),
            _ = hangup.recv() => Some(Effect::Leave),
            _ = interrupt.recv() => Some(Effect::Leave),
        };
        match effect {
            Some(Effect::Leave) => return Ok(()),
            Some(effect) => {
                tokio::spawn(feed::ask(client.clone(), effect, ear.clone()));
            }
            None => {}
        }
    }
}

/// Keys and sizes, from a thread that reads the terminal: it ends with the process.
fn keyboard() -> mpsc::Receiver<io::Result<Event>> {
    let (tell, keys) = mpsc::channel(QUEUE);
    thread::spawn(move || {
        loop {
            let event = event::read();
            let is_last = event.is_err();
            if tell.blocking_send(event).is_err() || is_last {
                return;
            }
        }
    });
    keys
}

/// Keys and news that wait to be shown.
const QUEUE: usize = 64;
/// How often times that count down are drawn anew.
const TICK: Duration = Duration::from_millis(500);
