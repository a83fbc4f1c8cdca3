//! Random numbers.

use super::super::Found::{Bounds, Value};
use super::super::Mistake;

super::mistakes! {
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
}
