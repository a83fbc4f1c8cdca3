//! Writes down what device code there is: every `.cu` and `.cuh` of `kernels/` and every cubin of `cubins/`. It compiles none
//! of them: `cargo xtask kernels` does.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let (kernels, cubins) = (root.join("kernels"), root.join("cubins"));
    let mut table = String::new();

    let headers = files(&kernels, "cuh")?;
    write_table(&mut table, "HEADERS: &[(&str, &str)]", &headers, |header| {
        format!("({:?}, include_str!({}))", name(header, &kernels), place(header, &root))
    });

    let sources = files(&kernels, "cu")?;
    let images = files(&cubins, "cubin")?;
    write_table(&mut table, "DEVICE_CODE: &[DeviceCode]", &sources, |source| {
        let (file, code) = (name(source, &kernels), name(&source.with_extension(""), &kernels));
        // cubins/<arch>/<code>.cubin
        let built = images.iter().filter_map(|image| {
            let path = name(&image.with_extension(""), &cubins);
            let arch = path.strip_suffix(&code)?.strip_suffix('/')?;
            Some(format!("({arch:?}, include_bytes!({}))", place(image, &root)))
        });
        let built: Vec<String> = built.collect();
        let (source, built) = (place(source, &root), built.join(", "));
        format!("DeviceCode {{ name: {code:?}, file: {file:?}, source: include_str!({source}), cubins: &[{built}] }}")
    });

    let manifest = cubins.join("manifest.json");
    let manifest = if manifest.exists() { format!("include_str!({})", place(&manifest, &root)) } else { "\"{}\"".to_owned() };
    let _ = writeln!(table, "const MANIFEST: &str = {manifest};");

    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("device_code.rs"), table)?;
    for folder in ["kernels", "cubins"] {
        println!("cargo::rerun-if-changed={folder}");
    }
    Ok(())
}

/// The files below `folder` with this ending, sorted.
fn files(folder: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.append(&mut files(&path, ending)?);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The path below `folder`, as it is written in the sources.
fn name(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned()
}

/// A file of this package as an expression: the compiler knows where the package is now, a table made earlier may not.
fn place(path: &Path, root: &Path) -> String {
    format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?})", format!("/{}", name(path, root)))
}

fn write_table(table: &mut String, declaration: &str, files: &[PathBuf], row: impl Fn(&PathBuf) -> String) {
    let rows: Vec<String> = files.iter().map(|file| format!("    {},\n", row(file))).collect();
    let _ = writeln!(table, "static {declaration} = &[\n{}];", rows.concat());
}
