// allclose.h - do two arrays agree? Returns "", or a message with op, sizes, index and both values.
// Not here: a macro. Use:
//     REQUIRE(allclose("gelu_forward", "n=65", got, want, n, rtol, atol) == "");
#pragma once
#include <cmath>
#include <cstdint>
#include <string>

#include "core/check.h"
#include "tests/support/proof.h"

// |got - want| <= atol + rtol * |want| for each element. want may be float or the double of a reference loop;
// a NaN or an infinity on one side alone is a difference.
template <class Got, class Want>
std::string allclose(const std::string& op, const std::string& sizes, const Got* got, const Want* want,
                     int64_t n, double rtol, double atol) {
    int64_t bad = 0, worst_index = -1;
    double worst_excess = -1, max_abs = 0, max_rel = 0;
    for (int64_t i = 0; i < n; i++) {
        const double g = double(got[i]), w = double(want[i]);
        if (g == w || (std::isnan(g) && std::isnan(w))) continue;
        const double difference = std::fabs(g - w);
        const double excess =
            std::isfinite(difference) ? difference / (atol + rtol * std::fabs(w)) : INFINITY;
        if (difference > max_abs) max_abs = difference;
        if (w != 0 && difference / std::fabs(w) > max_rel) max_rel = difference / std::fabs(w);
        if (!(excess <= 1)) bad++;
        if (excess > worst_excess) worst_excess = excess, worst_index = i;
    }
    proof::record("values", op, sizes, worst_excess < 0 ? 0 : worst_excess,
                  format("%.1g + %.1g |x|", atol, rtol));
    if (bad == 0) return "";
    return format(
        "[%s] %s: %lld of %lld differ; at %lld got %.9g, want %.9g; largest difference %.3g, relative %.3g "
        "(allowed %.1g + %.1g |want|)",
        op.c_str(), sizes.c_str(), (long long)bad, (long long)n, (long long)worst_index,
        double(got[worst_index]), double(want[worst_index]), max_abs, max_rel, atol, rtol);
}

// ||got - want|| / ||want||, the measure of whole-tensor comparisons; ||got|| where want is 0 everywhere.
template <class Got, class Want>
double relative_norm_error(const Got* got, const Want* want, int64_t n) {
    double error = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        const double g = double(got[i]), w = double(want[i]);
        error += (g - w) * (g - w);
        norm += w * w;
    }
    return std::sqrt(error) / (norm > 0 ? std::sqrt(norm) : 1.0);
}
