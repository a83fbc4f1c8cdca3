use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use crate::conv2d::Conv2dShape;
use crate::{Context, Real};

/// Images with zeros around them.
#[derive(Clone, Copy)]
pub(super) struct Padded {
    /// Rows, columns and channels inside.
    pub(super) inside: [usize; 3],
    /// Zeros above and to the left.
    pub(super) before: usize,
    /// Rows and columns in all.
    pub(super) extent: [usize; 2],
}

impl Padded {
    /// x with the zeros that windows see.
    pub(super) fn input(shape: &Conv2dShape) -> Padded {
        let &Conv2dShape { h, w, c, pad, .. } = shape;
        Padded { inside: [h, w, c], before: pad, extent: [h + 2 * pad, w + 2 * pad] }
    }

    /// Numbers in a row.
    pub(super) fn row(&self) -> usize {
        self.extent[1] * self.inside[2]
    }

    /// Numbers in an image.
    pub(super) fn image(&self) -> usize {
        self.extent[0] * self.row()
    }

    /// Numbers in an image inside.
    pub(super) fn inside(&self) -> usize {
        self.inside.iter().product()
    }

    /// Copies some channels, from `first` on, of images of `of` channels.
    pub(super) fn lay_out<T: Real>(&self, x: &[T], [first, of]: [usize; 2], padded: &mut [T]) {
        let [rows, columns, channels] = self.inside;
        let (line, left) = (columns * channels, self.before * channels);
        for (image, padded) in x.chunks_exact(rows * columns * of).zip(padded.chunks_exact_mut(self.image())) {
            for (row, padded) in padded.chunks_exact_mut(self.row()).enumerate() {
                match row.checked_sub(self.before).filter(|&row| row < rows) {
                    None => padded.fill(T::ZERO),
                    Some(row) => {
                        let from = &image[row * columns * of..][..columns * of];
                        padded[..left].fill(T::ZERO);
                        if channels == of {
                            padded[left..left + line].copy_from_slice(from);
                        } else {
                            let pixels = from.chunks_exact(of).zip(padded[left..].chunks_exact_mut(channels));
                            pixels.for_each(|(from, to)| to.copy_from_slice(&from[first..][..channels]));
                        }
                        padded[left + line..].fill(T::ZERO);
                    }
                }
            }
        }
    }

    /// Calls `each` with the padded images, which are the images themselves where there are no zeros. `side_by_side`: on rayon's
    /// threads.
    pub(super) fn with<T: Real>(&self, cx: &Context, x: &[T], side_by_side: bool, each: impl FnOnce(&[T])) {
        let [rows, columns, channels] = self.inside;
        if self.extent == [rows, columns] {
            return each(x);
        }
        let mut padded = cx.scratch(x.len() / self.inside() * self.image());
        if side_by_side {
            let images = x.par_chunks_exact(self.inside()).zip(padded.par_chunks_exact_mut(self.image()));
            images.for_each(|(x, padded)| self.lay_out(x, [0, channels], padded));
        } else {
            self.lay_out(x, [0, channels], &mut padded);
        }
        each(&padded);
    }
}
