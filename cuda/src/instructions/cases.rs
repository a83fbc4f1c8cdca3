//! The kernels of instructions.cu on given bits, and what they should make of them.

use crate::{Buffer, Context, Element, Launch, Swizzle, TensorLayout, TensorMap};

/// Words that a device has computed, and those that it should have.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) got: Vec<u32>,
    pub(super) want: Vec<u32>,
    /// Of f32 whose bits may differ with the order of a sum: how far they may be apart.
    pub(super) tolerance: Option<f32>,
}

impl Case {
    /// Whether what was computed is these words.
    pub(super) fn agrees(&self, words: &[u32]) -> bool {
        let near = |got: u32, word: u32| match self.tolerance {
            None => got == word,
            Some(tolerance) => (f32::from_bits(got) - f32::from_bits(word)).abs() <= tolerance,
        };
        self.got.len() == words.len() && self.got.iter().zip(words).all(|(&got, &word)| near(got, word))
    }
}

/// Every case that the device has the instructions for.
pub(super) fn all(cx: &Context) -> Vec<Case> {
    let mut cases = vec![conversions(cx), lanes(cx), atomics(cx), copies(cx)];
    cases.extend([arithmetic_f32(cx), arithmetic_f64(cx)]);
    for threads in [32, 96, 1024] {
        cases.extend([sum_f32(cx, threads), sum_f64(cx, threads)]);
    }
    for tolerance in [None, Some(1e-5)] {
        cases.push(warp_product(cx, "tf32", 8, |x| f32::from_bits(tf32(x)), tolerance));
        cases.push(warp_product(cx, "bf16", 16, |x| f32::from_bits(bf16(x) << 16), tolerance));
    }
    if cx.device().compute_capability == (9, 0) {
        for swizzle in [Swizzle::None, Swizzle::Bytes32, Swizzle::Bytes64, Swizzle::Bytes128] {
            // Inside, and beyond the first row and the last column.
            cases.extend([(4, 3), (28, -2)].map(|place| tile(cx, swizzle, place)));
        }
        cases.extend([cluster(cx), warpgroup(cx), stored(cx)]);
    }
    cases
}

/// Uniform bits by SplitMix64.
struct Bits(u64);

impl Bits {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn words(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.next() as u32).collect()
    }

    /// Multiples of 1/4 from -2 to 2: a sum of some hundred of their products is exact in every order.
    fn quarters(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.next() % 17) as f32 / 4.0 - 2.0).collect()
    }

    fn reals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }
}

fn launch<'a>(cx: &'a Context, name: &str, threads: usize, shared_bytes: usize) -> Launch<'a> {
    let launch = Launch::new(cx, "instructions", &format!("instructions_{name}")).unwrap();
    launch.block([threads, 1, 1]).shared_bytes(shared_bytes)
}

fn buffer<T: Element>(cx: &Context, values: &[T]) -> Buffer<T> {
    Buffer::from_host(cx, values).unwrap()
}

/// Runs a kernel, and reads what it has written.
fn finish<T: Element>(launch: Launch<'_>, out: &Buffer<T>) -> Vec<T> {
    // SAFETY: the launches of this file give every kernel of instructions.cu the elements and the shared memory that it uses.
    unsafe { launch.queue() }.unwrap();
    let mut values = vec![T::zeroed(); out.len()];
    out.copy_to_host(&mut values).unwrap();
    values
}

fn exact(name: impl Into<String>, got: Vec<u32>, want: Vec<u32>) -> Case {
    Case { name: name.into(), got, want, tolerance: None }
}

/// Bits of the nearest tf32, ties away from zero.
fn tf32(x: f32) -> u32 {
    if x.is_nan() {
        return 0x7fff_ffff;
    }
    let beyond = x.to_bits() % 0x2000;
    x.to_bits() - beyond + if beyond >= 0x1000 { 0x2000 } else { 0 }
}

/// Bits of the nearest bf16, ties to even.
fn bf16(x: f32) -> u32 {
    if x.is_nan() {
        return 0x7fff;
    }
    let (kept, beyond) = (x.to_bits() / 0x1_0000, x.to_bits() % 0x1_0000);
    kept + u32::from(beyond > 0x8000 || (beyond == 0x8000 && kept % 2 == 1))
}

