//! The fused training step of a 200-200-200 perceptron, per instruction set and number type; throughput in steps.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use handgrad_kernels::activation::Activation;
use handgrad_kernels::mse::MseScale;
use handgrad_kernels::testing::{Cases, cpu_contexts};
use handgrad_kernels::wide_mlp::{WideMlpShape, wide_mlp_sgd};
use handgrad_kernels::{Buffer, Real, StepSizes, Steps};

const WIDTH: usize = 200;
const SAMPLES: usize = 100;
const STEPS: usize = 2048;

fn sgd<T: Real>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("wide_mlp_sgd/{}", T::DTYPE.name()));
    group.throughput(Throughput::Elements(STEPS as u64));
    for cx in cpu_contexts() {
        for activation in [Activation::Relu, Activation::Tanh] {
            let shape =
                WideMlpShape { inputs: WIDTH, hidden: WIDTH, outputs: WIDTH, activation, n: SAMPLES, stride: 208, replicas: 1 };
            let mut cases = Cases::new(1);
            let x = Buffer::from_slice(&cx, &cases.reals::<T>(SAMPLES * shape.stride)).expect("host memory");
            let y: Vec<T> = cases.reals(SAMPLES * WIDTH);
            let mut params: Vec<T> = cases.reals::<T>(shape.params()).iter().map(|&w| w * T::from_f64(0.07)).collect();
            let (order, lr) = (cases.indices(STEPS, SAMPLES), vec![T::from_f64(0.3); STEPS]);
            let mut diverged = [None];
            group.bench_function(BenchmarkId::new(cx.isa().name(), format!("{activation:?}")), |bencher| {
                bencher.iter(|| {
                    let steps = Steps { order: (&order).into(), batch: 1, lr: StepSizes::Shared(&lr) };
                    let (x, y, params) = (x.view(), (&y).into(), (&mut params).into());
                    wide_mlp_sgd(&cx, &shape, MseScale::Full, x, y, steps, params, &mut diverged).expect("valid arguments");
                });
            });
            assert_eq!(diverged, [None], "the step size must be stable");
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = sgd::<f32>, sgd::<f64>
}
criterion_main!(benches);
