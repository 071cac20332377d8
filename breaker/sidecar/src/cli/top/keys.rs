//! What the keys do.

use breaker_sidecar::report::Mode;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Change, Effect, Model, Page, Prompt};

impl Model {
    /// Does what a key is for.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Effect> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return (key.code == KeyCode::Char('c')).then_some(Effect::Leave);
        }
        self.message = None;
        match self.prompt {
            Prompt::Filter => self.edit(key.code),
            Prompt::Confirm(change) => return self.confirm(change, key.code),
            Prompt::None => return self.command(key.code),
        }
        None
    }

    fn command(&mut self, key: KeyCode) -> Option<Effect> {
        let page = self.page_rows as isize;
        match key {
            KeyCode::Char('q') | KeyCode::Esc => match self.page {
                Page::Table if key == KeyCode::Esc && !self.filter.is_empty() => {
                    self.filter.clear();
                }
                Page::Table => return Some(Effect::Leave),
                Page::Detail => self.page = Page::Table,
                Page::Help => self.leave_help(),
            },
            KeyCode::Char('?') if self.page == Page::Help => self.leave_help(),
            KeyCode::Char('?') => {
                self.before_help = self.page;
                self.page = Page::Help;
            }
            KeyCode::Char('o') => self.ask(Change::Mode(Mode::ForcedOpen)),
            KeyCode::Char('c') => self.ask(Change::Mode(Mode::ForcedClosed)),
            KeyCode::Char('a') => self.ask(Change::Mode(Mode::Auto)),
            KeyCode::Char('S') => self.ask(Change::Mode(Mode::Shadow)),
            KeyCode::Char('r') => self.ask(Change::Reset),
            KeyCode::Tab if self.page == Page::Detail => return self.switch_source(),
            _ if self.page == Page::Table => match key {
                KeyCode::Down | KeyCode::Char('j') => self.step(1),
                KeyCode::Up | KeyCode::Char('k') => self.step(-1),
                KeyCode::PageDown => self.step(page),
                KeyCode::PageUp => self.step(-page),
                KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN),
                KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX),
                KeyCode::Char('s') => self.sort = self.sort.next(),
                KeyCode::Char('/') => self.prompt = Prompt::Filter,
                KeyCode::Enter => return self.inspect(),
                _ => {}
            },
            _ => {}
        }
        None
    }

    const fn leave_help(&mut self) {
        self.page = self.before_help;
    }

    fn ask(&mut self, change: Change) {
        if self.page != Page::Help && self.selected().is_some() {
            self.prompt = Prompt::Confirm(change);
        }
    }

    fn confirm(&mut self, change: Change, key: KeyCode) -> Option<Effect> {
        match key {
            KeyCode::Char('y') => {
                self.prompt = Prompt::None;
                Some(Effect::Change(self.selected.clone()?, change))
            }
            KeyCode::Char('n' | 'q') | KeyCode::Esc => {
                self.prompt = Prompt::None;
                None
            }
            _ => None,
        }
    }

    fn edit(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(letter) => self.filter.push(letter),
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Esc => {
                self.filter.clear();
                self.prompt = Prompt::None;
            }
            KeyCode::Enter => self.prompt = Prompt::None,
            _ => {}
        }
        let is_shown = |name: &String| {
            let rows = self.rows();
            rows.iter().any(|route| route.breaker.name == *name)
        };
        if !self.selected.as_ref().is_some_and(is_shown) {
            self.selected = None;
            self.step(0);
        }
    }
}

impl Change {
    /// What it does to the route, as a question.
    pub(super) fn question(self, route: &str) -> String {
        match self {
            Self::Mode(Mode::ForcedOpen) => {
                format!("open {route}, rejecting all its requests?")
            }
            Self::Mode(Mode::ForcedClosed) => {
                format!("close {route}, admitting all, whatever becomes of them?")
            }
            Self::Mode(Mode::Shadow) => format!("only watch {route}, rejecting nothing?"),
            Self::Mode(Mode::Auto) => format!("let the policy of {route} decide?"),
            Self::Reset => format!("close {route}, forgetting all it has learned?"),
        }
    }
}
