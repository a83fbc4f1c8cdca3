// Convolution of images: kernels/src/conv2d. x n x h x w x c, weights k x size x size x c, y n x rows x columns x k.
//
// All are products (product.cuh) of which one operand is gathered from images: blocks of 128 threads, one for a tile, along x.
// `add`: 1 accumulates, 0 sets and does not read.
//
// conv2d_backward_data: along y the stride * stride phases, the pixels of x whose row and column, after the zeros, leave the same
// remainders: each sees its own taps alone. The tiles are those of the largest phase.
// conv2d_backward_weight: along y parts of `share` images, each of which writes its own gradient, one after another, to `out`;
// conv2d_backward_weight_total adds them up in their order: any grid of one dimension, blocks of at most 256 threads, no shared
// memory.
#include "product.cuh"

// Where a window begins, and which number of a window. Rows and columns wrap around below 0, and are then beyond every image.
template <class T> struct Window {
    const T* image;
    u32 row, column;
};
struct Tap {
    u32 row, column, channel;
};

// Images and the windows over them: tap (r, s) of window (i, j) is the pixel row + i stride + direction r, and so for columns.
template <class T> struct Windows {
    const T* start;
    u32 n, height, width, channels;
    u32 rows, columns;
    u32 stride, row, column, direction;
    u32 tap_rows, tap_columns;

    // In all images.
    __device__ u32 windows() const { return n * rows * columns; }
    // Numbers of a window.
    __device__ u32 numbers() const { return tap_rows * tap_columns * channels; }
    __device__ bool vectors() const { return in_vectors(start, channels, channels); }

    __device__ Window<T> window(u32 index) const {
        if (index >= windows()) return {nullptr, 0, 0};
        u32 place = index % (rows * columns);
        return {start + index / (rows * columns) * (u64(height) * width * channels), row + place / columns * stride,
                column + place % columns * stride};
    }
    __device__ Tap tap(u32 index) const {
        if (index >= numbers()) return {0, 0, ~0u};
        u32 place = index / channels;
        return {place / tap_columns * direction, place % tap_columns * direction, index % channels};
    }
    __device__ const T* at(const Window<T>& window, const Tap& tap) const {
        u32 y = window.row + tap.row, x = window.column + tap.column;
        bool there = window.image && tap.channel != ~0u && y < height && x < width;
        return there ? window.image + (u64(y) * width + x) * channels + tap.channel : nullptr;
    }
};

// A row for each window.
template <class T> struct ByWindow {
    static constexpr bool INNER = true;
    using Outer = Window<T>;
    const Windows<T>& images;
    const T* start;
    u32 size;
    bool vectors;

    __device__ explicit ByWindow(const Windows<T>& images)
        : images(images), start(images.start), size(images.windows()), vectors(images.vectors()) {}
    __device__ Window<T> outer(u32 o) const { return images.window(o); }
    __device__ Tap inner(u32 i) const { return images.tap(i); }
    __device__ const T* at(const Window<T>& outer, const Tap& inner) const { return images.at(outer, inner); }
};

// A row for each number of the windows.
template <class T> struct ByTap {
    static constexpr bool INNER = false;
    using Outer = Tap;
    const Windows<T>& images;
    const T* start;
    u32 size;
    bool vectors;

    __device__ explicit ByTap(const Windows<T>& images)
        : images(images), start(images.start), size(images.numbers()), vectors(images.vectors()) {}
    __device__ Tap outer(u32 o) const { return images.tap(o); }
    __device__ Window<T> inner(u32 i) const { return images.window(i); }
    __device__ const T* at(const Tap& outer, const Window<T>& inner) const { return images.at(inner, outer); }
};

// Of a convolution, as every kernel takes them.
struct Shape {
    u32 n, h, w, c, k, size, stride, pad, rows, columns;
};
#define SHAPE u32 n, u32 h, u32 w, u32 c, u32 k, u32 size, u32 stride, u32 pad, u32 rows, u32 columns
#define SIZES Shape{n, h, w, c, k, size, stride, pad, rows, columns}

template <class T> DEVICE Windows<T> windows_of(const T* x, const Shape& s, u32 n) {
    return {x, n, s.h, s.w, s.c, s.rows, s.columns, s.stride, 0u - s.pad, 0u - s.pad, 1, s.size, s.size};
}

#define FORWARD(Tile, T, suffix)                                                                                                 \
    KERNEL(conv2d_forward_##suffix, PRODUCT_THREADS, const T* x, const T* weights, T* y, SHAPE, u32 add) {                       \
        Windows<T> windows = windows_of(x, SIZES, n);                                                                            \
        u32 numbers = windows.numbers();                                                                                         \
        product<Tile>(ByWindow<T>(windows), Matrix<T, true>(weights, k, numbers, numbers, 1), numbers,                           \
                      [&](u32 row) { return y + row * u64(k); },                                                                 \
                      [&](T* to, u32 column, T value) { put(to + column, value, add); });                                        \
    }
