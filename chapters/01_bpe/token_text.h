// token_text.h - a token's bytes as something to look at: a token may be a blank, half a character, or nothing visible.
// Not here: HTML (show_page.cpp).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

// Characters that leave no ink but change what is around them: joiners, marks of direction, the soft hyphen.
bool is_invisible(uint32_t code);

// `bytes` for one line of a terminal: \n and \t, \xe2 for what is no valid UTF-8 or a control character, <U+200D> for what
// is invisible, a blank as `blank`.
std::string visible_text(std::string_view bytes, std::string_view blank);

// The same with U+2423, the open box, for each blank.
std::string visible_token(std::string_view bytes);

// `text` and as many blanks as make it `columns` wide, if a character takes one column.
std::string padded(const std::string& text, size_t columns);

std::string hex_of(std::string_view bytes);  // "e2 82 ac"
