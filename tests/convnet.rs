//! The weight-normalised convnet against the layers that it is made of: it is homogeneous in every layer (equation 14 of "The
//! Janus effects of SGD vs GD"), gradient steps only lengthen its weights, and Lemma 1 of that paper does not cover its
//! convolutions.

use std::ops::Range;
use std::sync::Arc;

use handgrad::data::Dataset;
use handgrad::draws::Draws;
use handgrad::kernels::Context;
use handgrad::kernels::activation::Activation;
use handgrad::kernels::conv2d::Conv2dShape;
use handgrad::kernels::testing::{Cases, cpu_contexts};
use handgrad::layers::{Activate, Conv2d, Layer, Linear, Multiply};
use handgrad::loss::{Loss, TargetBuffer};
use handgrad::metrics::rank::singular_values;
use handgrad::nets::{Architecture, Convnet, Net, Objective, Parameter, Plan, Point, Training};
use handgrad::optim::Optimiser;
use handgrad::schedule::Schedule;
use handgrad::spec::Seed;
use handgrad::state::State;

/// Standard deviation of the initial weights.
const SCALE: f64 = 0.2;
/// Images, and numbers in one.
const N: usize = 6;
const D: usize = 8 * 8 * 2;
/// Hidden neurons, and outputs.
const HIDDEN: usize = 12;
const CLASSES: usize = 2;

fn architecture() -> Architecture {
    let (channels, strides) = (vec![5, 6], vec![1, 2]);
    Architecture::Convnet(Convnet { image: [8, 8, 2], channels, strides, hidden: HIDDEN, classes: CLASSES, scale: SCALE })
}

