//! Descriptors, threads and memory of a process, by what Linux tells of it.

use std::fs;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
    /// Resident memory in KiB.
    pub memory: usize,
}

impl Held {
    /// What the process with this id holds now.
    ///
    /// # Panics
    /// If there is none.
    pub fn by(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let number = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            number.expect("a number of the field")
        };
        Self {
            descriptors: fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count),
            threads: number("Threads:"),
            memory: number("VmRSS:"),
        }
    }
}
