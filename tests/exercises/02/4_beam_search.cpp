// 4_beam_search.cpp - solution of the exercise: the likeliest text is not made of the likeliest tokens. Beam search keeps the `width`
// likeliest beginnings, lengthens each by every token, and keeps the `width` likeliest again. (Try it on a language model
// afterwards: the likeliest text is a dull one. Holtzman et al. 2019 ask why.)
#include "chapters/02_small_gpt/exercises/check_4.h"

#include <algorithm>

std::vector<int> beam_search(const Cost& cost, int V, int length, int width) {
    struct Beginning {
        double cost;
        std::vector<int> text;
    };
    std::vector<Beginning> kept = {{0, {}}};
    for (int t = 0; t < length; t++) {
        std::vector<Beginning> longer;
        for (const Beginning& one : kept)
            for (int v = 0; v < V; v++) {
                longer.push_back({one.cost + cost(one.text, v), one.text});
                longer.back().text.push_back(v);
            }
        std::stable_sort(longer.begin(), longer.end(),
                         [](const Beginning& a, const Beginning& b) { return a.cost < b.cost; });
        longer.resize(std::min(longer.size(), size_t(width)));
        kept = longer;
    }
    return kept[0].text;
}
