// vocabulary.cpp - the 256 bytes, their spelling, and where vocabularies are found.
// Not here: the files' forms (vocabulary_files.cpp).
#include "chapters/01_bpe/vocabulary.h"

#include "core/check.h"

std::vector<bool> special_ids(const Vocabulary& vocabulary) {
    std::vector<bool> is_special(vocabulary.tokens.size());
    for (const SpecialToken& special : vocabulary.specials) is_special[size_t(special.id)] = true;
    return is_special;
}

const std::array<uint32_t, 256>& byte_spelling() {
    static const std::array<uint32_t, 256> spelling = [] {
        std::array<uint32_t, 256> codes{};
        uint32_t next = 0x100;
        for (uint32_t byte = 0; byte < 256; byte++) {
            // Latin-1 characters that leave ink. note: 173 is the soft hyphen, which leaves none.
            const bool is_visible =
                (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xff && byte != 0xad);
            codes[byte] = is_visible ? byte : next++;
        }
        return codes;
    }();
    return spelling;
}

const std::array<uint8_t, 256>& byte_of_id() {
    static const std::array<uint8_t, 256> bytes = [] {
        std::array<uint8_t, 256> order{};
        size_t id = 0;
        for (const bool stands_for_itself : {true, false})
            for (uint32_t byte = 0; byte < 256; byte++)
                if ((byte_spelling()[byte] == byte) == stands_for_itself) order[id++] = uint8_t(byte);
        return order;
    }();
    return bytes;
}

Vocabulary byte_vocabulary(Pattern pattern) {
    Vocabulary vocabulary;
    vocabulary.name = "bytes";
    vocabulary.pattern = pattern;
    for (int id = 0; id < 256; id++) {
        const uint8_t byte = byte_of_id()[size_t(id)];
        vocabulary.tokens.push_back(std::string(1, char(byte)));
        vocabulary.byte_ids[byte] = id;
    }
    return vocabulary;
}
