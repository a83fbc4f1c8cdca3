use super::*;
use crate::context::tests::device_or_skip;
use crate::{Buffer, Event};

const N: usize = 1000;

/// `w -= lr * gradient` by a kernel whose parameters are of every kind: pointers, sizes and numbers.
struct Descent {
    gradient: Buffer<f32>,
    params: Buffer<f32>,
}

impl Descent {
    fn new(context: &Context) -> Descent {
        let gradient: Vec<f32> = (0..N).map(|i| i as f32).collect();
        Descent {
            gradient: Buffer::from_host(context, &gradient).unwrap(),
            params: Buffer::from_host(context, &[1.0; N]).unwrap(),
        }
    }

    fn launch<'a>(&mut self, context: &'a Context, n: u64, lr: f32) -> Launch<'a> {
        Launch::new(context, "combine", "scale_add_f32")
            .unwrap()
            .grid([4, 1, 1])
            .block([256, 1, 1])
            .read(self.gradient.as_slice())
            .write(&mut self.params.as_slice_mut())
            .value(n)
            .value(1.0_f32)
            .value(-lr)
    }

    fn step(&mut self, context: &Context, lr: f32) -> Result<()> {
        let launch = self.launch(context, N as u64, lr);
        // SAFETY: both buffers have N elements.
        unsafe { launch.queue() }
    }

    /// Fails unless every parameter is `1 - total * gradient`, which is exact for the step sizes used here.
    fn assert_descended(&self, total: f32) {
        let mut params = [0.0; N];
        self.params.copy_to_host(&mut params).unwrap();
        for (i, got) in params.into_iter().enumerate() {
            assert_eq!(got, 1.0 - total * i as f32, "{i}");
        }
    }
}

/// The error of a launch that must not be queued.
fn refused(launch: Launch<'_>) -> String {
    // SAFETY: not reached by the kernel: the callers' launches are refused.
    unsafe { launch.queue() }.unwrap_err().to_string()
}

#[test]
fn a_kernel_gets_its_arguments() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let mut descent = Descent::new(&context);
    descent.step(&context, 0.5).unwrap();
    descent.assert_descended(0.5);
    assert_eq!(context.kernel("combine", "scale_add_f32").unwrap().name(), "scale_add_f32");
}

#[test]
fn unknown_names_are_refused() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let error = context.kernel("sdg", "scale_add_f32").unwrap_err().to_string();
    assert!(error.starts_with("there is no device code `sdg`; there is: ") && error.contains("sgd"), "{error}");
    for name in ["sgd_update_f16", "sgd\0"] {
        let error = context.kernel("sgd", name).unwrap_err();
        assert_eq!(error, Error::NoSuchKernel { code: "sgd", kernel: name.to_owned() });
    }
}

#[test]
fn arguments_of_other_counts_and_sizes_are_refused() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let mut descent = Descent::new(&context);
    let more = descent.launch(&context, N as u64, 0.5).value(0.0_f32);
    assert_eq!(
        refused(more),
        "scale_add_f32: launched with 6 arguments, expected 5; compare the launcher with the kernel's signature"
    );
    let fewer = Launch::new(&context, "combine", "scale_add_f32").unwrap();
    assert!(refused(fewer).contains("launched with 0 arguments, expected 5"));
    let double = {
        let mut launch = descent.launch(&context, N as u64, 0.5);
        launch.arguments.pop();
        launch.value(0.0_f64)
    };
    assert!(refused(double).contains("argument 4 (counted from 0) has 8 bytes, expected 4"));
    descent.assert_descended(0.0);
}

#[test]
fn memory_of_another_context_is_refused() {
    let Some(context) = device_or_skip() else {
        return;
    };
    for other in [context.fork().unwrap(), Context::new(0).unwrap()] {
        let mut descent = Descent::new(&other);
        let error = refused(descent.launch(&context, N as u64, 0.5));
        assert!(error.starts_with("scale_add_f32: argument 0 (counted from 0) belongs to another context"), "{error}");
        descent.step(&other, 0.25).unwrap();
        descent.assert_descended(0.25);
    }
}

