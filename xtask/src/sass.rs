//! The machine code of a cubin: which instructions it has, and what its kernels keep outside registers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use handgrad_cuda::{Arch, DeviceCode};

use crate::tools::Tools;

/// What `instructions.txt` expects: per line a device code, an architecture or `*`, and the instructions it must have. A name
/// with a dot is a whole instruction with its modifiers up to there, one without stands for all of its modifiers.
pub struct Expected(Vec<(String, String, Vec<String>)>);

impl Expected {
    pub fn read(path: &Path) -> Result<Expected> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let entries = lines.map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let (code, arch) = words.next().zip(words.next()).with_context(|| format!("{}: `{line}`", path.display()))?;
            Ok((code, arch, words.collect()))
        });
        Ok(Expected(entries.collect::<Result<_>>()?))
    }

    /// The instructions expected of a device code on an architecture.
    pub fn of(&self, code: &str, arch: Arch) -> Vec<&str> {
        let arch = arch.to_string();
        let lines = self.0.iter().filter(|(of, on, _)| of == code && (on == "*" || *on == arch));
        lines.flat_map(|(.., instructions)| instructions.iter().map(String::as_str)).collect()
    }

    /// A name in the list that no device code has.
    pub fn unknown(&self) -> Option<&str> {
        let mut names = self.0.iter().map(|(code, ..)| code.as_str());
        names.find(|name| DeviceCode::all().iter().all(|code| code.name != *name))
    }
}

/// What was found in a cubin.
pub struct Found {
    /// How often each instruction occurs, with its modifiers.
    instructions: BTreeMap<String, usize>,
    /// Per kernel, what cuobjdump calls its resource usage.
    usage: BTreeMap<String, BTreeMap<String, usize>>,
}

/// Disassembles a cubin.
pub fn read(tools: &Tools, cubin: &Path) -> Result<Found> {
    let usage = parse_usage(&tools.print("cuobjdump", &["--dump-resource-usage"], cubin)?);
    let instructions = parse_instructions(&tools.print("nvdisasm", &["--print-code"], cubin)?);
    Ok(Found { instructions, usage })
}

impl Found {
    /// What is not as it should be. Spilled registers and indexed local arrays lie on the stack or in local memory: there is
    /// none of either in a kernel that keeps everything in registers.
    pub fn faults(&self, expected: &[&str]) -> Vec<String> {
        let outside = self.usage.iter().flat_map(|(kernel, usage)| {
            let kept = ["STACK", "LOCAL"].map(|memory| (memory, usage.get(memory).copied()));
            kept.into_iter().filter(|(_, bytes)| *bytes != Some(0)).map(move |(memory, bytes)| match bytes {
                Some(bytes) => {
                    format!("{kernel} keeps {bytes} bytes in {memory} memory: registers spilled or an array is indexed")
                }
                None => format!("{kernel}: cuobjdump says nothing of {memory} memory"),
            })
        });
        let none = self.usage.is_empty().then(|| "cuobjdump lists no kernel".to_owned());
        let absent = expected.iter().filter(|instruction| self.count(instruction) == 0);
        outside.chain(none).chain(absent.map(|instruction| format!("no instruction {instruction}"))).collect()
    }

    fn count(&self, instruction: &str) -> usize {
        let is_meant = |name: &str| name.strip_prefix(instruction).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.instructions.iter().filter(|(name, _)| is_meant(name)).map(|(_, count)| count).sum()
    }

    /// The kernels with their registers, in one line.
    pub fn summary(&self) -> String {
        let registers = |usage: &BTreeMap<String, usize>| usage.get("REG").copied().unwrap_or_default();
        let most = self.usage.iter().max_by_key(|(_, usage)| registers(usage));
        let (kernel, most) = most.map_or(("none", 0), |(kernel, usage)| (kernel, registers(usage)));
        format!("{} kernels, at most {most} registers ({kernel})", self.usage.len())
    }
}

/// Lines ` Function NAME:` followed by ` REG:24 STACK:0 ...`.
fn parse_usage(text: &str) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut usage = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(kernel) = line.trim().strip_prefix("Function ").and_then(|rest| rest.strip_suffix(':')) else { continue };
        let numbers = lines.next().unwrap_or_default().split_whitespace();
        let numbers = numbers
            .filter_map(|word| word.split_once(':'))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        usage.insert(kernel.to_owned(), numbers.collect());
    }
    usage
}

/// Lines `/*0010*/ @!P0 LDG.E R2, ... ;`.
fn parse_instructions(text: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let Some((_, code)) = line.trim().strip_prefix("/*").and_then(|rest| rest.split_once("*/")) else { continue };
        let mnemonic = code.split_whitespace().find(|word| !word.starts_with('@'));
        if let Some(mnemonic) = mnemonic.filter(|word| word.starts_with(|first: char| first.is_ascii_uppercase())) {
            *counts.entry(mnemonic.trim_end_matches(';').to_owned()).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: &str = "\nResource usage:\n Common:\n  GLOBAL:0\n Function good:\n  REG:24 STACK:0 SHARED:0 LOCAL:0 CONSTANT[0]:560\n \
                         Function bad:\n  REG:255 STACK:16 SHARED:0 LOCAL:0 TEXTURE:0\n";
    const CODE: &str = "\t.section\t.text.good\n        /*0000*/                   LDC R1, c[0x0][0x28] ;\n        \
                        /*0010*/              @!P0 LDGSTS.E.BYPASS.128 [R1], [R2] ;\n        /*0020*/                   EXIT ;\n";

    fn found() -> Found {
        Found { instructions: parse_instructions(CODE), usage: parse_usage(USAGE) }
    }

    #[test]
    fn instructions_are_found_behind_their_conditions() {
        let found = found();
        assert_eq!(["LDC", "LDGSTS", "LDGSTS.E", "EXIT", "LDG", "FFMA"].map(|name| found.count(name)), [1, 1, 1, 1, 0, 0]);
        assert_eq!(found.summary(), "2 kernels, at most 255 registers (bad)");
    }

    #[test]
    fn spills_and_absent_instructions_are_faults() {
        let mut found = found();
        let spilled = "bad keeps 16 bytes in STACK memory: registers spilled or an array is indexed";
        assert_eq!(found.faults(&["LDGSTS"]), [spilled]);
        assert_eq!(found.faults(&["FFMA"]), [spilled, "no instruction FFMA"]);
        found.usage.remove("bad");
        assert!(found.faults(&[]).is_empty());
        found.usage.clear();
        assert_eq!(found.faults(&[]), ["cuobjdump lists no kernel"]);
        found.usage = parse_usage(" Function silent:\n REG:3 STACK:0\n");
        assert_eq!(found.faults(&[]), ["silent: cuobjdump says nothing of LOCAL memory"]);
    }
}
