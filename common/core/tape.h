// tape.h - what happened in the forward pass, in order: the backward pass walks it from the end. A list, not
// a graph: the order of execution is already a valid order (Stan's and PyTorch's tapes rest on the same).
#pragma once
#include <memory>
#include <vector>

#include "core/tensor.h"

struct Context;

// One recorded operation. Each op derives a struct of its own name (struct Gelu : Node) with the tensors that
// its backward needs as named members, so that `break Gelu::backward` and `p *this` work in gdb.
struct Node {
    const char* op = "";
    Tensor y;  // what the op made; its gradient is complete when backward() is called

    virtual ~Node() = default;
    // Whether the loss depends on what the op made. An op with a second result says so here.
    virtual bool has_gradient() const { return y.gradient && y.gradient->is_written; }
    // Adds to the gradients of the op's inputs, from the gradient of y.
    virtual void backward(Context& ctx) = 0;
    // The inputs and saved tensors, for the print-out of the `tape` verb.
    virtual std::vector<Tensor> inputs() const = 0;
};

using Tape = std::vector<std::unique_ptr<Node>>;
