//! The fully connected layer beside the general matrix product, per shape and instruction set; throughput in multiply-adds.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use handgrad_kernels::gemm::{GemmShape, gemm_forward};
use handgrad_kernels::linear::{LinearShape, linear_backward_data, linear_backward_weight, linear_forward};
use handgrad_kernels::testing::{Cases, cpu_contexts};
use handgrad_kernels::{Acc, Isa, Real};

const SHAPES: [[usize; 3]; 9] = [
    [32, 15, 15],
    [1, 1, 100],
    [32, 2, 10],
    [1, 200, 200],
    [32, 200, 200],
    [512, 100, 100],
    [128, 784, 100],
    [128, 512, 10],
    [256, 784, 512],
];

fn linear<T: Real>(c: &mut Criterion) {
    for [n, inputs, outputs] in SHAPES {
        let mut group = c.benchmark_group(format!("linear/{}/n={n} {inputs}->{outputs}", T::DTYPE.name()));
        group.throughput(Throughput::Elements((n * inputs * outputs) as u64));
        let shape = LinearShape::new(n, inputs, outputs);
        let mut cases = Cases::new(1);
        let (mut x, mut y): (Vec<T>, Vec<T>) = (cases.reals(n * inputs), cases.reals(n * outputs));
        let mut w: Vec<T> = cases.reals(outputs * inputs);
        // The products by their strides: y = x wᵀ, dx = dy w, dw = dyᵀ x.
        let forward = GemmShape { b: [1, inputs], ..GemmShape::row_major(n, outputs, inputs) };
        let data = GemmShape::row_major(n, inputs, outputs);
        let weight = GemmShape { a: [1, outputs], ..GemmShape::row_major(outputs, inputs, n) };
        for cx in cpu_contexts() {
            let id = |pass: &str| BenchmarkId::new(pass, cx.isa().name());
            group.bench_function(id("forward"), |bencher| {
                bencher.iter(|| linear_forward(&cx, &shape, (&x).into(), (&w).into(), None, (&mut y).into(), Acc::Set));
            });
            group.bench_function(id("backward_data"), |bencher| {
                bencher.iter(|| linear_backward_data(&cx, &shape, (&w).into(), (&y).into(), (&mut x).into(), Acc::Set));
            });
            group.bench_function(id("backward_weight"), |bencher| {
                bencher.iter(|| linear_backward_weight(&cx, &shape, (&x).into(), (&y).into(), (&mut w).into(), Acc::Set));
            });
            if cx.isa() == Isa::Avx2 {
                group.bench_function("forward/gemm", |bencher| {
                    bencher.iter(|| gemm_forward(&cx, &forward, (&x).into(), (&w).into(), (&mut y).into(), Acc::Set));
                });
                group.bench_function("backward_data/gemm", |bencher| {
                    bencher.iter(|| gemm_forward(&cx, &data, (&y).into(), (&w).into(), (&mut x).into(), Acc::Set));
                });
                group.bench_function("backward_weight/gemm", |bencher| {
                    bencher.iter(|| gemm_forward(&cx, &weight, (&y).into(), (&x).into(), (&mut w).into(), Acc::Set));
                });
            }
            // Each pass read what another one had written: start anew.
            (x, y, w) = (cases.reals(n * inputs), cases.reals(n * outputs), cases.reals(outputs * inputs));
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(100))
        .measurement_time(std::time::Duration::from_millis(300));
    targets = linear::<f32>, linear::<f64>
}
criterion_main!(benches);
