use crate::Isa;

/// What a kernel, a buffer or a context refuses, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A slice's length disagrees with the shape.
    #[error("{op}: `{argument}` has {got} elements, expected {expected} ({formula}); pass a slice of that length")]
    Length {
        /// Operator.
        op: &'static str,
        /// Argument name.
        argument: &'static str,
        /// Elements passed.
        got: usize,
        /// Elements the shape asks for.
        expected: usize,
        /// How the expected length follows from the shape.
        formula: &'static str,
    },
    /// A size is outside what the operator is defined for.
    #[error("{op}: {what} is {got}, expected {expected}")]
    Shape {
        /// Operator.
        op: &'static str,
        /// Which size.
        what: &'static str,
        /// Value passed.
        got: usize,
        /// What is allowed.
        expected: String,
    },
    /// An index points outside its array.
    #[error("{op}: `{argument}[{position}]` is {got}, but indices must be below {limit}")]
    Index {
        /// Operator.
        op: &'static str,
        /// Argument name.
        argument: &'static str,
        /// Position within the argument.
        position: usize,
        /// The index found there.
        got: usize,
        /// One more than the largest index allowed.
        limit: usize,
    },
    /// A number is outside what the operator is defined for.
    #[error("{op}: {what} is {got}, expected {expected}")]
    Value {
        /// Operator.
        op: &'static str,
        /// Which number.
        what: String,
        /// Value passed.
        got: f64,
        /// What is allowed, or what to do.
        expected: &'static str,
    },
    /// The operator has no kernel for the context's device.
    #[error("{op}: no kernel for {device}; run it on the CPU (nothing falls back silently)")]
    Unsupported {
        /// Operator.
        op: &'static str,
        /// The device asked for.
        device: String,
    },
    /// A buffer lives on another device than the context.
    #[error(
        "{op}: `{argument}` lives on {found}, but the context runs on {expected}; copy it there first (nothing travels implicitly)"
    )]
    WrongDevice {
        /// Operator.
        op: &'static str,
        /// Argument name.
        argument: &'static str,
        /// Where the buffer is.
        found: String,
        /// Where the context computes.
        expected: String,
    },
    /// The instruction set asked for is not a known name.
    #[error("HANDGRAD_ISA: `{got}` is not an instruction set, expected scalar, avx2 or avx512; unset it to take the fastest one")]
    UnknownIsa {
        /// The name found.
        got: String,
    },
    /// The processor lacks the instruction set asked for.
    #[error("instruction set {wanted} was asked for, but this processor has only {}; choose one of those or unset HANDGRAD_ISA", .available.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", "))]
    MissingIsa {
        /// The one asked for.
        wanted: Isa,
        /// The ones there are.
        available: Vec<Isa>,
    },
    /// A precision that only a CUDA device has.
    #[error("precision {got} was asked for on the CPU, expected f32; leave it out, or compute on a CUDA device")]
    Precision {
        /// The one asked for.
        got: &'static str,
    },
    /// Built without the feature `cuda`.
    #[error("this build has no CUDA support (feature `cuda` of handgrad-kernels is off); rebuild with it or use the CPU")]
    NoCudaSupport,
    /// The CUDA runtime refused.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Cuda(#[from] handgrad_cuda::Error),
}

/// Result of a kernel call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Refuses a slice of another length than the shape asks for.
pub(crate) fn exact(op: &'static str, argument: &'static str, got: usize, expected: usize, formula: &'static str) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::Length { op, argument, got, expected, formula }) }
}

/// Refuses sizes of zero.
pub(crate) fn positive(op: &'static str, sizes: &[(&'static str, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, got)| *got == 0) {
        None => Ok(()),
        Some(&(what, got)) => Err(Error::Shape { op, what, got, expected: "at least 1".to_owned() }),
    }
}
