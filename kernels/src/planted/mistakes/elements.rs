//! Element by element.

use super::super::Found::{Bounds, Race, Value};
use super::super::Mistake;

super::mistakes! {
    activation::tests::values_of_pytorch {
        Bounds "activation.cu": "FOR_ELEMENTS(i, n) y[i]" => "FOR_ELEMENTS(i, n + 1) y[i]";
        Value "activation.cu": " + first * double(dy_tangent)" => "";
        Value "activation.cuh in activation.cu": "case TANH: return T(tanh(double(x)));" => "";
    }
    activation::tests::relu_that_is_off_gives_zero_whatever_comes_back {
        Value "activation.cu": "activation_backward(kind, x[i], dy[i])" => "activation_backward(kind, x[i], dy[0])";
        Value "activation.cu": "return where_on(x, dy_tangent)" => "return where_on(x, T(1)) * dy_tangent";
    }
    activation::tests::zeros_infinities_and_nan {
        Value "activation.cuh in activation.cu": "x <= T(0) ? T(0) : x" => "T(0)";
    }
    activation::tests::every_variant_matches_the_oracle_over_the_whole_range {
        Value "activation.cuh in activation.cu": "return 4.0 * t / ((1.0 + t) * (1.0 + t))" => "return 1.0 - tanh(x) * tanh(x)";
        Value "dev.cuh in activation.cu": "(u64 i = blockIdx.x * static_cast<u64>(blockDim.x)" => "(u64 i = blockIdx.x * 128";
    }
    adam::tests::steps_of_pytorch {
        Value "adam.cu": "(d - m[i])" => "(d - m[0])";
        Value "adam.cu": "corrected[0], bias_root = corrected[1]" => "corrected[1], bias_root = corrected[0]";
        Value "adam.cu": "root(square) / bias_root" => "root(square)";
        Value "adam.cu": "v[i] = square;" => "";
        Value "dev.cuh in adam.cu": "return ::sqrt(x)" => "return sqrtf(float(x))";
    }
    adam::tests::every_variant_matches_the_oracle {
        Bounds "adam.cu": "FOR_ELEMENTS(i, n)" => "FOR_ELEMENTS(i, n + 1)";
        Value "adam.cu": " + weight_decay * w" => "";
        Value "dev.cuh in adam.cu": "blockIdx.x * static_cast<u64>(blockDim.x) + threadIdx.x" => "threadIdx.x";
    }
    clip::tests::values_of_pytorch {
        Value "clip.cu": "clip_factor(max_norm, norm[0])" => "clip_factor(max_norm, norm[1])";
        Value "dev.cuh in clip.cu": "norm + T(1e-6)" => "norm";
    }
    clip::tests::every_variant_scales_every_element {
        Bounds "clip.cu": "FOR_ELEMENTS(i, n)" => "FOR_ELEMENTS(i, n + 1)";
        Value "clip.cu": "gradient[i] *= factor" => "gradient[i] = factor * gradient[0]";
        Value "dev.cuh in clip.cu": "blockIdx.x * static_cast<u64>(blockDim.x) + threadIdx.x" => "threadIdx.x";
    }
    sgd::tests::steps_of_pytorch {
        Value "sgd.cu": "momentum * buffer[i]" => "momentum * buffer[0]";
        Value "sgd.cu": "rate = lr[0]" => "rate = T(1)";
        Value "sgd.cu": "momentum_state == LATER ?" => "true ?";
        Value "sgd.cu": "undamped * d" => "d";
        Value "sgd.cu": "nesterov ? d + momentum * mean : mean" => "mean";
    }
    sgd::tests::every_variant_matches_the_oracle {
        Bounds "sgd.cu": "FOR_ELEMENTS(i, n)" => "FOR_ELEMENTS(i, n + 1)";
        Value "dev.cuh in sgd.cu": "blockIdx.x * static_cast<u64>(blockDim.x) + threadIdx.x" => "threadIdx.x";
    }
    combine::tests::values_by_hand {
        Bounds "combine.cu": "FOR_ELEMENTS(i, n) {" => "FOR_ELEMENTS(i, n + 1) {";
        Bounds "combine.cu": "if (terms > 1)" => "if (terms > 0)";
        Value "combine.cu": "c1 * x1[i]" => "c1 * x0[i]";
        Value "combine.cu": "c0 * x0[i]" => "c0 * x0[0]";
        Bounds "combine.cu": "FOR_ELEMENTS(i, n) out" => "FOR_ELEMENTS(i, n + 1) out";
        Value "combine.cu": "factor * out[i]" => "out[i]";
        Value "combine.cu": "fused(c, x[i]," => "fused(c, x[0],";
        Value "combine.cu": "put(out + i, factor * x[i], add)" => "out[i] = factor * x[i]";
    }
    combine::tests::every_variant_matches_the_oracle {
        Value "combine.cu": "c3 * x3[i]" => "c3 * x2[i]";
        Value "combine.cu": "T factor = c[0]" => "T factor = c[1]";
        Value "combine.cu": "put(out + i, sum, add)" => "out[i] = sum";
        Value "dev.cuh in combine.cu": "add ? *out + value : value" => "*out + value";
    }
    gather::tests::every_element_type_arrives_in_order {
        Bounds "gather.cu": "FOR_ELEMENTS(i, elements)" => "FOR_ELEMENTS(i, elements + 1)";
        Value "gather.cu": "indices[i / width]" => "indices[0]";
        Value "gather.cu": "x[row * stride + i % width]" => "x[row * width + i % width]";
        Value "gather.cu": "x[row * stride + i % width]" => "x[row * stride]";
    }
    gather::tests::a_row_that_is_not_there_is_refused_or_nan {
        Bounds "gather.cu": "row < rows" => "row <= rows";
        Value "gather.cu": "T(~T(0))" => "T(0)";
    }
    divergence::tests::one_number_is_enough_wherever_it_is {
        Race "dev.cuh in divergence.cu": "= value;\n    __syncthreads();" => "= value;";
        Value "divergence.cu": "i < n;" => "i <= n;";
        Value "divergence.cu": "i = threadIdx.x; i < n" => "i = threadIdx.x; i + 1 < n";
        Value "divergence.cu": " && first[0] == ~0u" => "";
        Value "divergence.cu": "is_finite(x[i])" => "is_finite(x[0])";
        Value "divergence.cu": "= iteration[0]" => "= iteration[0] + 1";
    }
    softmax_xent::tests::a_label_that_is_no_class_is_refused_or_nan {
        Bounds "softmax_xent.cu": "label < classes ? double(row[label]) : not_a_number()" => "double(row[label])";
        Value "softmax_xent.cu": "labels[i] < classes ? 0.0 : not_a_number()" => "0.0";
    }

    device::tests::what_a_grid_is_too_small_for_comes_in_further_rounds {
        Value "dev.cuh in clip.cu": "i += static_cast<u64>(gridDim.x) * blockDim.x" => "i += blockDim.x";
    }
}
