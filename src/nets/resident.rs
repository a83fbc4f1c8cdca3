//! Where the numbers of a group of replicas are while they train.

use handgrad_kernels::combine::combine;
use handgrad_kernels::{Acc, Buffer, Context, Device, Element, Real, View, ViewMut};

use crate::error::Result;
use crate::state::State;

/// Numbers of the host where a context finds them: they themselves on the CPU, a copy on a device.
#[derive(Debug)]
pub(crate) enum There<'a, T: Element> {
    Host(&'a [T]),
    Copy(Buffer<T>),
}

impl<'a, T: Element> There<'a, T> {
    /// Copies to a device.
    pub(crate) fn new(cx: &Context, values: &'a [T]) -> Result<There<'a, T>> {
        Ok(match cx.device() {
            Device::Cpu => There::Host(values),
            Device::Cuda(_) => There::Copy(Buffer::from_slice(cx, values)?),
        })
    }

    /// All of them.
    pub(crate) fn view(&self) -> View<'_, T> {
        match self {
            There::Host(values) => View::Host(values),
            There::Copy(buffer) => buffer.view(),
        }
    }
}

/// What a step changes, replica by replica, borrowed.
#[derive(Debug)]
pub(super) struct Memory<'a, T: Real> {
    /// Parameters.
    pub params: ViewMut<'a, T>,
    /// What the optimiser's rule remembers.
    pub rule: ViewMut<'a, T>,
    /// Averaged parameters, or nothing.
    pub average: ViewMut<'a, T>,
    /// Running statistics, or nothing.
    pub statistics: ViewMut<'a, T>,
}

impl<T: Real> Memory<'_, T> {
    /// That of one of so many replicas.
    pub(super) fn of_replica(&mut self, replica: usize, replicas: usize) -> Result<Memory<'_, T>> {
        let parts = [&self.params, &self.rule, &self.average, &self.statistics];
        let [params, rule, average, statistics] = parts.map(|part| part.len() / replicas);
        Ok(Memory {
            params: self.params.part(replica * params, params)?,
            rule: self.rule.part(replica * rule, rule)?,
            average: self.average.part(replica * average, average)?,
            statistics: self.statistics.part(replica * statistics, statistics)?,
        })
    }

    /// Room for as many numbers.
    pub(super) fn alike(&self, cx: &Context) -> Result<[Buffer<T>; 4]> {
        let zeros = |part: &ViewMut<'_, T>| Buffer::zeros(cx, part.len());
        Ok([zeros(&self.params)?, zeros(&self.rule)?, zeros(&self.average)?, zeros(&self.statistics)?])
    }

    /// Becomes a copy.
    pub(super) fn copy(&mut self, cx: &Context, from: &Memory<'_, T>) -> Result<()> {
        let to = [&mut self.params, &mut self.rule, &mut self.average, &mut self.statistics];
        for (to, from) in to.into_iter().zip([&from.params, &from.rule, &from.average, &from.statistics]) {
            combine(cx, [(T::ONE, from.view())], to.reborrow(), Acc::Set)?;
        }
        Ok(())
    }
}

impl<'a, T: Real> From<&'a mut [Buffer<T>; 4]> for Memory<'a, T> {
    fn from(buffers: &'a mut [Buffer<T>; 4]) -> Memory<'a, T> {
        let [params, rule, average, statistics] = buffers.each_mut().map(Buffer::view_mut);
        Memory { params, rule, average, statistics }
    }
}

/// A copy of a state's numbers on a device, where they stay for all steps; on the CPU the state's own are used.
#[derive(Debug)]
pub(super) struct Resident<T: Real>(Option<[Buffer<T>; 4]>);

impl<T: Real> Resident<T> {
    /// Goes to the context's device.
    pub(super) fn new(cx: &Context, state: &State<T>) -> Result<Resident<T>> {
        let there = |values: &[T]| Buffer::from_slice(cx, values);
        Ok(Resident(match cx.device() {
            Device::Cpu => None,
            Device::Cuda(_) => {
                Some([there(&state.params)?, there(&state.memory)?, there(&state.average)?, there(&state.statistics)?])
            }
        }))
    }

    /// Where steps find the numbers of `state`.
    pub(super) fn memory<'a>(&'a mut self, state: &'a mut State<T>) -> Memory<'a, T> {
        match &mut self.0 {
            None => {
                let State { params, memory: rule, average, statistics, .. } = state;
                let [params, rule, average, statistics] = [params, rule, average, statistics].map(|values| ViewMut::Host(values));
                Memory { params, rule, average, statistics }
            }
            Some(buffers) => buffers.into(),
        }
    }

    /// Brings the numbers back.
    pub(super) fn back(&self, state: &mut State<T>) -> Result<()> {
        if let Some([params, rule, average, statistics]) = &self.0 {
            (state.params, state.memory, state.average) = (params.to_vec()?, rule.to_vec()?, average.to_vec()?);
            state.statistics = statistics.to_vec()?;
        }
        Ok(())
    }
}
