//! The command line as a user meets it: exit codes, one-line refusals, interruption and resumption.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use handgrad::data::npz::{self, Array};

fn handgrad(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handgrad"));
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    handgrad(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code 2, nothing on stdout, one line on stderr that contains `want`, and an empty folder.
fn refused(folder: &Path, arguments: &[&str], want: &str) {
    let output = handgrad(arguments).current_dir(folder).output().unwrap();
    let line = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {line}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    assert!(line.contains(want) && line.trim_end().lines().count() == 1, "{arguments:?}: {line}");
}

/// A short Figure 2 in `out`, on two threads.
fn short_run<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let run = [
        "run",
        "sparse/fig2",
        "--seeds",
        "3",
        "--threads",
        "2",
        "--out",
        out,
        "--set",
        "steps=300000",
        "--set",
        "evaluate.first=5",
    ];
    run.iter().chain(&["--set", "evaluate.grid=40"]).chain(more).copied().collect()
}

#[test]
fn wrong_grids_and_batches_of_simulated_figures_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refuses = |figure: &str, set: &str, want: &str| {
        refused(folder.path(), &["run", figure, "--scale", "smoke", "--set", set, "--out", "out"], want);
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "{set}: nothing is left behind");
    };
    for (set, want) in [
        ("data.n=0", "runs.linear: data.n is 0, expected at least 1 point along each axis of the diagram"),
        ("schedule.peak=0", "runs.linear: schedule.peak is 0, expected the largest step size of the diagram, above 0"),
        ("schedule.peak=-0.1", "runs.linear.schedule.peak is -0.1, expected a finite number >= 0"),
        ("schedule.peak=nan", "--set schedule.peak=nan: the value does not fit"),
        ("schedule.peak=[]", "--set schedule.peak=[]: an empty list leaves no value"),
        ("optimiser.batch.size=0", "runs.linear.optimiser.batch.size is 0, expected 1 to 16777216"),
        ("optimiser.batch={\"kind\":\"full\"}", "runs.linear: optimiser.batch is full, but samples are fresh in every step"),
        ("data.d=7", "runs.linear: data.d is 7, which the network's widths are not"),
    ] {
        refuses("stability/fig7", set, want);
    }
    for figure in ["stability/fig1c", "stability/fig8"] {
        refuses(figure, "data.n=0", "data.n is 0, expected at least 1 point");
    }
    for figure in ["janus/noise", "janus/figA1", "janus/theorem1"] {
        refuses(figure, "optimiser.batch.size=11", "optimiser.batch.size is 11, expected at most the 10 samples");
    }
}

/// `n` images of 8 x 8 with labels 0, 1, ... below `classes`, in turn.
fn save_images(path: &Path, n: usize, classes: usize, spoil: f64) -> String {
    let mut pixels: Vec<f64> = (0..n * 64).map(|place| 0.5 + 0.5 * (place as f64).sin()).collect();
    pixels[70] *= spoil;
    let labels = (0..n).map(|image| (image % classes) as f64).collect();
    save(path, &[("X", &[n, 8, 8], pixels), ("y", &[n], labels)])
}

#[test]
fn a_figure_of_images_runs_on_the_users_own_and_refuses_what_is_no_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = |images: &str, out: &str| {
        let data = format!("npz:{images}");
        ["run", "sparse/fig7", "--scale", "smoke", "--data", &data, "--set", "steps=4", "--out", out].map(str::to_owned)
    };
    let refuses = |images: String, want: &str| {
        let arguments = run(&images, "out");
        refused(folder.path(), &arguments.each_ref().map(String::as_str), want);
        assert!(!at("out").exists() && !at("out.partial").exists(), "{want}: nothing is left behind");
    };
    refuses(save_images(&at("one.npz"), 64, 1, 1.0), "all have one class");
    refuses(save_images(&at("few.npz"), 20, 5, 1.0), "has 32 samples, the data only 20");
    refuses(save_images(&at("nan.npz"), 64, 5, f64::NAN), "NaN");
    refuses(at("nothing.npz").to_str().unwrap().to_owned(), "cannot read");

    let out = at("good");
    let arguments = run(&save_images(&at("good.npz"), 70, 3, 1.0), out.to_str().unwrap());
    let done = output(&arguments.each_ref().map(String::as_str));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let spec: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("spec.json")).unwrap()).unwrap();
    assert!(spec["title"].as_str().unwrap().contains("good.npz, 70 images"), "{}", spec["title"]);
    assert_eq!((&spec["net"]["classes"], &spec["net"]["image"]), (&3.into(), &serde_json::json!([8, 8, 1])));
}

