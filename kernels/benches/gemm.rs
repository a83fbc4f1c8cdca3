//! Matrix products, squares and those of ResNet-18's convolutions, beside matrixmultiply's on one thread; throughput in
//! multiply-adds.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use handgrad_kernels::gemm::{GemmShape, gemm_forward};
use handgrad_kernels::testing::{Cases, cpu_contexts};
use handgrad_kernels::{Acc, Isa};

/// Rows, columns and the sum's length.
const SHAPES: [[usize; 3]; 9] = [
    [128, 128, 128],
    [256, 256, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
    [2048, 2048, 2048],
    [64, 32768, 576],
    [128, 8192, 1152],
    [256, 2048, 2304],
    [512, 512, 4608],
];

fn gemm(c: &mut Criterion) {
    for [m, n, k] in SHAPES {
        let mut group = c.benchmark_group(format!("gemm/{m}x{n}x{k}"));
        group.throughput(Throughput::Elements((m * n * k) as u64)).sample_size(10);
        let mut cases = Cases::new(1);
        let (a, b, mut to): (Vec<f32>, Vec<f32>, Vec<f32>) = (cases.reals(m * k), cases.reals(k * n), cases.reals(m * n));
        let shape = GemmShape::row_major(m, n, k);
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for cx in cpu_contexts().into_iter().filter(|cx| cx.isa() != Isa::Scalar) {
                group.bench_function(BenchmarkId::new(cx.isa().name(), threads), |bencher| {
                    let run = || gemm_forward(&cx, &shape, (&a).into(), (&b).into(), (&mut to).into(), Acc::Set);
                    pool.install(|| bencher.iter(run));
                });
            }
        }
        group.bench_function(BenchmarkId::new("matrixmultiply", 1), |bencher| {
            let (rows, columns) = ((k as isize, 1), (n as isize, 1));
            bencher.iter(|| {
                // SAFETY: the vectors hold m x k, k x n and m x n elements, row by row.
                unsafe {
                    let (a, b, c) = (a.as_ptr(), b.as_ptr(), to.as_mut_ptr());
                    matrixmultiply::sgemm(m, k, n, 1.0, a, rows.0, rows.1, b, columns.0, columns.1, 0.0, c, n as isize, 1);
                }
            });
        });
    }
}

criterion_group! { name = benches; config = Criterion::default(); targets = gemm }
criterion_main!(benches);
