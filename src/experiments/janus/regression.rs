//! Linear regression with weight decay, W (m x d): one step over the samples of a batch is
//! W -= (2η/B) Σ (Wx - y)xᵀ + 2ηλW (equations 4 and 5, which leave W(t) out on the right).

use faer::linalg::solvers::Solve;
use faer::prelude::SolveLstsq;
use faer::{Mat, Side};

use crate::error::{Error, Result};
use crate::metrics::rank::singular_values;
use crate::rng::{Stream, sequential, standard_normals};

/// What the samples are like.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Law {
    /// The first so many inputs matter to y; none: all.
    pub relevant: Option<usize>,
    /// The last so many inputs are always 0.
    pub missing: usize,
}

/// N samples x ~ N(0, I_d) with y = W*x, W*_ij ~ N(0, 1/d), of as many outputs as inputs.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub n: usize,
    pub d: usize,
    pub m: usize,
    /// n x d.
    pub x: Vec<f64>,
    /// n x m.
    pub y: Vec<f64>,
    /// Orthonormal directions that span the samples.
    basis: Vec<Vec<f64>>,
}

/// Samples that the error is taken over, of more.
const MEASURED: usize = 1_000;

fn normals(stream: &mut impl rand::Rng, count: usize) -> Vec<f64> {
    let mut values = vec![0.0; count];
    standard_normals(stream, &mut values);
    values
}