#[test]
fn bad_input_is_one_line_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    refused(at, &["run", "sparse/fig3x"], "there is no figure `sparse/fig3x`; did you mean `sparse/fig3`?");
    refused(
        at,
        &["run", "sparse/fig2", "--set", "scheduel.peak=0.1"],
        "there is no key `scheduel.peak`; did you mean `schedule.peak`?",
    );
    refused(at, &["run", "sparse/fig2", "--set", "runs.smal.steps=5"], "there is no run `smal`; did you mean `small`?");
    refused(at, &["run", "sparse/fig2", "--set", "steps"], "expected key=value");
    refused(at, &["run", "sparse/fig2", "--set", "data.n=[3,4]"], "only keys of the runs can be swept");
    refused(at, &["run", "sparse/fig2", "--set", "steps=-5"], "the value does not fit");
    refused(at, &["run", "sparse/fig2", "--set", "schedule.peak=-0.5"], "schedule.peak is -0.5, expected a finite number >= 0");
    refused(at, &["run", "sparse/fig2", "--set", "steps=0"], "steps is 0, expected at least 1");
    refused(at, &["run", "sparse/fig2", "--set", "data.support=201"], "expected 1 to d = 200");
    refused(at, &["run", "nothing.json"], "cannot read nothing.json");
    refused(at, &["replay", "nothing.npz", "--net", "diagonal", "--lr", "0.1", "--out", "a.csv"], "cannot read nothing.npz");
    assert_eq!(std::fs::read_dir(at).unwrap().count(), 0, "nothing may be left behind");
    let unknown_isa = handgrad(&["info"]).env("HANDGRAD_ISA", "mmx").output().unwrap();
    assert_eq!(unknown_isa.status.code(), Some(2));
    assert!(text(&unknown_isa.stderr).contains("`mmx` is not an instruction set, expected scalar, avx2 or avx512"));
}

fn save(path: &Path, arrays: &[(&str, &[usize], Vec<f64>)]) -> String {
    let arrays: Vec<(String, Array)> = arrays
        .iter()
        .map(|(name, shape, values)| (name.to_string(), Array { shape: shape.to_vec(), values: values.clone() }))
        .collect();
    npz::write(path, &arrays).unwrap();
    path.to_str().unwrap().to_owned()
}

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

#[test]
fn a_finished_run_is_complete_and_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    let short = ["--set", "steps=500"];
    let run = output(&short_run(out, &short));
    assert!(run.status.success(), "{}", text(&run.stderr));
    for file in ["spec.json", "meta.json", "metrics.csv", "timings.csv", "claims.json", "arrays.npz", "figure.svg", "figure.png"]
    {
        assert!(std::fs::metadata(Path::new(out).join(file)).unwrap().len() > 0, "{file}");
    }
    assert!(!Path::new(&format!("{out}.partial")).exists());
    let claims: serde_json::Value = serde_json::from_slice(&std::fs::read(Path::new(out).join("claims.json")).unwrap()).unwrap();
    assert!(claims["overrides"].as_array().unwrap().iter().any(|text| text == "steps=500"), "overrides are listed: {claims}");
    assert!(!claims["claims"].as_array().unwrap().is_empty());
    refused(folder.path(), &short_run(out, &short), "holds a finished run");
    assert_eq!(output(&short_run(out, &[short.as_slice(), &["--resume"]].concat())).status.code(), Some(0));
    refused(folder.path(), &short_run(out, &["--set", "steps=501", "--resume"]), "finished run of another spec");

    let again = folder.path().join("again");
    let spec = Path::new(out).join("spec.json");
    let run = output(&["run", spec.to_str().unwrap(), "--threads", "1", "--out", again.to_str().unwrap()]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert_eq!(std::fs::read(again.join("metrics.csv")).unwrap(), std::fs::read(Path::new(out).join("metrics.csv")).unwrap());
}

/// Starts a run that checkpoints at every opportunity and gives it a while.
fn started(out: &str, resume: bool, milliseconds: u64) -> Child {
    let more: &[&str] = if resume { &["--checkpoint-every", "0", "--resume"] } else { &["--checkpoint-every", "0"] };
    let mut command = handgrad(&short_run(out, more));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(milliseconds));
    child
}

