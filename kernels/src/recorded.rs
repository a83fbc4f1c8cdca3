//! Work of a device that costs one launch.

use crate::{Context, Error, Result};

/// Work recorded by [`Context::record`].
#[derive(Debug)]
pub struct Recorded(Graph);

#[cfg(feature = "cuda")]
type Graph = handgrad_cuda::Graph;
#[cfg(not(feature = "cuda"))]
type Graph = std::convert::Infallible;

impl Context {
    /// Runs `work`, and where the context runs on a CUDA device calls it once more to record what it queues there. The recording
    /// reads and writes the same memory again: what is to change from one launch to the next must change in memory.
    ///
    /// # Errors
    /// What `work` returns, or if it waits for the device.
    pub fn record<E: From<Error>>(&self, mut work: impl FnMut() -> Result<(), E>) -> Result<Option<Recorded>, E> {
        #[cfg(feature = "cuda")]
        if let Some(device) = self.cuda() {
            let graph = device.run_and_record(|| work().map_err(Either));
            return graph.map(|graph| Some(Recorded(graph))).map_err(|Either(error)| error);
        }
        work().map(|()| None)
    }
}

/// An error of the work or of the device.
#[cfg(feature = "cuda")]
struct Either<E>(E);

#[cfg(feature = "cuda")]
impl<E: From<Error>> From<handgrad_cuda::Error> for Either<E> {
    fn from(error: handgrad_cuda::Error) -> Either<E> {
        Either(Error::from(error).into())
    }
}

impl Recorded {
    /// Queues the work again.
    ///
    /// # Errors
    /// If the device fails.
    pub fn launch(&mut self) -> Result<()> {
        #[cfg(feature = "cuda")]
        self.0.launch()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::gather::{GatherShape, gather};
    use crate::testing::contexts;
    use crate::{Buffer, Device, Result};

    #[test]
    fn a_recording_sees_what_has_changed_in_memory() {
        for cx in contexts() {
            let [x, mut clock, mut out] = [&[5, 6, 7, 8][..], &[2], &[0]].map(|values| Buffer::from_slice(&cx, values).unwrap());
            let shape = GatherShape { n: 4, width: 1, stride: 1 };
            let recorded = cx.record(|| gather(&cx, &shape, x.view(), clock.view(), out.view_mut())).unwrap();
            assert_eq!((recorded.is_some(), out.to_vec().unwrap()), (cx.device() != Device::Cpu, vec![7]));
            if let Some(mut recorded) = recorded {
                clock.view_mut().copy_from_host(&[3]).unwrap();
                recorded.launch().unwrap();
                assert_eq!(out.to_vec().unwrap(), [8]);
            }
            let waits = cx.record(|| -> Result<()> { out.to_vec().map(drop) });
            assert_eq!(waits.is_err(), cx.device() != Device::Cpu);
        }
    }
}
