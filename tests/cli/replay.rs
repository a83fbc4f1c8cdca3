//! `replay` and `measure` as a user meets them.

use super::{output, refused, save, text};

#[test]
fn replay_refuses_before_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let arrays = [("x", [2, 3].as_slice(), vec![1.0; 6]), ("y", &[2], vec![1.0; 2]), ("order", &[2], vec![0.0, 1.0])];
    let unfit = [arrays[0].clone(), arrays[1].clone(), ("order", &[1], vec![2.0])];
    save(&at.join("a.npz"), &arrays);
    save(&at.join("unfit.npz"), &unfit);
    std::fs::write(at.join("cut.npz"), b"PK\x03\x04 cut short").unwrap();
    std::fs::create_dir(at.join("folder")).unwrap();
    std::os::unix::fs::symlink("a.npz", at.join("link")).unwrap();
    let contents = || (std::fs::read_dir(at).unwrap().count(), std::fs::read(at.join("a.npz")).unwrap());
    let before = contents();
    for (arrays, out, want) in [
        ("unfit.npz", "trace.csv", "unfit.npz: array `order` holds 2 at flat position 0"),
        ("cut.npz", "trace.csv", "cut.npz: not a .npz file"),
        ("folder", "trace.csv", "folder: this is a folder, expected a .npz file"),
        ("a.npz", "folder", "--out folder: this is a folder"),
        ("a.npz", "new/", "--out new/: this is a folder"),
        ("a.npz", "new/trace.csv", "--out new/trace.csv: there is no folder new"),
        ("a.npz", "./a.npz", "--out ./a.npz: this is the file with the arrays"),
        ("a.npz", "link", "--out link: this is the file with the arrays"),
    ] {
        refused(at, &["replay", arrays, "--net", "diagonal", "--lr", "0.1", "--out", out], want);
        assert!(contents() == before, "--out {out}: something was written");
    }
    refused(at, &["measure", "cut.npz", "--net", "diagonal", "--params", "w"], "not a .npz file");
}

#[test]
fn a_replay_of_empty_batches_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let images: Vec<f64> = (0..4 * 64).map(|place| (place as f64).cos().abs()).collect();
    let good = save(&folder.path().join("a.npz"), &[("x", &[4, 1, 8, 8], images.clone()), ("y", &[4], vec![0.0, 1.0, 2.0, 3.0])]);
    let scalar = save(&folder.path().join("b.npz"), &[("x", &[4, 1, 8, 8], images), ("y", &[], vec![0.0])]);
    let replay = |path: &str, batch: &str, want: &str| {
        let net = ["--net", "resnet18:width=2,size=8,channels=1", "--init", "none.safetensors"];
        let rest = ["--loss", "xent", "--lr", "0.1", "--out", "a.csv", "--batch", batch];
        refused(folder.path(), &[&["replay", path], &net[..], &rest].concat(), want);
    };
    replay(&good, "0", "--batch 0: expected 1 to 4");
    replay(&scalar, "2", "array `y` has shape []");
}

#[test]
fn replay_and_measure_answer_in_csv_and_json() {
    let folder = tempfile::tempdir().unwrap();
    // One sample, one feature: β = uv, y = 1, so that losses are (uv - 1)²/2 by hand.
    let arrays = [
        ("x", [1, 1].as_slice(), vec![1.0]),
        ("beta_star", &[1], vec![1.0]),
        ("order", &[2], vec![0.0; 2]),
        ("init", &[2], vec![1.0, 0.5]),
    ];
    let path = save(&folder.path().join("a.npz"), &arrays);
    let out = folder.path().join("trace.csv");
    let replay =
        output(&["replay", &path, "--net", "diagonal", "--loss", "half-mse", "--lr", "0.5", "--out", out.to_str().unwrap()]);
    assert!(replay.status.success(), "{}", text(&replay.stderr));
    // r = -0.5; u = 1 + 0.5·0.5·0.5 = 1.125, v = 0.5 + 0.5·0.5·1 = 0.75; then r = 0.84375 - 1.
    let want = format!("step,train_loss,test_loss\n0,0.125,\n1,{},\n", 0.15625f64 * 0.15625 / 2.0);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), want);
    let summary: serde_json::Value = serde_json::from_slice(&replay.stdout).unwrap();
    assert_eq!((&summary["steps"], &summary["diverged"]), (&2.into(), &false.into()));

    let diverging = output(&["replay", &path, "--net", "diagonal", "--lr", "1e150", "--out", out.to_str().unwrap()]);
    assert_eq!(diverging.status.code(), Some(0), "divergence is a result");
    let summary: serde_json::Value = serde_json::from_slice(&diverging.stdout).unwrap();
    assert_eq!(summary["diverged"], true);
    assert!(text(&diverging.stderr).contains("diverged at step"));

    let eval = ("x_eval", [2, 1].as_slice(), vec![3.0, 4.0]);
    let path = save(&folder.path().join("b.npz"), &[arrays[0].clone(), arrays[1].clone(), eval, ("w", &[2], vec![0.6, 0.8])]);
    let measured = output(&["measure", &path, "--net", "diagonal", "--params", "w", "--ntk-rank", "1e-15"]);
    let measured: serde_json::Value = serde_json::from_slice(&measured.stdout).unwrap();
    // The feature matrix [x∘v, x∘u] has rows 3(0.8, 0.6) and 4(0.8, 0.6): one singular value, 5.
    assert_eq!((&measured["ntk_rank"], &measured["l0"]), (&1.into(), &1.into()));
    assert!((measured["singular_values"][0].as_f64().unwrap() - 5.0).abs() <= 1e-14);
    assert!((measured["train_loss"].as_f64().unwrap() - 0.52 * 0.52 / 2.0).abs() <= 1e-15);
    assert!(measured["test_loss"].is_null());
}

