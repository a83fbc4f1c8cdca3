//! Ensembles: a member's bits are its own, its steps are those of the formulas, and what cannot train is refused by name.

use std::sync::Arc;

use handgrad::data::Dataset;
use handgrad::ensemble::{Ensemble, Measure, Measured, Member, Samples, Start, Trained};
use handgrad::kernels::{Context, Real};
use handgrad::loss::Loss;
use handgrad::nets::{Activation, Architecture, Bias};
use handgrad::optim::{Batch, Optimiser, Rule, Sampling};
use handgrad::rng::{Counter, Stream, sequential, standard_normals};
use handgrad::schedule::Schedule;
use handgrad::spec::{Evaluate, Seed, Spacing};

fn data(seed: u64, n: usize, d: usize) -> Arc<Dataset> {
    let mut numbers = vec![0.0; n * (d + 1)];
    standard_normals(&mut sequential(seed, Stream::Data), &mut numbers);
    let y = numbers.split_off(n * d);
    Arc::new(Dataset { d, x: numbers, y, ..Dataset::default() })
}

/// Of `d` features, four data sets; one has fewer samples.
fn ensemble(net: Architecture, d: usize, optimiser: Optimiser) -> Ensemble {
    let sets = vec![data(1, 12, d), data(2, 12, d), data(3, 9, d), data(4, 12, d)];
    let loss = if matches!(net, Architecture::Mlp { .. }) { Loss::Mse } else { Loss::HalfMse };
    Ensemble { net, loss, optimiser, sets, steps: 70, points: vec![0, 7, 70], keep: true }
}

/// Of step sizes around `lr`, some with schedules; every sixteenth one diverges, and one has noisy labels.
fn members(lr: f64, fresh: bool) -> Vec<Member> {
    let member = |index: usize| {
        let peak = if index % 16 == 3 { 1e9 } else { lr / (1 + index % 5) as f64 };
        let noisy = [0.0, 0.1][usize::from(fresh || index % 16 == 2)];
        Member {
            schedule: match index % 3 {
                0 => Schedule::Cosine { peak, floor: 0.0 },
                _ => Schedule::Constant { peak },
            },
            seed: (index % 50) as u64,
            start: Start::Seed(index as u64),
            samples: if fresh { Samples::Fresh { signal: 0.5 } } else { Samples::Set(index % 4) },
            noise: noisy,
        }
    };
    (0..256).map(member).collect()
}

/// Mean square of the parameters.
fn train<T: Real>(ensemble: &Ensemble, members: &[Member], threads: usize) -> Trained {
    let cx = Context::cpu().unwrap();
    let square = |measured: Measured<'_>| Ok(vec![measured.params.iter().map(|w| w * w).sum(), measured.step as f64]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| ensemble.train::<T>(&cx, members, Measure { count: 2, of: &square }, &()).unwrap())
}

/// Everything that is known of a member, NaN included.
fn bits(trained: &Trained, member: usize) -> (Vec<u64>, Option<u64>) {
    let members = trained.params.len();
    let rows = trained.values.chunks_exact(2 * members).flat_map(|row| &row[2 * member..][..2]);
    (rows.chain(&trained.params[member]).map(|value| value.to_bits()).collect(), trained.diverged[member])
}

fn own_bits<T: Real>(what: &str, ensemble: &Ensemble, members: &[Member]) {
    let all = train::<T>(ensemble, members, 2);
    let slow = train::<T>(ensemble, members, 1);
    assert!((0..members.len()).all(|member| bits(&all, member) == bits(&slow, member)), "{what}: one thread and two");
    let seven = train::<T>(ensemble, &members[..7], 1);
    for (index, member) in members[..7].iter().enumerate() {
        let alone = train::<T>(ensemble, std::slice::from_ref(member), 1);
        assert!(bits(&alone, 0) == bits(&seven, index), "{what}: member {index} alone and among 7");
        assert!(bits(&alone, 0) == bits(&all, index), "{what}: member {index} alone and among all");
        let d = ensemble.sets[0].d;
        let still: Vec<f64> = ensemble.net.initial(d, Seed::Own(index as u64)).iter().map(|&w| T::from_f64(w).to_f64()).collect();
        assert!(alone.params[0] != still, "{what}: member {index} stays where it is");
    }
    assert!(all.params[0] != all.params[1], "{what}");
    let adam = matches!(ensemble.optimiser.rule, Rule::Adam { .. });
    assert_eq!(all.diverged[3].is_some(), !adam, "{what}: {:?}", all.diverged[3]);
    assert!(all.diverged[..3].iter().all(Option::is_none), "{what}");
}

