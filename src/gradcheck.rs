//! Verifying gradients by central differences in f64: for our layers and nets, and for anybody's in their own tests.
//!
//! ```
//! use handgrad::gradcheck::check;
//! // f(a, b) = a² b has the gradient (2ab, a²).
//! let at = [1.5, -0.5];
//! let gradient = [2.0 * at[0] * at[1], at[0] * at[0]];
//! let report = check("a²b", &at, &gradient, |p| Ok::<_, ()>(p[0] * p[0] * p[1])).unwrap();
//! assert!(report.passed(), "{report}");
//! ```

use std::sync::Arc;

use handgrad_kernels::diagonal::{DiagonalShape, diagonal_backward_weight, diagonal_forward};
use handgrad_kernels::mse::{MseScale, mse_backward, mse_forward};
use handgrad_kernels::{Acc, Context, Isa};

use crate::error::Result;
use crate::layers::{At, Layer};
use crate::loss::{Loss, TargetBuffer};
use crate::nets::{Activation, Architecture, Bias, Convnet, Init, Net, Objective, Plan, Point, WeightNorm};
use crate::rng::{self, Stream};
use crate::spec::Seed;

/// Largest relative error that passes: central differences in f64 are good to about 1e-10 on smooth functions of size 1.
pub const TOLERANCE: f64 = 1e-7;

/// How far a gradient is from central differences.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// What was checked.
    pub name: String,
    /// Parameters compared.
    pub parameters: usize,
    /// Largest |analytic - numeric|, divided by the largest |numeric|; NaN if any number is NaN.
    pub error: f64,
    /// The parameter where it is largest.
    pub worst: usize,
    /// The gradient given there.
    pub analytic: f64,
    /// The central difference there.
    pub numeric: f64,
}

impl Report {
    /// Whether the error is within [`TOLERANCE`]; NaN is not.
    pub fn passed(&self) -> bool {
        self.error <= TOLERANCE
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Report { name, parameters, error, worst, analytic, numeric } = self;
        let verdict = if self.passed() { "ok  " } else { "FAIL" };
        write!(
            f,
            "{verdict} {name}: {parameters} parameters, error {error:.1e} at {worst} (analytic {analytic:.9e}, numeric {numeric:.9e})"
        )
    }
}

