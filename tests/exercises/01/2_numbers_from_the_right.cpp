// 2_numbers_from_the_right.cpp - solution of the exercise: cut numbers the way people group their digits. cl100k's pattern cuts "1234567"
// into |123|456|7|, from the left, so that the same digit means thousands in one number and tens in the next; cut from
// the right it is |1|234|567|, and models add better (Singh and Strouse 2024, "Tokenization counts").
#include "chapters/01_bpe/exercises/check_2.h"

// The pieces of `digits`, a run of ASCII digits: at most three each, and only the first one may be shorter.
std::vector<std::string_view> number_pieces(std::string_view digits) {
    std::vector<std::string_view> pieces;
    const size_t first = digits.size() % 3;
    if (first > 0) pieces.push_back(digits.substr(0, first));
    for (size_t begin = first; begin < digits.size(); begin += 3) pieces.push_back(digits.substr(begin, 3));
    return pieces;
}
