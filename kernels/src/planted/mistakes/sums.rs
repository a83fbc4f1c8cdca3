//! Sums.

use super::super::Found::{Bounds, Race, Value};
use super::super::Mistake;

super::mistakes! {
    norm::tests::every_variant_matches_the_oracle {
        Race "dev.cuh in norm.cu": "= value;\n    __syncthreads();" => "= value;";
        Bounds "sums.cuh in norm.cu": "start + SUM_CHUNK < n ? start + SUM_CHUNK : n" => "start + SUM_CHUNK";
        Value "sums.cuh in norm.cu": "u64 i = start + threadIdx.x" => "u64 i = threadIdx.x";
        Value "sums.cuh in norm.cu": "i < chunks; i += blockDim.x" => "i < 1; i += blockDim.x";
        Value "sums.cuh in norm.cu": "SUM_CHUNK = 4096" => "SUM_CHUNK = 4095";
        Value "dev.cuh in norm.cu": "lane_of_thread() < warps_of_block()" => "lane_of_thread() < warps_of_block() - 1";
        Value "norm.cu": "a[i] * b[i]" => "a[i] * a[i]";
        Value "norm.cu": "take_root ? root(sum) : sum" => "root(sum)";
    }
    norm::tests::values_by_hand {
        Value "norm.cu": "root(sum) : sum, add)" => "root(sum) : sum, 0)";
    }
    weightnorm::tests::values_of_pytorch {
        Value "weightnorm.cu": "g ? g[0]" => "g ? g[1]";
        Value "weightnorm.cu": "w[i] = alpha * v[i]" => "w[i] = alpha * v[0]";
        Value "weightnorm.cu": " - beta * v[i]" => "";
        Value "weightnorm.cu": "put(dg, gain, add)" => "put(dg, product[0], add)";
    }
    weightnorm::tests::every_variant_matches_the_oracle {
        Bounds "weightnorm.cu": "FOR_ELEMENTS(i, n) w" => "FOR_ELEMENTS(i, n + 1) w";
        Bounds "weightnorm.cu": "FOR_ELEMENTS(i, n) put" => "FOR_ELEMENTS(i, n + 1) put";
        Value "weightnorm.cu": "- beta * v[i], add)" => "- beta * v[i], 0)";
        Value "weightnorm.cu": "put(dg, gain, add)" => "put(dg, gain, 0)";
        Value "weightnorm.cu": "blockIdx.x == 0 && threadIdx.x == 0" => "threadIdx.x == 0";
    }
    weightnorm::tests::lengths_in_memory_are_those_of_the_host {
        Bounds "weightnorm.cu": "return g ? g[0] : g_number" => "return g[0]";
        Bounds "weightnorm.cu": "if (dg && blockIdx" => "if (blockIdx";
    }
    mse::tests::every_variant_matches_the_oracle {
        Race "dev.cuh in mse.cu": "= value;\n    __syncthreads();" => "= value;";
        Bounds "mse.cu": "FOR_ELEMENTS(i, n) dy[i]" => "FOR_ELEMENTS(i, n + 1) dy[i]";
        Value "sums.cuh in mse.cu": "i < end; i += blockDim.x" => "i < end; i += blockDim.x + 1";
        Value "sums.cuh in mse.cu": "partial[blockIdx.x] = sum" => "partial[0] = sum";
        Value "mse.cu": "y[i] - target[i]" => "y[i] - target[0]";
        Value "dev.cuh in mse.cu": "distance = 16" => "distance = 8";
        Value "dev.cuh in mse.cu": "blockIdx.x * static_cast<u64>(blockDim.x) + threadIdx.x" => "threadIdx.x";
    }
    mse::tests::forward_value_by_hand {
        Value "mse.cu": "double(factor) * sum" => "sum";
    }
    mse::tests::tangent_is_the_derivative_of_backward {
        Value "mse.cu": "factor * y_tangent[i]" => "y_tangent[i]";
    }
    logistic::tests::every_variant_matches_the_oracle {
        Race "dev.cuh in logistic.cu": "= value;\n    __syncthreads();" => "= value;";
        Bounds "logistic.cu": "dy[i] = T(-t * sigmoid" => "dy[i + 1] = T(-t * sigmoid";
        Value "logistic.cu": "sigmoid(-t * double(y[i]))" => "sigmoid(-t * double(y[0]))";
        Value "sums.cuh in logistic.cu": "u64 i = start + threadIdx.x" => "u64 i = start";
        Value "logistic.cu": "sigmoid(at) * sigmoid(-at)" => "sigmoid(at)";
    }
    logistic::tests::far_margins_keep_their_digits {
        Value "logistic.cu": "log1p(exp(-fabs(margin)))" => "log(1.0 + exp(-fabs(margin)))";
        Value "logistic.cu": " + (margin < 0.0 ? -margin : 0.0)" => "";
    }
    logistic::tests::values_of_pytorch {
        Value "logistic.cu": "x < 0.0 ? t / (1.0 + t) : 1.0 / (1.0 + t)" => "1.0 / (1.0 + t)";
    }
    positives::tests::every_variant_matches_the_oracle {
        Bounds "sums.cuh in positives.cu": "start + SUM_CHUNK < n ? start + SUM_CHUNK : n" => "start + SUM_CHUNK";
        Value "positives.cu": "x[i] > T(0)" => "x[0] > T(0)";
        Value "positives.cu": "? 1.0 : 0.0" => "? 0.0 : 1.0";
        Value "sums.cuh in positives.cu": "i < end; i += blockDim.x" => "i + 1 < end; i += blockDim.x";
    }
    positives::tests::zeros_and_nan_are_not_positive {
        Value "positives.cu": "x[i] > T(0)" => "x[i] >= T(0)";
        Value "positives.cu": "x[i] > T(0)" => "!(x[i] <= T(0))";
    }
    mistakes::tests::every_variant_matches_the_oracle {
        Bounds "sums.cuh in mistakes.cu": "start + SUM_CHUNK < n ? start + SUM_CHUNK : n" => "start + SUM_CHUNK";
        Value "mistakes.cu": "k < outputs" => "k <= outputs";
        Value "mistakes.cu": "k < outputs" => "k + 1 < outputs";
        Value "mistakes.cu": "has_sign(y[i], labels[i])" => "has_sign(y[0], labels[i])";
        Value "mistakes.cu": "is_largest(y + i * outputs" => "is_largest(y + i";
        Value "mistakes.cu": "outputs, labels[i])" => "outputs, labels[0])";
        Value "mistakes.cu": "right ? 0.0 : 1.0" => "right ? 1.0 : 0.0";
        Value "sums.cuh in mistakes.cu": "partial[blockIdx.x] = sum" => "partial[0] = sum";
    }
    mistakes::tests::the_first_of_the_largest_is_chosen {
        Value "mistakes.cu": "is_above(row[k], row[chosen])" => "!is_above(row[chosen], row[k])";
        Value "mistakes.cu": "(a == b && copysign(1.0, a) > copysign(1.0, b))" => "false";
        Value "mistakes.cu": "bool right = by_sign ?" => "bool right = outputs == 1 ?";
    }
    mistakes::tests::a_sign_chooses_between_two_classes {
        Value "mistakes.cu": "label == 1 ? y > T(0)" => "label ? y > T(0)";
        Value "mistakes.cu": "label == 0 && y < T(0)" => "label == 0 && y <= T(0)";
        Value "mistakes.cu": "label == 0 && y < T(0)" => "y < T(0)";
    }
    mistakes::tests::what_is_not_a_number_is_wrong {
        Value "mistakes.cu": "if (row[k] != row[k]) return false;" => "";
    }
    softmax_xent::tests::every_variant_matches_the_oracle {
        Race "dev.cuh in softmax_xent.cu": "= value;\n    __syncthreads();" => "= value;";
        Bounds "softmax_xent.cu": "last = min(first + SAMPLES_OF_BLOCK, n)" => "last = first + SAMPLES_OF_BLOCK";
        Value "softmax_xent.cu": "SAMPLES_OF_BLOCK = 64" => "SAMPLES_OF_BLOCK = 63";
        Value "softmax_xent.cu": "dy[i * u64(classes) + k]" => "dy[i * u64(classes - 1) + k]";
        Value "softmax_xent.cu": "k == labels[i] ?" => "k == labels[0] ?";
        Value "softmax_xent.cu": "k == largest.place ? 0.0 : " => "";
        Value "softmax_xent.cu": "(double(row_tangent[k]) - mean)" => "double(row_tangent[k])";
        Value "dev.cuh in softmax_xent.cu": "distance = 16" => "distance = 8";
    }
    softmax_xent::tests::equal_logits_are_counted_once_each {
        Value "softmax_xent.cu": " || (value == best.value && place < best.place)" => "";
    }
}
