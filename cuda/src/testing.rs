//! What tests share: a device to run on, and skips that can be forbidden.

use cudarc::driver::sys;

use crate::{Context, Probe, emulated, probe};

/// The environment variable that lists what must not be skipped, separated by commas: `cuda` a real device, `emulator` the
/// emulated one, and whatever else tests name.
pub const REQUIRE: &str = "REQUIRE";

/// Device 0 of this machine's driver, or the emulated device where there is none, or `None` where there is no C++ compiler
/// either; the reason is printed.
///
/// # Panics
/// If `REQUIRE` names what is missing, or a device that was found cannot be opened.
pub fn device() -> Option<Context> {
    // SAFETY: looks for the driver library by its fixed names; what it runs when loaded is trusted as the driver itself is.
    let driver = unsafe { sys::is_culib_present() };
    // The probe would remember that there is no driver.
    if !driver && let Err(reason) = emulated::open() {
        skip("emulator", &reason.to_string());
    }
    let found = probe();
    match &found {
        Probe::Devices(devices) => {
            if devices.iter().any(|device| device.name == emulated::DEVICE_NAME) {
                skip("cuda", "the device is emulated");
            }
            Some(Context::new(0).unwrap_or_else(|error| panic!("{error}")))
        }
        _ => {
            skip("cuda", &found.to_string());
            None
        }
    }
}

/// Prints that tests which need `what` are skipped, and why.
///
/// # Panics
/// If `REQUIRE` names it.
pub fn skip(what: &str, reason: &str) {
    let required = std::env::var(REQUIRE).unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == what), "{REQUIRE}={required}, but {what} is missing: {reason}");
    println!("SKIP {what}: {reason}");
}
