//! `handgrad info`

use handgrad::Result;
use handgrad::kernels::{Isa, OPERATORS};

pub fn info() -> Result<()> {
    let isa = Isa::from_environment()?;
    let names = |isas: &[Isa]| isas.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
    super::answer(&format!("handgrad {}\n", env!("CARGO_PKG_VERSION")));
    super::answer(&format!(
        "processor: {}, {} threads\n",
        processor(),
        std::thread::available_parallelism().map_or(1, usize::from)
    ));
    super::answer(&format!("instruction sets: {}; in use: {isa} (HANDGRAD_ISA forces one)\n", names(&Isa::available())));
    super::answer(&format!("CUDA: {}\n", cuda()));
    super::answer("operator      variants                  in use\n");
    for op in OPERATORS {
        super::answer(&format!("{:<13} {:<25} {}\n", op.op, names(op.isas), op.runs_under(isa)));
    }
    Ok(())
}

#[cfg(feature = "cuda")]
fn cuda() -> String {
    handgrad::kernels::cuda::probe().to_string()
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> String {
    "this build has no CUDA support (feature `cuda` is off)".to_owned()
}

/// The processor's own name.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()));
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}
