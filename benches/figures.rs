//! The NTK rank of one evaluation, and a whole Figure 2 for one seed.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use handgrad::data::{Data, Generator};
use handgrad::experiments;
use handgrad::kernels::Context;
use handgrad::metrics::DiagonalNtk;
use handgrad::rng::{Stream, sequential, standard_normals};
use handgrad::run::{Options, execute};
use handgrad::spec::Scale;

fn ntk_rank(c: &mut Criterion) {
    let data = Data::SparseRegression { n: 80, d: 200, support: 20, test: 400, generator: Generator::Xoshiro, seed: 0 };
    let ntk = DiagonalNtk::new(&data.load().expect("a recipe").x_test, 200);
    let mut params = vec![0.0; 400];
    standard_normals(&mut sequential(1, Stream::Data), &mut params);
    let (u, v) = params.split_at(200);
    c.bench_function("ntk_rank/d=200", |bencher| bencher.iter(|| ntk.singular_values(u, v, 0.0).expect("finite parameters")));
}

fn fig2(c: &mut Criterion) {
    let figure = experiments::find("sparse/fig2").expect("a figure of this crate");
    let spec = (figure.declare)(Scale::Paper).with_overrides(&["seed=0..0".to_owned()]).expect("a key of the spec");
    let cx = Context::cpu().expect("a processor");
    let data = spec.data.load().expect("a recipe");
    let stop = AtomicBool::new(false);
    let mut group = c.benchmark_group("sparse_fig2");
    group.sample_size(10).measurement_time(Duration::from_secs(30));
    group.bench_function("paper scale, one seed", |bencher| {
        bencher.iter(|| {
            let options =
                Options { threads: 0, folder: None, stop: &stop, checkpoint_every: Duration::from_secs(3600), progress: &() };
            execute(&cx, &spec, data.clone(), &options).expect("a spec that runs")
        });
    });
    group.finish();
}

criterion_group!(benches, ntk_rank, fig2);
criterion_main!(benches);
