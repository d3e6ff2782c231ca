// 4_beam_search.cpp - exercise: the likeliest text is not made of the likeliest tokens. Beam search keeps the `width`
// likeliest beginnings, lengthens each by every token, and keeps the `width` likeliest again. (Try it on a language model
// afterwards: the likeliest text is a dull one. Holtzman et al. 2019 ask why.)
// Fill in the gap, then: make exercise-02-4
#include "chapters/02_small_gpt/exercises/check_4.h"

// The likeliest text of `length` tokens that it finds, tokens being 0 ... V-1. cost(text, v) is -log p(v | text).
std::vector<int> beam_search(const Cost& cost, int V, int length, int width) {
    // Your part. What is here takes the likeliest token each time: a width of 1.
    (void)width;
    std::vector<int> text;
    while (int(text.size()) < length) {
        int best = 0;
        for (int v = 1; v < V; v++)
            if (cost(text, v) < cost(text, best)) best = v;
        text.push_back(best);
    }
    return text;
}