#[test]
fn what_the_device_cannot_launch_is_refused() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let mut descent = Descent::new(&context);
    let mut launch = || descent.launch(&context, N as u64, 0.5);
    for (error, says) in [
        (refused(launch().grid([0, 1, 1])), "grid.x is 0, expected 1 to "),
        (refused(launch().grid([1, 70_000, 1])), "grid.y is 70000, expected 1 to 65535"),
        (refused(launch().grid([1, 1, 1 << 32])), "grid.z is 4294967296, expected 1 to 65535"),
        (refused(launch().block([256, 0, 1])), "block.y is 0, expected 1 to 1024"),
        (refused(launch().block([1, 1, 65])), "block.z is 65, expected 1 to 64"),
        // The kernel is compiled for 256.
        (refused(launch().block([257, 1, 1])), "the number of threads of a block is 257, expected 1 to 256"),
        (refused(launch().shared_bytes(1 << 20)), "dynamic shared memory in bytes is 1048576, expected 0 to "),
        (refused(launch().cluster([2, 0, 1])), "the number of blocks of a cluster is 0, expected 1 to 8"),
        (refused(launch().cluster([4, 4, 1])), "the number of blocks of a cluster is 16, expected 1 to 8"),
        (refused(launch().grid([4, 3, 1]).cluster([1, 2, 1])), "grid.y is 3, expected a multiple of the cluster's 2"),
    ] {
        assert!(error.starts_with(&format!("scale_add_f32: {says}")), "{error}");
    }
    // More than every kernel may use without asking.
    // SAFETY: as in `step`.
    unsafe { launch().shared_bytes(100 << 10).queue() }.unwrap();
    descent.assert_descended(0.5);
}

#[test]
fn a_graph_does_again_what_was_recorded_and_keeps_its_memory() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let mut descent = Descent::new(&context);
    let mut graph = context
        .record(|| {
            descent.step(&context, 0.5)?;
            descent.step(&context, 0.25)
        })
        .unwrap();
    descent.assert_descended(0.0);
    graph.upload().unwrap();
    graph.launch().unwrap();
    graph.launch().unwrap();
    descent.assert_descended(1.5);

    // What it reads and writes is there as long as the graph, and so is the kernel.
    drop((descent, context));
    graph.launch().unwrap();
}

#[test]
fn what_cannot_be_recorded_is_refused_and_the_context_goes_on() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let mut descent = Descent::new(&context);
    let recording = |operation| Error::Recording { operation };
    let mut graph = context.record(|| descent.step(&context, 0.5)).unwrap();
    let refused: Result<_> = context.record(|| {
        assert_eq!(Buffer::<f32>::zeros(&context, 1).unwrap_err(), recording("allocate a buffer"));
        assert_eq!(descent.params.copy_to_host(&mut [0.0; N]), Err(recording("copy to the host")));
        assert_eq!(descent.params.copy_from_host(&[0.0; N]), Err(recording("copy from the host")));
        assert_eq!(context.synchronize(), Err(recording("finish the queued work")));
        assert_eq!(Event::record(&context).unwrap_err(), recording("record an event"));
        assert_eq!(graph.launch(), Err(recording("launch a graph")));
        assert_eq!(context.record(|| -> Result<()> { Ok(()) }).unwrap_err(), recording("record a graph"));
        descent.step(&context, 0.5)?;
        Err(Error::EmptyGraph)
    });
    assert_eq!(refused.unwrap_err(), Error::EmptyGraph);
    assert_eq!(context.record(|| -> Result<()> { Ok(()) }).unwrap_err(), Error::EmptyGraph);
    descent.assert_descended(0.0);

    let given_back = std::cell::Cell::new(Some(Descent::new(&context)));
    let mut graph = context
        .record(|| {
            let mut descent = given_back.take().unwrap();
            descent.step(&context, 0.5)
        })
        .unwrap();
    graph.launch().unwrap();
    descent.step(&context, 0.25).unwrap();
    descent.assert_descended(0.25);
}

