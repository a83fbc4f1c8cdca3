//! The emulated device through the crate's own interface.

use handgrad_cuda::{Buffer, Context, Probe, emulated, probe};

#[test]
fn an_emulated_device_holds_memory() {
    let opened = emulated::open().unwrap();
    println!("{opened:?}");
    assert!(matches!(probe(), Probe::Devices(devices) if devices[0].name == emulated::DEVICE_NAME));
    let cx = Context::new(0).unwrap();
    let buffer = Buffer::from_host(&cx, &[1.0f32, 2.0, 3.0]).unwrap();
    let mut back = [0.0; 3];
    buffer.copy_to_host(&mut back).unwrap();
    assert_eq!(back, [1.0, 2.0, 3.0]);
}
