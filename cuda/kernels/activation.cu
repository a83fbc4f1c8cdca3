// Activations, element by element: kernels/src/activation.
//
// Every entry: any grid of one dimension, blocks of at most 256 threads, no shared memory. `kind`: 0 identity, 1 ReLU, 2 tanh,
// 3 swish.
#include "activation.cuh"

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
        FOR_ELEMENTS(i, n) y[i] = activation_forward(kind, x[i]);                                                                \
    }
FOR_REALS(FORWARD)

#define BACKWARD(T, suffix)                                                                                                      \
    KERNEL(activation_backward_##suffix, 256, const T* x, const T* dy, T* dx, u64 n, u32 kind) {                                 \
        FOR_ELEMENTS(i, n) dx[i] = activation_backward(kind, x[i], dy[i]);                                                       \
    }
FOR_REALS(BACKWARD)

#define BACKWARD_TANGENT(T, suffix)                                                                                              \
    KERNEL(activation_backward_tangent_##suffix, 256, const T* x, const T* x_tangent, const T* dy, const T* dy_tangent,          \
           T* dx_tangent, u64 n, u32 kind) {                                                                                     \
        FOR_ELEMENTS(i, n) dx_tangent[i] = backward_tangent(kind, x[i], x_tangent[i], dy[i], dy_tangent[i]);                     \
    }
FOR_REALS(BACKWARD_TANGENT)