/// Compares a gradient with `(value(p + h e_j) - value(p - h e_j)) / 2h`, h = ∛ε·max(1, |p_j|), in every parameter.
///
/// A gradient whose length differs from the parameters' fails with error NaN; so does one with NaN.
///
/// # Errors
/// The first error of `value`.
pub fn check<E>(name: &str, at: &[f64], gradient: &[f64], mut value: impl FnMut(&[f64]) -> Result<f64, E>) -> Result<Report, E> {
    let mut point = at.to_vec();
    let mut numeric = Vec::with_capacity(at.len());
    for j in 0..at.len() {
        let step = f64::EPSILON.cbrt() * at[j].abs().max(1.0);
        let mut shifted = |to: f64| {
            point[j] = to;
            value(&point)
        };
        let (above, below) = (at[j] + step, at[j] - step);
        numeric.push((shifted(above)? - shifted(below)?) / (above - below));
        point[j] = at[j];
    }
    let scale = numeric.iter().fold(f64::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let mut report =
        Report { name: name.to_owned(), parameters: at.len(), error: f64::NAN, worst: 0, analytic: f64::NAN, numeric: f64::NAN };
    if gradient.len() != at.len() {
        return Ok(report);
    }
    for (j, (&analytic, &numeric)) in gradient.iter().zip(&numeric).enumerate() {
        let error = (analytic - numeric).abs() / scale;
        if j == 0 || error > report.error || error.is_nan() {
            report = Report { error, worst: j, analytic, numeric, ..report };
        }
        if error.is_nan() {
            break;
        }
    }
    Ok(report)
}

/// Checks dw and dx of a layer at n samples x and parameters w: the gradients of Σ_k c_k y_k, c given for every output.
///
/// # Errors
/// If the layer refuses its arguments.
pub fn layer(cx: &Context, name: &str, layer: &dyn Layer<f64>, at: At<'_, f64>, c: &[f64]) -> Result<Report> {
    let (n, w, x) = (at.n, at.w.on_host("gradient check", "w")?, at.x.on_host("gradient check", "x")?);
    let mut gradient = vec![f64::NAN; w.len() + x.len()];
    let (dw, dx) = gradient.split_at_mut(w.len());
    layer.backward_weight(cx, at, c.into(), dw.into(), Acc::Set)?;
    layer.backward_data(cx, at, c.into(), dx.into(), Acc::Set)?;
    let mut y = vec![f64::NAN; n * layer.outputs()];
    check(name, &[w, x].concat(), &gradient, |point| {
        let (w, x) = point.split_at(w.len());
        layer.forward(cx, At { n, w: w.into(), x: x.into(), ..at }, (&mut y).into())?;
        Ok(y.iter().zip(c).map(|(y, c)| y * c).sum())
    })
}

/// Checks the gradient of a loss over a network, then the product of its Hessian and the gradient, which is compared with the
/// derivative of half the gradient's square.
///
/// # Errors
/// If the network or the loss refuses its arguments.
pub fn net(cx: &Context, name: &str, net: &Arc<Net<f64>>, objective: &Objective<'_, f64>) -> Result<[Report; 2]> {
    let Objective { point, .. } = *objective;
    let params = point.params.on_host("gradient check", "params")?;
    /// The objective at other parameters.
    fn at<'a>(objective: &Objective<'a, f64>, params: &'a [f64]) -> Objective<'a, f64> {
        Objective { point: Point { params: params.into(), ..objective.point }, ..*objective }
    }
    let mut plan = Plan::new(cx, Arc::clone(net), point.n)?;
    let mut gradient = vec![f64::NAN; params.len()];
    plan.gradient(cx, objective, (&mut gradient).into())?;
    let first = check(name, params, &gradient, |params| plan.loss(cx, &at(objective, params)))?;
    let mut product = vec![f64::NAN; gradient.len()];
    plan.hessian_vector(cx, objective, (&gradient).into(), (&mut product).into())?;
    let mut there = vec![f64::NAN; gradient.len()];
    let second = check(&format!("{name} hessian"), params, &product, |params| -> Result<f64> {
        plan.gradient(cx, &at(objective, params), (&mut there).into())?;
        Ok(there.iter().map(|g| g * g).sum::<f64>() / 2.0)
    })?;
    Ok([first, second])
}

/// Checks every gradient of this crate, with every instruction set of this machine, at sizes that fill no vector evenly.
///
/// # Errors
/// If a kernel refuses its arguments.
pub fn all() -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for isa in Isa::available() {
        let cx = Context::cpu_with(isa)?;
        for (n, d) in [(1, 1), (1, 17), (5, 9), (7, 33)] {
            for (scale, loss) in [(MseScale::Half, "half-mse"), (MseScale::Full, "mse")] {
                reports.push(diagonal(&cx, n, d, scale, &format!("diagonal {loss} {isa} f64 n={n} d={d}"))?);
            }
        }
        for (name, architecture) in architectures() {
            for loss in [Loss::HalfMse, Loss::Mse, Loss::Logistic, Loss::SoftmaxXent] {
                for n in [1, 5] {
                    reports.extend(layered(&cx, &architecture, loss, n, &format!("{name} {loss:?} {isa} f64 n={n}"))?);
                }
            }
        }
    }
    Ok(reports)
}

