//! NVIDIA's compiler and disassembler, from Python packages of pinned versions.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, str};

use anyhow::{Context, Result, bail};
use handgrad_cuda::Nvrtc;

/// Other versions make other bytes.
const PACKAGES: [&str; 3] = ["nvidia-cuda-nvrtc==13.0.88", "nvidia-cuda-cuobjdump==13.2.51", "nvidia-cuda-nvdisasm==13.2.51"];

/// What the manifest says of the compiler.
pub const COMPILER: &str = "NVRTC 13.0.88";

/// The installed packages.
pub struct Tools {
    nvidia: PathBuf,
}

impl Tools {
    /// Installs the packages into a virtual environment below `target`, unless it has them.
    pub fn installed(target: &Path) -> Result<Tools> {
        let environment = target.join("kernel-tools");
        let listed = environment.join("installed.txt");
        let wanted = PACKAGES.join("\n");
        if fs::read_to_string(&listed).ok().as_deref() != Some(&wanted) {
            eprintln!("installing {} into {}", PACKAGES.join(", "), environment.display());
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
            run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", "--no-deps"]).args(PACKAGES))?;
            fs::write(&listed, wanted)?;
        }
        let python =
            run(Command::new(environment.join("bin/python"))
                .args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]))?;
        Ok(Tools { nvidia: Path::new(python.trim()).join("nvidia/cu13") })
    }

    /// The compiler.
    pub fn compiler(&self) -> Result<Nvrtc> {
        Ok(Nvrtc::open_in(&self.nvidia.join("lib"))?)
    }

    /// What `cuobjdump` or `nvdisasm` prints of a file.
    pub fn print(&self, tool: &str, arguments: &[&str], file: &Path) -> Result<String> {
        run(Command::new(self.nvidia.join("bin").join(tool)).args(arguments).arg(file))
    }
}

/// The output of a command that succeeds.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(str::from_utf8(&output.stdout)?.to_owned())
}
