//! The fused training steps of the diagonal network, per instruction set and number type; throughput in steps.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use handgrad_kernels::diagonal::{DiagonalShape, StepSizes, Steps, diagonal_gd, diagonal_sgd};
use handgrad_kernels::testing::{Cases, cpu_contexts};
use handgrad_kernels::{Buffer, Context, Real};

/// A data set with aligned rows and as many parameters as the replicas need.
struct Problem<T: Real> {
    shape: DiagonalShape,
    x: Buffer<T>,
    y: Vec<T>,
    params: Vec<T>,
}

fn problem<T: Real>(cx: &Context, replicas: usize) -> Problem<T> {
    let (n, d) = (80, 200);
    let stride = DiagonalShape::aligned_stride::<T>(d);
    let mut cases = Cases::new(1);
    let x = Buffer::from_slice(cx, &cases.reals(n * stride)).expect("host memory");
    let params = cases.reals::<T>(replicas * 2 * d).iter().map(|&p| p * T::from_f64(0.1)).collect();
    Problem { shape: DiagonalShape { n, d, stride, replicas }, x, y: cases.reals(n), params }
}

fn sgd<T: Real>(c: &mut Criterion) {
    const STEPS: usize = 20_000;
    let mut group = c.benchmark_group(format!("diagonal_sgd/{}", T::DTYPE.name()));
    for cx in cpu_contexts() {
        for replicas in [1, 2] {
            let mut problem = problem::<T>(&cx, replicas);
            let order = Cases::new(2).indices(replicas * STEPS, problem.shape.n);
            let lr = vec![T::from_f64(0.02); STEPS];
            let mut diverged = vec![None; replicas];
            group.throughput(Throughput::Elements((replicas * STEPS) as u64));
            group.bench_function(BenchmarkId::new(cx.isa().name(), format!("replicas={replicas}")), |bencher| {
                bencher.iter(|| {
                    let steps = Steps { order: (&order).into(), batch: 1, lr: StepSizes::Shared(&lr) };
                    let (x, y, params) = (problem.x.view(), (&problem.y).into(), (&mut problem.params).into());
                    diagonal_sgd(&cx, &problem.shape, x, y, steps, params, &mut diverged).expect("valid arguments");
                });
            });
            assert!(diverged.iter().all(Option::is_none), "the step size must be stable");
        }
    }
}

fn gd<T: Real>(c: &mut Criterion) {
    const STEPS: usize = 200;
    let mut group = c.benchmark_group(format!("diagonal_gd/{}", T::DTYPE.name()));
    for cx in cpu_contexts() {
        let mut problem = problem::<T>(&cx, 1);
        let lr = vec![T::from_f64(0.05); STEPS];
        group.throughput(Throughput::Elements(STEPS as u64));
        group.bench_function(cx.isa().name(), |bencher| {
            bencher.iter(|| {
                let (x, y, params) = (problem.x.view(), (&problem.y).into(), (&mut problem.params).into());
                diagonal_gd(&cx, &problem.shape, x, y, StepSizes::Shared(&lr), params, &mut [None]).expect("valid arguments");
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
