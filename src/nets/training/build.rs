//! Packing of the data, and refusal of what cannot train on them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use handgrad_kernels::diagonal::DiagonalShape;
use handgrad_kernels::{Buffer, Context, Device, Real};

use super::{Method, Replicas, Set, Training};
use crate::data::images::{Augment, ClassNoise};
use crate::error::{Result, refuse};
use crate::loss::{Loss, TargetBuffer};
use crate::nets::Architecture;
use crate::optim::{Batch, LabelNoise, Optimiser, Sam, Sampling};

impl<T: Real> Training<T> {
    /// Over the samples of all sets.
    pub(super) fn over(
        cx: &Context,
        net: &Architecture,
        sets: &[Set<'_>],
        loss: Loss,
        replicas: Replicas,
        optimiser: Optimiser,
        steps: u64,
    ) -> Result<Training<T>> {
        let Some((n, d)) = sets.first().map(|set| (set.n(), set.d)) else { return refuse!("training: there are no data") };
        if let Some(other) = sets.iter().find(|set| (set.n(), set.d) != (n, d)) {
            return refuse!("training: data of {} x {} numbers beside {n} x {d}; train them apart", other.n(), other.d);
        }
        sets.iter().try_for_each(|set| net.check_data(d, loss, set.y.len() / n.max(1)))?;
        let layered = net.net::<T>(d)?.map(Arc::new);
        let outputs = layered.as_ref().map_or(1, |net| net.outputs());
        if layered.is_none() && loss.squared().is_none() {
            return refuse!("loss: diagonal networks train on half-mse or mse; set one of them");
        }
        sets.iter().try_for_each(|set| loss.check(outputs, set.y))?;
        let params = layered.as_ref().map_or(2 * d, |net| net.params());
        let method = Method::of(cx.device(), net, &optimiser, loss);
        // Layers take dense rows; the fused kernels are fastest on aligned ones.
        let stride = if layered.is_some() && method == Method::Composed { d } else { DiagonalShape::aligned_stride::<T>(d) };
        let mut x = vec![T::ZERO; sets.len() * n * stride];
        let rows = sets.iter().flat_map(|set| set.x.chunks_exact(d));
        for (packed, row) in x.chunks_exact_mut(stride).zip(rows) {
            packed.iter_mut().zip(row).for_each(|(packed, &value)| *packed = T::from_f64(value));
        }
        let image = sets.first().and_then(|set| set.image);
        if optimiser.augment != Augment::None && image.is_none() {
            return refuse!("optimiser.augment is for images; the data have {d} features without rows and columns");
        }
        if optimiser.class_noise != ClassNoise::None && loss != Loss::SoftmaxXent {
            return refuse!("optimiser.class_noise is for classes; take the loss softmax-xent, or optimiser.label_noise");
        }
        let sees_all = optimiser.batch == Batch::Full;
        if let Batch::Random { size, sampling: Sampling::DropLast } = optimiser.batch
            && size > n
        {
            return refuse!(
                "optimiser.batch has {size} samples, the data only {n}: no epoch has a batch; make the batch smaller"
            );
        }
        if sees_all && (optimiser.augment != Augment::None || optimiser.class_noise != ClassNoise::None) {
            return refuse!("optimiser.augment and optimiser.class_noise are for batches; set optimiser.batch to a random one");
        }
        let y = match sets {
            [set] => Cow::Borrowed(set.y),
            _ => sets.iter().map(|set| set.y).collect::<Vec<_>>().concat().into(),
        };
        let shape = DiagonalShape { n: sets.len() * n, d, stride, replicas: 1 };
        if method == Method::Composed && cx.device() != Device::Cpu {
            composed_on(cx.device(), &optimiser)?;
        }
        let (x, target) = (Arc::new(Buffer::from_slice(cx, &x)?), Arc::new(TargetBuffer::new(cx, loss, &y)?));
        let (recording, stepper) = (true, Mutex::default());
        let net = layered;
        Ok(Training { method, net, shape, n, params, x, target, image, loss, replicas, optimiser, steps, recording, stepper })
    }
}

/// Refuses what a step composed of operators cannot do on a device.
fn composed_on(device: Device, optimiser: &Optimiser) -> Result<()> {
    let missing = [
        (optimiser.label_noise == LabelNoise::Sampled, "label noise from the sampling of batches"),
        (optimiser.normalised, "normalised gradients"),
        (optimiser.balancedness != 0.0, "balancedness"),
        (matches!(optimiser.sam, Sam::Sample { .. }), "the sharpness-aware gradient of single samples"),
    ];
    match missing.iter().find(|(asked, _)| *asked) {
        None => Ok(()),
        Some((_, what)) => refuse!("{device}: there is no kernel for {what}; take the CPU"),
    }
}
