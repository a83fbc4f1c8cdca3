//! What the cubins that are built in were made of: `cubins/manifest.json`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// Which sources, options and compiler made which cubins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// The compiler with its version.
    pub compiler: String,
    /// The options it ran with, besides the architecture.
    pub options: Vec<String>,
    /// By the name of the device code.
    pub kernels: BTreeMap<String, Built>,
}

/// The cubins made of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// SHA-256 of the source, the headers and the options: [`DeviceCode::digest`](crate::DeviceCode::digest).
    pub source: String,
    /// By architecture.
    pub cubins: BTreeMap<String, Cubin>,
}

/// One cubin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cubin {
    /// SHA-256 of the file.
    pub sha256: String,
    /// Size of the file.
    pub bytes: usize,
}

impl Manifest {
    /// Where the device code's cubins are listed, or nothing where they have never been built or the list is damaged.
    pub fn built_in() -> &'static Manifest {
        static BUILT_IN: OnceLock<Manifest> = OnceLock::new();
        BUILT_IN.get_or_init(|| serde_json::from_str(crate::device_code::manifest_text()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::device_code::hex;
    use crate::nvrtc::OPTIONS;
    use crate::{Arch, DeviceCode};

    #[test]
    fn every_source_has_its_cubins_and_no_source_has_changed_since() {
        let manifest = Manifest::built_in();
        let names: Vec<&str> = DeviceCode::all().iter().map(|code| code.name).collect();
        assert_eq!(manifest.kernels.keys().collect::<Vec<_>>(), names, "run `cargo xtask kernels`");
        assert_eq!(manifest.options, OPTIONS, "run `cargo xtask kernels`");
        for code in DeviceCode::all() {
            let built = &manifest.kernels[code.name];
            assert_eq!(built.source, code.digest(), "{} or a header has changed: run `cargo xtask kernels`", code.name);
            let cubins: BTreeMap<String, Cubin> = code
                .cubins()
                .map(|(arch, image)| (arch.to_string(), Cubin { sha256: hex(&Sha256::digest(image)), bytes: image.len() }))
                .collect();
            assert_eq!(built.cubins, cubins, "{}: a cubin is not the one listed, run `cargo xtask kernels`", code.name);
            assert!(cubins.keys().all(|arch| Arch::parse(arch).is_some()) && !cubins.is_empty(), "{}", code.name);
        }
    }

    #[test]
    fn a_changed_source_header_or_name_changes_the_digest() {
        let digest = crate::device_code::digest;
        let plain = digest("name", "source", &[("a.cuh", "text")]);
        assert_eq!(plain.len(), 64);
        assert_eq!(plain, digest("name", "source", &[("a.cuh", "text")]));
        for changed in [
            digest("names", "ource", &[("a.cuh", "text")]),
            digest("name", "source ", &[("a.cuh", "text")]),
            digest("name", "source", &[("a.cuh", "Text")]),
            digest("name", "source", &[("b.cuh", "text")]),
            digest("name", "source", &[]),
        ] {
            assert_ne!(plain, changed);
        }
    }
}