/// Waits until a process catches SIGUSR1, the last signal that it asks for.
fn wait_until_watched(child: &Child) {
    for _ in 0..6000 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        if u64::from_str_radix(caught, 16).unwrap() & (1 << 9) != 0 {
            return std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the run watches no signals");
}

fn metrics(out: &Path) -> Vec<u8> {
    std::fs::read(out.join("metrics.csv")).unwrap()
}

/// Folders of an uninterrupted run and of one to interrupt.
fn pair(folder: &Path) -> (PathBuf, PathBuf) {
    let whole = folder.join("whole");
    let run = output(&short_run(whole.to_str().unwrap(), &[]));
    assert!(run.status.success(), "{}", text(&run.stderr));
    (whole, folder.join("interrupted"))
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, interrupted) = pair(folder.path());
    let out = interrupted.to_str().unwrap();
    let mut killed_unfinished = 0;
    for attempt in 0..40 {
        let resume = Path::new(&format!("{out}.partial")).exists();
        let mut child = started(out, resume, 7 + 13 * (attempt % 5));
        let finished = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        if finished.is_some() || interrupted.exists() {
            break;
        }
        killed_unfinished += 1;
    }
    assert!(killed_unfinished >= 1, "the run must have been unfinished when it was killed");
    let last = output(&short_run(out, &["--resume"]));
    assert!(last.status.success(), "{}", text(&last.stderr));
    assert!(metrics(&whole) == metrics(&interrupted), "killed {killed_unfinished} times: metrics.csv differs");
    assert_eq!(std::fs::read(whole.join("arrays.npz")).unwrap(), std::fs::read(interrupted.join("arrays.npz")).unwrap());
}

/// A network of images with everything that a state holds: momentum, running statistics, augmentation, 100 steps.
#[test]
fn a_killed_run_of_images_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, threads: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let arguments = [
            &["run", "sparse/fig7", "--scale", "smoke", "--set", "steps=100", "--set", "seed=0", "--threads", threads][..],
            &["--set", "runs.standard-constant.optimiser.class_noise={\"kind\":\"dynamic\",\"probability\":0.1}"],
            &["--out", out.to_str().unwrap(), "--checkpoint-every", "0"],
            more,
        ]
        .concat();
        handgrad(&arguments)
    };
    let whole = run("whole", "1", &[]).output().unwrap();
    assert!(whole.status.success(), "{}", text(&whole.stderr));
    let mut killed = 0;
    for attempt in 0..60 {
        let more: &[&str] = if attempt > 0 { &["--resume"] } else { &[] };
        let mut child = run("interrupted", "2", more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300 + 170 * (attempt % 4)));
        let finished = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        if finished {
            break;
        }
        killed += 1;
    }
    assert!(killed >= 1, "the run must have been unfinished when it was killed");
    let last = run("interrupted", "2", &["--resume"]).output().unwrap();
    assert!(last.status.success(), "{}", text(&last.stderr));
    let file = |run: &str, name: &str| std::fs::read(folder.path().join(run).join(name)).unwrap();
    for name in ["metrics.csv", "arrays.npz"] {
        assert!(file("whole", name) == file("interrupted", name), "killed {killed} times: {name} differs");
    }
}

#[test]
fn signals_save_and_exit_75() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, interrupted) = pair(folder.path());
    let out = interrupted.to_str().unwrap();
    for (round, signal) in ["TERM", "INT", "USR1"].into_iter().enumerate() {
        let mut child = started(out, round > 0, 0);
        wait_until_watched(&child);
        assert!(child.try_wait().unwrap().is_none(), "the run must be unfinished when SIG{signal} comes");
        let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), Some(75), "SIG{signal}");
        assert!(Path::new(&format!("{out}.partial/spec.json")).exists());
    }
    refused(folder.path(), &short_run(out, &[]), "holds an unfinished run; continue it with --resume");
    let last = output(&short_run(out, &["--resume"]));
    assert!(last.status.success(), "{}", text(&last.stderr));
    assert!(metrics(&whole) == metrics(&interrupted));
}

#[test]
fn the_answers_are_on_stdout() {
    let list = output(&["list", "--json"]);
    let figures: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(figures[0]["id"], "sparse/fig1");
    let info = text(&output(&["info"]).stdout);
    assert!(info.contains("CUDA: ") && info.contains("diagonal"), "{info}");
    let bench = output(&[
        "bench",
        "diagonal",
        "--n",
        "5",
        "--d",
        "9",
        "--dtype",
        "f64",
        "--steps",
        "1000",
        "--threads",
        "2",
        "--replicas",
        "4",
    ]);
    let bench: serde_json::Value = serde_json::from_slice(&bench.stdout).unwrap();
    assert!(bench["replica_steps_per_s"].as_f64().unwrap() > 0.0);
    let metric = output(&["bench", "mlp:3,4,1", "--metric", "ntk_rank@1e-4"]);
    let metric: serde_json::Value = serde_json::from_slice(&metric.stdout).unwrap();
    assert!(metric["value"].as_f64().unwrap() >= 1.0 && metric["median_s"].as_f64().unwrap() > 0.0, "{metric}");
    for (more, method) in
        [(["--replicas", "2"].as_slice(), "mlp"), (&["--composed"], "composed"), (&["--activation", "tanh"], "composed")]
    {
        let arguments = [&["bench", "mlp:3,4,1", "--n", "5", "--steps", "1000", "--clip", "1"], more].concat();
        let bench: serde_json::Value = serde_json::from_slice(&output(&arguments).stdout).unwrap();
        assert_eq!(bench["method"], method);
        assert!(bench["replica_steps_per_s"].as_f64().unwrap() > 0.0);
    }
    let gradients = output(&["gradcheck"]);
    assert_eq!(gradients.status.code(), Some(0));
    assert!(text(&gradients.stdout).contains(" 0 wrong"));
}

