//! Training.

use super::super::Found::{Bounds, Race, Value};
use super::super::Mistake;

super::mistakes! {
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
        Value "diagonal.cu": "lr[step * lr_step] / T(batch)" => "lr[step * lr_step]";
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
        Value "wide_mlp.cu": "order + blockIdx.x * u64(steps)" => "order";
    }
    wide_mlp::tests::a_bad_sample_stops_the_replica_that_meets_it {
        Value "wide_mlp.cu": "diverged + blockIdx.x" => "diverged";
        Value "wide_mlp.cu": "resident) {\n    if (*task.diverged != NOT_DIVERGED) return;" => "resident) {";
        Value "wide_mlp.cu": "if (!is_finite(residual)) atomicOr(stop, 1u);" => "";
        Value "activation.cuh in wide_mlp.cu": "x <= T(0) ? T(0) : x" => "T(0)";
    }
    steps::tests::diagonal_takes_step_sizes_of_all_kinds {
        Value "diagonal.cu": "lr + blockIdx.x * u64(lr_stride)" => "lr";
        Value "diagonal.cu": "lr[step * lr_step]" => "lr[0]";
        Value "diagonal.cu": "lr[step * lr_step]" => "lr[step]";
        Value "diagonal.cu": "stride, steps, lr_step, batch);" => "stride, steps, lr_stride, batch);";
    }
    steps::tests::deep_linear_takes_step_sizes_of_all_kinds {
        Value "deep_linear.cu": "lr + blockIdx.x * u64(lr_stride)" => "lr";
        Value "deep_linear.cu": "lr[step * lr_step]" => "lr[0]";
        Value "deep_linear.cu": "lr[step * lr_step]" => "lr[step]";
    }
    steps::tests::mlp_takes_step_sizes_of_all_kinds {
        Value "mlp.cu": "lr + blockIdx.x * u64(lr_stride)" => "lr";
        Value "mlp.cu": "lr[step * lr_step]" => "lr[0]";
        Value "mlp.cu": "lr[step * lr_step]" => "lr[step]";
        Bounds "mlp.cu": "lr + blockIdx.x * u64(lr_stride)" => "lr + blockIdx.x * u64(steps)";
    }
    steps::tests::wide_mlp_takes_step_sizes_of_all_kinds {
        Value "wide_mlp.cu": "lr + blockIdx.x * u64(lr_stride)" => "lr";
        Value "wide_mlp.cu": "task.lr[step * task.lr_step]" => "task.lr[0]";
        Value "wide_mlp.cu": "task.lr[step * task.lr_step]" => "task.lr[step]";
        Value "wide_mlp.cu": "lr(lr + blockIdx.x * u64(lr_stride))" => "lr(lr + (gridDim.x - 1 - blockIdx.x) * u64(lr_stride))";
    }
}