#[test]
fn what_work_allocates_belongs_to_its_graph() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let mut descent = Descent::new(&context);
    // By way of scratch memory: zeros that become the gradient. The second is of the first one's size, and so may be the same.
    let step = |descent: &mut Descent, lr: f32| -> Result<()> {
        for share in [0.5, 0.25] {
            let mut scratch = Descent { gradient: Buffer::zeros(&context, 1)?, params: Buffer::zeros(&context, N)? };
            std::mem::swap(&mut scratch.gradient, &mut descent.gradient);
            let done = scratch.step(&context, -share);
            std::mem::swap(&mut scratch.gradient, &mut descent.gradient);
            done?;
            let gradient = std::mem::replace(&mut descent.gradient, scratch.params);
            let done = descent.step(&context, lr);
            descent.gradient = gradient;
            done?;
        }
        Ok(())
    };
    let mut graph = context.run_and_record(|| step(&mut descent, 1.0)).unwrap();
    descent.assert_descended(0.75);
    // Nobody else gets the graph's memory.
    let others: Vec<_> = (0..4).map(|_| Buffer::from_host(&context, &[7.0_f32; N]).unwrap()).collect();
    graph.launch().unwrap();
    descent.assert_descended(1.5);
    for other in others {
        let mut values = [0.0; N];
        other.copy_to_host(&mut values).unwrap();
        assert_eq!(values, [7.0; N]);
    }

    // More than the first time is refused, and so is a failure; the context goes on.
    let mut calls = 0;
    let more = |count: &mut usize| -> Result<()> {
        *count += 1;
        Buffer::<f32>::zeros(&context, *count * N).map(drop)
    };
    assert_eq!(context.run_and_record(|| more(&mut calls)).unwrap_err(), Error::Recording { operation: "allocate a buffer" });
    assert_eq!((calls, context.run_and_record(|| Err(Error::EmptyGraph)).unwrap_err()), (2, Error::EmptyGraph));
    step(&mut descent, 1.0).unwrap();
    descent.assert_descended(2.25);
}

#[test]
fn other_threads_wait_while_one_records() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let (mut recorded, mut queued) = (Descent::new(&context), Descent::new(&context));
    let begun = std::sync::Barrier::new(2);
    let mut graph = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            begun.wait();
            queued.step(&context, 0.5).unwrap();
            queued.assert_descended(0.5);
        });
        let graph = context.record(|| {
            begun.wait();
            // Time for the other thread to be wrong.
            std::thread::sleep(std::time::Duration::from_millis(50));
            recorded.step(&context, 0.5)
        });
        other.join().unwrap();
        graph.unwrap()
    });
    recorded.assert_descended(0.0);
    graph.launch().unwrap();
    recorded.assert_descended(0.5);
    queued.assert_descended(0.5);
}

#[test]
fn events_order_contexts_and_measure_time() {
    let Some(context) = device_or_skip() else {
        return;
    };
    let other = context.fork().unwrap();
    let mut descent = Descent::new(&context);
    let start = Event::record(&context).unwrap();
    descent.step(&context, 0.5).unwrap();
    let end = Event::record(&context).unwrap();
    other.wait_for(&end).unwrap();
    other.synchronize().unwrap();
    end.synchronize().unwrap();
    let milliseconds = end.milliseconds_since(&start).unwrap();
    assert!(milliseconds.is_finite() && milliseconds >= 0.0, "{milliseconds}");
    descent.assert_descended(0.5);
}

#[test]
fn launches_and_graphs_can_move_between_threads() {
    fn sent<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    sent::<crate::Graph>();
    shared::<Kernel>();
    shared::<Event>();
    shared::<TensorMap>();
    shared::<Launch<'_>>();
}
