use super::*;
use crate::diagonal::{DiagonalShape, diagonal_sgd};
use crate::testing::{contexts, on, on_mut, variant};
use crate::{Device, StepSizes, Steps};

const SAMPLINGS: [Sampling; 2] = [Sampling::Replacement, Sampling::Shuffled];

/// Those of so many replicas, with data sets of their own.
fn sources(count: u32) -> Vec<Source> {
    let words = |k: u32| Words { key: [0xa409_3822 + k, 0x299f_31d0 ^ k], upper: [0x1319_8a2e, 0x0370_7344 + k / 2] };
    (0..count).map(|k| Source { words: words(k), first: 5 * k }).collect()
}

/// The definition, index by index.
fn at(draw: Draw, source: &Source, position: u64) -> u32 {
    let n = u64::from(draw.n);
    source.first
        + match draw.sampling {
            Sampling::Replacement => source.words.below(position, draw.n),
            Sampling::Shuffled => Permutation::of_epoch(&source.words, position / n, draw.n).at((position % n) as u32),
        }
}

#[test]
fn every_device_draws_the_orders_of_the_definition() {
    const FAR: u64 = 1 << 32;
    // Replicas, the first position and how many: within an epoch, over the ends of many, and far from the start.
    let stretches =
        [(1, 0, 1), (7, 3, 33), (3, 78, 163), (2, 4 * FAR - 5, 9), (3, 3 * FAR + 1, 70), (2, u64::MAX - 99, 7), (2, 9, 0)];
    for cx in contexts() {
        for sampling in SAMPLINGS {
            for n in [1, 2, 7, 80, 101, 1000, 4_000_000_007, u32::MAX - 30] {
                let draw = Draw { sampling, n };
                for (replicas, start, count) in stretches {
                    let sources = sources(replicas);
                    let got = order_draw(&cx, draw, &sources, start, count).unwrap().to_vec().unwrap();
                    let positions = |source| (start..start + count as u64).map(move |position| at(draw, source, position));
                    let want: Vec<u32> = sources.iter().flat_map(positions).collect();
                    assert_eq!(got, want, "{} {draw:?} from {start}", variant(&cx));
                }
            }
        }
    }
}

#[test]
fn a_list_takes_the_place_of_what_is_drawn() {
    for cx in contexts() {
        let draw = Draw { sampling: Sampling::Shuffled, n: 7 };
        let mut indices = order_draw(&cx, draw, &sources(3), 2, 5).unwrap();
        let mut want = indices.to_vec().unwrap();
        indices.overwrite(5, &[90, 0, 2, 9, 1]).unwrap();
        want[5..10].copy_from_slice(&[90, 0, 2, 9, 1]);
        assert_eq!(indices.to_vec().unwrap(), want, "{}", variant(&cx));
        let order = Order::from(&indices);
        assert!(order.check_below("op", 91).is_ok());
        assert!(order.check_below("op", 90).unwrap_err().to_string().contains("drawn from is 91, expected at most 90"));
        assert!(indices.overwrite(11, &[0; 5]).is_err());
    }
}

#[test]
fn steps_take_a_drawn_order_as_they_take_the_list_of_it() {
    let (shape, x, y) =
        (DiagonalShape::new(4, 3, 2), [0.5, -1.0, 0.25, 1.0, 0.75, -0.5, 0.1, 0.2, 0.3, -0.7, 0.4, 0.6], [1.0; 4]);
    let lr = [0.1f64; 9];
    for cx in contexts() {
        let trained = |order: Order<'_>| {
            let (mut params, mut diverged) = ([0.5; 12], [None; 2]);
            let steps = Steps { order, batch: 1, lr: StepSizes::Shared(&lr) };
            let (x, y) = (on(&cx, &x), on(&cx, &y));
            let done = diagonal_sgd(&cx, &shape, x.view(), y.view(), steps, on_mut(&cx, &mut params).view_mut(), &mut diverged);
            done.map(|()| params).map_err(|error| error.to_string())
        };
        // The second replica's samples are the last two.
        let drawn = |n: u32, count: usize| {
            let [one, other] = [0, 1].map(|k| Source { first: 2 * k, ..sources(2)[k as usize] });
            order_draw(&cx, Draw { sampling: Sampling::Shuffled, n }, &[one, other], 1, count).unwrap()
        };
        let indices = drawn(2, 9);
        let (by_drawn, by_list) = (trained((&indices).into()), trained((&indices.to_vec().unwrap()).into()));
        assert_eq!(by_drawn, by_list, "{}", variant(&cx));
        assert_ne!(by_drawn.unwrap(), [0.5; 12]);
        let line = trained((&drawn(3, 9)).into()).unwrap_err();
        assert!(line.contains("the number of samples that the order is drawn from is 5, expected at most 4"), "{line}");
        let line = trained((&drawn(2, 8)).into()).unwrap_err();
        assert!(line.contains("`order` has 16 elements, expected 18"), "{line}");
        if cx.device() != Device::Cpu {
            let line = Order::from(&indices).on_host("op").unwrap_err().to_string();
            assert!(line.contains("`order` lives on a CUDA device, but the context runs on the CPU"), "{line}");
        }
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let cx = Context::cpu().unwrap();
    let drawn = |n: u32, first: u32| {
        let source = Source { first, ..sources(1)[0] };
        order_draw(&cx, Draw { sampling: Sampling::Replacement, n }, &[source], 0, 1).map_err(|error| error.to_string())
    };
    assert!(drawn(0, 0).unwrap_err().contains("n is 0, expected at least 1"));
    assert!(drawn(2, u32::MAX).unwrap_err().contains("the largest index is 4294967296, expected at most 4294967295"));
    assert_eq!(drawn(1, u32::MAX).unwrap().to_vec().unwrap(), [u32::MAX]);
}
