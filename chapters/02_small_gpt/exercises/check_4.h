// check_4.h - checks exercise 4: a width of 1 is the likeliest token each time, a width of all texts finds the likeliest of
// them, and one in between is between.
#pragma once
#include <functional>

#include "chapters/02_small_gpt/exercises/checker.h"
#include "core/rng.h"

using Cost = std::function<double(const std::vector<int>& text, int v)>;
std::vector<int> beam_search(const Cost& cost, int V, int length, int width);

inline double total(const Cost& cost, const std::vector<int>& text) {
    double sum = 0;
    for (size_t t = 0; t < text.size(); t++) sum += cost({text.begin(), text.begin() + long(t)}, text[t]);
    return sum;
}

int main() {
    Verdict verdict;
    constexpr int V = 3, kLength = 5, kAll = 243;
    for (uint64_t seed = 0; seed < 10; seed++) {
        // -log of random probabilities, other ones for each beginning (log-uniform, not normalised: that changes no order)
        const Cost cost = [&](const std::vector<int>& text, int v) {
            uint64_t place = 1;
            for (const int id : text) place = place * V + uint64_t(id);
            RandomStream random{seed, place * V + uint64_t(v)};
            return 4 * double(random.next_uniform());
        };
        std::vector<int> best, greedy;
        for (int number = 0; number < kAll; number++) {
            std::vector<int> text;
            for (int t = 0, rest = number; t < kLength; t++, rest /= V) text.push_back(rest % V);
            if (best.empty() || total(cost, text) < total(cost, best)) best = text;
        }
        for (int t = 0; t < kLength; t++) {
            int choice = 0;
            for (int v = 1; v < V; v++)
                if (cost(greedy, v) < cost(greedy, choice)) choice = v;
            greedy.push_back(choice);
        }
        verdict.same("a width of 1", beam_search(cost, V, kLength, 1), greedy);
        verdict.same("a width of 243, all texts,", beam_search(cost, V, kLength, kAll), best);
        verdict.right(total(cost, beam_search(cost, V, kLength, 9)) <= total(cost, greedy) + 1e-9,
                      "a width of 9 found a text less likely than a width of 1");
    }
    return verdict.finish("beam search");
}
