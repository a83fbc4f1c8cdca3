//! The mistakes, by the test that finds them.

use super::Found::{Bounds, Race, Value};
use super::Mistake;

macro_rules! mistakes {
    ($($test:path { $($found:ident $file:literal: $from:literal => $to:literal;)+ })+) => {
        pub(super) const MISTAKES: &[Mistake] = &[
            $($(Mistake { test: stringify!($test), found: $found, file: $file, from: $from, to: $to },)+)+
        ];
    };
}

mistakes! {
    // ---- element by element ----

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

    // ---- random numbers ----

    permutation::tests::every_variant_gives_the_same_items_wherever_it_starts {
        Bounds "permutation.cu": "FOR_ELEMENTS(i, count)" => "FOR_ELEMENTS(i, count + 1)";
        Value "permutation.cuh in permutation.cu": "keys[round + 1]" => "keys[round]";
        Value "permutation.cuh in permutation.cu": "product >> 13" => "product >> 12";
        Value "permutation.cu": "u32((first % n + i) % n)" => "u32((first / 2 + i) % n)";
        Value "uniform.cuh in permutation.cu": "u32(u64(word) * n >> 32)" => "u32(u64(word) * n >> 33)";
    }
    permutation::tests::every_item_appears_once {
        Value "permutation.cuh in permutation.cu": "while (item >= n)" => "while (false)";
        Value "permutation.cuh in permutation.cu": "item = row + rows * column" => "item = row + columns * column";
    }
    order::tests::every_device_draws_the_orders_of_the_definition {
        Bounds "order.cu": "FOR_ELEMENTS(i, elements)" => "FOR_ELEMENTS(i, elements + 1)";
        Bounds "order.cu": "SOURCE = 5" => "SOURCE = 6";
        Value "order.cu": "sources + i / count * SOURCE" => "sources";
        Value "order.cu": "source[4] + index" => "index";
        Value "order.cu": "source[2], source[3]}" => "source[2], sources[3]}";
        Value "order.cu": "start + i % count" => "start + i";
        Value "order.cu": "u64 position = start" => "u64 position = u32(start)";
        Value "order.cu": "position / n * (ROUNDS / 4)" => "position / n";
        Value "order.cu": "u32(position % n)" => "u32(position) % n";
        Value "order.cu": "block.at[word]" => "block.at[3 - word]";
        Value "permutation.cuh in order.cu": "while (item >= n)" => "while (false)";
    }
    philox::tests::every_variant_draws_the_same_integers_wherever_it_starts {
        Bounds "philox.cu": "FOR_ELEMENTS(i, count)" => "FOR_ELEMENTS(i, count + 1)";
        Value "philox.cu": "start + i)" => "start / 4 * 4 + i)";
        Value "uniform.cuh in philox.cu": "round < 10" => "round < 9";
        Value "uniform.cuh in philox.cu": "position % 2 ? block.at[1] : block.at[0]" => "block.at[0]";
        Value "uniform.cuh in philox.cu": "u32(index >> 32)" => "0";
        Value "uniform.cuh in philox.cu": "key1 += 0xBB67AE85" => "key1 += 0x9E3779B9";
        Value "uniform.cuh in philox.cu": "u32(u64(word) * n >> 32)" => "u32(u64(word) * n >> 31)";
    }

    class_noise::tests::labels_are_those_of_the_definition {
        Bounds "class_noise.cu": "FOR_ELEMENTS(i, count)" => "FOR_ELEMENTS(i, count + 1)";
        Value "class_noise.cu": "items[i]" => "items[0]";
        Value "class_noise.cu": "step ? step[0] : 0" => "0";
        Value "class_noise.cu": "word_of(gives, position)" => "word_of(decides, position)";
        Value "uniform.cuh in class_noise.cu": "position % 2 ? block.at[3] : block.at[1]" => "block.at[1]";
        Value "uniform.cuh in class_noise.cu": "u64(step) << 32 | item" => "u64(step) + item";
    }
    class_noise::tests::a_number_at_the_probability_leaves_the_label {
        Bounds "class_noise.cu": "step ? step[0] : 0" => "step[0]";
        Value "class_noise.cu": "< probability" => "<= probability";
        Value "uniform.cuh in class_noise.cu": "double(bits >> 11)" => "float(bits >> 11)";
    }
    label_noise::tests::noise_is_that_of_the_definition {
        Bounds "label_noise.cu": "FOR_ELEMENTS(i, count)" => "FOR_ELEMENTS(i, count + 1)";
        Bounds "label_noise.cu": "step ? step[0] * period : 0" => "step[0] * period";
        Bounds "label_noise.cu": "items ? items[row] : row" => "items[row]";
        Value "label_noise.cu": "items ? items[row] : row" => "items ? items[0] : row";
        Value "label_noise.cu": "step[0] * period" => "step[0]";
        Value "label_noise.cu": " + i % width" => "";
        Value "label_noise.cu": "item * width" => "item";
        Value "label_noise.cu": "T(deviation * " => "T(";
        Value "uniform.cuh in label_noise.cu": "position % 2 ? sine_of_turns(turns) : " => "";
        Value "uniform.cuh in label_noise.cu": "-2.0 * log(1.0 - u)" => "-2.0 * log(u)";
    }
    crop_flip::tests::windows_are_those_of_the_definition {
        Bounds "crop_flip.cu": " && column < width" => "";
        Value "crop_flip.cu": " + down - padding" => "";
        Value "crop_flip.cu": "right - padding" => "down - padding";
        Value "crop_flip.cu": "items[image]" => "items[0]";
        Value "crop_flip.cu": "step[0]" => "0";
        Value "crop_flip.cu": "i += blockDim.x" => "i += 2 * blockDim.x";
        Value "crop_flip.cu": "image * height + line" => "line";
        Value "crop_flip.cu": " + i % channels]" => "]";
    }
    crop_flip::tests::the_middle_window_is_the_image_and_two_flips_are_none {
        Value "crop_flip.cu": "width - 1 - column" => "column";
        Value "crop_flip.cu": "draw % 2 == 1" => "draw % 2 == 0";
    }

    // ---- sums ----

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

    // ---- products of matrices ----

    gemm::tests::every_variant_matches_the_oracle {
        Race "product.cuh in gemm.cu": "wait_copies<1>();" => "wait_copies<2>();";
        Race "product.cuh in gemm.cu": "wait_copies<1>();\n        __syncthreads();" => "wait_copies<1>();";
        Race "product.cuh in gemm.cu": "has just been read.\n        __syncthreads();" => "has just been read.";
        Race "product.cuh in gemm.cu": "copy_stage(next);\n        commit_copies();" => "copy_stage(next);";
        Bounds "product.cuh in gemm.cu": "o < size ? start + o * outer_stride" => "o <= size ? start + o * outer_stride";
        Bounds "product.cuh in gemm.cu": "first_row + row < a.size" => "first_row + row <= a.size";
        Value "product.cuh in gemm.cu": "i < inner_size ? i * inner_stride" => "i <= inner_size ? i * inner_stride";
        Value "product.cuh in gemm.cu": "slice + o * PITCH + place" => "slice + o * DEPTH + place";
        Value "product.cuh in gemm.cu": "blockIdx.x % tiles_across<Tile>(b.size)" => "0";
        Value "product.cuh in gemm.cu": "blockIdx.x / tiles_across<Tile>(b.size)" => "0";
        Value "gemm.cu": "to + column * c_column" => "to + column";
        Value "gemm.cu": "(b, n, k, b_column, b_row)" => "(b, n, k, b_row, b_column)";
    }
    gemm::tests::forward_value_by_hand {
        Value "gemm.cu": "put(to + column * c_column, value, add)" => "to[column * c_column] = value";
    }
    precision::tests::gemm_sums_products_of_rounded_factors {
        Value "product.cuh in gemm.cu": "group = lane_of_thread() / 4" => "group = lane_of_thread() % 8";
        Value "product.cuh in gemm.cu": "return to_tf32(numbers[0])" => "return bits_of(numbers[0])";
        Value "product.cuh in gemm.cu": "return to_bf16(numbers[0])" => "return bits_of(numbers[0]) >> 16";
        Value "dev.cuh in gemm.cu": "(bits_of(x) + 0x1000)" => "bits_of(x)";
        Value "product.cuh in gemm.cu": "{upper[i], lower[i]," => "{upper[i] >> 16 | upper[i] << 16, lower[i],";
        Value "product.cuh in gemm.cu": "{upper[i], lower[i]," => "{lower[i], upper[i],";
        Value "product.cuh in gemm.cu": "{right[c][i], right[c][i + 1]}" => "{right[c][i + 1], right[c][i]}";
        Value "product.cuh in gemm.cu": "r * 16 + 8 + group" => "r * 16 + group";
        Value "product.cuh in gemm.cu": "next <= slices" => "next < slices";
        Value "product.cuh in gemm.cu": "first_column = warp_of_thread() % 2" => "first_column = warp_of_thread() / 2";
    }
    precision::tests::linear_sums_products_of_rounded_factors {
        Value "product.cuh in linear.cu": "member * 2 + c % 2" => "member + c % 2 * 4";
        Value "product.cuh in linear.cu": "[r % 2 * 2 + c % 2]" => "[c % 2 * 2 + r % 2]";
    }
    precision::tests::conv2d_sums_products_of_rounded_factors {
        Value "product.cuh in conv2d.cu": "slices = (inner_size + DEPTH - 1) / DEPTH" => "slices = inner_size / DEPTH";
    }
    linear::tests::values_by_hand {
        Race "linear.cu": "sums[threadIdx.x] = sum;\n    __syncthreads();" => "sums[threadIdx.x] = sum;";
        Race "product.cuh in linear.cu": "wait_copies<1>();" => "wait_copies<2>();";
        Bounds "linear.cu": "warp == 0 && column < outputs" => "warp == 0 && column <= outputs";
        Value "linear.cu": "value + b[column]" => "value + b[row]";
        Value "linear.cu": "(w, inputs, outputs, 1, inputs)" => "(w, inputs, outputs, 1, outputs)";
        Value "linear.cu": "put(db + column, sum, add)" => "db[column] = sum";
    }
    linear::tests::every_variant_matches_the_oracle {
        Value "linear.cu": "sums[other * 32 + lane]" => "sums[other * 31 + lane]";
        Value "linear.cu": "row += warps" => "row += warps + 1";
        Value "linear.cu": "column = blockIdx.x * 32 + lane" => "column = lane";
        Value "product.cuh in linear.cu": "blockIdx.x % tiles_across<Tile>(b.size)" => "0";
        Value "product.cuh in linear.cu": "Rows::place(row, r)" => "row + r";
    }

    // ---- images ----

    conv2d::tests::every_variant_matches_the_oracle {
        Race "product.cuh in conv2d.cu": "wait_copies<1>();" => "wait_copies<2>();";
        Bounds "conv2d.cu": "y < height && x < width" => "y <= height && x < width";
        Bounds "conv2d.cu": "min(share, s.n - first)" => "share";
        Value "conv2d.cu": "x < width;" => "x <= width;";
        Value "conv2d.cu": "place % tap_columns * direction" => "place % tap_columns";
        Value "conv2d.cu": "window = (first + s.pad) / s.stride" => "window = 0";
        Value "conv2d.cu": "first_tap = phase" => "first_tap = 0";
        Value "conv2d.cu": "first = blockIdx.y * share" => "first = 0";
        Value "conv2d.cu": "part = 1; part < count" => "part = 2; part < count";
        Value "conv2d.cu": "put(dw + i, sum, add)" => "dw[i] = sum";
        Value "product.cuh in conv2d.cu": "(k / VECTOR<T> * THREADS + thread)" => "(k / VECTOR<T> + thread)";
    }
    batchnorm::tests::every_variant_matches_the_oracle {
        Race "batchnorm.cu": "= mine;\n    __syncthreads();" => "= mine;";
        Bounds "batchnorm.cu": "row < rows ? x[row * c + channel]" => "row <= rows ? x[row * c + channel]";
        Value "batchnorm.cu": " + apart * apart * count * share" => "";
        Value "batchnorm.cu": "i < count ? values[i] - mean : T(0)" => "values[i] - mean";
        Value "batchnorm.cu": "chunk += WARPS" => "chunk += 2 * WARPS";
        Value "batchnorm.cu": "dw += other.dw" => "dw = other.dw";
        Value "batchnorm.cu": "shift)), add)" => "shift)), 0)";
        Value "batchnorm.cu": "if (residual) sum += residual[i]" => "if (residual) sum = residual[i]";
        Value "batchnorm.cu": "put(ds + at, gradient, add)" => "put(ds + at, gradient, 0)";
        Value "batchnorm.cu": "relu ? where_on(sum, sum) : sum" => "sum";
        Value "batchnorm.cu": "where_on(y[i], gradient)" => "gradient";
    }
    batchnorm::tests::nan_stays_and_what_is_off_gives_zero_whatever_comes_back {
        Value "activation.cuh in batchnorm.cu": "x <= T(0) ? T(0) : x" => "T(0)";
        Value "batchnorm.cu": "if (y) return where_on(y[i], gradient)" => "if (y) return y[i] > T(0) ? gradient : T(0)";
    }
    batchnorm::tests::fused_passes_give_what_the_operators_give_one_by_one {
        Value "batchnorm.cu": "where_on(fused(x - middle, scale, shift), gradient)" => "where_on(x - middle, gradient)";
        Value "batchnorm.cu": "put(ds + at, gradient, add)" => "put(ds + at, dy.dy[at], add)";
    }
    avgpool::tests::forward_and_backward_by_hand {
        Bounds "avgpool.cu": "outputs * pixels) dx" => "outputs * pixels + 1) dx";
        Value "avgpool.cu": "pixel * u64(c)" => "pixel";
        Value "avgpool.cu": "dy[i / c / pixels * c + i % c]" => "dy[i % c]";
    }

    // ---- training ----

    diagonal::tests::every_variant_matches_the_oracle {
        Bounds "diagonal.cu": "output >= u64(replicas) * n" => "output > u64(replicas) * n";
        Bounds "diagonal.cu": "FOR_ELEMENTS(element, u64(replicas) * d)" => "FOR_ELEMENTS(element, u64(replicas) * d + 1)";
        Value "diagonal.cu": "output % n * stride" => "output % n * d";
        Value "diagonal.cu": "output / n * 2 * d" => "output / n * d";
        Value "diagonal.cu": "dy[replica * n + i]" => "dy[i]";
        Value "diagonal.cu": "dbeta * params[u]" => "dbeta * params[v]";
    }
    diagonal::tests::one_step_is_the_gradient_step {
        Race "replica.cuh in diagonal.cu": "block_barrier();\n        if (*stop)" => "if (*stop)";
        Bounds "diagonal.cu": "take<T>(BATCH_CHUNK)" => "take<T>(BATCH_CHUNK + 1)";
        Bounds "diagonal.cu": "params[d + j] = v[j]" => "params[d + j + 1] = v[j]";
        Value "diagonal.cu": "change * before" => "change * u[j]";
        Value "diagonal.cu": "lr[step] / T(batch)" => "lr[step]";
        Value "replica.cuh in diagonal.cu": "x + sample * u64(stride)" => "x + sample * u64(d)";
    }
    diagonal::tests::every_step_variant_matches_the_oracle {
        Race "diagonal.cu": "block_barrier();\n    if (order)" => "if (order)";
        Race "diagonal.cu": "block_barrier();\n    }" => "}";
        Value "diagonal.cu": "order += replica * u64(steps) * batch" => "order += replica * u64(steps)";
    }
    diagonal::tests::divergence_is_found_at_its_step_and_touches_no_other_replica {
        Value "diagonal.cu": "diverged[replica] = step" => "diverged[0] = step";
        Value "dev.cuh in diagonal.cu": "return ::fabs(x) <= 1.79" => "return ::fabs(x) >= 1.79";
    }
    deep_linear::tests::a_network_without_random_numbers_follows_its_known_path {
        Race "deep_linear.cu": "block_barrier();\n    if (order)" => "if (order)";
        Race "deep_linear.cu": "block_barrier();\n            above = here;" => "above = here;";
        Race "deep_linear.cu": "block_barrier();\n        T* below" => "T* below";
        Race "deep_linear.cu": "block_barrier();\n            w += inputs * outputs;" => "w += inputs * outputs;";
        Race "deep_linear.cu": "block_barrier();\n    }\n    store" => "}\n    store";
        Bounds "deep_linear.cu": "params += replica * u64(parameters)" => "params += (replica + 1) * u64(parameters)";
        Value "deep_linear.cu": "b[i / inputs] * f[i % inputs]" => "b[i % outputs] * f[i % inputs]";
        Value "deep_linear.cu": "scale / T(batch)" => "scale";
        Value "deep_linear.cu": "squared_norm = fused(rows, columns, squared_norm)" => "squared_norm = rows * columns";
    }
    deep_linear::tests::every_variant_matches_the_oracle {
        Race "dev.cuh in deep_linear.cu": "scratch[lane_of_thread()] : T(0));\n    __syncthreads();" => "scratch[lane_of_thread()] : T(0));";
        Value "deep_linear.cu": " + weight_decay * before" => "";
        Value "replica.cuh in deep_linear.cu": "first == 0 ? T(0) : sums[j]" => "T(0)";
        Value "replica.cuh in deep_linear.cu": "o += warps_of_block()" => "o += warps_of_block() + 1";
        Value "replica.cuh in deep_linear.cu": "matrix[o * columns + i], vector[o]" => "matrix[o * rows + i], vector[o]";
    }
    deep_linear::tests::a_single_bad_row_stops_the_batch_that_has_it {
        Race "replica.cuh in deep_linear.cu": "if (first + BATCH_CHUNK < batch.count) block_barrier();" => "";
        Value "replica.cuh in deep_linear.cu": "if (!is_finite(residual)) atomicOr(stop, 1u);" => "";
        Value "dev.cuh in deep_linear.cu": "return ::fabs(x) <= 1.79769313486231570815e308" => "return ::fabs(x) == ::fabs(x)";
    }
    deep_linear::tests::weights_beyond_shared_memory_train_where_they_are {
        Bounds "replica.cuh in deep_linear.cu": "if (!resident) return params;" => "if (!resident) return params + 1;";
    }
    mlp::tests::an_unstable_step_size_diverges_at_the_same_step_everywhere {
        Race "mlp.cu": "x[sample * u64(stride) + j];\n        block_barrier();" => "x[sample * u64(stride) + j];";
        Race "mlp.cu": "block_barrier();\n            w +=" => "w +=";
        Race "mlp.cu": "scale * residual;\n        block_barrier();" => "scale * residual;";
        Race "mlp.cu": "});\n            block_barrier();\n        }" => "});\n        }";
        Race "mlp.cu": "block_barrier();\n    }\n    store" => "}\n    store";
        Bounds "mlp.cu": "activations = memory.take<T>(all_widths)" => "activations = memory.take<T>(all_widths + 40)";
        Bounds "mlp.cu": "order += replica * u64(steps)" => "order += (replica + 1) * u64(steps)";
        Value "mlp.cu": "descend(layer + o, delta[o])" => "descend(layer + o, delta[0])";
    }
    mlp::tests::a_step_by_hand {
        Value "dev.cuh in mlp.cu": "clip < norm ? clip / norm : T(1)" => "clip / norm";
        Value "mlp.cu": "bias == BIAS_ALL || " => "";
        Value "mlp.cu": " + T(has_bias(bias, l) ? 1 : 0)" => "";
        Value "mlp.cu": "weight_decay * *weight" => "weight_decay";
        Value "mlp.cu": "w += inputs * outputs + (b ? outputs : 0)" => "w += inputs * outputs";
    }
    mlp::tests::the_derivative_of_relu_at_zero_is_zero {
        Value "mlp.cu": "activations[here + i] > T(0)" => "activations[here + i] >= T(0)";
    }
    mlp::tests::every_variant_matches_the_oracle_and_an_independent_reference {
        Value "mlp.cu": "relu && l < depth" => "relu && l <= depth";
        Race "dev.cuh in mlp.cu": "scratch[lane_of_thread()] : T(0));\n    __syncthreads();" => "scratch[lane_of_thread()] : T(0));";
        Value "mlp.cu": "delta[i / inputs] * a[i % inputs]" => "delta[i / outputs] * a[i % inputs]";
        Value "mlp.cu": "sample * u64(stride)" => "sample * u64(widths[0])";
        Value "replica.cuh in mlp.cu": "i < columns; i += 32" => "i < columns; i += 33";
    }
    mlp::tests::divergence_is_found_at_its_step_and_touches_no_other_replica {
        Value "mlp.cu": "diverged[replica] = step" => "diverged[0] = step";
        Value "mlp.cu": "on_off && z < T(0) ? T(0) : z" => "on_off && !(z > T(0)) ? T(0) : z";
    }
    mlp::tests::weights_beyond_shared_memory_train_where_they_are {
        Bounds "replica.cuh in mlp.cu": "if (!resident) return params;" => "if (!resident) return params + 1;";
    }
    mlp::tests::a_replica_has_the_same_bits_alone_grouped_or_interrupted {
        Value "mlp.cu": "lr + blockIdx.x * u64(lr_stride)" => "lr";
    }
    wide_mlp::tests::every_variant_matches_the_oracle {
        Value "wide_mlp.cu": "bool upper = lane_of_thread() & distance;" => "bool upper = lane_of_thread() & kept;";
        Value "wide_mlp.cu": "for (; row < rows; row += WARPS) rows_at_once<1>" => "for (; row + 1 < rows; row += WARPS) rows_at_once<1>";
        Value "wide_mlp.cu": "fused(-scale, before[c], weights[k][c])" => "fused(-scale, now[c], weights[k][c])";
        Value "wide_mlp.cu": "sums[c] = fused(weights[k][c], delta, sums[c])" => "sums[c] = fused(weights[k][c], delta, 0)";
        Value "wide_mlp.cu": "x.of(step + 1)}, of_second" => "x.of(step)}, of_second";
        Value "wide_mlp.cu": "activation_backward(task.kind, z[j], sum)" => "sum";
        Value "wide_mlp.cu": "lane_of_thread() % LANES == 0 && row < rows" => "lane_of_thread() % LANES == 0";
        Bounds "wide_mlp.cu": "c * 32 + lane_of_thread() < columns" => "true";
        Value "activation.cuh in wide_mlp.cu": "1.0 + x * complement" => "1.0 + x";
        Value "dev.cuh in wide_mlp.cu": "emulator::copy_async(to, from, valid ? sizeof(T) : 0" => "emulator::copy_async(to, from, 0";
    }
    wide_mlp::tests::a_replicas_bits_are_its_own {
        Race "wide_mlp.cu": "wait_copies<0>();\n        block_barrier();\n    }" => "wait_copies<0>();\n    }";
        Race "wide_mlp.cu": "block_barrier();\n        FOR_THREADS(j, hidden) {\n            T sum" => "FOR_THREADS(j, hidden) {\n            T sum";
        Race "wide_mlp.cu": "block_barrier();\n        FOR_THREADS(j, hidden) a.of" => "FOR_THREADS(j, hidden) a.of";
        Race "wide_mlp.cu": "block_barrier();\n        second.update_and_multiply" => "second.update_and_multiply";
        Value "wide_mlp.cu": "lr + blockIdx.x * u64(lr_stride)" => "lr";
        Value "wide_mlp.cu": "order + blockIdx.x * u64(steps)" => "order";
    }
    wide_mlp::tests::a_bad_sample_stops_the_replica_that_meets_it {
        Value "wide_mlp.cu": "diverged + blockIdx.x" => "diverged";
        Value "wide_mlp.cu": "resident) {\n    if (*task.diverged != NOT_DIVERGED) return;" => "resident) {";
        Value "wide_mlp.cu": "if (!is_finite(residual)) atomicOr(stop, 1u);" => "";
        Value "activation.cuh in wide_mlp.cu": "x <= T(0) ? T(0) : x" => "T(0)";
    }
}
