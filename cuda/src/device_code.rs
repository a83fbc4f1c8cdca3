//! The device code of this crate: the sources of `kernels/` with the cubins that were built from them.

use sha2::{Digest, Sha256};

use crate::arch::Arch;
use crate::manifest::Manifest;
use crate::nvrtc::OPTIONS;
use crate::{Error, Result};

include!(concat!(env!("OUT_DIR"), "/device_code.rs"));

/// One `.cu` file with its kernels.
#[derive(Debug)]
pub struct DeviceCode {
    /// Path of the file in `kernels/`, without `.cu`.
    pub name: &'static str,
    /// Path of the file in `kernels/`.
    pub file: &'static str,
    /// Its text.
    pub source: &'static str,
    /// Architectures and what the compiler made for them.
    cubins: &'static [(&'static str, &'static [u8])],
}

impl DeviceCode {
    /// All device code, sorted by name.
    pub fn all() -> &'static [DeviceCode] {
        DEVICE_CODE
    }

    /// The headers that device code may include, by the name in the include directive.
    pub fn headers() -> &'static [(&'static str, &'static str)] {
        HEADERS
    }

    /// The device code of a name.
    ///
    /// # Errors
    /// [`Error::NoSuchCode`].
    pub fn of(name: &str) -> Result<&'static DeviceCode> {
        DEVICE_CODE
            .iter()
            .find(|code| code.name == name)
            .ok_or_else(|| Error::NoSuchCode { code: name.to_owned(), known: DEVICE_CODE.iter().map(|code| code.name).collect() })
    }

    /// The cubins built in, up to date or not.
    pub fn cubins(&self) -> impl Iterator<Item = (Arch, &'static [u8])> {
        self.cubins.iter().filter_map(|&(arch, image)| Some((Arch::parse(arch)?, image)))
    }

    /// The cubin for a device, unless the source or the options have changed since it was built.
    pub(crate) fn cubin_for(&self, capability: (i32, i32)) -> Option<&'static [u8]> {
        let mut fitting = self.cubins().filter(|(arch, _)| arch.runs_on(capability));
        fitting.find(|(arch, _)| self.is_up_to_date(*arch)).map(|(_, image)| image)
    }

    /// The architectures of the cubins that are up to date.
    pub(crate) fn up_to_date(&self) -> Vec<&'static str> {
        let archs = self.cubins.iter().map(|(arch, _)| *arch);
        archs.filter(|arch| Arch::parse(arch).is_some_and(|arch| self.is_up_to_date(arch))).collect()
    }

    fn is_up_to_date(&self, arch: Arch) -> bool {
        let built = Manifest::built_in();
        built
            .kernels
            .get(self.name)
            .is_some_and(|entry| entry.source == self.digest() && entry.cubins.contains_key(&arch.to_string()))
    }

    /// SHA-256 of all that decides what the compiler makes of this code, but for the compiler and the architecture.
    pub fn digest(&self) -> String {
        digest(self.name, self.source, HEADERS)
    }
}

/// SHA-256 of a source with its name, the headers and the compiler's options.
pub(crate) fn digest(name: &str, source: &str, headers: &[(&str, &str)]) -> String {
    let mut hash = Sha256::new();
    let texts = headers.iter().flat_map(|&(name, text)| [name, text]);
    for part in [name, source].into_iter().chain(texts).chain(OPTIONS) {
        // With its length before it, no part can pass for the end of another.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn manifest_text() -> &'static str {
    MANIFEST
}
