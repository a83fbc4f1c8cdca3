//! Devices on the command line: `cpu`, `cuda`, `cuda:1`.

use handgrad::Result;
use handgrad::kernels::{Context, Device};

/// Where training runs.
#[derive(clap::Args)]
pub struct DeviceArguments {
    /// Where training runs: `cpu`, `cuda`, or `cuda:N` for one of several; metrics are always taken on the CPU.
    #[arg(long, default_value = "cpu", value_parser = parse)]
    device: Device,
}

impl DeviceArguments {
    /// # Errors
    /// If the device is not there.
    pub fn context(&self) -> Result<Context> {
        Ok(Context::new(self.device)?)
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
