//! The emulated device through the crate's own interface.

use handgrad_cuda::emulated::{self, EmulatorError};
use handgrad_cuda::{Buffer, Context, Error, Probe, probe};

/// Opens the emulated device. Without a compiler it says so and is false; with `emulator` in REQUIRE, that is an error.
fn opened() -> bool {
    match emulated::open() {
        Ok(_) => true,
        Err(error @ EmulatorError::NoCompiler { .. }) => {
            let required = std::env::var("REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "emulator"), "the emulator is required: {error}");
            println!("SKIP emulator: {error}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn an_emulated_device_holds_memory() {
    if !opened() {
        return;
    }
    assert!(matches!(probe(), Probe::Devices(devices) if devices.len() == 1 && devices[0].name == emulated::DEVICE_NAME));
    let cx = Context::new(0).unwrap();
    let buffer = Buffer::from_host(&cx, &[1.0f32, 2.0, 3.0]).unwrap();
    let mut back = [0.0; 3];
    buffer.copy_to_host(&mut back).unwrap();
    assert_eq!(back, [1.0, 2.0, 3.0]);
}

#[test]
fn more_memory_than_there_is_is_refused() {
    if !opened() {
        return;
    }
    let cx = Context::new(0).unwrap();
    let error = Buffer::<f64>::zeros(&cx, 1 << 40).unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
}

#[test]
fn it_is_opened_once() {
    if !opened() {
        return;
    }
    assert_eq!(emulated::open().unwrap(), emulated::open().unwrap());
    assert!(matches!(Context::new(1), Err(Error::NoSuchDevice { count: 1, .. })));
}