#[test]
fn members_of_every_family_have_bits_of_their_own() {
    let deep = Architecture::DeepDiagonal { depth: 3, activation: Activation::Tanh, mean: 0.5, deviation: 0.1 };
    let mlp = Architecture::mlp;
    let families = [
        ("diagonal", Architecture::Diagonal { u: 0.3, v: 0.1 }, 20, 0.05),
        ("deep diagonal", deep, 20, 0.02),
        ("regression", mlp(&[5, 1], Bias::None, Activation::Identity), 5, 0.05),
        ("tanh neuron", mlp(&[1, 1, 1], Bias::None, Activation::Tanh), 1, 0.1),
        ("swish neuron", mlp(&[1, 1, 1], Bias::None, Activation::Swish), 1, 0.1),
        ("1-100-1", mlp(&[1, 100, 1], Bias::All, Activation::Relu), 1, 0.01),
        ("5-10-10-1", mlp(&[5, 10, 10, 1], Bias::All, Activation::Relu), 5, 0.02),
        ("15x3", mlp(&[15, 15, 15, 15, 1], Bias::None, Activation::Identity), 15, 0.02),
    ];
    let adam = Optimiser { rule: Rule::adam(), ..Optimiser::sgd() };
    let shuffled = Batch::Random { size: 4, sampling: Sampling::Epochs };
    for (what, net, d, lr) in families {
        let members = members(lr, false);
        own_bits::<f32>(what, &ensemble(net.clone(), d, Optimiser::sgd()), &members);
        for optimiser in [adam.clone(), Optimiser { batch: shuffled, ..Optimiser::sgd() }, Optimiser::gd()] {
            own_bits::<f64>(what, &ensemble(net.clone(), d, optimiser), &members[..40]);
        }
    }
}

#[test]
fn members_with_fresh_samples_have_bits_of_their_own() {
    let mlp = Architecture::mlp;
    let adam = Optimiser { rule: Rule::adam(), ..Optimiser::minibatch_sgd(2) };
    for (what, net, d) in [
        ("swish neuron", mlp(&[1, 1, 1], Bias::None, Activation::Swish), 1),
        ("linear 20-20-20", mlp(&[20, 20, 20], Bias::None, Activation::Identity), 20),
        ("tanh 20-20-20", mlp(&[20, 20, 20], Bias::None, Activation::Tanh), 20),
        ("regression", mlp(&[1, 1], Bias::None, Activation::Identity), 1),
    ] {
        let members = members(0.05, true);
        own_bits::<f32>(what, &ensemble(net.clone(), d, Optimiser::sgd()), &members);
        own_bits::<f32>(what, &ensemble(net.clone(), d, adam.clone()), &members[..40]);
    }
}

/// The same steps in plain loops, from the same numbers, over more than a stretch of samples.
#[test]
fn fresh_samples_are_functions_of_the_seed_and_the_step() {
    let net = Architecture::mlp(&[1, 2, 1], Bias::None, Activation::Tanh);
    let (steps, lr) = (5000, 0.05);
    let ensemble = Ensemble { steps, points: vec![4500], ..ensemble(net.clone(), 1, Optimiser::minibatch_sgd(2)) };
    let schedule = Schedule::Constant { peak: lr };
    let (start, samples) = (Start::At(vec![0.3, -0.2, 0.5, 0.4]), Samples::Fresh { signal: 0.3 });
    let member = Member { schedule, seed: 3, start, samples, noise: 0.2 };
    let trained = train::<f64>(&ensemble, std::slice::from_ref(&member), 1);

    let (x, epsilon) = (Counter::new(3, Stream::Data), Counter::new(3, Stream::Noise));
    let mut w = [0.3, -0.2, 0.5, 0.4];
    for step in 0..steps {
        if step == 4500 {
            let square: f64 = w.iter().map(|w| w * w).sum();
            assert!((trained.values[0] - square).abs() <= 1e-11, "{} against {square}", trained.values[0]);
        }
        let mut gradient = [0.0; 4];
        for sample in [2 * step, 2 * step + 1] {
            let input = x.normal_at(sample);
            let a = [w[0], w[1]].map(|w| (w * input).tanh());
            let residual = w[2] * a[0] + w[3] * a[1] - (0.3 * input + 0.2 * epsilon.normal_at(sample));
            for i in 0..2 {
                gradient[2 + i] += residual * a[i];
                gradient[i] += residual * w[2 + i] * (1.0 - a[i] * a[i]) * input;
            }
        }
        w.iter_mut().zip(gradient).for_each(|(w, gradient)| *w -= lr * gradient);
    }
    let got = &trained.params[0];
    assert!(got.iter().zip(w).all(|(got, want)| (got - want).abs() <= 1e-11), "{got:?} against {w:?}");
}

