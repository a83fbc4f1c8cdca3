//! Networks on the command line: `diagonal`, `mlp:2,20,1`.

use handgrad::nets::{Activation, Architecture, Bias, Resnet};
use handgrad::{Error, Result};

/// A network by its name and flags.
#[derive(clap::Args)]
pub struct NetArguments {
    /// Network: `diagonal` (parameters: u, then v), `mlp:` and its widths from inputs to outputs, as in mlp:2,20,1 (parameters
    /// layer by layer: weight row by row, then bias), or `resnet18` or `resnet34` for 32 x 32 images of 3 channels and 10
    /// classes, with options as in resnet18:width=16,classes=100.
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
            "{flag}{name}: expected `diagonal`, `mlp:` with widths from inputs to outputs, as in mlp:2,20,1, or `resnet18` or `resnet34` with options, as in resnet18:width=16"
        )))
    };
    let (kind, options) = name.split_once(':').map_or((name, None), |(kind, options)| (kind, Some(options)));
    let net = match (kind, options) {
        ("diagonal", None) => Architecture::Diagonal { u: 0.1, v: 0.0 },
        ("mlp", Some(widths)) => {
            let Ok(widths) = widths.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>() else { return refused() };
            Architecture::mlp(&widths, bias, activation)
        }
        ("resnet18" | "resnet34", _) => {
            let depth = if kind == "resnet18" { 18 } else { 34 };
            let mut resnet = Resnet { depth, width: 64, classes: 10, image: [32, 32, 3], preactivation: false };
            for option in options.iter().flat_map(|options| options.split(',')) {
                let size = |text: &str| text.parse::<usize>().ok();
                match option.split_once('=').map(|(key, value)| (key, size(value))) {
                    Some(("width", Some(width))) => resnet.width = width,
                    Some(("classes", Some(classes))) => resnet.classes = classes,
                    Some(("size", Some(extent))) => resnet.image = [extent, extent, resnet.image[2]],
                    Some(("channels", Some(channels))) => resnet.image[2] = channels,
                    _ if option == "preactivation" => resnet.preactivation = true,
                    _ => {
                        return Err(Error::Input(format!(
                            "{flag}{name}: `{option}` is no option of it, expected width=W, classes=C, size=S (rows and columns), channels=C or preactivation"
                        )));
                    }
                }
            }
            Architecture::Resnet(resnet)
        }
        _ => return refused(),
    };
    net.check()?;
    Ok(net)
}
