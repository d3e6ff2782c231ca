// rungs.h - which form of a kernel runs, where there is a plain one and a fast one. A fast form is trusted on an
// architecture for which docs/gpu holds a passing record. Elsewhere its first use computes something small both
// ways: if they agree the fast form is used; if not, one line on stderr says so, and the plain one runs until the
// program ends. Where CUDA is emulated the plain form runs, unless a test asks for the other.
//
//     FastForm& gemm_on_tensor_cores() {                      // one for the whole program, beside the kernel
//         static FastForm form("gemm on tensor cores", compare_with_plain);
//         return form;
//     }
//     if (gemm_on_tensor_cores().is_chosen()) ...             // in the launcher
//     const ForcedForm fast(gemm_on_tensor_cores(), true);    // in a test: for the life of a scope
//
// GPT_KERNELS=plain or fast in the environment decides for all forms, to look for the one that is wrong.
// subtle: the comparison allocates and waits, so a form's first use must not fall into the capture of a CUDA
// graph. Take one step before.
// Not here: the forms; how records are made (docs/gpu/README.md).
#pragma once
#include <mutex>
#include <string>
#include <vector>

// What the choice depends on. architecture: 90 for a card of compute capability 9.0.
struct CardForRungs {
    int architecture = 0;
    bool is_emulated = false;
    bool has_record = false;
};
CardForRungs card_for_rungs();

class FastForm {
  public:
    // Computes something small in both forms, directly and not through is_chosen(). Returns "", or how they differ.
    using Compare = std::string();

    FastForm(const char* name, Compare* compare) : name_(name), compare_(compare) {}
    FastForm(const FastForm&) = delete;
    FastForm& operator=(const FastForm&) = delete;

    bool is_chosen();

  private:
    friend class ForcedForm;
    enum class State { kUndecided, kPlain, kFast };
    const char* name_;
    Compare* compare_;
    std::mutex mutex_;
    State state_ = State::kUndecided, forced_ = State::kUndecided;
};

// The rule itself: whether to use the fast form. `asked` is what GPT_KERNELS says, nullptr when it is not set;
// `note` becomes what the user should read, or stays empty.
bool choose_fast_form(const char* name, const CardForRungs& card, const char* asked,
                      FastForm::Compare* compare, std::string& note);

class ForcedForm {
  public:
    ForcedForm(FastForm& form, bool is_fast) : form_(form), before_(form.forced_) {
        form.forced_ = is_fast ? FastForm::State::kFast : FastForm::State::kPlain;
    }
    ~ForcedForm() { form_.forced_ = before_; }
    ForcedForm(const ForcedForm&) = delete;
    ForcedForm& operator=(const ForcedForm&) = delete;

  private:
    FastForm& form_;
    FastForm::State before_;
};

// For a Compare: "" when the norm of got - want is at most tolerance times that of want and nothing is NaN.
std::string difference_of(const char* what, const std::vector<float>& got, const std::vector<float>& want,
                          double tolerance);