#[test]
fn verdicts_are_held_against_the_ledger() {
    use handgrad::claims::Verdict;
    let folder = tempfile::tempdir().unwrap();
    let known = handgrad::ledger::committed().unwrap().into_iter().next().unwrap();
    let run = |name: &str, verdict: Verdict, overrides: &[&str]| {
        let at = folder.path().join(name);
        std::fs::create_dir(&at).unwrap();
        let claim = serde_json::json!({ "id": known.claim, "statement": "", "source": "", "verdict": verdict, "evidence": [] });
        let file = serde_json::json!({ "figure": known.figure, "scale": known.scale, "overrides": overrides, "claims": [claim] });
        std::fs::write(at.join("claims.json"), file.to_string()).unwrap();
        std::fs::write(at.join("meta.json"), r#"{"data": "digits", "threads": 2}"#).unwrap();
        at.to_str().unwrap().to_owned()
    };
    let other = if known.verdict == Verdict::Fails { Verdict::Holds } else { Verdict::Fails };
    let (same, differs) = (run("same", known.verdict, &[]), run("differs", other, &[]));
    let agreeing = output(&["verify", &same]);
    assert_eq!((agreeing.status.code(), agreeing.stderr.len()), (Some(0), 0), "{}", text(&agreeing.stderr));
    assert!(text(&agreeing.stdout).contains("as in the ledger\n1 claims, 0 verdicts differ"), "{}", text(&agreeing.stdout));
    let differing = output(&["verify", &same, &differs]);
    assert_eq!(differing.status.code(), Some(1));
    assert!(text(&differing.stdout).contains(&format!("the ledger says {}", known.verdict)), "{}", text(&differing.stdout));
    let written = folder.path().join("ledger.csv");
    let write = |date: &str| output(&["verify", &differs, "--date", date, "--write", written.to_str().unwrap()]);
    assert_eq!(write("2026-02-03").status.code(), Some(0));
    let line = format!("{},{},", known.figure, serde_json::to_string(&known.scale).unwrap().trim_matches('"'));
    assert!(std::fs::read_to_string(&written).unwrap().lines().any(|row| row.starts_with(&line) && row.ends_with("2026-02-03")));
    assert_eq!(write("tomorrow").status.code(), Some(2));

    refused(folder.path(), &["verify", &run("overridden", other, &["steps=3"])], "the run has overrides (steps=3)");
    refused(folder.path(), &["verify", "nothing"], "cannot read nothing/claims.json");
}

#[test]
fn operators_are_timed_alone() {
    let answer = |arguments: &[&str]| -> serde_json::Value {
        let output = output(&[&["bench"], arguments, &["--steps", "2"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let product = answer(&["gemm:5,7,3"]);
    assert!(product["forward"]["gflops"].as_f64().unwrap() > 0.0 && product.get("backward_data").is_none());
    let convolution = answer(&["conv:6,16,16", "--batch", "2", "--conv", "winograd2", "--dtype", "f64"]);
    for pass in ["forward", "backward_data", "backward_weight"] {
        assert!(convolution[pass]["ms"].as_f64().unwrap() > 0.0, "{convolution}");
    }
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &["bench", "gemm:5,7"], "bench gemm:5,7: expected gemm:ROWS,COLUMNS,DEPTH");
    refused(folder.path(), &["bench", "conv:5,0,7"], "sizes from 1 to 1048576");
    refused(
        folder.path(),
        &["bench", "gemm:99999,99999,9"],
        "gemm:99999,99999,9: an array of 9999800001 numbers, expected at most",
    );
    refused(folder.path(), &["bench", "conv:99,9,9", "--batch", "99999"], "an array of 8820811791 numbers");
    refused(folder.path(), &["bench", "gemm:5,7,3", "--replicas", "2", "--threads", "1"], "an operator alone is timed");
}
