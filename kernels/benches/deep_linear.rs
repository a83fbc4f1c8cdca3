//! The fused training steps of a 15-15-15-15-1 deep linear network, per instruction set and number type; throughput in steps.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use handgrad_kernels::deep_linear::{DeepLinearShape, deep_linear_gd, deep_linear_sgd};
use handgrad_kernels::mse::MseScale;
use handgrad_kernels::testing::{Cases, cpu_contexts};
use handgrad_kernels::{Buffer, Context, Real, StepRule, StepSizes, Steps};

const WIDTHS: [usize; 5] = [15, 15, 15, 15, 1];
const SAMPLES: usize = 10_000;

/// A data set with aligned rows and as many parameters as the replicas need.
struct Problem<T: Real> {
    shape: DeepLinearShape<'static>,
    x: Buffer<T>,
    y: Vec<T>,
    params: Vec<T>,
}

fn problem<T: Real>(cx: &Context, replicas: usize) -> Problem<T> {
    let mut cases = Cases::new(1);
    let shape = DeepLinearShape { widths: &WIDTHS, n: SAMPLES, stride: 16, replicas };
    let x: Vec<T> = cases.reals(SAMPLES * 16);
    let y = x.chunks_exact(16).map(|row| row[..5].iter().copied().sum()).collect();
    let params = cases.reals::<T>(replicas * shape.params()).iter().map(|&w| w * T::from_f64(0.4)).collect();
    Problem { shape, x: Buffer::from_slice(cx, &x).expect("host memory"), y, params }
}

fn clipped<T: Real>() -> StepRule<T> {
    StepRule { scale: MseScale::Full, clip: Some(T::ONE), weight_decay: T::ZERO }
}

fn sgd<T: Real>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("deep_linear_sgd/{}", T::DTYPE.name()));
    for cx in cpu_contexts() {
        for (batch, replicas, steps) in [(1, 1, 20_000), (1, 2, 20_000), (32, 1, 5_000), (512, 1, 500)] {
            let mut problem = problem::<T>(&cx, replicas);
            let order = Cases::new(2).indices(replicas * steps * batch, SAMPLES);
            let lr = vec![T::from_f64(0.01); steps];
            let mut diverged = vec![None; replicas];
            group.throughput(Throughput::Elements((replicas * steps) as u64));
            let name = BenchmarkId::new(cx.isa().name(), format!("batch={batch} replicas={replicas}"));
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let steps = Steps { order: (&order).into(), batch, lr: StepSizes::Shared(&lr) };
                    let (x, y, params) = (problem.x.view(), (&problem.y).into(), (&mut problem.params).into());
                    deep_linear_sgd(&cx, &problem.shape, &clipped(), x, y, steps, params, &mut diverged)
                        .expect("valid arguments");
                });
            });
            assert!(diverged.iter().all(Option::is_none), "the step size must be stable");
        }
    }
}

fn gd<T: Real>(c: &mut Criterion) {
    const STEPS: usize = 20;
    let mut group = c.benchmark_group(format!("deep_linear_gd/{}", T::DTYPE.name()));
    for cx in cpu_contexts() {
        let mut problem = problem::<T>(&cx, 1);
        let lr = vec![T::from_f64(0.01); STEPS];
        group.throughput(Throughput::Elements(STEPS as u64));
        group.bench_function(cx.isa().name(), |bencher| {
            bencher.iter(|| {
                let (x, y, params) = (problem.x.view(), (&problem.y).into(), (&mut problem.params).into());
                deep_linear_gd(&cx, &problem.shape, &clipped(), x, y, StepSizes::Shared(&lr), params, &mut [None])
                    .expect("valid arguments");
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = sgd::<f32>, sgd::<f64>, gd::<f32>, gd::<f64>
}
criterion_main!(benches);
