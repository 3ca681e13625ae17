//! Processes as the kernel shows them, for tests that kill and for tests that nothing is left.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Result, ensure};

/// One process in one life: a pid that is used again is another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name, at most 15 characters.
    pub name: String,
    parent: u32,
    /// Ticks after the start of the machine.
    started: u64,
}

impl Process {
    /// The process of this number; none where there is none, or it has ended and waits to be reaped.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, parentheses and blanks too (proc(5)).
        let (head, tail) = stat.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = tail.split_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        Some(Self { pid, name, parent: fields.get(1)?.parse().ok()?, started: fields.get(19)?.parse().ok()? })
    }

    /// Is it still there?
    pub fn lives(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// The process and everything below it.
    pub fn tree(pid: u32) -> Vec<Self> {
        let mut children: BTreeMap<u32, Vec<Self>> = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let process = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Self::of);
            if let Some(process) = process {
                children.entry(process.parent).or_default().push(process);
            }
        }
        let mut tree: Vec<Self> = Self::of(pid).into_iter().collect();
        let mut at = 0;
        while let Some(parent) = tree.get(at).map(|process| process.pid) {
            tree.append(&mut children.remove(&parent).unwrap_or_default());
            at += 1;
        }
        tree
    }

    /// The user that it runs as.
    pub fn user(&self) -> Option<u32> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
    }
}

/// Sends a signal, such as `KILL`; an error where there is no such process.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status()?;
    ensure!(status.success(), "kill -{name} {pid}: {status}");
    Ok(())
}
