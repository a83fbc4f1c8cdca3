// Activations, element by element: kernels/src/activation.
//
// Every entry: any grid of one dimension, blocks of at most 256 threads, no shared memory. `kind`: 0 identity, 1 ReLU, 2 tanh,
// 3 swish. As in the definition, tanh and swish are computed in f64 and rounded once.
#include "dev.cuh"

enum Activation { IDENTITY, RELU, TANH, SWISH };

// `value` where ReLU is on, 0 where it is off, NaN where x is.
template <class T> DEVICE T where_on(T x, T value) { return x > T(0) ? value : x <= T(0) ? T(0) : x; }

// tanh' = 4t/(1 + t)^2 with t = e^(-2|x|), which keeps its digits where tanh is close to 1 or -1.
DEVICE double sech_squared(double x) {
    double t = exp(-2.0 * fabs(x));
    return 4.0 * t / ((1.0 + t) * (1.0 + t));
}

// sigmoid(x) = head tail, both without underflow, and 1 - sigmoid(x); x is kept where swish has not reached its limits.
struct Sigmoid {
    double x, head, tail, complement;

    __device__ explicit Sigmoid(double at) {
        // A NaN stays.
        x = at < -1000.0 ? -1000.0 : at > 1000.0 ? 1000.0 : at;
        double half = exp(-0.5 * fabs(x)), t = half * half, scale = 1.0 / (1.0 + t);
        bool right = x > 0.0;
        head = right ? scale : half * scale;
        tail = right ? 1.0 : half;
        complement = right ? t * scale : scale;
    }
    __device__ double first() const { return head * (1.0 + x * complement) * tail; }
    __device__ double second() const { return head * complement * (2.0 + x * (complement - head * tail)) * tail; }
};

DEVICE double swish(double x) {
    Sigmoid sigmoid(x);
    double above = x < sigmoid.x ? sigmoid.x : x;
    return above * sigmoid.head * sigmoid.tail;
}

template <class T> DEVICE T value(u32 kind, T x) {
    switch (kind) {
    case IDENTITY: return x;
    case RELU: return where_on(x, x);
    case TANH: return T(tanh(double(x)));
    default: return T(swish(double(x)));
    }
}

template <class T> DEVICE T backward(u32 kind, T x, T dy) {
    switch (kind) {
    case IDENTITY: return dy;
    case RELU: return where_on(x, dy);
    case TANH: return T(sech_squared(double(x)) * double(dy));
    default: return T(Sigmoid(double(x)).first() * double(dy));
    }
}

template <class T> DEVICE T backward_tangent(u32 kind, T x, T x_tangent, T dy, T dy_tangent) {
    double first, second;
    switch (kind) {
    case IDENTITY: return dy_tangent;
    case RELU: return where_on(x, dy_tangent);
    case TANH:
        first = sech_squared(double(x));
        second = -2.0 * tanh(double(x)) * first;
        break;
    default:
        Sigmoid sigmoid{double(x)};
        first = sigmoid.first();
        second = sigmoid.second();
    }
    return T(second * double(x_tangent) * double(dy) + first * double(dy_tangent));
}

#define FORWARD(T, suffix)                                                                                                       \
    KERNEL(activation_forward_##suffix, 256, const T* x, T* y, u64 n, u32 kind) {                                                \
        FOR_ELEMENTS(i, n) y[i] = value(kind, x[i]);                                                                             \
    }
FOR_REALS(FORWARD)

#define BACKWARD(T, suffix)                                                                                                      \
    KERNEL(activation_backward_##suffix, 256, const T* x, const T* dy, T* dx, u64 n, u32 kind) {                                 \
        FOR_ELEMENTS(i, n) dx[i] = backward(kind, x[i], dy[i]);                                                                  \
    }
FOR_REALS(BACKWARD)

#define BACKWARD_TANGENT(T, suffix)                                                                                              \
    KERNEL(activation_backward_tangent_##suffix, 256, const T* x, const T* x_tangent, const T* dy, const T* dy_tangent,          \
           T* dx_tangent, u64 n, u32 kind) {                                                                                     \
        FOR_ELEMENTS(i, n) dx_tangent[i] = backward_tangent(kind, x[i], x_tangent[i], dy[i], dy_tangent[i]);                     \
    }
FOR_REALS(BACKWARD_TANGENT)
