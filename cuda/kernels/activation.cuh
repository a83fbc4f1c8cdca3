// Activations and their derivatives: kernels/src/activation. As in the definition, tanh and swish are computed in f64 and rounded
// once.
#pragma once
#include "dev.cuh"

// `kind` of the functions below.
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

template <class T> DEVICE T activation_forward(u32 kind, T x) {
    switch (kind) {
    case IDENTITY: return x;
    case RELU: return where_on(x, x);
    case TANH: return T(tanh(double(x)));
    default: return T(swish(double(x)));
    }
}

template <class T> DEVICE T activation_backward(u32 kind, T x, T dy) {
    switch (kind) {
    case IDENTITY: return dy;
    case RELU: return where_on(x, dy);
    case TANH: return T(sech_squared(double(x)) * double(dy));
    default: return T(Sigmoid(double(x)).first() * double(dy));
    }
}
