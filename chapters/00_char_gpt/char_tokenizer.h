// char_tokenizer.h - one id per character (Unicode code point), in the order of their code points.
// Not here: anything learned from the text but its alphabet; that is chapter 01.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/check.h"
#include "io/utf8.h"

class CharTokenizer {
  public:
    CharTokenizer() = default;

    // The alphabet is the set of characters that occur. Tiny Shakespeare has 65.
    explicit CharTokenizer(const std::vector<uint32_t>& characters) {
        for (uint32_t character : characters) {
            if (character >= ids_.size()) ids_.resize(character + 1, kUnknown);
            ids_[character] = 0;
        }
        for (uint32_t character = 0; character < ids_.size(); character++) {
            if (ids_[character] == kUnknown) continue;
            ids_[character] = int(alphabet_.size());
            alphabet_.push_back(character);
        }
    }

    int vocabulary() const { return int(alphabet_.size()); }
    const std::vector<uint32_t>& alphabet() const { return alphabet_; }

    // kUnknown for a character that the alphabet lacks.
    static constexpr int kUnknown = -1;
    int id_of(uint32_t character) const { return character < ids_.size() ? ids_[character] : kUnknown; }

    std::vector<int> encode(const std::vector<uint32_t>& characters) const {
        std::vector<int> ids;
        ids.reserve(characters.size());
        for (uint32_t character : characters) ids.push_back(id_of(character));
        return ids;
    }

    // Text from the user: every character must be known. `what` names the text in the error.
    std::vector<int> encode(const std::string& text, const std::string& what) const {
        const std::vector<uint32_t> characters = utf8::decode(text, what);
        std::vector<int> ids = encode(characters);
        const auto unknown = std::find(ids.begin(), ids.end(), kUnknown);
        if (unknown != ids.end()) {
            const uint32_t character = characters[size_t(unknown - ids.begin())];
            user_error("%s has the character '%s' (U+%04X), which the model has never seen; it knows %d: %s",
                       what.c_str(), utf8::printable(utf8::encode(character)).c_str(), character,
                       vocabulary(), utf8::printable(known(80)).c_str());
        }
        return ids;
    }

    std::string decode(const std::vector<int>& ids) const {
        std::string text;
        for (int id : ids) utf8::append(&text, alphabet_[size_t(id)]);
        return text;
    }

  private:
    std::string known(size_t most) const {
        std::string text;
        for (size_t i = 0; i < alphabet_.size() && i < most; i++) utf8::append(&text, alphabet_[i]);
        return alphabet_.size() > most ? text + "..." : text;
    }

    std::vector<uint32_t> alphabet_;  // the character of each id
    std::vector<int> ids_;            // the id of each character
};
