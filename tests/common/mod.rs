//! What integration tests share.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod claims;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use handgrad::experiments;
use handgrad::kernels::Context;
use handgrad::run::{Options, Results, execute};
use handgrad::spec::{Scale, Spec};

/// Figure 2 at paper scale with overrides.
pub fn fig2(overrides: &[&str]) -> Spec {
    let figure = experiments::find("sparse/fig2").unwrap();
    let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
    (figure.declare)(Scale::Paper).with_overrides(&overrides).unwrap()
}

/// Carries out a spec in memory.
pub fn results(cx: &Context, spec: &Spec, threads: usize) -> Results {
    let stop = AtomicBool::new(false);
    let options = Options { threads, folder: None, stop: &stop, checkpoint_every: Duration::from_secs(3600), progress: &() };
    execute(cx, spec, spec.data.load().unwrap(), &options).unwrap().0
}

/// The fixtures, if they are there: in the folder HANDGRAD_GOLDEN, or beside the repository.
pub fn golden() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    let golden = std::env::var_os("HANDGRAD_GOLDEN").map_or_else(beside, PathBuf::from);
    if !golden.exists() {
        println!("SKIP: {} is absent", golden.display());
        return None;
    }
    Some(golden)
}
