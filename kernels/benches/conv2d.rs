//! Convolution at the shapes of ResNet-18, batch 32 and 128, per pass, instruction set and way to compute; throughput in
//! multiply-adds of the definition.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use handgrad_kernels::conv2d::{Conv2dShape, Convolution, conv2d_backward_data, conv2d_backward_weight, conv2d_forward};
use handgrad_kernels::testing::{Cases, cpu_contexts};
use handgrad_kernels::{Acc, Context, Isa};

/// Images, rows and columns, channels in and out, window, stride.
const SHAPES: [[usize; 6]; 12] = [
    [32, 32, 64, 64, 3, 1],
    [32, 16, 128, 128, 3, 1],
    [32, 8, 256, 256, 3, 1],
    [32, 4, 512, 512, 3, 1],
    [32, 32, 3, 64, 3, 1],
    [32, 32, 64, 128, 3, 2],
    [32, 32, 64, 128, 1, 2],
    [32, 32, 8, 8, 3, 1],
    [128, 32, 64, 64, 3, 1],
    [128, 16, 128, 128, 3, 1],
    [128, 8, 256, 256, 3, 1],
    [128, 4, 512, 512, 3, 1],
];

/// Every instruction set, summing directly and as it is quickest; the scalar definition where it ends in a second.
fn ways(products: usize) -> Vec<Context> {
    let of = |cx: Context| match cx.isa() {
        Isa::Scalar if products > 1 << 30 => vec![],
        Isa::Scalar => vec![cx],
        isa => vec![cx, Context::cpu_with(isa).unwrap().with_convolution(Convolution::Direct)],
    };
    cpu_contexts().into_iter().flat_map(of).collect()
}

fn conv2d(c: &mut Criterion) {
    // Ratios of one run are comparable on a single thread only.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for [n, extent, channels, k, size, stride] in SHAPES {
        let shape = Conv2dShape { n, h: extent, w: extent, c: channels, k, size, stride, pad: size / 2 };
        let [rows, columns] = shape.out();
        let products = n * rows * columns * k * size * size * channels;
        let mut group = c.benchmark_group(format!("conv2d/{n}x{extent}x{extent}x{channels}->{k} {size}x{size}/{stride}"));
        group.throughput(Throughput::Elements(products as u64)).sample_size(10);
        let mut cases = Cases::new(1);
        let (mut x, mut w): (Vec<f32>, Vec<f32>) =
            (cases.reals(n * extent * extent * channels), cases.reals(k * size * size * channels));
        let mut y: Vec<f32> = cases.reals(n * rows * columns * k);
        for cx in ways(products) {
            let id = |pass: &str| BenchmarkId::new(pass, cx.variant());
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