fn conversions(cx: &Context) -> Case {
    let mut words = Bits(1).words(400);
    // Ties, the largest numbers, infinities, NaN, subnormal numbers, zeros.
    words.extend([0x3f80_1000, 0x3f80_3000, 0xbf80_1000, 0x3f80_8000, 0x3f81_8000, 0x7f7f_ffff, 0xff7f_efff, 0x7f7f_7fff]);
    words.extend([0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0001, 0x7f80_0001, 1, 0x8000_0fff, 0x007f_ffff, 0, 0x8000_0000]);
    let values: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
    let (input, mut out) = (buffer(cx, &values), buffer(cx, &vec![0u32; 2 * values.len()]));
    let launch = launch(cx, "convert", 256, 0).read(input.as_slice()).write(&mut out.as_slice_mut()).value(values.len() as u32);
    exact("convert", finish(launch, &out), values.iter().flat_map(|&x| [tf32(x), bf16(x)]).collect())
}

macro_rules! arithmetic {
    ($arithmetic:ident, $sum:ident, $real:ty, $bits:expr) => {
        /// Fused and other operations on uniform bits, and on numbers of one size.
        fn $arithmetic(cx: &Context) -> Case {
            let mut bits = Bits(5);
            let mut values: Vec<$real> = (0..300).map(|_| $bits(bits.next())).collect();
            values.extend(bits.reals(300).into_iter().map(<$real>::from));
            let n = values.len() / 3;
            let (input, mut out) = (buffer(cx, &values), buffer(cx, &vec![<$real>::default(); 7 * n]));
            let launch = launch(cx, stringify!($arithmetic), 256, 0).read(input.as_slice()).write(&mut out.as_slice_mut());
            let want = values.chunks(3).enumerate().flat_map(|(i, abc)| {
                let (a, b, c) = (abc[0], abc[1], abc[2]);
                let norm = b + 1e-6;
                let factor = if a < norm { a / norm } else { 1.0 };
                let finite = if a.is_finite() { 1.0 } else { 0.0 };
                [a.mul_add(b, c), a * b + c, a / b, a.sqrt(), factor, finite, if i % 2 == 1 { c + a } else { a }]
            });
            // NaN has many bits, and which of them an operation gives is nobody's promise.
            let one_nan = |x: $real| if x.is_nan() { <$real>::NAN.to_bits() } else { x.to_bits() };
            let got: Vec<_> = finish(launch.value(n as u32), &out).into_iter().map(one_nan).collect();
            exact(stringify!($arithmetic), words(&got), words(&want.map(one_nan).collect::<Vec<_>>()))
        }

        /// Sums over a block, twice: of numbers, and of their products with that sum.
        fn $sum(cx: &Context, threads: usize) -> Case {
            let values: Vec<$real> = Bits(6).reals(threads).into_iter().map(<$real>::from).collect();
            let (input, mut out) = (buffer(cx, &values), buffer(cx, &vec![<$real>::default(); threads]));
            let launch = launch(cx, stringify!($sum), threads, threads / 32 * size_of::<$real>());
            let got = finish(launch.read(input.as_slice()).write(&mut out.as_slice_mut()), &out);
            let of_warp = |lanes: &[$real]| {
                let mut lanes = lanes.to_vec();
                for distance in [16, 8, 4, 2, 1] {
                    lanes = (0..32).map(|lane| lanes[lane] + lanes[lane ^ distance]).collect();
                }
                lanes[0]
            };
            let of_block = |values: &[$real]| {
                let mut warps: Vec<$real> = values.chunks(32).map(of_warp).collect();
                if warps.len() == 1 {
                    return warps[0];
                }
                warps.resize(32, 0.0);
                of_warp(&warps)
            };
            let once = of_block(&values);
            let twice = of_block(&values.iter().map(|value| value * once).collect::<Vec<_>>());
            exact(format!("{}_{threads}", stringify!($sum)), words(&got), words(&vec![twice; threads]))
        }
    };
}
arithmetic!(arithmetic_f32, sum_f32, f32, |word| f32::from_bits(word as u32));
arithmetic!(arithmetic_f64, sum_f64, f64, f64::from_bits);

fn words<T: bytemuck::NoUninit>(values: &[T]) -> Vec<u32> {
    bytemuck::cast_slice(values).to_vec()
}

