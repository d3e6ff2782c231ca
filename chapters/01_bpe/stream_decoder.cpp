// stream_decoder.cpp - text that appears on a screen while a model writes it: whole characters only.
// Source: Unicode 16, section 3.9, "U+FFFD substitution of maximal subparts": as browsers and Python's decoders do.
#include "chapters/01_bpe/bpe.h"
#include "io/utf8.h"

namespace {

// How many of the bytes at `offset` can be the beginning of a character that is cut off by the end of the text: 0 when
// more bytes would not help. Which second byte may follow a first one is table 3-7 of the standard.
size_t unfinished_length(std::string_view text, size_t offset) {
    const uint8_t first = uint8_t(text[offset]);
    const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4) return 0;
    size_t known = 1;
    if (offset + 1 < text.size()) {
        const uint8_t second = uint8_t(text[offset + 1]);
        const uint8_t lowest = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        const uint8_t highest = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (second >= lowest && second <= highest) known = 2;
    }
    while (known >= 2 && known < length && offset + known < text.size() &&
           (uint8_t(text[offset + known]) & 0xc0) == 0x80)
        known++;
    return known;
}

}  // namespace

std::string StreamDecoder::add(int id) {
    held_back_ += bpe_.bytes_of(id);
    std::string shown;
    size_t offset = 0;
    while (offset < held_back_.size()) {
        const size_t begin = offset;
        if (utf8::decode_next(held_back_, &offset) != utf8::kInvalid) {
            shown.append(held_back_, begin, offset - begin);
            continue;
        }
        const size_t part = unfinished_length(held_back_, begin);
        offset = begin;
        if (part > 0 && begin + part == held_back_.size()) break;  // its rest may still come
        utf8::append(&shown, utf8::kReplacement);
        offset += part > 0 ? part : 1;
    }
    held_back_.erase(0, offset);
    return shown;
}

std::string StreamDecoder::finish() {
    const bool is_cut_off = !held_back_.empty();
    held_back_.clear();
    return is_cut_off ? utf8::encode(utf8::kReplacement) : "";
}
