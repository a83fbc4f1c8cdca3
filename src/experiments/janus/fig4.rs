//! Figure 4: (a) SGD's noise ‖V̇_k‖ layer by layer, as in Figure 3, and (b) the ranks of the layers' weights V_k, a convolution's as
//! a matrix of output channels by everything else. A singular value counts above 1e-3 of the largest, a choice, as the paper says
//! nothing of it; claims also look at 1e-2 and 1e-4. What else the paper leaves open, and what smaller scales change, says
//! [`super::convnet`]; there are three convolutions at laptop scale in the place of its four.

use super::convnet::{self, SGD, STRONGEST, name};
use super::{PAPER, layers};
use crate::claims::{Claim, Direction, Evidence, paired};
use crate::error::Result;
use crate::experiments::Figure;
use crate::report::plot::{self, Axis};
use crate::run::{Replica, Results, RunResults};
use crate::spec::{Scale, Spec};

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "janus/fig4",
    paper: PAPER,
    about: "the same, and the ranks of the layers' weights",
    declare,
    expect,
    simulate: None,
    check: convnet::check,
    draw,
};

/// Shares of the largest singular value above which others count, the figure's first.
const TOLERANCES: [&str; 3] = ["1e-3", "1e-2", "1e-4"];

fn rank(layer: usize, tolerance: &str) -> String {
    format!("weight_rank.{layer}@{tolerance}")
}

fn declare(scale: Scale) -> Spec {
    let title = "SGD's noise and ranks in the layers of a convnet by weight decay, Figure 4";
    layers::declare(&FIGURE, title, scale, |layer| TOLERANCES.map(|tolerance| rank(layer, tolerance)).to_vec())
}

/// The largest rank of every layer's weights.
fn full_ranks(spec: &Spec) -> Result<Vec<f64>> {
    let net = spec.net.net::<f32>(0)?;
    let weights = net.iter().flat_map(|net| net.parameters()).filter(|parameter| parameter.shape.len() > 1);
    Ok(weights.map(|weight| weight.shape[0].min(weight.range.len() / weight.shape[0]) as f64).collect())
}

/// The ranks of all layers, first layer first.
fn ranks(run: &RunResults, replica: &Replica, layers: usize) -> Option<Vec<f64>> {
    (1..=layers).map(|layer| run.last(replica, &rank(layer, TOLERANCES[0]))).collect()
}

/// Kendall's correlation of two lists: pairs of places in the same order less those in opposite order, over all pairs.
fn concordance(a: &[f64], b: &[f64]) -> f64 {
    let sign = |x: f64| if x > 0.0 { 1.0 } else { -f64::from(u8::from(x < 0.0)) };
    let pairs: Vec<(usize, usize)> = (0..a.len()).flat_map(|j| (0..j).map(move |i| (i, j))).collect();
    pairs.iter().map(|&(i, j)| sign(a[i] - a[j]) * sign(b[i] - b[j])).sum::<f64>() / pairs.len() as f64
}

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let (count, full) = (layers::count(spec), full_ranks(spec)?);
    let lower = |run: &RunResults, replica: &Replica| {
        let shares: Vec<f64> = ranks(run, replica, count)?.iter().zip(&full).map(|(rank, full)| rank / full).collect();
        let (first, others) = shares.split_at_checked(2)?;
        let [first, others] = [first, others].map(layers::mean);
        Some((others < first, others / first))
    };
    let together = |run: &RunResults, replica: &Replica| {
        let correlation = concordance(&ranks(run, replica, count)?, &layers::velocities(run, replica, count)?);
        Some((correlation > 0.0, correlation))
    };
    let falls = |tolerance: &str| -> Vec<Evidence> {
        let of = |layer| paired(results, &rank(layer, tolerance), &name(SGD, STRONGEST), Direction::Below, &name(SGD, 0.0));
        (1..count).map(of).collect()
    };
    let mut claims = layers::noise(spec, results);
    for (place, tolerance) in TOLERANCES.into_iter().enumerate() {
        let id = if place == 0 { "ranks-fall".to_owned() } else { format!("ranks-fall-{tolerance}") };
        let statement = format!(
            "the ranks of V_k (σ/σ₁ > {tolerance}) fall as λ grows, from 0 to 0.01, in all layers but the last, of rank 2"
        );
        claims.push(Claim::all(&id, &statement, "Figure 4", falls(tolerance)));
    }
    claims.extend([
        Claim::all(
            "top-ranks",
            "the deeper layers, all but the first two, have smaller ranks than these; relative to full rank",
            "Figure 4",
            layers::for_decays(
                spec,
                results,
                0.0,
                "rank over full rank, mean of layers 3 on below that of layers 1 and 2",
                lower,
            ),
        ),
        Claim::all(
            "ranks-noise",
            "larger rank of V_k leads to larger ‖V̇_k‖",
            "prediction 4, Figure 4",
            layers::for_decays(spec, results, 0.0, "Kendall's correlation of rank and ‖V̇_k‖ over layers above 0", together),
        ),
    ]);
    Ok(claims)
}

fn draw(spec: &Spec, results: &Results) -> Result<plot::Figure> {
    let of_rank = |layer| rank(layer, TOLERANCES[0]);
    let panels = vec![
        layers::by_layer(spec, results, "(a) ‖dVₖ/dt‖ by layer", Axis::log(""), layers::velocity),
        layers::by_layer(spec, results, "(b) Rank of Vₖ, σ/σ₁ > 10⁻³", Axis::linear(""), of_rank),
    ];
    Ok(plot::Figure { title: spec.title.clone(), columns: 2, panels, footnote: Some(layers::footnote(spec)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concordance_by_hand() {
        assert_eq!(concordance(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0]), 1.0);
        assert_eq!(concordance(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
        // Pairs: tied, opposite, same.
        assert_eq!(concordance(&[1.0, 1.0, 2.0], &[3.0, 1.0, 2.0]), 0.0);
    }

    #[test]
    fn full_ranks_of_the_papers_network() {
        assert_eq!(full_ranks(&declare(Scale::Paper)).unwrap(), [27.0, 64.0, 128.0, 128.0, 1024.0, 2.0]);
    }
}
