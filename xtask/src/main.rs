//! Chores that need more than a Rust toolchain.

mod kernels;
mod sass;
mod tools;

use std::path::{Path, PathBuf};

use clap::Parser;

/// Chores of handgrad.
#[derive(Parser)]
enum Chore {
    /// Compiles cuda/kernels/*.cu to cuda/cubins with the pinned compiler, which it installs into the target folder.
    Kernels {
        /// Writes nothing; fails unless every cubin is what the compiler makes of its source, and its machine code is as
        /// cuda/kernels/instructions.txt says.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::Kernels { check } => {
            let tools = tools::Tools::installed(&target())?;
            if check { kernels::check(&tools, &cuda()) } else { kernels::build(&tools, &cuda()) }
        }
    }
}

/// The folder of the crate `handgrad-cuda`.
fn cuda() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cuda")
}

/// The target folder: this program lies in a profile's folder of it.
fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}
