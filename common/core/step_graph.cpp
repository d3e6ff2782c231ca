// step_graph.cpp - stream capture and replay; see step_graph.h.
#include "core/step_graph.h"

#include <cstdlib>
#include <cstring>

StepGraph::StepGraph(Context& ctx) : ctx_(ctx), step_(ctx.device) {
    step_.reserve(1);
    step_on_device_ = static_cast<uint64_t*>(device_alloc(ctx.device, sizeof *step_on_device_));
}

StepGraph::~StepGraph() {
    forget();
    device_free(ctx_.device, step_on_device_, sizeof *step_on_device_);
}

bool StepGraph::is_wanted() {
    const char* const value = std::getenv("GPT_GRAPH");
    if (value && *value) return std::strcmp(value, "0") != 0;
    return !is_cuda_emulated();
}

#if defined(GPT_WITH_GPU)

// Whatever looks into a step while it runs needs it to be run; so do debug builds, whose arena stamps every tensor.
bool StepGraph::can_record() const {
#if defined(GPT_DEBUG)
    return false;
#else
    return ctx_.device == Device::kCuda && is_wanted() && !cuda_waits_after_launch() && !ctx_.profile &&
           !ctx_.inspects();
#endif
}

StepGraph::Way StepGraph::begin(int64_t key) {
    if (!can_record()) return Way::kPlain;
    const auto known = recorded_.find(key);
    if (known == recorded_.end()) {
        recorded_[key] = {};
        return Way::kPlain;
    }
    // The host has waited for the last step, whose loss it has read: nobody copies from here now.
    step_[0] = uint64_t(ctx_.step);
    if (known->second.graph) {
        CUDA_CHECK(cudaGraphLaunch(known->second.graph, ctx_.stream.handle));
        replays_++;
        return Way::kReplay;
    }
    CUDA_CHECK(cudaStreamBeginCapture(ctx_.stream.handle, cudaStreamCaptureModeThreadLocal));
    device_upload_later(ctx_.device, step_on_device_, step_.get(), sizeof *step_on_device_, ctx_.stream);
    ctx_.recorded_step = step_on_device_;
    return Way::kRecord;
}

void StepGraph::finish_recording(int64_t key) {
    ctx_.recorded_step = nullptr;
    cudaGraph_t graph = nullptr;
    CUDA_CHECK(cudaStreamEndCapture(ctx_.stream.handle, &graph));
    Recorded& recorded = recorded_[key];
    CUDA_CHECK(cudaGraphInstantiate(&recorded.graph, graph, 0));
    CUDA_CHECK(cudaGraphDestroy(graph));
    CUDA_CHECK(cudaGraphLaunch(recorded.graph, ctx_.stream.handle));
}

void StepGraph::forget() {
    for (const auto& [key, recorded] : recorded_)
        if (recorded.graph) cudaGraphExecDestroy(recorded.graph);
    recorded_.clear();
}

#else

bool StepGraph::can_record() const {
    return false;
}
StepGraph::Way StepGraph::begin(int64_t) {
    return Way::kPlain;
}
void StepGraph::finish_recording(int64_t) {}
void StepGraph::forget() {}

#endif
