// token_text.cpp - see token_text.h.
#include "chapters/01_bpe/token_text.h"

#include "core/check.h"
#include "io/utf8.h"

bool is_invisible(uint32_t code) {
    return code == 0xad || code == 0x61c || code == 0x180e || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
           (code >= 0xfff9 && code <= 0xfffb) || (code >= 0xe0000 && code < 0xe0100);
}

std::string visible_text(std::string_view bytes, std::string_view blank) {
    std::string shown;
    for (size_t offset = 0; offset < bytes.size();) {
        const size_t begin = offset;
        const uint32_t code = utf8::decode_next(bytes, &offset);
        if (code == ' ')
            shown += blank;
        else if (code != utf8::kInvalid && is_invisible(code))
            shown += format("<U+%04X>", code);
        else
            shown += utf8::printable(std::string(bytes.substr(begin, offset - begin)));
    }
    return shown;
}

std::string visible_token(std::string_view bytes) {
    return visible_text(bytes, "\xe2\x90\xa3");
}

std::string padded(const std::string& text, size_t columns) {
    size_t characters = 0;
    for (const char c : text)
        characters += (uint8_t(c) & 0xc0) != 0x80;  // all bytes but those that continue one
    return text + std::string(characters < columns ? columns - characters : 0, ' ');
}

std::string hex_of(std::string_view bytes) {
    std::string text;
    for (const char byte : bytes) text += format(text.empty() ? "%02x" : " %02x", uint8_t(byte));
    return text;
}
