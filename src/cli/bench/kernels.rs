//! Single operators on random numbers: `gemm:ROWS,COLUMNS,DEPTH`, and `conv:EXTENT,INPUTS,OUTPUTS` with 3 x 3 windows, or with
//! `,SIZE,STRIDE` of others.

use std::time::{Duration, Instant};

use handgrad::kernels::conv2d::{Conv2dShape, conv2d_backward_data, conv2d_backward_weight, conv2d_forward};
use handgrad::kernels::gemm::{GemmShape, gemm_forward};
use handgrad::kernels::testing::Cases;
use handgrad::kernels::{Acc, Buffer, Context, Real};
use handgrad::spec::Dtype;
use handgrad::{Error, Result};
use serde::Serialize;

use super::Arguments;

/// An operator with its sizes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kernel {
    Gemm([usize; 3]),
    /// Rows and columns, channels in and out, window, stride.
    Conv([usize; 5]),
}

impl Kernel {
    /// None if the name is of no operator.
    pub(super) fn parse(name: &str) -> Option<Result<Kernel>> {
        let (operator, sizes) = name.split_once(':')?;
        let form = match operator {
            "gemm" => "gemm:ROWS,COLUMNS,DEPTH",
            "conv" => "conv:EXTENT,INPUTS,OUTPUTS or conv:EXTENT,INPUTS,OUTPUTS,SIZE,STRIDE",
            _ => return None,
        };
        let numbers: std::result::Result<Vec<usize>, _> = sizes.split(',').map(str::parse).collect();
        let kernel = match (operator, numbers.as_deref()) {
            (_, Ok(sizes)) if sizes.iter().any(|size| !(1..=1 << 20).contains(size)) => None,
            ("gemm", Ok(&[m, n, k])) => Some(Kernel::Gemm([m, n, k])),
            ("conv", Ok(&[extent, c, k])) => Some(Kernel::Conv([extent, c, k, 3, 1])),
            ("conv", Ok(&[extent, c, k, size, stride])) => Some(Kernel::Conv([extent, c, k, size, stride])),
            _ => None,
        };
        Some(kernel.ok_or_else(|| Error::Input(format!("bench {name}: expected {form}, sizes from 1 to {}", 1 << 20))))
    }
}

impl Kernel {
    /// Numbers in the largest array.
    fn largest(self, batch: usize) -> usize {
        match self {
            Kernel::Gemm([m, n, k]) => m.saturating_mul(k).max(k.saturating_mul(n)).max(m.saturating_mul(n)),
            Kernel::Conv([extent, c, k, size, _]) => {
                let pixels = batch.saturating_mul(extent).saturating_mul(extent);
                let windows = k.saturating_mul(size).saturating_mul(size);
                pixels.saturating_mul(c.max(k)).max(windows.saturating_mul(c))
            }
        }
    }
}

/// More numbers in an array than a machine's memory should be tried with.
const MOST_NUMBERS: usize = 1 << 30;

/// One pass: median, and multiplications and additions of its definition, however it is computed.
#[derive(Serialize)]
struct Speed {
    ms: f64,
    gflops: f64,
}

#[derive(Serialize)]
struct Answer<'a> {
    workload: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<usize>,
    dtype: Dtype,
    threads: usize,
    variant: &'static str,
    forward: Speed,
    #[serde(skip_serializing_if = "Option::is_none")]
    backward_data: Option<Speed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backward_weight: Option<Speed>,
}

pub(super) fn bench(cx: &Context, arguments: &Arguments, kernel: Kernel) -> Result<()> {
    let largest = kernel.largest(arguments.batch);
    if arguments.batch == 0 || largest > MOST_NUMBERS {
        let Arguments { workload, batch, .. } = arguments;
        return Err(Error::Input(format!(
            "bench {workload}: an array of {largest} numbers, expected at most {MOST_NUMBERS}, and --batch {batch} at least 1"
        )));
    }
    let pool = super::pool(arguments.threads)?;
    pool.install(|| match arguments.dtype {
        Dtype::F32 => measure::<f32>(cx, arguments, kernel),
        Dtype::F64 => measure::<f64>(cx, arguments, kernel),
    })
}

fn measure<T: Real>(cx: &Context, arguments: &Arguments, kernel: Kernel) -> Result<()> {
    let Arguments { batch, dtype, threads, .. } = *arguments;
    let mut cases = Cases::new(1);
    let mut answer = Answer {
        workload: &arguments.workload,
        batch: None,
        dtype,
        threads,
        variant: cx.variant(),
        forward: Speed { ms: f64::NAN, gflops: f64::NAN },
        backward_data: None,
        backward_weight: None,
    };
    let mut numbers = |len: usize| Buffer::<T>::from_slice(cx, &cases.reals(len));
    match kernel {
        Kernel::Gemm([m, n, k]) => {
            let (a, b, mut c) = (numbers(m * k)?, numbers(k * n)?, numbers(m * n)?);
            let shape = GemmShape::row_major(m, n, k);
            answer.forward = speed(cx, arguments, (m * n * k) as f64, || {
                Ok(gemm_forward(cx, &shape, a.view(), b.view(), c.view_mut(), Acc::Set)?)
            })?;
        }
        Kernel::Conv([extent, c, k, size, stride]) => {
            let shape = Conv2dShape { n: batch, h: extent, w: extent, c, k, size, stride, pad: size / 2 };
            let [rows, columns] = shape.out();
            let windows = batch * rows * columns;
            let products = (windows * k * size * size * c) as f64;
            let (x, w) = (numbers(batch * extent * extent * c)?, numbers(k * size * size * c)?);
            let (mut y, dy) = (numbers(windows * k)?, numbers(windows * k)?);
            answer.batch = Some(batch);
            answer.forward =
                speed(cx, arguments, products, || Ok(conv2d_forward(cx, &shape, x.view(), w.view(), y.view_mut(), Acc::Set)?))?;
            let mut dx = numbers(x.len())?;
            answer.backward_data = Some(speed(cx, arguments, products, || {
                Ok(conv2d_backward_data(cx, &shape, w.view(), dy.view(), dx.view_mut(), Acc::Set)?)
            })?);
            let mut dw = numbers(w.len())?;
            answer.backward_weight = Some(speed(cx, arguments, products, || {
                Ok(conv2d_backward_weight(cx, &shape, x.view(), dy.view(), dw.view_mut(), Acc::Set)?)
            })?);
        }
    }
    crate::cli::answer_json(&answer)
}

/// Time that is spent on each operator where no number of steps is given.
const TIME: Duration = Duration::from_millis(600);

/// The median of many calls, after one to warm up; of a device's with the launch and the wait for its end.
fn speed(cx: &Context, arguments: &Arguments, products: f64, mut call: impl FnMut() -> Result<()>) -> Result<Speed> {
    let mut whole = || {
        call()?;
        Ok::<_, Error>(cx.synchronize()?)
    };
    whole()?;
    let (begun, mut seconds) = (Instant::now(), Vec::new());
    while arguments.steps.map_or(seconds.len() < 5 || begun.elapsed() < TIME, |steps| (seconds.len() as u64) < steps) {
        let started = Instant::now();
        whole()?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    Ok(Speed { ms: 1e3 * median, gflops: 2.0 * products / median / 1e9 })
}
