use std::fmt::Debug;
use std::thread;

use super::*;
use crate::context::tests::device_or_skip;

#[test]
fn everything_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Context>();
    shared::<Error>();
    shared::<Buffer<f32>>();
    shared::<Slice<f32>>();
    shared::<SliceMut<f32>>();
}

#[test]
fn values_survive_the_round_trip() {
    let Some(context) = device_or_skip() else {
        return;
    };
    fn round_trip<T: Element + PartialEq + Debug>(context: &Context, values: [T; 5], other: T) {
        let mut host = [other; 5];
        let mut buffer = Buffer::from_host(context, &values).unwrap();
        assert_eq!((buffer.len(), buffer.is_empty()), (5, false));
        buffer.copy_to_host(&mut host).unwrap();
        assert_eq!(host, values);

        buffer.copy_from_host(&[other; 5]).unwrap();
        buffer.copy_to_host(&mut host).unwrap();
        assert_eq!(host, [other; 5]);

        Buffer::zeros(context, 5).unwrap().copy_to_host(&mut host).unwrap();
        assert_eq!(host, [T::zeroed(); 5]);
    }
    let c = &context;
    round_trip(c, [-0.5, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, 1.0 / 3.0], 7.25);
    round_trip(c, [-0.5, f64::MIN_POSITIVE, f64::MAX, f64::INFINITY, 1.0 / 3.0], 7.25);
    round_trip(c, [i32::MIN, -1, 0, 1, i32::MAX], 9);
    round_trip(c, [0, 1, 1 << 31, 77, u32::MAX], 9);
    round_trip(c, [0, 1, 128, 77, u8::MAX], 9);

    let nan = f32::from_bits(0x7fc1_2345);
    let mut back = [0.0];
    Buffer::from_host(c, &[nan]).unwrap().copy_to_host(&mut back).unwrap();
    assert_eq!(back[0].to_bits(), nan.to_bits());
}

#[test]
fn an_empty_buffer_is_a_buffer() {
    let Some(context) = device_or_skip() else {
        return;
    };
    for mut buffer in [Buffer::<f64>::zeros(&context, 0), Buffer::from_host(&context, &[])].map(Result::unwrap) {
        assert_eq!((buffer.len(), buffer.is_empty()), (0, true));
        assert!(buffer.as_slice().is_empty() && buffer.as_slice_mut().is_empty());
        buffer.copy_from_host(&[]).unwrap();
        buffer.copy_to_host(&mut []).unwrap();
        let operation = "copy to the host";
        let refused = Error::Length { operation, device: 0, host: 1 };
        assert_eq!(buffer.copy_to_host(&mut [0.0]), Err(refused));
    }
}

#[test]
fn wrong_lengths_are_refused_and_change_nothing() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let mut buffer = Buffer::from_host(&context, &[1_u32, 2, 3]).unwrap();
    for host in [2, 4] {
        let mut destination = vec![9; host];
        let refused = buffer.copy_to_host(&mut destination);
        let operation = "copy to the host";
        assert_eq!(refused, Err(Error::Length { operation, device: 3, host }));
        assert_eq!(destination, vec![9; host]);

        let refused = buffer.copy_from_host(&vec![9; host]);
        let operation = "copy from the host";
        assert_eq!(refused, Err(Error::Length { operation, device: 3, host }));
    }
    let mut host = [0; 3];
    buffer.copy_to_host(&mut host).unwrap();
    assert_eq!(host, [1, 2, 3]);
}

#[test]
fn a_view_is_its_range_and_no_more() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let mut buffer = Buffer::from_host(&context, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    let mut two = [0.0; 2];
    let view = buffer.slice(1, 4).unwrap();
    view.slice(2, 2).unwrap().copy_to_host(&mut two).unwrap();
    assert_eq!(two, [3.0, 4.0]);
    assert!(view.slice(4, 0).unwrap().is_empty());

    let mut view = buffer.slice_mut(1, 4).unwrap();
    let (mut head, mut tail) = view.split_at_mut(1).unwrap();
    assert_eq!((head.len(), tail.len()), (1, 3));
    head.copy_from_host(&[10.0]).unwrap();
    tail.slice_mut(1, 2).unwrap().copy_from_host(&[30.0, 40.0]).unwrap();
    tail.as_slice().slice(0, 2).unwrap().copy_to_host(&mut two).unwrap();
    assert_eq!(two, [2.0, 30.0]);
    let mut all = [0.0; 6];
    buffer.copy_to_host(&mut all).unwrap();
    assert_eq!(all, [0.0, 10.0, 2.0, 30.0, 40.0, 5.0]);
}

#[test]
fn a_view_beyond_its_memory_is_refused() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let mut buffer = Buffer::<f32>::zeros(&context, 6).unwrap();
    for (offset, len) in [(0, 7), (6, 1), (7, 0), (1, usize::MAX), (usize::MAX, 2)] {
        let refused = Error::Range { offset, len, within: 6 };
        assert_eq!(buffer.slice(offset, len).unwrap_err(), refused);
        assert_eq!(buffer.slice_mut(offset, len).unwrap_err(), refused);
        assert_eq!(buffer.as_slice_mut().slice_mut(offset, len).unwrap_err(), refused);
    }
    let mut part = buffer.slice_mut(1, 3).unwrap();
    assert_eq!(
        part.split_at_mut(4).unwrap_err().to_string(),
        "4 elements from offset 0 do not fit in 3 elements of device memory; check the layout"
    );
}

#[test]
fn impossible_sizes_are_refused() {
    let Some(context) = device_or_skip() else {
        return;
    };
    for len in [usize::MAX, usize::MAX / 8 + 2, isize::MAX as usize / 8 + 1] {
        let refused = Error::TooLarge { len, element: "f64" };
        assert_eq!(Buffer::<f64>::zeros(&context, len).unwrap_err(), refused);
    }
    let memory_bytes = context.device().memory_bytes;
    let len = 2 * memory_bytes as usize;
    assert_eq!(
        Buffer::<u8>::zeros(&context, len).unwrap_err(),
        Error::OutOfMemory { ordinal: 0, len, element: "u8", bytes: len, memory_bytes }
    );
}

#[test]
fn a_buffer_outlives_its_context_and_crosses_threads() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let buffer = Buffer::from_host(&context, &[1_u8, 2, 3]).unwrap();
    drop(context);
    let host = thread::spawn(move || {
        let mut host = [0; 3];
        buffer.copy_to_host(&mut host).map(|()| host)
    });
    assert_eq!(host.join().unwrap(), Ok([1, 2, 3]));
}