/// What the flags of a replay say, for a 2-3-1 network with biases in the first layer under the mean squared error.
#[derive(Clone, Copy)]
struct Flags {
    relu: bool,
    warmup: Option<[f64; 3]>,
    decay: Option<[f64; 2]>,
    clip: f64,
    weight_decay: f64,
    momentum: f64,
}

/// The training loss after each of the order's pairs of samples, by loops over the definitions.
fn two_three_one(flags: Flags, lr: f64, [x, y, order, init]: [&[f64]; 4]) -> Vec<f64> {
    let (mut w, mut velocity, total) = (init.to_vec(), [0.0; 12], order.len() / 2);
    let activation = |z: f64| if flags.relu && z < 0.0 { (0.0, 0.0) } else { (z, 1.0) };
    let hidden = |w: &[f64], x: &[f64], j: usize| activation(w[2 * j] * x[0] + w[2 * j + 1] * x[1] + w[6 + j]);
    let residual = |w: &[f64], i: usize| (0..3).map(|j| w[9 + j] * hidden(w, &x[2 * i..], j).0).sum::<f64>() - y[i];
    let mut losses = Vec::new();
    for (t, pair) in order.chunks(2).enumerate() {
        let progress = |t: usize| t as f64 / total as f64;
        let mut rate = lr;
        if let Some([factor, exponent, until]) = flags.warmup {
            let last = (until * total as f64) as usize;
            rate *= 1.0 + (factor - 1.0) * progress(t.min(last)).powf(exponent);
        }
        if let Some([at, divide]) = flags.decay
            && t >= (at * total as f64) as usize
        {
            rate /= divide;
        }
        let mut gradient = [0.0; 12];
        for &i in pair {
            let (i, half) = (i as usize, 0.5 * 2.0);
            for j in 0..3 {
                let (a, slope) = hidden(&w, &x[2 * i..], j);
                let delta = half * residual(&w, i) * w[9 + j] * slope;
                gradient[2 * j] += delta * x[2 * i];
                gradient[2 * j + 1] += delta * x[2 * i + 1];
                gradient[6 + j] += delta;
                gradient[9 + j] += half * residual(&w, i) * a;
            }
        }
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let coefficient = (flags.clip / (norm + 1e-6)).min(1.0);
        for ((w, v), g) in w.iter_mut().zip(&mut velocity).zip(gradient) {
            *v = flags.momentum * *v + coefficient * g + flags.weight_decay * *w;
            *w -= rate * *v;
        }
        losses.push((0..y.len()).map(|i| residual(&w, i).powi(2)).sum::<f64>() / y.len() as f64);
    }
    losses
}