/// Least squares by hand: each member on its own data, in its own order, with its own schedule and noise.
#[test]
fn members_on_data_sets_take_the_steps_of_the_formulas() {
    let net = Architecture::mlp(&[2, 1], Bias::None, Activation::Identity);
    let ensemble = ensemble(net, 2, Optimiser::sgd());
    let members: Vec<Member> =
        members(0.05, false).into_iter().take(8).filter(|member| member.schedule.at(0, 70) < 1.0).collect();
    let trained = train::<f64>(&ensemble, &members, 2);
    for (member, got) in members.iter().zip(&trained.params) {
        let Samples::Set(set) = member.samples else { panic!("of data sets") };
        let (data, noise) = (&ensemble.sets[set], Counter::new(member.seed, Stream::Noise));
        let n = data.n();
        let mut order = vec![0; 70];
        let cx = Context::cpu().unwrap();
        Counter::new(member.seed, Stream::Order).fill_below(&cx, 0, n as u32, &mut order).unwrap();
        let Start::Seed(seed) = member.start else { panic!("of seeds") };
        let mut w = ensemble.net.initial(2, Seed::Own(seed));
        for (step, &sample) in order.iter().enumerate() {
            let (row, k) = (&data.x[2 * sample as usize..][..2], step * n + sample as usize);
            let y = data.y[sample as usize] + if member.noise > 0.0 { 0.1 * noise.normal_at(k as u64) } else { 0.0 };
            let residual = w[0] * row[0] + w[1] * row[1] - y;
            w.iter_mut().zip(row).for_each(|(w, x)| *w -= 2.0 * member.schedule.at(step as u64, 70) * residual * x);
        }
        assert!(got.iter().zip(&w).all(|(got, want)| (got - want).abs() <= 1e-12), "{got:?} against {w:?}");
    }
    assert!(members.iter().any(|member| member.noise > 0.0));
}

#[test]
fn a_diverged_member_stays_as_it_was_before_that_step() {
    let ensemble = ensemble(Architecture::mlp(&[5, 10, 10, 1], Bias::All, Activation::Relu), 5, Optimiser::sgd());
    let all = members(0.02, false);
    let trained = train::<f64>(&ensemble, &all[..16], 1);
    let at = trained.diverged[3].expect("its step size is 1e9");
    assert!((1..70).contains(&at), "{at}");
    let shorter = Ensemble { steps: at, points: Vec::new(), ..ensemble };
    // A schedule over fewer steps is another one.
    let member = Member { schedule: Schedule::Constant { peak: 1e9 }, ..all[3].clone() };
    assert!(all[3].schedule.at(5, 70) < 1e9, "a cosine");
    let before = train::<f64>(&shorter, std::slice::from_ref(&member), 1);
    let whole = train::<f64>(&Ensemble { steps: 70, ..shorter }, &[member], 1);
    assert_eq!(before.diverged, [None]);
    assert_eq!(bits(&before, 0).0, bits(&whole, 0).0);
    let last = &trained.values[2 * 2 * 16..];
    assert!(last[6].is_nan() && last[7].is_nan() && last[4].is_finite());
    assert!(trained.values[..2 * 16].iter().all(|value| value.is_finite()), "at first all are there");
}