FOR_TILES(FORWARD)

// The rows, or columns, of x of one phase, and the taps that they see.
struct Phase {
    u32 first, count, first_tap, taps, window;

    __device__ Phase(u32 phase, u32 extent, const Shape& s) {
        first = (phase + s.stride - s.pad % s.stride) % s.stride;
        count = first < extent ? (extent - first + s.stride - 1) / s.stride : 0;
        first_tap = phase;
        taps = phase < s.size ? (s.size - phase + s.stride - 1) / s.stride : 0;
        // Its first pixel's, of the window that it is in with the first of these taps.
        window = (first + s.pad) / s.stride;
    }
};

// The weights of a phase: its channels by the numbers of the windows over y.
template <class T> struct Weights {
    static constexpr bool INNER = false;
    using Outer = const T*;
    const T* start;
    Shape shape;
    u32 first_row, first_column, tap_columns, numbers, size;
    bool vectors;

    __device__ Weights(const T* start, const Shape& s, const Phase& down, const Phase& across)
        : start(start), shape(s), first_row(down.first_tap), first_column(across.first_tap), tap_columns(across.taps),
          numbers(down.taps * across.taps * s.k), size(s.c), vectors(in_vectors(start, s.c, s.c)) {}
    __device__ const T* outer(u32 o) const { return o < size ? start + o : nullptr; }
    __device__ u64 inner(u32 i) const {
        if (i >= numbers) return ABSENT;
        u32 place = i / shape.k, o = i % shape.k;
        u32 r = first_row + place / tap_columns * shape.stride, s = first_column + place % tap_columns * shape.stride;
        return ((u64(o) * shape.size + r) * shape.size + s) * shape.c;
    }
    __device__ const T* at(const T* outer, u64 inner) const { return outer && inner != ABSENT ? outer + inner : nullptr; }
};

template <class Tile, class T> DEVICE void backward_data(const T* weights, const T* dy, T* dx, const Shape& s, u32 add) {
    Phase down(blockIdx.y / s.stride, s.h, s), across(blockIdx.y % s.stride, s.w, s);
    Windows<T> windows{dy,          s.n,           s.rows, s.columns, s.k, down.count, across.count, 1,
                       down.window, across.window, ~0u,    down.taps, across.taps};
    product<Tile>(ByWindow<T>(windows), Weights<T>(weights, s, down, across), windows.numbers(),
                  [&](u32 row) {
                      u32 image = row / (down.count * across.count), place = row % (down.count * across.count);
                      u32 i = down.first + place / across.count * s.stride, j = across.first + place % across.count * s.stride;
                      return dx + ((u64(image) * s.h + i) * s.w + j) * s.c;
                  },
                  [&](T* to, u32 column, T value) { put(to + column, value, add); });
}

#define BACKWARD_DATA(Tile, T, suffix)                                                                                           \
    KERNEL(conv2d_backward_data_##suffix, PRODUCT_THREADS, const T* weights, const T* dy, T* dx, SHAPE, u32 add) {               \
        backward_data<Tile>(weights, dy, dx, SIZES, add);                                                                        \
    }
FOR_TILES(BACKWARD_DATA)

template <class Tile, class T> DEVICE void backward_weight(const T* x, const T* dy, T* out, const Shape& s, u32 share, u32 add) {
    u32 first = blockIdx.y * share, count = min(share, s.n - first), pixels = s.rows * s.columns;
    Windows<T> windows = windows_of(x + first * (u64(s.h) * s.w * s.c), s, count);
    u32 numbers = windows.numbers();
    Matrix<T, false> gradients(dy + first * (u64(pixels) * s.k), s.k, count * pixels, 1, s.k);
    out += blockIdx.y * (u64(s.k) * numbers);
    product<Tile>(ByTap<T>(windows), gradients, count * pixels,
                  [&](u32 row) { return out + row; },
                  [&](T* to, u32 column, T value) { put(to + column * u64(numbers), value, add); });
}

#define BACKWARD_WEIGHT(Tile, T, suffix)                                                                                         \
    KERNEL(conv2d_backward_weight_##suffix, PRODUCT_THREADS, const T* x, const T* dy, T* out, SHAPE, u32 share, u32 add) {       \
        backward_weight<Tile>(x, dy, out, SIZES, share, add);                                                                    \
    }
FOR_TILES(BACKWARD_WEIGHT)

#define BACKWARD_WEIGHT_TOTAL(T, suffix)                                                                                         \
    KERNEL(conv2d_backward_weight_total_##suffix, 256, const T* parts, T* dw, u64 n, u32 count, u32 add) {                       \
        FOR_ELEMENTS(i, n) {                                                                                                     \
            T sum = parts[i];                                                                                                    \
            for (u32 part = 1; part < count; part++) sum += parts[part * n + i];                                                 \
            put(dw + i, sum, add);                                                                                               \
        }                                                                                                                        \
    }
FOR_REALS(BACKWARD_WEIGHT_TOTAL)
