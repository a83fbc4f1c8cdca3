//! Batch normalisation with ReLU, without and with a residual, at the shapes of ResNet-18's four groups, batch 32: in one pass
//! (fused) and operator by operator (unfused), per instruction set. Throughput in bytes that the fused passes read and write.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use handgrad_kernels::activation::{Activation, activation_backward, activation_forward};
use handgrad_kernels::batchnorm::{
    After, BatchNormShape, Gate, Gated, Moments, batchnorm_backward_affine, batchnorm_backward_data, batchnorm_forward,
    batchnorm_moments,
};
use handgrad_kernels::combine::combine;
use handgrad_kernels::testing::{Cases, cpu_contexts};
use handgrad_kernels::{Acc, Context, Isa, Result, View};

/// Rows and channels.
const SHAPES: [[usize; 2]; 4] = [[32 * 32 * 32, 64], [32 * 16 * 16, 128], [32 * 8 * 8, 256], [32 * 4 * 4, 512]];

/// What the passes read.
struct Case {
    cx: Context,
    shape: BatchNormShape,
    x: Vec<f32>,
    residual: Vec<f32>,
    dy: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
}

/// What they write: γ x̂ + β, the sum with the residual, y, and the gradients by them; by the residual, by x, by γ and β.
struct Outputs {
    values: [Vec<f32>; 3],
    gradients: [Vec<f32>; 2],
    ds: Vec<f32>,
    dx: Vec<f32>,
    affine: [Vec<f32>; 2],
}

impl Case {
    fn new(cx: Context, [rows, c]: [usize; 2]) -> (Case, Outputs) {
        let (mut cases, elements) = (Cases::new(1), rows * c);
        let [x, residual, dy, ds, dx] = [(); 5].map(|()| cases.reals(elements));
        let [w, b, mean, dw, db] = [(); 5].map(|()| cases.reals(c));
        let [values, [first, second, _]] = [(); 2].map(|()| [(); 3].map(|()| cases.reals(elements)));
        let case = Case { cx, shape: BatchNormShape { rows, c }, x, residual, dy, w, b, mean, variance: vec![0.3; c] };
        (case, Outputs { values, gradients: [first, second], ds, dx, affine: [dw, db] })
    }

    fn at(&self) -> (View<'_, f32>, Moments<'_, f32>, [View<'_, f32>; 2]) {
        let moments = Moments { mean: (&self.mean).into(), variance: (&self.variance).into(), epsilon: 1e-5 };
        ((&self.x).into(), moments, [(&self.w).into(), (&self.b).into()])
    }

    fn forward_fused(&self, with_residual: bool, out: &mut Outputs) -> Result<()> {
        let (x, moments, affine) = self.at();
        let after = After { residual: with_residual.then(|| (&self.residual).into()), relu: true };
        batchnorm_forward(&self.cx, &self.shape, x, moments, affine, after, (&mut out.values[2]).into())
    }

    fn forward_unfused(&self, with_residual: bool, out: &mut Outputs) -> Result<()> {
        let (x, moments, affine) = self.at();
        let [normalised, sum, y] = &mut out.values;
        batchnorm_forward(&self.cx, &self.shape, x, moments, affine, After::NOTHING, normalised.into())?;
        if with_residual {
            combine(&self.cx, [(1.0, (&*normalised).into()), (1.0, (&self.residual).into())], sum.into(), Acc::Set)?;
        }
        let before = if with_residual { sum } else { normalised };
        activation_forward(&self.cx, Activation::Relu, (&*before).into(), y.into())
    }

    fn backward_fused(&self, with_residual: bool, out: &mut Outputs) -> Result<()> {
        let (dy, [w, b]) = (View::from(&self.dy), [View::from(&self.w), View::from(&self.b)]);
        if with_residual {
            let dy = Gated { dy, gate: Gate::Outputs((&out.values[2]).into()) };
            self.affine(dy, Some(&mut out.ds), &mut out.affine)?;
            self.data(View::from(&out.ds).into(), &out.affine, &mut out.dx)
        } else {
            let dy = Gated { dy, gate: Gate::Normalised([w, b]) };
            self.affine(dy, None, &mut out.affine)?;
            self.data(dy, &out.affine, &mut out.dx)
        }
    }

    fn backward_unfused(&self, with_residual: bool, out: &mut Outputs) -> Result<()> {
        let before = View::from(&out.values[usize::from(with_residual)]);
        let [by_sum, by_normalised] = &mut out.gradients;
        activation_backward(&self.cx, Activation::Relu, before, (&self.dy).into(), by_sum.into())?;
        if with_residual {
            for gradient in [&mut out.ds, by_normalised] {
                combine(&self.cx, [(1.0, (&*by_sum).into())], gradient.into(), Acc::Set)?;
            }
        }
        let dy = View::from(&out.gradients[usize::from(with_residual)]).into();
        self.affine(dy, None, &mut out.affine)?;
        self.data(dy, &out.affine, &mut out.dx)
    }

    fn affine(&self, dy: Gated<'_, f32>, ds: Option<&mut Vec<f32>>, [dw, db]: &mut [Vec<f32>; 2]) -> Result<()> {
        let (x, moments, _) = self.at();
        let ds = ds.map(|ds| (ds.into(), Acc::Set));
        batchnorm_backward_affine(&self.cx, &self.shape, x, moments, dy, ds, [dw.into(), db.into()])
    }

    fn data(&self, dy: Gated<'_, f32>, [dw, db]: &[Vec<f32>; 2], dx: &mut Vec<f32>) -> Result<()> {
        let (x, moments, [w, _]) = self.at();
        batchnorm_backward_data(&self.cx, &self.shape, x, moments, [w, dw.into(), db.into()], dy, dx.into(), Acc::Set)
    }
}

type Pass = fn(&Case, bool, &mut Outputs) -> Result<()>;

/// Passes with the numbers of arrays that their fused form reads and writes, without and with a residual.
const PASSES: [(&str, Pass, [usize; 2]); 4] = [
    ("forward fused", Case::forward_fused, [2, 3]),
    ("forward unfused", Case::forward_unfused, [2, 3]),
    ("backward fused", Case::backward_fused, [5, 7]),
    ("backward unfused", Case::backward_unfused, [5, 7]),
];

fn batchnorm(c: &mut Criterion) {
    // Ratios of one run are comparable on a single thread only.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for [rows, channels] in SHAPES {
        let mut group = c.benchmark_group(format!("batchnorm/{rows}x{channels}"));
        let arrays = |count: usize| Throughput::Bytes((count * rows * channels * size_of::<f32>()) as u64);
        for cx in cpu_contexts().into_iter().filter(|cx| cx.isa() != Isa::Scalar) {
            let isa = cx.isa().name();
            let (case, mut out) = Case::new(cx, [rows, channels]);
            group.throughput(arrays(1));
            group.bench_function(BenchmarkId::new("moments", isa), |bencher| {
                let [mean, variance] = &mut out.affine;
                let mut run = || batchnorm_moments(&case.cx, &case.shape, (&case.x).into(), mean.into(), variance.into());
                pool.install(|| bencher.iter(&mut run));
            });
            for (residual, what) in [(false, "relu"), (true, "residual relu")] {
                for (name, pass, count) in PASSES {
                    group.throughput(arrays(count[usize::from(residual)]));
                    group.bench_function(BenchmarkId::new(format!("{what} {name}"), isa), |bencher| {
                        pool.install(|| bencher.iter(|| pass(&case, residual, &mut out)));
                    });
                }
            }
        }
    }
}

criterion_group! { name = benches; config = Criterion::default(); targets = batchnorm }
criterion_main!(benches);
