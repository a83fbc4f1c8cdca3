//! What Figures 3 and 4 say of single layers: ‖V̇_k‖ of SGD's batches (equation 24) by weight decay λ.

use super::convnet::{DECAYS, Protocol, SGD, STRONGEST, decayed, family, grows, name, short};
use super::{margins, panel};
use crate::claims::{Claim, Evidence, each};
use crate::experiments::Figure;
use crate::nets::Architecture;
use crate::report::plot::{self, Axis};
use crate::run::{Replica, Results, RunResults};
use crate::spec::{Metric, Panel, Run, Scale, Spec};

/// From here on the paper sees ‖V̇_k‖ grow with λ.
const FROM: f64 = 1e-5;
/// A share of the largest that is "small".
const SMALL: f64 = 0.1;

/// Layers of the network: the convolutions, and two that are fully connected.
pub(super) fn count(spec: &Spec) -> usize {
    match &spec.net {
        Architecture::Convnet(convnet) => convnet.channels.len() + 2,
        _ => 0,
    }
}

/// ‖V̇_k‖ of a layer.
pub(super) fn velocity(layer: usize) -> String {
    format!("velocity.{layer}")
}

/// Of all layers, first layer first.
pub(super) fn velocities(run: &RunResults, replica: &Replica, layers: usize) -> Option<Vec<f64>> {
    (1..=layers).map(|layer| run.last(replica, &velocity(layer))).collect()
}

/// SGD with every λ; `ranks` names what is measured of a layer besides ‖V̇_k‖.
pub(super) fn declare(figure: &Figure, title: &str, scale: Scale, ranks: impl Fn(usize) -> Vec<String>) -> Spec {
    let protocol = Protocol::of(scale);
    let spec = protocol.spec(figure, title, scale);
    let of_layers = (1..=count(&spec)).flat_map(|layer| [vec![velocity(layer)], ranks(layer)].concat());
    Spec {
        runs: DECAYS.map(|decay| protocol.sgd(SGD, decay)).to_vec(),
        metrics: of_layers.map(|metric| Metric::always(&metric)).collect(),
        panels: vec![Panel::new(&velocity(1), "‖dV₁/dt‖", true)],
        ..spec
    }
}

/// What both figures' captions say of ‖V̇_k‖.
pub(super) fn noise(spec: &Spec, results: &Results) -> Vec<Claim> {
    let layers = count(spec);
    let small = |decay: f64, layer: usize| {
        let of = velocity(layer);
        let what = format!("λ = {}: {of} at most {SMALL} of that at λ = {}", short(decay), short(STRONGEST));
        each(results, &what, &name(SGD, decay), |run, replica| {
            let strongest = results.run(&name(SGD, STRONGEST))?;
            let largest = strongest.last(strongest.survivor(replica.seed)?, &of)?;
            let share = run.last(replica, &of)? / largest;
            Some((share <= SMALL, share))
        })
    };
    let free = [0.0, 1e-6].into_iter().flat_map(|decay| (1..=layers).map(move |layer| (decay, layer)));
    let whole =
        |run: &RunResults, replica: &Replica| Some(velocities(run, replica, layers)?.iter().map(|v| v * v).sum::<f64>().sqrt());
    // For every λ: is one number above another, both of all layers?
    let compared = |what: &str, sides: fn(&[f64]) -> [f64; 2]| -> Vec<Evidence> {
        for_decays(spec, results, FROM, what, |run, replica| {
            let [above, below] = sides(&velocities(run, replica, layers)?);
            Some((above > below, above / below))
        })
    };
    let convolutions = |velocities: &[f64]| {
        let (convolutions, connected) = velocities.split_at(velocities.len().saturating_sub(2));
        [mean(convolutions), mean(connected)]
    };
    let top = |velocities: &[f64]| match velocities {
        [others @ .., top] => [others.iter().copied().fold(f64::INFINITY, f64::min), *top],
        [] => [f64::NAN; 2],
    };
    vec![
        Claim::all(
            "small",
            "‖V̇_k‖ is small when λ is 0 or 1e-6",
            "Figures 3 and 4",
            free.map(|(decay, layer)| small(decay, layer)).collect(),
        ),
        Claim::all(
            "grows",
            "from λ = 1e-5 to 0.01 it grows with λ",
            "Figures 3 and 4, prediction 3",
            grows(spec, results, SGD, FROM, "‖V̇_k‖ of all layers together", whole),
        ),
        Claim::all(
            "convolutions",
            "it is larger in the convolutions than in the fully connected layers",
            "Figures 3 and 4",
            compared("‖V̇_k‖, mean of the convolutions above that of the last two layers", convolutions),
        ),
        Claim::all(
            "top",
            "it is least at the top layer",
            "prediction 3",
            compared("least ‖V̇_k‖ of the other layers above that of the last", top),
        ),
    ]
}

/// A question asked of every run from a λ on, and of every own seed that is finite; `None` leaves a seed out.
pub(super) fn for_decays(
    spec: &Spec,
    results: &Results,
    from: f64,
    what: &str,
    question: impl Fn(&RunResults, &Replica) -> Option<(bool, f64)>,
) -> Vec<Evidence> {
    let of = |run: &Run| each(results, &format!("{}: {what}", run.name), &run.name, &question);
    decayed(spec, SGD, from).map(of).collect()
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Medians of a metric over layers, a curve per λ.
pub(super) fn by_layer(spec: &Spec, results: &Results, title: &str, y: Axis, metric: impl Fn(usize) -> String) -> plot::Panel {
    let curve = |(place, run): (usize, &Run)| {
        let at = |layer: usize| {
            let metric = metric(layer);
            Some((layer as f64, margins::median(results, run, |run, replica| run.last(replica, &metric))?))
        };
        margins::of_decay(run.optimiser.weight_decay, place, (1..=count(spec)).filter_map(at).collect())
    };
    panel(title, Axis::linear("layer k"), y, family(spec, SGD).into_iter().enumerate().map(curve).collect())
}

/// What the small print says of figures of layers.
pub(super) fn footnote(spec: &Spec) -> String {
    let convolutions = count(spec).saturating_sub(2);
    format!(
        "Layers 1 to {convolutions}: convolutions; then two fully connected. dVₖ/dt: gradient of a batch's loss by Vₖ of norm 1, its norm's mean over batches. Medians of {} seeds at the end; λ: weight decay of all parameters. Data: {}.",
        spec.seeds.own.len(),
        spec.data.name()
    )
}