#[test]
fn metrics_by_name_at_logarithmic_steps() {
    let evaluate = Evaluate { first: 0, grid: 5, spacing: Spacing::Logarithmic, after: true };
    let (net, steps) = (Architecture::mlp(&[5, 1], Bias::None, Activation::Identity), 1000);
    let ensemble = Ensemble { steps, points: evaluate.points(steps), ..ensemble(net, 5, Optimiser::sgd()) };
    assert_eq!(ensemble.points, [2, 7, 33, 179, 1000]);
    let (cx, members) = (Context::cpu().unwrap(), &members(0.01, false)[4..10]);
    let named = ensemble.named(&cx, members, &["train_loss", "train_loss"]).unwrap();
    let trained = ensemble.train::<f64>(&cx, members, Measure { count: 2, of: &|at| named.of(at) }, &()).unwrap();
    assert_eq!(trained.values.len(), 5 * 6 * 2);
    for (index, member) in members.iter().enumerate() {
        let Samples::Set(set) = member.samples else { panic!("of data sets") };
        let (data, w) = (&ensemble.sets[set], &trained.params[index]);
        let residual = |(row, y): (&[f64], &f64)| row.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() - y;
        let loss = data.x.chunks_exact(5).zip(&data.y).map(|pair| residual(pair).powi(2)).sum::<f64>() / data.n() as f64;
        let at = |point: usize| trained.values[(point * 6 + index) * 2 + 1];
        assert!((at(4) - loss).abs() <= 1e-12, "{} against {loss}", at(4));
        assert!(at(0) > at(4), "it learns");
    }
    let fresh = Member { samples: Samples::Fresh { signal: 0.5 }, ..members[0].clone() };
    for (members, names, want) in [
        (&members[..1], "train_lost", "did you mean `train_loss`?"),
        (&[fresh][..], "train_loss", "member 0 has fresh samples, for which metrics have no names"),
    ] {
        let line = ensemble.named(&cx, members, &[names]).unwrap_err().to_string();
        assert!(line.contains(want), "{line}");
    }
}

#[test]
fn what_cannot_train_is_refused_by_name() {
    let cx = Context::cpu().unwrap();
    let right = ensemble(Architecture::mlp(&[5, 1], Bias::None, Activation::Identity), 5, Optimiser::sgd());
    let good = members(0.05, false)[1].clone();
    let one = std::slice::from_ref(&good);
    let refused = |ensemble: &Ensemble, members: &[Member], want: &str| {
        let none = Measure { count: 0, of: &|_| Ok(Vec::new()) };
        let line = ensemble.train::<f32>(&cx, members, none, &()).unwrap_err().to_string();
        assert!(line.contains(want) && !line.contains('\n'), "{line}\nexpected {want}");
    };
    refused(&right, &[], "0 members and 70 steps, expected at least 1 each");
    refused(&Ensemble { steps: 0, points: vec![], ..right.clone() }, one, "1 members and 0 steps");
    for lr in [0.0, -0.1, f64::NAN, f64::INFINITY] {
        let bad = Member { schedule: Schedule::Constant { peak: lr }, ..good.clone() };
        let want = format!("the step size of member 1 is {lr}, expected a positive number");
        refused(&right, &[good.clone(), bad], &want);
    }
    let bad = |change: fn(&mut Member), want: &str| {
        let mut member = good.clone();
        change(&mut member);
        refused(&right, &[good.clone(), member], want);
    };
    bad(|member| member.schedule = Schedule::Cosine { peak: 0.1, floor: f64::NAN }, "member 1");
    bad(|member| member.noise = f64::NAN, "the noise of member 1 is NaN");
    bad(|member| member.samples = Samples::Set(4), "member 1 trains on data set 4, but there are 4");
    bad(|member| member.samples = Samples::Fresh { signal: f64::NAN }, "the signal of member 1 is NaN");
    bad(|member| member.samples = Samples::Fresh { signal: 0.5 }, "give 1 outputs, the data have 5 targets");
    bad(|member| member.start = Start::At(vec![1.0; 4]), "member 1 starts at 4 parameters, the network has 5");
    bad(|member| member.start = Start::At(vec![f64::NAN; 5]), "member 1 starts at a parameter of NaN");
    let batches = |size| Ensemble { optimiser: Optimiser::minibatch_sgd(size), ..right.clone() };
    refused(&batches(13), one, "batches of 13 samples, but member 0 has 12; make them smaller");
    refused(&batches(0), one, "optimiser.batch.size is 0");
    refused(&Ensemble { points: vec![3, 3], ..right.clone() }, one, "points 3 and 3 follow each other");
    refused(&Ensemble { points: vec![71], ..right.clone() }, one, "a point at 71 steps, expected at most 70");
    let gd = Ensemble { optimiser: Optimiser::gd(), net: Architecture::mlp(&[5, 5], Bias::None, Activation::Identity), ..right };
    refused(&gd, &[Member { samples: Samples::Fresh { signal: 0.5 }, ..good }], "no full batches");
}
