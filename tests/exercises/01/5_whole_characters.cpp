// 5_whole_characters.cpp - solution of the exercise: a model writes token by token, and a token may end inside a character. What may be
// shown already? (What StreamDecoder in bpe.h does; Unicode, table 3-7, has the forms of UTF-8.)
#include "chapters/01_bpe/exercises/check_5.h"

// How many of the bytes can be shown: all, but for a beginning of a character at the end that more bytes could still
// complete. Bytes that can no longer become a character are not held back.
size_t showable(std::string_view bytes) {
    // The last byte that begins a character, at most three bytes before the end.
    size_t begin = bytes.size();
    for (size_t back = 1; back <= 3 && back <= bytes.size(); back++) {
        const uint8_t byte = uint8_t(bytes[bytes.size() - back]);
        if (byte >= 0x80 && byte < 0xc0) continue;  // a middle
        begin = bytes.size() - back;
        break;
    }
    if (begin == bytes.size()) return bytes.size();
    const uint8_t first = uint8_t(bytes[begin]);
    const size_t length = first >= 0xc2 && first < 0xe0   ? 2
                          : first >= 0xe0 && first < 0xf0 ? 3
                          : first >= 0xf0 && first < 0xf5 ? 4
                                                          : 1;
    const size_t have = bytes.size() - begin;
    if (have >= length) return bytes.size();
    if (have > 1) {  // some beginnings allow fewer second bytes
        const uint8_t second = uint8_t(bytes[begin + 1]);
        const uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        const uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (second < low || second > high) return bytes.size();
    }
    return begin;
}
