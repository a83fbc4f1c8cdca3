use super::*;
use crate::testing::{Cases, contexts, on, on_mut, variant};

fn redraw(probability: f64) -> Redraw {
    let words = |kind| Words { key: [5, 1 << 30], upper: [3, kind] };
    Redraw { probability, classes: 10, decides: words(1), gives: words(0) }
}

const LABEL: u32 = 77;

#[test]
fn labels_are_those_of_the_definition() {
    let mut cases = Cases::new(2);
    for (count, step) in [(0, 0), (1, 3), (2, u32::MAX), (301, 1 << 30)] {
        let items = cases.indices(count, u32::MAX as usize);
        for probability in [0.0, 0.3, 1.0] {
            let Redraw { classes, decides, gives, .. } = redraw(probability);
            let label = |&item: &u32| {
                let position = (u64::from(step) << 32) + u64::from(item);
                let words = decides.block(position / 2).map(u64::from);
                let place = (position % 2 * 2) as usize;
                let number = ((words[place + 1] << 32) + words[place]) as f64 / 2f64.powi(64);
                let class = (u64::from(gives.block(position / 4)[(position % 4) as usize]) * classes as u64) >> 32;
                if number < probability { class as u32 } else { LABEL }
            };
            let want: Vec<u32> = items.iter().map(label).collect();
            for cx in contexts() {
                let mut labels = vec![LABEL; count];
                let (there, now) = (on(&cx, &items), [step]);
                let now = on(&cx, &now);
                let step = (step != 0).then(|| now.view());
                class_noise(&cx, &redraw(probability), step, there.view(), on_mut(&cx, &mut labels).view_mut()).unwrap();
                assert_eq!(labels, want, "{}, {count} at {probability}", variant(&cx));
            }
        }
    }
}

/// With a probability that is one of the uniform numbers themselves.
#[test]
fn a_number_at_the_probability_leaves_the_label() {
    let item = 6;
    let number = redraw(0.0).decides.uniform(item_position(0, item));
    for cx in contexts() {
        for (probability, redrawn) in [(number, false), (number.next_up(), true)] {
            let mut labels = [LABEL];
            class_noise(&cx, &redraw(probability), None, on(&cx, &[item]).view(), on_mut(&cx, &mut labels).view_mut()).unwrap();
            assert_eq!(labels[0] != LABEL, redrawn, "{} at {probability}", variant(&cx));
        }
    }
}

#[test]
fn what_is_no_noise_is_refused() {
    let cx = Context::cpu().unwrap();
    let refused = |redraw: Redraw, labels: usize| {
        class_noise(&cx, &redraw, None, (&[0, 1]).into(), (&mut vec![0; labels]).into()).unwrap_err().to_string()
    };
    assert!(refused(Redraw { classes: 0, ..redraw(0.5) }, 2).contains("the number of classes is 0, expected at least 1"));
    assert!(refused(Redraw { classes: 1 << 32, ..redraw(0.5) }, 2).contains("expected at most 4294967295"));
    assert!(refused(redraw(0.5), 3).contains("`labels` has 3 elements, expected 2 (items)"));
    for probability in [-0.1, 1.1, f64::NAN] {
        assert!(refused(redraw(probability), 2).contains("expected a number from 0 to 1"), "{probability}");
    }
}