fn lanes(cx: &Context) -> Case {
    let values = Bits(2).words(32);
    let (input, mut out) = (buffer(cx, &values), buffer(cx, &[0u32; 12 * 32]));
    let launch = launch(cx, "lanes", 32, 0).read(input.as_slice()).write(&mut out.as_slice_mut());
    let got = finish(launch, &out);
    let ballot = (0..32).fold(0, |bits, lane| bits | (values[lane] % 2) << lane);
    let sum = values.iter().fold(0u32, |sum, value| sum.wrapping_add(*value));
    let from = |source: fn(usize) -> usize| -> Vec<u32> { (0..32).map(|lane| values[source(lane)]).collect() };
    let want = [
        from(|_| 5),
        from(|lane| lane ^ 3),
        from(|lane| if lane < 2 { lane } else { lane - 2 }),
        from(|lane| if lane > 29 { lane } else { lane + 2 }),
        from(|lane| lane / 8 * 8 + 1),
        // The lanes of other segments are out of reach.
        from(|lane| lane),
        from(|lane| if lane % 8 == 0 { lane } else { lane - 1 }),
        from(|lane| if lane % 8 == 7 { lane } else { lane + 1 }),
        vec![ballot; 32],
        vec![u32::from(ballot == u32::MAX); 32],
        vec![u32::from(ballot != 0); 32],
        vec![sum; 32],
    ];
    exact("lanes", got, want.concat())
}

fn atomics(cx: &Context) -> Case {
    let values = Bits(3).words(256);
    let start = [5, u32::MAX, 0, 0, 0, 0, 7, u32::MAX, 0, 0, 0, 0];
    let (input, mut out) = (buffer(cx, &values), buffer(cx, &start));
    let launch = launch(cx, "atomics", 256, 6 * 4).read(input.as_slice()).write(&mut out.as_slice_mut());
    let got = finish(launch, &out);
    let ends = |start: u32| {
        let sum = values.iter().fold(start, |sum, value| sum.wrapping_add(*value));
        let bits = values.iter().fold(0, |bits, value| bits | value);
        [sum, *values.iter().min().unwrap(), *values.iter().max().unwrap(), bits, 0, 1]
    };
    exact("atomics", got, [ends(5), ends(7)].concat())
}

fn copies(cx: &Context) -> Case {
    let mut bits = Bits(4);
    let (values, valid) = (bits.words(224), bits.words(3));
    let (input, mut out) = (buffer(cx, &values), buffer(cx, &[0u32; 224]));
    let launch = launch(cx, "copies", 32, 224 * 4).read(input.as_slice()).write(&mut out.as_slice_mut());
    let got = finish(launch.value(valid[0]).value(valid[1]).value(valid[2]), &out);
    let is_valid = |at: usize| match at {
        0..32 => valid[0] >> at & 1,
        32..96 => valid[1] >> ((at - 32) / 2) & 1,
        _ => valid[2] >> ((at - 96) / 4) & 1,
    };
    exact("copies", got, values.iter().enumerate().map(|(at, value)| value * is_valid(at)).collect())
}

/// c = a b' by one warp: of numbers whose sums are exact, or of others within a tolerance.
fn warp_product(cx: &Context, name: &str, depth: usize, round: fn(f32) -> f32, tolerance: Option<f32>) -> Case {
    let (mut bits, rows) = (Bits(7), [16 * depth, 8 * depth]);
    let [a, b] = rows.map(|count| if tolerance.is_none() { bits.quarters(count) } else { bits.reals(count) });
    let (left, right, mut out) = (buffer(cx, &a), buffer(cx, &b), buffer(cx, &[0f32; 16 * 8]));
    let launch = launch(cx, &format!("product_{name}"), 32, 24 * 32);
    let got = finish(launch.read(left.as_slice()).read(right.as_slice()).write(&mut out.as_slice_mut()), &out);
    let [a, b] = [a, b].map(|values| values.into_iter().map(round).collect::<Vec<_>>());
    let kind = if tolerance.is_none() { "exact" } else { "near" };
    Case { name: format!("product_{name}_{kind}"), got: words(&got), want: product(&a, &b, depth), tolerance }
}

/// Bits of a b', both by rows of `depth` numbers.
fn product(a: &[f32], b: &[f32], depth: usize) -> Vec<u32> {
    let element = |row: &[f32], column: &[f32]| {
        let sum: f64 = row.iter().zip(column).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        (sum as f32).to_bits()
    };
    a.chunks(depth).flat_map(|row| b.chunks(depth).map(move |column| element(row, column))).collect()
}

/// Words that blocks take from each other, in two clusters.
fn cluster(cx: &Context) -> Case {
    let values = Bits(9).words(8 * 64);
    let (input, mut out) = (buffer(cx, &values), buffer(cx, &vec![0u32; values.len()]));
    let launch = launch(cx, "cluster", 64, 64 * 4).grid([8, 1, 1]).cluster([4, 1, 1]);
    let got = finish(launch.read(input.as_slice()).write(&mut out.as_slice_mut()), &out);
    let taken = |at: usize| {
        let (block, thread) = (at / 64, at % 64);
        let rank = (block + 1) % 4;
        values[(block / 4 * 4 + rank) * 64 + 63 - thread].wrapping_add(rank as u32)
    };
    exact("cluster", got, (0..values.len()).map(taken).collect())
}

