//! Products of matrices, and images.

use super::super::Found::{Bounds, Race, Value};
use super::super::Mistake;

super::mistakes! {
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
        Value "product.cuh in gemm.cu": "(lower, rows, r * 16 + 8)" => "(lower, rows, r * 16)";
        Value "product.cuh in gemm.cu": "next <= slices" => "next < slices";
        Value "product.cuh in gemm.cu": "first_column = warp_of_thread() % 2" => "first_column = warp_of_thread() / 2";
        Value "product.cuh in gemm.cu": "multiply_tf32(small, high, {right[c].low[i], right[c].low[i + 1]});" => "";
        Value "product.cuh in gemm.cu": "multiply_tf32(small, low, {right[c].high[i], right[c].high[i + 1]});" => "";
        Value "product.cuh in gemm.cu": "multiply_tf32(large, high, {right[c].high[i]," => "multiply_tf32(large, high, {right[c].high[i + 1],";
        Value "product.cuh in gemm.cu": "if (is_finite(small[k])) large[k] += small[k];" => "";
    }
    precision::tests::long_sums_in_f32x3_are_closer_than_in_f32 {
        Value "product.cuh in conv2d.cu": "multiply_tf32(large, high," => "multiply_tf32(this->sums[r][c], high,";
        Value "product.cuh in conv2d.cu": "multiply_tf32(small, low," => "multiply_tf32(this->sums[r][c], low,";
        Value "product.cuh in conv2d.cu": "multiply_tf32(small, high," => "multiply_tf32(this->sums[r][c], high,";
    }
    precision::tests::f32x3_has_the_infinities_of_f32 {
        Value "product.cuh in conv2d.cu": "if (is_finite(small[k])) large[k]" => "large[k]";
    }
    precision::tests::linear_sums_products_of_rounded_factors {
        Value "product.cuh in linear.cu": "member * 2 + c % 2" => "member + c % 2 * 4";
        Value "product.cuh in linear.cu": "[r % 2 * 2 + c % 2]" => "[c % 2 * 2 + r % 2]";
    }
    precision::tests::conv2d_sums_products_of_rounded_factors {
        Value "product.cuh in conv2d.cu": "slices = (inner_size + DEPTH - 1) / DEPTH" => "slices = inner_size / DEPTH";
        Value "product.cuh in conv2d.cu": "to_tf32(numbers[i] - of_bits(to.high[i]))" => "0";
        Value "product.cuh in conv2d.cu": "to_tf32(numbers[i] - of_bits(to.high[i]))" => "to_tf32(numbers[i])";
        Value "product.cuh in conv2d.cu": "this->sums[r][c][k] += large[k]" => "this->sums[r][c][k] = large[k]";
        Value "product.cuh in conv2d.cu": "low[4] = {upper.low[i], lower.low[i]," => "low[4] = {lower.low[i], upper.low[i],";
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
}
