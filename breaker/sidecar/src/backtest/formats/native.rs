//! `{"t": 12.345, "route": "pay", "latency": 0.023, "status": 200}`: what `breaker record` writes.

use serde::de::IgnoredAny;

use super::Reader;
use crate::backtest::line::{self, Line};
use crate::backtest::loss::Bad;

struct Native;

pub(super) fn reader() -> Box<dyn Reader> {
    Box::new(Native)
}

impl Reader for Native {
    fn read(&mut self, record: &[u8], take: &mut dyn FnMut(&Line<'_>)) -> Result<(), Bad> {
        match line::parse(record) {
            Ok(line) => {
                take(&line);
                Ok(())
            }
            Err(text) => Err(match serde_json::from_slice::<IgnoredAny>(record) {
                Ok(_) => Bad::field(text),
                Err(_) => Bad::syntax(text),
            }),
        }
    }
}
