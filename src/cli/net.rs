//! Networks on the command line: `diagonal`, `mlp:2,20,1`.

use handgrad::nets::{Activation, Architecture, Bias};
use handgrad::{Error, Result};

/// A network by its name and flags.
#[derive(clap::Args)]
pub struct NetArguments {
    /// Network: `diagonal` (parameters: u, then v), or `mlp:` and its widths from inputs to outputs, as in mlp:2,20,1
    /// (parameters layer by layer: weight row by row, then bias).
    #[arg(long)]
    net: String,
    /// Layers of an mlp with a bias.
    #[arg(long, value_enum, default_value = "all")]
    bias: Bias,
    /// Function between the layers of an mlp.
    #[arg(long, value_enum, default_value = "relu")]
    activation: Activation,
}

impl NetArguments {
    pub fn architecture(&self) -> Result<Architecture> {
        parse("--net ", &self.net, self.bias, self.activation)
    }
}

/// A network by name; `flag` is what the name followed on the command line.
pub fn parse(flag: &str, name: &str, bias: Bias, activation: Activation) -> Result<Architecture> {
    let refused = || {
        Err(Error::Input(format!(
            "{flag}{name}: expected `diagonal`, or `mlp:` with widths from inputs to outputs, as in mlp:2,20,1"
        )))
    };
    let Some(widths) = name.strip_prefix("mlp:") else {
        return if name == "diagonal" { Ok(Architecture::Diagonal { u: 0.1, v: 0.0 }) } else { refused() };
    };
    let Ok(widths) = widths.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>() else { return refused() };
    let net = Architecture::mlp(&widths, bias, activation);
    net.check()?;
    Ok(net)
}