#[test]
fn every_flag_of_a_perceptrons_replay_means_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let wave = |count: usize, phase: f64| (0..count).map(|i| (1.7 * i as f64 + phase).sin()).collect::<Vec<f64>>();
    let (x, y, init) = (wave(10, 0.3), wave(5, 1.1), wave(12, 2.0));
    let order: Vec<f64> = (0..60).map(|i| f64::from(i * i % 5)).collect();
    let arrays = [
        ("x", [5, 2].as_slice(), x.clone()),
        ("y", &[5], y.clone()),
        ("order", &[30, 2], order.clone()),
        ("init", &[12], init.clone()),
    ];
    let path = save(&folder.path().join("a.npz"), &arrays);
    let out = folder.path().join("trace.csv");
    let plain = Flags { relu: true, warmup: None, decay: None, clip: f64::INFINITY, weight_decay: 0.0, momentum: 0.0 };
    let mut seen = Vec::new();
    for (flags, more) in [
        (plain, ""),
        (Flags { relu: false, ..plain }, "--activation identity"),
        (Flags { warmup: Some([4.0, 2.0, 0.5]), ..plain }, "--warmup 4,2,.5"),
        (Flags { decay: Some([0.4, 3.0]), ..plain }, "--decay .4,3"),
        (Flags { clip: 0.3, ..plain }, "--clip 0.3"),
        (Flags { weight_decay: 0.2, ..plain }, "--wd 0.2"),
        (Flags { momentum: 0.8, ..plain }, "--momentum 0.8"),
        (
            Flags {
                relu: true,
                warmup: Some([2.0, 0.5, 0.3]),
                decay: Some([0.7, 2.0]),
                clip: 0.5,
                weight_decay: 0.1,
                momentum: 0.5,
            },
            "--warmup 2,.5,.3 --decay .7,2 --clip 0.5 --wd 0.1 --momentum 0.5",
        ),
    ] {
        let base = ["replay", &path, "--net", "mlp:2,3,1", "--bias", "first", "--loss", "mse", "--lr", "0.05", "--batch", "2"];
        let arguments: Vec<&str> =
            base.into_iter().chain(["--out", out.to_str().unwrap()]).chain(more.split_whitespace()).collect();
        let done = output(&arguments);
        assert!(done.status.success(), "{more}: {}", text(&done.stderr));
        let trace = std::fs::read_to_string(&out).unwrap();
        let losses: Vec<f64> = trace.lines().skip(2).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect();
        let want = two_three_one(flags, 0.05, [&x, &y, &order, &init]);
        assert_eq!(losses.len(), want.len() - 1, "{more}: one line for the start of every update");
        for (step, (got, want)) in losses.iter().zip(&want).enumerate() {
            assert!((got - want).abs() <= 1e-12 * want, "{more}, step {}: {got} against {want}", step + 1);
        }
        seen.push(losses[28]);
    }
    seen.sort_by(f64::total_cmp);
    assert!(seen.windows(2).all(|pair| pair[1] - pair[0] > 1e-6), "a flag changes nothing: {seen:?}");
}

#[test]
fn a_perceptron_is_measured_at_every_threshold_and_layer() {
    let folder = tempfile::tempdir().unwrap();
    // Features of x = -1: (0, 0, 1, 0), of x = 1: (1, 2, 0, 0). Neurons 1 and 2 are correlated by 1 with later ones.
    let arrays = [
        ("x", [2, 1].as_slice(), vec![-1.0, 1.0]),
        ("y", &[2], vec![0.0, 1.0]),
        ("x_eval", &[2, 1], vec![-1.0, 2.0]),
        ("w", &[8], vec![1.0, 2.0, -1.0, 0.0, 0.5, 0.25, 3.0, 1.0]),
    ];
    let path = save(&folder.path().join("a.npz"), &arrays);
    let base = ["measure", &path, "--net", "mlp:1,4,1", "--bias", "none", "--params", "w", "--ntk-rank", "1e-4"];
    let answer = |more: &[&str]| -> serde_json::Value {
        let done = output(&base.iter().chain(more).copied().collect::<Vec<_>>());
        assert!(done.status.success(), "{}", text(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let measured = answer(&["--sparsity", "0.95,1"]);
    assert_eq!(measured["sparsity"], serde_json::json!({ "0.95": 0.125, "1": 0.375 }));
    assert_eq!(measured["ntk_rank"], 2, "one row of gradients has only the third neuron's, the other only the others'");
    // h(-1) = 3 and h(1) = 1.
    assert!((measured["train_loss"].as_f64().unwrap() - 9.0 / 4.0).abs() <= 1e-15);
    assert_eq!(answer(&["--sparsity", "0.95", "--layer", "1"])["sparsity"], serde_json::json!({ "0.95": 0.125 }));
    let layer = ["measure", &path, "--net", "mlp:1,4,1", "--bias", "none", "--params", "w", "--sparsity", "0.9", "--layer", "2"];
    refused(folder.path(), &layer, "has no hidden layer 2");
}