/// ‖·‖.
pub(super) fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// ‖a - b‖.
pub(super) fn distance(a: &[f64], b: &[f64]) -> f64 {
    norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

/// Takes orthonormal directions out of a row; twice is enough.
fn remove(basis: &[Vec<f64>], row: &mut [f64]) {
    for direction in basis.iter().chain(basis) {
        let along = dot(row, direction);
        row.iter_mut().zip(direction).for_each(|(row, direction)| *row -= along * direction);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Problem {
    pub fn draw(n: usize, d: usize, law: Law, seed: u64) -> Problem {
        let stream = &mut sequential(seed, Stream::Data);
        let mut x = normals(stream, n * d);
        x.chunks_exact_mut(d).for_each(|row| row[d - law.missing..].fill(0.0));
        let teacher = normals(stream, d * d);
        let relevant = law.relevant.unwrap_or(d);
        let of = |row: &[f64], weights: &[f64]| dot(&row[..relevant], &weights[..relevant]) / (d as f64).sqrt();
        let y = x.chunks_exact(d).flat_map(|row| teacher.chunks_exact(d).map(move |weights| of(row, weights))).collect();
        Problem::new(d, d, x, y)
    }

    /// Samples as they are given: x (n x d) and y (n x m).
    pub fn new(d: usize, m: usize, x: Vec<f64>, y: Vec<f64>) -> Problem {
        let mut basis: Vec<Vec<f64>> = Vec::new();
        for x in x.chunks_exact(d) {
            let mut rest = x.to_vec();
            remove(&basis, &mut rest);
            let length = norm(&rest);
            if basis.len() < d && length > 1e-9 * norm(x) {
                rest.iter_mut().for_each(|value| *value /= length);
                basis.push(rest);
            }
        }
        Problem { n: x.len() / d, d, m, x, y, basis }
    }

    /// W_ij ~ N(0, scale²).
    pub fn start(&self, scale: f64, seed: u64) -> Vec<f64> {
        normals(&mut sequential(seed, Stream::Init), self.m * self.d).iter().map(|w| scale * w).collect()
    }

    fn sample(&self, i: usize) -> (&[f64], &[f64]) {
        (&self.x[i * self.d..][..self.d], &self.y[i * self.m..][..self.m])
    }

    /// Σ (Wx - y)xᵀ over samples.
    pub fn gradient(&self, w: &[f64], samples: std::ops::Range<usize>) -> Vec<f64> {
        let mut gradient = vec![0.0; w.len()];
        for i in samples {
            let (x, y) = self.sample(i);
            for ((row, to), y) in w.chunks_exact(self.d).zip(gradient.chunks_exact_mut(self.d)).zip(y) {
                let residual = dot(row, x) - y;
                to.iter_mut().zip(x).for_each(|(to, x)| *to += residual * x);
            }
        }
        gradient
    }

    /// One step on a batch.
    pub fn step(&self, w: &mut [f64], samples: std::ops::Range<usize>, eta: f64, lambda: f64) {
        let share = 2.0 * eta / samples.len() as f64;
        if let [one] = *samples.clone().collect::<Vec<_>>() {
            // Without a buffer: rows do not see each other.
            let (x, y) = self.sample(one);
            for (row, y) in w.chunks_exact_mut(self.d).zip(y) {
                let residual = dot(row, x) - y;
                row.iter_mut().zip(x).for_each(|(w, x)| *w -= share * residual * x + 2.0 * eta * lambda * *w);
            }
            return;
        }
        let gradient = self.gradient(w, samples);
        w.iter_mut().zip(gradient).for_each(|(w, g)| *w -= share * g + 2.0 * eta * lambda * *w);
    }

    /// One epoch in batches, in order.
    pub fn epoch(&self, w: &mut [f64], batch: usize, eta: f64, lambda: f64) {
        (0..self.n).step_by(batch).for_each(|first| self.step(w, first..(first + batch).min(self.n), eta, lambda));
    }

    /// ‖Wx - y‖², mean over samples, or over the first thousand.
    pub fn mse(&self, w: &[f64]) -> f64 {
        let of = |i: usize| {
            let (x, y) = self.sample(i);
            w.chunks_exact(self.d).zip(y).map(|(row, y)| (dot(row, x) - y).powi(2)).sum::<f64>()
        };
        let n = self.n.min(MEASURED);
        (0..n).map(of).sum::<f64>() / n as f64
    }

    /// 1/σ_max(X)².
    pub fn unit_of_steps(&self) -> Result<f64> {
        Ok(singular_values(self.n, self.d, &self.x)?.first().copied().unwrap_or(f64::NAN).powi(-2))
    }

    /// W(I - π), π the projection on the span of the samples.
    pub fn outside_span(&self, w: &[f64]) -> Vec<f64> {
        let mut outside = w.to_vec();
        outside.chunks_exact_mut(self.d).for_each(|row| remove(&self.basis, row));
        outside
    }

    /// The minimiser of Σ ‖Wx - y‖² + c‖W‖², for c = 0 the interpolation of least norm: Y(XᵀX + cI)⁻¹Xᵀ over samples.
    pub fn ridge(&self, c: f64) -> Result<Vec<f64>> {
        let x = Mat::from_fn(self.n, self.d, |i, j| self.x[i * self.d + j]);
        let y = Mat::from_fn(self.n, self.m, |i, k| self.y[i * self.m + k]);
        let gram = &x * x.transpose() + faer::Scale(c) * Mat::<f64>::identity(self.n, self.n);
        let factors = gram.llt(Side::Lower).map_err(|error| {
            Error::Numerics(format!("ridge: the samples' Gram matrix is singular ({error:?}); take more decay or fewer samples"))
        })?;
        let w = factors.solve(&y).transpose() * &x;
        Ok((0..self.m).flat_map(|k| (0..self.d).map(move |j| (k, j))).map(|at| w[at]).collect())
    }

    /// Where epochs of batches in order stay: the fixed point of their affine map, for which the start is the beginning of an epoch.
    pub fn fixed_point(&self, batch: usize, eta: f64, lambda: f64) -> Vec<f64> {
        let d = self.d;
        // The map W -> WA + C, by rows: of the identity and of 0.
        let silent = Problem { y: vec![0.0; self.n * d], m: d, ..self.clone() };
        let mut a: Vec<f64> = (0..d * d).map(|k| f64::from(u8::from(k / d == k % d))).collect();
        silent.epoch(&mut a, batch, eta, lambda);
        let mut c = vec![0.0; self.m * d];
        self.epoch(&mut c, batch, eta, lambda);
        // (I - A)ᵀ Wᵀ = Cᵀ.
        let matrix = Mat::from_fn(d, d, |i, j| f64::from(u8::from(i == j)) - a[j * d + i]);
        let right = Mat::from_fn(d, self.m, |j, k| c[k * d + j]);
        let solved = matrix.qr().solve_lstsq(&right);
        (0..self.m).flat_map(|k| (0..d).map(move |j| (j, k))).map(|at| solved[at]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text's two samples, e1 and e2 with labels 0.
    fn two() -> (Problem, Vec<f64>) {
        let problem = Problem::new(3, 2, vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0], vec![0.0; 4]);
        (problem, vec![1.0, 0.0, 1.0, 0.0, 1.0, -1.0])
    }

    #[test]
    fn an_epoch_on_two_samples_is_that_worked_by_hand() {
        let (problem, start) = two();
        for (batch, want) in [(1, [0.796_404, 0.996_004]), (2, [0.898, 0.998])] {
            let mut w = start.clone();
            problem.epoch(&mut w, batch, 0.1, 0.01);
            assert!((w[0] - want[0]).abs() <= 1e-15 && (w[2] - want[1]).abs() <= 1e-15 && w[1] == 0.0, "{w:?}");
        }
        assert!((problem.mse(&start) - 1.0).abs() <= 1e-16 && problem.outside_span(&start) == [0.0, 0.0, 1.0, 0.0, 0.0, -1.0]);
    }

    #[test]
    fn ridge_and_fixed_points_are_stationary() {
        let problem = Problem::draw(5, 7, Law::default(), 3);
        let ridge = problem.ridge(0.3).unwrap();
        let gradient = problem.gradient(&ridge, 0..5);
        assert!(gradient.iter().zip(&ridge).all(|(g, w)| (g + 0.3 * w).abs() <= 1e-12));
        let unit = problem.unit_of_steps().unwrap();
        for batch in [1, 2, 5] {
            let fixed = problem.fixed_point(batch, 0.4 * unit, 0.01);
            let mut after = fixed.clone();
            problem.epoch(&mut after, batch, 0.4 * unit, 0.01);
            assert!(distance(&fixed, &after) <= 1e-12 * norm(&fixed), "{batch}");
        }
        // Gradient descent's is the ridge solution of Nλ.
        let descent = problem.fixed_point(5, 0.4 * unit, 0.01);
        assert!(distance(&descent, &problem.ridge(0.05).unwrap()) <= 1e-10 * norm(&descent));
    }

    #[test]
    fn steps_with_and_without_a_buffer_agree() {
        let problem = Problem::draw(4, 6, Law { relevant: Some(2), missing: 1 }, 1);
        let (mut one, w) = (problem.start(1.0, 0), problem.start(1.0, 0));
        problem.step(&mut one, 2..3, 0.01, 0.1);
        let gradient = problem.gradient(&w, 2..3);
        let other: Vec<f64> = w.iter().zip(gradient).map(|(w, g)| w - 0.02 * g - 0.002 * w).collect();
        assert!(distance(&one, &other) <= 1e-15);
        assert!(problem.x.chunks_exact(6).all(|row| row[5] == 0.0));
        assert!(norm(&problem.outside_span(&w)) > norm(&w.iter().skip(5).step_by(6).copied().collect::<Vec<_>>()) - 1e-12);
    }
}
