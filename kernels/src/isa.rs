use crate::{Error, Result};

/// Instruction sets with hand-written variants, slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain loops: the definition of every operator, and the oracle of its tests.
    Scalar,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512F.
    Avx512,
}

impl Isa {
    /// All of them, slowest first.
    pub const ALL: [Isa; 3] = [Isa::Scalar, Isa::Avx2, Isa::Avx512];

    /// The name that `HANDGRAD_ISA` takes.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        match self {
            Isa::Scalar => true,
            Isa::Avx2 => avx2(),
            Isa::Avx512 => avx2() && is_x86_feature_detected!("avx512f"),
        }
    }

    /// Those that this processor has, slowest first.
    pub fn available() -> Vec<Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The environment's `HANDGRAD_ISA`, or the fastest one of this processor if it is unset or empty.
    ///
    /// # Errors
    /// If the variable names no instruction set, or one that this processor lacks.
    pub fn from_environment() -> Result<Isa> {
        match std::env::var_os("HANDGRAD_ISA").filter(|name| !name.is_empty()) {
            None => Ok(Isa::available().into_iter().max().unwrap_or(Isa::Scalar)),
            Some(name) => Isa::parse(&name.to_string_lossy())?.checked(),
        }
    }

    /// Reads a name as `HANDGRAD_ISA` takes it.
    ///
    /// # Errors
    /// If it names no instruction set.
    pub fn parse(name: &str) -> Result<Isa> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| Error::UnknownIsa { got: name.to_owned() })
    }

    /// Itself, if this processor has it.
    ///
    /// # Errors
    /// If it does not.
    pub fn checked(self) -> Result<Isa> {
        if self.is_available() { Ok(self) } else { Err(Error::MissingIsa { wanted: self, available: Isa::available() }) }
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