/// Networks with every layer and activation, at widths that fill no vector evenly.
fn architectures() -> Vec<(String, Architecture)> {
    let mut all = Vec::new();
    for activation in [Activation::Identity, Activation::Relu, Activation::Tanh, Activation::Swish] {
        let deep = Architecture::DeepDiagonal { depth: 3, activation, mean: 0.5, deviation: 1.0 };
        all.push((format!("deep diagonal {activation:?}"), deep));
        let learned = Some(WeightNorm { gain: 1.5, learned: true });
        for (bias, weight_norm) in [
            (Bias::All, None),
            (Bias::None, None),
            (Bias::All, learned),
            (Bias::First, learned.map(|norm| WeightNorm { learned: false, ..norm })),
        ] {
            let (widths, init) = (vec![3, 17, 5, 3], Init::Kaiming { law: crate::nets::Law::Normal, gain: 1.4 });
            let norm = weight_norm.map_or("", |norm| if norm.learned { " weight norm" } else { " weight norm, gain frozen" });
            let name = format!("mlp {activation:?} bias {bias:?}{norm}");
            all.push((name, Architecture::Mlp { widths, bias, activation, init, weight_norm }));
        }
    }
    let (channels, strides) = (vec![3, 2], vec![2, 1]);
    let convnet = Convnet { image: [9, 10, 2], channels, strides, hidden: 5, classes: 3, scale: 0.4 };
    all.push(("weight-normalised convnet".to_owned(), Architecture::Convnet(convnet)));
    all
}

/// The loss of a network on random data, with as many outputs as the loss asks for; nothing where the network has others.
fn layered(cx: &Context, architecture: &Architecture, loss: Loss, n: usize, name: &str) -> Result<Vec<Report>> {
    let architecture = match (architecture.clone(), loss) {
        (Architecture::DeepDiagonal { .. }, Loss::SoftmaxXent) => return Ok(Vec::new()),
        (Architecture::Mlp { mut widths, bias, activation, init, weight_norm }, Loss::Logistic) => {
            widths[3] = 1;
            Architecture::Mlp { widths, bias, activation, init, weight_norm }
        }
        (Architecture::Convnet(convnet), Loss::Logistic) => Architecture::Convnet(Convnet { classes: 1, ..convnet }),
        (architecture, _) => architecture,
    };
    let Some(layers) = architecture.net::<f64>(3)? else { return Ok(Vec::new()) };
    let layers = Arc::new(layers);
    let inputs = layers.inputs();
    let mut numbers = vec![0.0; inputs * n + n * layers.outputs()];
    rng::standard_normals(&mut rng::sequential(n as u64, Stream::Data), &mut numbers);
    let (x, target) = numbers.split_at(inputs * n);
    let target: Vec<f64> = match loss {
        Loss::HalfMse | Loss::Mse => target.to_vec(),
        Loss::Logistic => target.iter().map(|value| value.signum()).collect(),
        Loss::SoftmaxXent => (0..n).map(|i| (i % layers.outputs()) as f64).collect(),
    };
    let params = architecture.initial(inputs, Seed::Own(1));
    let target = TargetBuffer::new(cx, loss, &target)?;
    let objective = Objective { loss, point: Point::new(n, x.into(), (&params).into()), target: target.view() };
    Ok(net(cx, name, &layers, &objective)?.to_vec())
}