/// A tile of eight rows of a matrix, from this column and row, as it lies in shared memory.
fn tile(cx: &Context, swizzle: Swizzle, (column, row): (i32, i32)) -> Case {
    const WIDTH: usize = 32;
    const HEIGHT: usize = 16;
    let values = Bits(8).words(WIDTH * HEIGHT);
    // Units of 16 bytes are permuted among so many.
    let units = match swizzle {
        Swizzle::None => 1,
        Swizzle::Bytes32 => 2,
        Swizzle::Bytes64 => 4,
        Swizzle::Bytes128 => 8,
    };
    let columns = if units == 1 { WIDTH } else { 4 * units };
    let (matrix, mut out) = (buffer(cx, &values), buffer(cx, &vec![0u32; 8 * columns]));
    let sizes = [WIDTH as u64, HEIGHT as u64];
    let layout = TensorLayout { sizes: &sizes, strides: &sizes[..1], tile: &[columns as u32, 8], swizzle };
    let map = TensorMap::new(matrix.as_slice(), layout).unwrap();
    let launch = launch(cx, "tile", 32, 8 * columns * 4 + 8).tensor_map(&map).write(&mut out.as_slice_mut());
    let got = finish(launch.value(8 * columns as u32).value(column).value(row), &out);
    let mut want = vec![0; 8 * columns];
    for (r, c) in (0..8).flat_map(|r| (0..columns).map(move |c| (r, c))) {
        let (from_row, from_column) = (row + r as i32, column + c as i32);
        // Of every 128 bytes, another permutation.
        let unit = (c / 4) ^ (r * columns * 4 / 128 % units);
        if (0..HEIGHT as i32).contains(&from_row) && (0..WIDTH as i32).contains(&from_column) {
            want[r * columns + 4 * unit + c % 4] = values[from_row as usize * WIDTH + from_column as usize];
        }
    }
    exact(format!("tile_{swizzle:?}_{column}_{row}"), got, want)
}

/// Rows of a and b for products of warpgroups: exact numbers.
const SIDES: [usize; 2] = [64, 128];

/// Pairs of bf16 numbers.
fn pairs(values: &[f32]) -> Vec<u32> {
    values.chunks(2).map(|pair| bf16(pair[0]) | bf16(pair[1]) << 16).collect()
}

/// c = a b' of five slices of 64 bf16 numbers that tensor maps bring.
fn warpgroup(cx: &Context) -> Case {
    const SLICES: usize = 5;
    let (mut bits, depth) = (Bits(9), SLICES * 64);
    let [a, b] = SIDES.map(|side| bits.quarters(side * depth));
    let [left, right] = [&a, &b].map(|values| buffer(cx, &pairs(values)));
    let map = |matrix: &Buffer<u32>, side: usize| {
        let sizes = [depth as u64 / 2, side as u64];
        let layout = TensorLayout { sizes: &sizes, strides: &sizes[..1], tile: &[32, side as u32], swizzle: Swizzle::Bytes128 };
        TensorMap::new(matrix.as_slice(), layout).unwrap()
    };
    let mut out = buffer(cx, &[0f32; SIDES[0] * SIDES[1]]);
    let launch = launch(cx, "warpgroup", 256, 2 * (SIDES[0] + SIDES[1]) * 128 + 32);
    let launch = launch.tensor_map(&map(&left, SIDES[0])).tensor_map(&map(&right, SIDES[1])).write(&mut out.as_slice_mut());
    exact("warpgroup", words(&finish(launch.value(SLICES as u32), &out)), product(&a, &b, depth))
}

/// The same of one slice that the threads have stored themselves.
fn stored(cx: &Context) -> Case {
    let mut bits = Bits(10);
    let [a, b] = SIDES.map(|side| bits.quarters(side * 64));
    let rows = buffer(cx, &[pairs(&a), pairs(&b)].concat());
    let mut out = buffer(cx, &[0f32; SIDES[0] * SIDES[1]]);
    let launch = launch(cx, "stored", 128, (SIDES[0] + SIDES[1]) * 128).read(rows.as_slice()).write(&mut out.as_slice_mut());
    exact("stored", words(&finish(launch, &out)), product(&a, &b, 64))
}
