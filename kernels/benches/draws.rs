//! Orders of samples, per instruction set: integers with replacement and shuffled places; throughput in indices.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use handgrad_kernels::permutation::{Permutation, ROUNDS, permutation_fill};
use handgrad_kernels::philox::{Words, philox_below};
use handgrad_kernels::testing::{Cases, cpu_contexts};

const INDICES: usize = 4096;

fn draws(c: &mut Criterion) {
    let words = Words { key: [3, 5], upper: [2, 0] };
    let keys: [u32; ROUNDS] = std::array::from_fn(|round| Cases::new(round as u64).indices(1, 1 << 31)[0]);
    let mut out = vec![0; INDICES];
    for n in [80, 1000] {
        let mut group = c.benchmark_group(format!("draws/{n}"));
        group.throughput(Throughput::Elements(INDICES as u64));
        let permutation = Permutation::new(n, keys);
        for cx in cpu_contexts() {
            group.bench_function(BenchmarkId::new("philox_below", cx.isa().name()), |bencher| {
                bencher.iter(|| philox_below(&cx, &words, n, 0, (&mut out).into()).expect("host memory"));
            });
            group.bench_function(BenchmarkId::new("permutation_fill", cx.isa().name()), |bencher| {
                bencher.iter(|| permutation_fill(&cx, &permutation, 0, (&mut out).into()).expect("host memory"));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = draws
}
criterion_main!(benches);
