// step_graph.h - the kernels of a step, recorded once as a CUDA graph and from then on launched with one call: a small
// model's step is a hundred kernels of a few microseconds, and launching each takes as long as running it.
// A recorded kernel keeps its arguments. So whatever differs from step to step has to lie in memory whose place stays:
//     ids, losses      in HostArrays, which the graph copies from and to (Context::ids_later, to_host_later)
//     activations      in the arena, which gives a step the same places every time
//     dropout's masks  by DropoutMask::step, which the graph copies to the device first
// Everything else (learning rate, step of the optimiser) stays outside, in kernels that are launched one by one.
// Not here: sizes that change; they are another graph, by another key. On the CPU a step is always run as it is.
// Source: CUDA C++ Programming Guide, "CUDA Graphs", stream capture.
#pragma once
#include <map>

#include "core/context.h"

class StepGraph {
  public:
    explicit StepGraph(Context& ctx);
    ~StepGraph();
    StepGraph(const StepGraph&) = delete;
    StepGraph& operator=(const StepGraph&) = delete;

    // Does what body() does: puts kernels on ctx.stream, without waiting for one. `key` stands for all that decides which
    // kernels those are. The first time they run as they are (memory grows, libraries choose); the second time they are
    // recorded; later body() is not called at all.
    template <class F>
    void run(int64_t key, F&& body) {
        switch (begin(key)) {
            case Way::kPlain:
                body();
                break;
            case Way::kRecord:
                body();
                finish_recording(key);
                break;
            case Way::kReplay:
                break;
        }
    }
    // Nothing recorded is true any more: memory that it knows has moved.
    void forget();

    int64_t replays() const { return replays_; }  // steps that were no more than one launch

    // GPT_GRAPH=0: never; 1: always. Otherwise where it saves time, on a GPU.
    static bool is_wanted();

  private:
    enum class Way { kPlain, kRecord, kReplay };
    Way begin(int64_t key);
    void finish_recording(int64_t key);
    bool can_record() const;

    Context& ctx_;
    HostArray<uint64_t> step_;
    uint64_t* step_on_device_ = nullptr;
    int64_t replays_ = 0;
#if defined(GPT_WITH_GPU)
    struct Recorded {
        cudaGraphExec_t graph = nullptr;  // null: has run once
    };
    std::map<int64_t, Recorded> recorded_;
#endif
};
