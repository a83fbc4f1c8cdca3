//! "SGD with large step sizes learns sparse features", Andriushchenko, Varre, Pillaud-Vivien, Flammarion, ICML 2023.

pub(super) mod fig2;

/// The paper, as claims cite it.
const PAPER: &str = "SGD with large step sizes learns sparse features (Andriushchenko et al. 2023)";
