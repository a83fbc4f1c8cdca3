//! The cubins of the device code: making them, and checking that they are what they should be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use handgrad_cuda::{Arch, Built, Cubin, DeviceCode, Manifest, OPTIONS};
use sha2::{Digest, Sha256};

use crate::sass::{self, Expected};
use crate::tools::{COMPILER, Tools};

/// Compiles everything for every architecture and writes it with its manifest to `cuda/cubins`.
pub fn build(tools: &Tools, cuda: &Path) -> Result<()> {
    let cubins = cuda.join("cubins");
    let fresh = cuda.join("cubins.partial");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let manifest = compile_all(tools, |code, arch, image| {
        let path = fresh.join(arch.to_string()).join(format!("{}.cubin", code.name));
        fs::create_dir_all(path.parent().context("a path without a folder")?)?;
        Ok(fs::write(path, image)?)
    })?;
    fs::write(fresh.join("manifest.json"), serde_json::to_string_pretty(&manifest)? + "\n")?;
    if cubins.exists() {
        fs::remove_dir_all(&cubins)?;
    }
    fs::rename(&fresh, &cubins)?;

    let all: Vec<&Cubin> = manifest.kernels.values().flat_map(|built| built.cubins.values()).collect();
    println!(
        "{} cubins, {} bytes in all, in {}",
        all.len(),
        all.iter().map(|cubin| cubin.bytes).sum::<usize>(),
        cubins.display()
    );
    Ok(())
}

/// Fails unless the cubins in `cuda/cubins` are what the compiler makes of the sources, spill nothing, and use the instructions
/// that are expected of them.
pub fn check(tools: &Tools, cuda: &Path) -> Result<()> {
    let expected = Expected::read(&cuda.join("kernels/instructions.txt"))?;
    let mut faults = Vec::new();
    let manifest = compile_all(tools, |code, arch, image| {
        let path = cuda.join(format!("cubins/{arch}/{}.cubin", code.name));
        let name = format!("{arch}/{}", code.name);
        match fs::read(&path) {
            Ok(committed) if committed == image => {
                let found = sass::read(tools, &path)?;
                faults.extend(found.faults(&expected.of(code.name, arch)).into_iter().map(|fault| format!("{name}: {fault}")));
                println!("{name}: {} bytes, {}", image.len(), found.summary());
            }
            Ok(committed) => faults.push(format!(
                "{name}: not what the compiler makes ({} bytes committed, {} compiled)",
                committed.len(),
                image.len()
            )),
            Err(error) => faults.push(format!("{name}: {error}")),
        }
        Ok(())
    })?;
    if manifest != *Manifest::built_in() {
        faults.push("cubins/manifest.json is not of these sources".to_owned());
    }
    if let Some(unknown) = expected.unknown() {
        faults.push(format!("instructions.txt speaks of `{unknown}`, which is no device code"));
    }
    if !faults.is_empty() {
        bail!("{}\nrun `cargo xtask kernels` where a cubin is not up to date, and mend the kernel otherwise", faults.join("\n"));
    }
    println!("all cubins are what {COMPILER} makes of their sources");
    Ok(())
}

/// Compiles everything for every architecture, and lists it.
fn compile_all(tools: &Tools, mut each: impl FnMut(&DeviceCode, Arch, &[u8]) -> Result<()>) -> Result<Manifest> {
    let compiler = tools.compiler()?;
    let mut kernels = BTreeMap::new();
    for code in DeviceCode::all() {
        let mut cubins = BTreeMap::new();
        for arch in Arch::BUILT_IN {
            let image = compiler.compile(code, arch).map_err(|error| match &error {
                handgrad_cuda::Error::Compile { log, .. } => anyhow::anyhow!("{error}\n{log}"),
                _ => error.into(),
            })?;
            let sha256 = Sha256::digest(&image).iter().map(|byte| format!("{byte:02x}")).collect();
            each(code, arch, &image)?;
            cubins.insert(arch.to_string(), Cubin { sha256, bytes: image.len() });
        }
        kernels.insert(code.name.to_owned(), Built { source: code.digest(), cubins });
    }
    Ok(Manifest { compiler: COMPILER.to_owned(), options: OPTIONS.map(str::to_owned).to_vec(), kernels })
}
