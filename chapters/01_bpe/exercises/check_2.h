// check_2.h - checks exercise 2 on numbers of every length up to twelve.
#pragma once
#include "chapters/01_bpe/exercises/checker.h"

std::vector<std::string_view> number_pieces(std::string_view digits);

int main() {
    Verdict verdict;
    const std::string digits = "123456789012";
    for (size_t length = 0; length <= digits.size(); length++) {
        const std::string number = digits.substr(0, length);
        std::string want = number;
        for (size_t at = number.size(); at > 3; at -= 3) want.insert(at - 3, "|");
        verdict.same("\"" + number + "\"", shown(number_pieces(number)),
                     number.empty() ? "|" : "|" + want + "|");
    }
    return verdict.finish("numbers from the right");
}
