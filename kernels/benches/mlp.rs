//! The fused training steps of small perceptrons, per instruction set and number type; throughput in steps.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use handgrad_kernels::mlp::{Bias, Hidden, MlpShape, mlp_sgd};
use handgrad_kernels::mse::MseScale;
use handgrad_kernels::testing::{Cases, cpu_contexts};
use handgrad_kernels::{Buffer, Real, StepRule, StepSizes, Steps};

const STEPS: usize = 20_000;
const SAMPLES: usize = 64;

/// Widths, biases, activation and norm to clip to.
type Network = (&'static [usize], Bias, Hidden, Option<f64>);

const NETWORKS: [Network; 4] = [
    (&[1, 100, 1], Bias::First, Hidden::Relu, None),
    (&[2, 20, 1], Bias::None, Hidden::Relu, None),
    (&[5, 10, 10, 1], Bias::All, Hidden::Relu, None),
    (&[15, 15, 15, 15, 1], Bias::None, Hidden::Identity, Some(1.0)),
];

fn sgd<T: Real>(c: &mut Criterion) {
    for (widths, bias, activation, clip) in NETWORKS {
        let name = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
        let mut group = c.benchmark_group(format!("mlp_sgd/{name}/{}", T::DTYPE.name()));
        for cx in cpu_contexts() {
            for replicas in [1, 2, 4] {
                let stride = widths[0].next_multiple_of(64 / size_of::<T>());
                let shape = MlpShape { widths, bias, activation, n: SAMPLES, stride, replicas };
                let mut cases = Cases::new(1);
                let x = Buffer::from_slice(&cx, &cases.reals::<T>(SAMPLES * stride)).expect("host memory");
                let y = cases.reals::<T>(SAMPLES);
                let mut params: Vec<T> =
                    cases.reals::<T>(replicas * shape.params()).iter().map(|&p| p * T::from_f64(0.3)).collect();
                let order = cases.indices(replicas * STEPS, SAMPLES);
                let lr = vec![T::from_f64(0.001); STEPS];
                let mut diverged = vec![None; replicas];
                let rule = StepRule { scale: MseScale::Half, clip: clip.map(T::from_f64), weight_decay: T::ZERO };
                group.throughput(Throughput::Elements((replicas * STEPS) as u64));
                group.bench_function(BenchmarkId::new(cx.isa().name(), format!("replicas={replicas}")), |bencher| {
                    bencher.iter(|| {
                        let steps = Steps { order: (&order).into(), batch: 1, lr: StepSizes::Shared(&lr) };
                        let (y, params) = ((&y).into(), (&mut params).into());
                        mlp_sgd(&cx, &shape, &rule, x.view(), y, steps, params, &mut diverged).expect("valid arguments");
                    });
                });
                assert!(diverged.iter().all(Option::is_none), "the step size must be stable");
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = sgd::<f32>, sgd::<f64>
}
criterion_main!(benches);
