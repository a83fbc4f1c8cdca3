//! Where a group of replicas stands: everything that a step reads and writes, and nothing else.

use handgrad_kernels::Real;

use crate::optim::Optimiser;
use crate::spec::Seed;

/// The serialisable state of one run for a group of seeds. Steps are pure functions of it, so that continuing from a saved
/// state gives the same bits as never having stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct State<T> {
    /// Iterations done.
    pub step: u64,
    /// One seed per replica.
    pub seeds: Vec<Seed>,
    /// The iteration at which a replica diverged; it stays as it was before that one.
    pub diverged: Vec<Option<u64>>,
    /// Parameters, replica by replica.
    pub params: Vec<T>,
    /// Averaged parameters, replica by replica; empty if the optimiser does not average.
    pub average: Vec<T>,
    /// Running statistics of layers that have them, replica by replica; empty if there are none.
    pub statistics: Vec<T>,
    /// What the optimiser's rule remembers, replica by replica: momentum, or Adam's two moments; empty if nothing.
    pub memory: Vec<T>,
}

impl<T: Real> State<T> {
    /// Every replica at its initial parameters.
    pub fn new(seeds: &[Seed], initial: impl Fn(Seed) -> Vec<f64>, optimiser: &Optimiser) -> State<T> {
        State::at(seeds, &seeds.iter().flat_map(|&seed| initial(seed)).collect::<Vec<_>>(), optimiser)
    }

    /// Every replica at its parameters, replica by replica.
    pub fn at(seeds: &[Seed], params: &[f64], optimiser: &Optimiser) -> State<T> {
        let params: Vec<T> = params.iter().copied().map(T::from_f64).collect();
        let average = if optimiser.averages() { params.clone() } else { Vec::new() };
        let memory = vec![T::ZERO; optimiser.rule.memory() * params.len()];
        let statistics = Vec::new();
        State { step: 0, seeds: seeds.to_vec(), diverged: vec![None; seeds.len()], params, average, statistics, memory }
    }

    /// With running statistics, which start the same for every replica.
    pub fn with_statistics(self, initial: &[f64]) -> State<T> {
        let statistics = self.seeds.iter().flat_map(|_| initial).map(|&value| T::from_f64(value)).collect();
        State { statistics, ..self }
    }

    /// Replicas, R >= 1.
    pub fn replicas(&self) -> usize {
        self.seeds.len()
    }

    /// Whether every replica has diverged.
    pub fn is_over(&self) -> bool {
        self.diverged.iter().all(Option::is_some)
    }

    /// The parameters that metrics are taken of: the average if there is one.
    pub fn measured(&self) -> &[T] {
        if self.average.is_empty() { &self.params } else { &self.average }
    }
}
