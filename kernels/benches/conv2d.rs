//! Convolution at the shapes of ResNet-18's four groups, batch 32, per pass and instruction set; throughput in multiply-adds.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use handgrad_kernels::conv2d::{Conv2dShape, conv2d_backward_data, conv2d_backward_weight, conv2d_forward};
use handgrad_kernels::testing::{Cases, cpu_contexts};
use handgrad_kernels::{Acc, Isa};

/// Images, rows and columns, channels in and out, window, stride.
const SHAPES: [[usize; 6]; 8] = [
    [32, 32, 64, 64, 3, 1],
    [32, 16, 128, 128, 3, 1],
    [32, 8, 256, 256, 3, 1],
    [32, 4, 512, 512, 3, 1],
    [32, 32, 3, 64, 3, 1],
    [32, 32, 64, 128, 3, 2],
    [32, 32, 64, 128, 1, 2],
    [32, 32, 8, 8, 3, 1],
];

fn conv2d(c: &mut Criterion) {
    // Ratios of one run are comparable on a single thread only.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for [n, extent, channels, k, size, stride] in SHAPES {
        let shape = Conv2dShape { n, h: extent, w: extent, c: channels, k, size, stride, pad: size / 2 };
        let [rows, columns] = shape.out();
        let mut group = c.benchmark_group(format!("conv2d/{extent}x{extent}x{channels}->{k} {size}x{size}/{stride}"));
        group.throughput(Throughput::Elements((n * rows * columns * k * size * size * channels) as u64));
        let mut cases = Cases::new(1);
        let (mut x, mut w): (Vec<f32>, Vec<f32>) =
            (cases.reals(n * extent * extent * channels), cases.reals(k * size * size * channels));
        let mut y: Vec<f32> = cases.reals(n * rows * columns * k);
        for cx in cpu_contexts().into_iter().filter(|cx| cx.isa() != Isa::Scalar || n * k * channels <= 1 << 12) {
            let id = |pass: &str| BenchmarkId::new(pass, cx.isa().name());
            group.bench_function(id("forward"), |bencher| {
                let run = || conv2d_forward(&cx, &shape, (&x).into(), (&w).into(), (&mut y).into(), Acc::Set);
                pool.install(|| bencher.iter(run));
            });
            y = cases.reals(y.len());
            group.bench_function(id("backward_data"), |bencher| {
                let run = || conv2d_backward_data(&cx, &shape, (&w).into(), (&y).into(), (&mut x).into(), Acc::Set);
                pool.install(|| bencher.iter(run));
            });
            x = cases.reals(x.len());
            group.bench_function(id("backward_weight"), |bencher| {
                let run = || conv2d_backward_weight(&cx, &shape, (&x).into(), (&y).into(), (&mut w).into(), Acc::Set);
                pool.install(|| bencher.iter(run));
            });
            w = cases.reals(w.len());
        }
    }
}

criterion_group! { name = benches; config = Criterion::default(); targets = conv2d }
criterion_main!(benches);