/// The same network without weight normalisation: images of 8 x 8 become 6 x 6, then 2 x 2.
fn plain() -> Net<f64> {
    let convolution = |h, c, k, stride| Conv2d { shape: Conv2dShape { n: 1, h, w: h, c, k, size: 3, stride, pad: 0 } };
    let relu = |width| Activate { activation: Activation::Relu, width };
    let linear = |inputs, outputs| Linear { inputs, outputs, bias: false };
    let layers: Vec<Box<dyn Layer<f64>>> = vec![
        Box::new(convolution(8, 2, 5, 1)),
        Box::new(relu(6 * 6 * 5)),
        Box::new(convolution(6, 5, 6, 2)),
        Box::new(relu(2 * 2 * 6)),
        Box::new(linear(2 * 2 * 6, HIDDEN)),
        Box::new(relu(HIDDEN)),
        Box::new(linear(HIDDEN, CLASSES)),
        Box::new(Multiply { width: CLASSES }),
    ];
    Net::new(layers, Vec::new()).unwrap()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Every layer's weights; ρ is no such layer.
fn weights(net: &Net<f64>) -> Vec<Parameter> {
    net.parameters().into_iter().filter(|parameter| parameter.shape.len() > 1).collect()
}

/// W_k = g_k·V_k/‖V_k‖ in the place of every V_k, g_k² twice the layer's outputs, or of the last layer their number.
fn normalised(params: &[f64], weights: &[Parameter]) -> Vec<f64> {
    let mut effective = params.to_vec();
    for (layer, Parameter { range, shape, .. }) in weights.iter().enumerate() {
        let v = &mut effective[range.clone()];
        let relu = if layer + 1 < weights.len() { 2.0 } else { 1.0 };
        let factor = (relu * shape[0] as f64).sqrt() / dot(v, v).sqrt();
        v.iter_mut().for_each(|w| *w *= factor);
    }
    effective
}

/// Parameters that are not where they start: every layer of another length, and another ρ.
fn params(net: &Net<f64>) -> Vec<f64> {
    let mut params = architecture().initial(D, Seed::Own(3));
    for (Parameter { range, .. }, factor) in weights(net).iter().zip([0.5, 1.5, 1.2, 0.1]) {
        params[range.clone()].iter_mut().for_each(|w| *w *= factor);
    }
    *params.last_mut().unwrap() = 1.7;
    params
}

fn data() -> Dataset {
    let mut cases = Cases::new(5);
    let (x, y) = (cases.reals(N * D), cases.reals(N * CLASSES));
    Dataset { d: D, x, y, image: Some([8, 8, 2]), classes: Some(CLASSES), ..Dataset::default() }
}

/// Outputs of every image, and the gradients of one of the outputs, image by image.
fn differentiated(cx: &Context, net: &Arc<Net<f64>>, params: &[f64], x: &[f64], output: usize) -> (Vec<f64>, Vec<f64>) {
    let mut plan = Plan::new(cx, Arc::clone(net), N).unwrap();
    let point = Point::new(N, x.into(), params.into());
    let mut rows = vec![f64::NAN; N * net.params()];
    plan.sample_gradients(cx, point, output, (&mut rows).into()).unwrap();
    (plan.outputs(N).unwrap().to_vec().unwrap(), rows)
}

#[test]
fn it_is_homogeneous_in_every_layer() {
    let (net, plain) = (Arc::new(architecture().net::<f64>(D).unwrap().unwrap()), Arc::new(plain()));
    let (data, params) = (data(), params(&net));
    let weights = weights(&net);
    assert_eq!((weights.len(), net.params()), (4, plain.params()));
    let effective = normalised(&params, &weights);
    let rho = net.params() - 1;
    for cx in cpu_contexts() {
        for output in 0..CLASSES {
            let (outputs, gradients) = differentiated(&cx, &plain, &effective, &data.x, output);
            let (of_normalised, through_norms) = differentiated(&cx, &net, &params, &data.x, output);
            for image in 0..N {
                let h = outputs[image * CLASSES + output];
                let error = (of_normalised[image * CLASSES + output] - h).abs();
                assert!(error <= 1e-12 * h.abs() && h != 0.0, "{} image {image}: {error:e} of {h}", cx.variant());
                let [gradient, through] = [&gradients, &through_norms].map(|rows| &rows[image * net.params()..][..net.params()]);
                let along = |range: Range<usize>| dot(&effective[range.clone()], &gradient[range]);
                for Parameter { name, range, .. } in &weights {
                    let error = (along(range.clone()) - h).abs();
                    assert!(error <= 1e-12 * h.abs(), "{name}: <W, ∂h/∂W> is {error:e} from h = {h}");
                    let (v, g) = (&params[range.clone()], &through[range.clone()]);
                    let cosine = dot(v, g).abs() / (dot(v, v) * dot(g, g)).sqrt();
                    assert!(cosine <= 1e-12, "{name}: <V, ∂h/∂V> is {cosine:e} of their norms");
                }
                assert!((along(rho..rho + 1) - h).abs() <= 1e-12 * h.abs(), "ρ");
            }
        }
    }
}

/// One image's gradient has rank 1 in a fully connected layer, which sees it once, and more in a convolution, which sees it at
/// every place.
#[test]
fn gradients_of_convolutions_do_not_have_rank_one() {
    let (net, data) = (Arc::new(plain()), data());
    let weights = weights(&net);
    let (_, rows) = differentiated(&Context::cpu().unwrap(), &net, &normalised(&params(&net), &weights), &data.x, 0);
    for gradient in rows.chunks_exact(net.params()) {
        let ranks = weights.iter().map(|Parameter { range, shape, .. }| {
            let values = singular_values(shape[0], range.len() / shape[0], &gradient[range.clone()]).unwrap();
            values.iter().filter(|&&value| value > 1e-10 * values[0]).count()
        });
        let ranks: Vec<usize> = ranks.collect();
        assert!(ranks[0] > 1 && ranks[1] > 1 && ranks[2..] == [1, 1], "{ranks:?}");
    }
}

/// ‖V - η(g + λV)‖² = (1 - ηλ)²‖V‖² + η²‖g‖², because ⟨V, g⟩ = 0.
#[test]
fn a_step_lengthens_weights_by_the_squared_gradient() {
    const LR: f64 = 0.1;
    let architecture = architecture();
    let net = Arc::new(architecture.net::<f64>(D).unwrap().unwrap());
    let (data, start, weights) = (data(), params(&net), weights(&net));
    for cx in cpu_contexts() {
        let target = TargetBuffer::new(&cx, Loss::Mse, &data.y).unwrap();
        let mut plan = Plan::new(&cx, Arc::clone(&net), N).unwrap();
        for weight_decay in [0.0, 0.1] {
            let optimiser = Optimiser { weight_decay, ..Optimiser::gd() };
            let constant = Schedule::Constant { peak: LR };
            let training = Training::<f64>::new(&cx, &architecture, &data, Loss::Mse, constant, optimiser.clone(), 3).unwrap();
            let mut state = State::new(&[Seed::Own(3)], |_| start.clone(), &optimiser);
            for step in 1..=3 {
                let before = state.params.clone();
                let mut gradient = vec![f64::NAN; net.params()];
                let point = Point::new(N, (&data.x).into(), (&before).into());
                let objective = Objective { loss: Loss::Mse, point, target: target.view() };
                plan.gradient(&cx, &objective, (&mut gradient).into()).unwrap();
                training.advance(&cx, &mut state, &[Draws::full()], step).unwrap();
                for Parameter { name, range, .. } in &weights {
                    let square = |values: &[f64]| dot(&values[range.clone()], &values[range.clone()]);
                    let grown = LR * LR * square(&gradient);
                    let want = (1.0 - LR * weight_decay).powi(2) * square(&before) + grown;
                    let error = (square(&state.params) - want).abs();
                    assert!(error <= 1e-12 * want, "{name}, λ = {weight_decay}, step {step}: {error:e} of {want}");
                    assert!(grown >= 1e-9 * want, "{name}, λ = {weight_decay}, step {step}: hardly a step, {grown:e}");
                }
            }
        }
    }
}
