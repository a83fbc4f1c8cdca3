//! Devices on the command line: `cpu`, `cuda`, `cuda:1`, and how they compute convolutions.

use handgrad::Result;
use handgrad::kernels::conv2d::Convolution;
use handgrad::kernels::{Context, Device};

/// Where training runs.
#[derive(clap::Args)]
pub struct DeviceArguments {
    /// Where training runs: `cpu`, `cuda`, or `cuda:N` for one of several; metrics are always taken on the CPU.
    #[arg(long, default_value = "cpu", value_parser = parse)]
    device: Device,
    /// How convolutions of 3 x 3 and stride 1 are computed on the CPU. Winograd's minimal filtering takes fewer products and rounds
    /// differently; `auto` takes it in f32 where it is quicker, `direct` never.
    #[arg(long, value_enum, default_value_t = Way::Auto)]
    conv: Way,
}

/// The names of [`Convolution`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Way {
    Auto,
    Direct,
    Winograd2,
    Winograd4,
}

impl From<Way> for Convolution {
    fn from(way: Way) -> Convolution {
        match way {
            Way::Auto => Convolution::Auto,
            Way::Direct => Convolution::Direct,
            Way::Winograd2 => Convolution::Winograd2,
            Way::Winograd4 => Convolution::Winograd4,
        }
    }
}

impl DeviceArguments {
    /// # Errors
    /// If the device is not there.
    pub fn context(&self) -> Result<Context> {
        Ok(Context::new(self.device)?.with_convolution(self.conv.into()))
    }
}

fn parse(name: &str) -> Result<Device, String> {
    let ordinal = match name.split_once(':') {
        None if name == "cpu" => return Ok(Device::Cpu),
        None if name == "cuda" => Some(0),
        Some(("cuda", ordinal)) => ordinal.parse().ok(),
        _ => None,
    };
    ordinal.map(Device::Cuda).ok_or_else(|| "expected cpu, cuda or cuda:N".to_owned())
}
