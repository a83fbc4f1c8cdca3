use super::GatherShape;

pub(super) fn gather<T: Copy>(shape: &GatherShape, x: &[T], indices: &[u32], out: &mut [T]) {
    for (&index, out) in indices.iter().zip(out.chunks_exact_mut(shape.width)) {
        out.copy_from_slice(&x[index as usize * shape.stride..][..shape.width]);
    }
}
