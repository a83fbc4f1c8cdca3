//! Devices on the command line: `cpu`, `cuda`, `cuda:1`, and how they compute convolutions and products.

use handgrad::Result;
use handgrad::kernels::conv2d::Convolution;
use handgrad::kernels::{Context, Device, Precision};

/// Where training runs.
#[derive(clap::Args)]
pub struct DeviceArguments {
    /// Where training runs: `cpu`, `cuda`, or `cuda:N` for one of several; metrics that need decompositions are taken on the CPU.
    #[arg(long, default_value = "cpu", value_parser = parse)]
    device: Device,
    /// How convolutions of 3 x 3 and stride 1 are computed on the CPU. Winograd's minimal filtering takes fewer products and rounds
    /// differently; `auto` takes it in f32 where it is quicker, `direct` never.
    #[arg(long, value_enum, default_value_t = Way::Auto)]
    conv: Way,
    /// How products and convolutions of f32 are computed on a CUDA device: as they are, or on tensor cores, which round factors to
    /// tf32 or bf16 and sum in f32, or with f32x3 multiply three times in tf32 and are as accurate as f32. Networks that train in one
    /// kernel, and `--dtype f64`, take no notice.
    #[arg(long, value_enum, default_value_t = Rounding::F32)]
    precision: Rounding,
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

/// The names of [`Precision`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Rounding {
    F32,
    F32x3,
    Tf32,
    Bf16,
}

impl From<Rounding> for Precision {
    fn from(rounding: Rounding) -> Precision {
        match rounding {
            Rounding::F32 => Precision::F32,
            Rounding::F32x3 => Precision::F32x3,
            Rounding::Tf32 => Precision::Tf32,
            Rounding::Bf16 => Precision::Bf16,
        }
    }
}

impl DeviceArguments {
    /// # Errors
    /// If the device is not there, or lacks the precision.
    pub fn context(&self) -> Result<Context> {
        Ok(Context::new(self.device)?.with_convolution(self.conv.into()).with_precision(self.precision.into())?)
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