/// The loss of a diagonal network in its parameters, on random data.
fn diagonal(cx: &Context, n: usize, d: usize, scale: MseScale, name: &str) -> Result<Report> {
    let mut numbers = vec![0.0; n * d + n + 2 * d];
    rng::standard_normals(&mut rng::sequential(n as u64, Stream::Data), &mut numbers);
    let (x, rest) = numbers.split_at(n * d);
    let (target, params) = rest.split_at(n);
    let shape = DiagonalShape::new(n, d, 1);
    let predictions = |params: &[f64]| -> Result<Vec<f64>> {
        let mut y = vec![f64::NAN; n];
        diagonal_forward(cx, &shape, x.into(), params.into(), (&mut y).into())?;
        Ok(y)
    };
    let (mut dy, mut gradient) = (vec![f64::NAN; n], vec![f64::NAN; 2 * d]);
    mse_backward(cx, scale, (&predictions(params)?).into(), target.into(), (&mut dy).into())?;
    diagonal_backward_weight(cx, &shape, x.into(), params.into(), (&dy).into(), (&mut gradient).into(), Acc::Set)?;
    check(name, params, &gradient, |params| Ok(mse_forward(cx, scale, (&predictions(params)?).into(), target.into())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// f(p) = Σ_j (j+1) p_j³ p_0.
    fn value(p: &[f64]) -> Result<f64, ()> {
        Ok(p.iter().enumerate().map(|(j, p_j)| (j + 1) as f64 * p_j.powi(3)).sum::<f64>() * p[0])
    }

    fn gradient(p: &[f64]) -> Vec<f64> {
        let sum: f64 = p.iter().enumerate().map(|(j, p_j)| (j + 1) as f64 * p_j.powi(3)).sum();
        let cubic = |(j, p_j): (usize, &f64)| 3.0 * (j + 1) as f64 * p_j * p_j * p[0];
        let mut gradient: Vec<f64> = p.iter().enumerate().map(cubic).collect();
        gradient[0] += sum;
        gradient
    }

    #[test]
    fn a_right_gradient_passes_and_a_wrong_one_does_not() {
        let at = [0.7, -1.3, 2.1];
        let right = gradient(&at);
        assert!(check("right", &at, &right, value).unwrap().passed());
        let wrong = |change: fn(&mut Vec<f64>)| {
            let mut wrong = right.clone();
            change(&mut wrong);
            check("wrong", &at, &wrong, value).unwrap()
        };
        assert!(!wrong(|g| g.iter_mut().for_each(|g| *g *= 1.001)).passed());
        assert!(!wrong(|g| g[1] = 0.0).passed());
        assert!(!wrong(|g| g[0] -= 1e-3).passed());
        assert!(!wrong(|g| g.truncate(2)).passed());
        let nan = wrong(|g| g[1] = f64::NAN);
        assert!(!nan.passed() && nan.worst == 1, "{nan}");
    }

    #[test]
    fn layers_are_checked_by_their_weights_and_by_their_inputs() {
        use handgrad_kernels::{View, ViewMut};

        use crate::layers::Linear;
        /// A linear layer whose gradients are scaled.
        #[derive(Debug)]
        struct Wrong(Linear, f64, f64);
        impl Layer<f64> for Wrong {
            fn inputs(&self) -> usize {
                3
            }
            fn outputs(&self) -> usize {
                2
            }
            fn forward(&self, cx: &Context, at: At<'_, f64>, y: ViewMut<'_, f64>) -> Result<()> {
                self.0.forward(cx, at, y)
            }
            fn backward_data(
                &self,
                cx: &Context,
                at: At<'_, f64>,
                dy: View<'_, f64>,
                mut dx: ViewMut<'_, f64>,
                acc: Acc,
            ) -> Result<()> {
                self.0.backward_data(cx, at, dy, dx.reborrow(), acc)?;
                dx.on_host("test", "dx")?.iter_mut().for_each(|dx| *dx *= self.1);
                Ok(())
            }
            fn backward_weight(
                &self,
                cx: &Context,
                at: At<'_, f64>,
                dy: View<'_, f64>,
                mut dw: ViewMut<'_, f64>,
                acc: Acc,
            ) -> Result<()> {
                self.0.backward_weight(cx, at, dy, dw.reborrow(), acc)?;
                dw.on_host("test", "dw")?[7] *= self.2;
                Ok(())
            }
        }
        let cx = Context::cpu().unwrap();
        let (w, x) = ([0.3, -1.2, 0.8, 0.1, 0.9, -0.4, 0.2, 0.7], [1.1, 0.6, -0.3, 0.5, -0.9, 0.2]);
        let at = At::new(2, (&w).into(), (&x).into());
        let linear = Linear { inputs: 3, outputs: 2, bias: true };
        for (data, weight, passes) in [(1.0, 1.0, true), (1.001, 1.0, false), (1.0, 0.0, false), (f64::NAN, 1.0, false)] {
            let report = layer(&cx, "linear", &Wrong(linear, data, weight), at, &[0.4, -1.0, 0.7, 0.2]).unwrap();
            assert_eq!(report.passed(), passes, "{report}");
        }
    }

    #[test]
    fn every_gradient_of_this_crate_passes() {
        for report in all().unwrap() {
            assert!(report.passed(), "{report}");
        }
    }
}
