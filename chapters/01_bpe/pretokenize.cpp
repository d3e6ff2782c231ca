// pretokenize.cpp - the patterns as scanners, rule by rule.
// Not here: the same for 64 bytes at once (piece_cuts.cpp); a regular expression engine. Every rule below
// looks ahead over one run of characters at most, and what it has seen it consumes (a run of blanks: after at
// most two more pieces), so the time is linear in the text.
// Source: see pretokenize.h; what is a letter, a number, a blank: unicode_classes.h.
#include "chapters/01_bpe/pretokenize.h"

#include <algorithm>

#include "chapters/01_bpe/characters.h"
#include "core/check.h"

namespace {

// Where the run of characters of one kind that begins at p ends; p itself if it begins none.
const char* run_end(CharacterClass kind, const char* p, const char* end) {
    while (p < end) {
        const Character c = character_at(p, end);
        if (c.kind != kind) break;
        p = c.end;
    }
    return p;
}

// A run of blanks: where it ends, where its last character begins, where the last newline in it ends.
struct Blanks {
    const char* end;
    const char* last;
    const char* after_newline;  // null: none
};

Blanks blanks_at(const char* p, const char* end) {
    Blanks blanks{p, p, nullptr};
    while (blanks.end < end) {
        const Character c = character_at(blanks.end, end);
        if (c.kind != CharacterClass::kBlank) break;
        blanks.last = blanks.end;
        blanks.end = c.end;
        if (is_newline(*blanks.last)) blanks.after_newline = c.end;
    }
    return blanks;
}

// \s+(?!\S)|\s+   Blanks up to the end of the text are one piece. Before a word the last one is left out: it
// may belong to the word; alone, it is a piece.
const char* without_the_last(const Blanks& blanks, const char* begin, const char* end) {
    return blanks.end == end || blanks.last == begin ? blanks.end : blanks.last;
}

const char* gpt2_piece_end(const char* begin, const char* end) {
    // '(?:[sdmt]|ll|ve|re)
    if (const int length = contraction_length(begin, end, /*any_case=*/false)) return begin + length;

    //  ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+   A run, perhaps with one space (only U+0020) before.
    const char* run = *begin == ' ' && begin + 1 < end ? begin + 1 : begin;
    const Character first = character_at(run, end);
    if (first.kind != CharacterClass::kBlank) return run_end(first.kind, first.end, end);

    // \s+(?!\S)|\s+
    return without_the_last(blanks_at(begin, end), begin, end);
}

const char* cl100k_piece_end(const char* begin, const char* end) {
    // '(?i:[sdmt]|ll|ve|re)
    if (const int length = contraction_length(begin, end, /*any_case=*/true)) return begin + length;

    // [^\r\n\p{L}\p{N}]?\p{L}+   Letters, perhaps with one other character or blank before.
    const Character first = character_at(begin, end);
    const bool may_lead = first.kind != CharacterClass::kNumber && !is_newline(*begin);
    if (may_lead) {
        const char* letters_end = run_end(CharacterClass::kLetter, first.end, end);
        if (first.kind == CharacterClass::kLetter || letters_end > first.end) return letters_end;
    }

    // \p{N}{1,3}
    if (first.kind == CharacterClass::kNumber) {
        const char* p = first.end;
        for (int count = 1; count < 3 && p < end; count++) {
            const Character c = character_at(p, end);
            if (c.kind != CharacterClass::kNumber) break;
            p = c.end;
        }
        return p;
    }

    //  ?[^\s\p{L}\p{N}]+[\r\n]*
    const char* run = *begin == ' ' ? begin + 1 : begin;
    const char* others_end = run_end(CharacterClass::kOther, run, end);
    if (others_end > run) {
        while (others_end < end && is_newline(*others_end)) others_end++;
        return others_end;
    }

    // \s+$|\s*[\r\n]|\s+(?!\S)|\s   As in GPT-2's, but a piece ends with the last newline of the run.
    const Blanks blanks = blanks_at(begin, end);
    if (blanks.end < end && blanks.after_newline != nullptr) return blanks.after_newline;
    return without_the_last(blanks, begin, end);
}

// Whether every split has a cut between neighbours, whatever came before the first, and whether the split of
// what is on the left would be the same if the text ended here. A letter or number ends its piece before
// anything of another kind; others end theirs before a blank or number, except that cl100k lets them take
// newlines along. After a blank nothing is certain: how a run of blanks is cut depends on its end.
bool is_certain(CharacterClass left, CharacterClass right, bool right_is_newline) {
    switch (left) {
        case CharacterClass::kLetter:
        case CharacterClass::kNumber:
            return left != right;
        case CharacterClass::kOther:
            return right == CharacterClass::kNumber || (right == CharacterClass::kBlank && !right_is_newline);
        case CharacterClass::kBlank:
            return false;
    }
    return false;
}

}  // namespace

bool pattern_from_name(const std::string& name, Pattern* pattern) {
    for (const Pattern candidate : {Pattern::kNone, Pattern::kGpt2, Pattern::kCl100k}) {
        if (name != name_of(candidate)) continue;
        *pattern = candidate;
        return true;
    }
    return false;
}

const char* name_of(Pattern pattern) {
    switch (pattern) {
        case Pattern::kNone:
            return "none";
        case Pattern::kGpt2:
            return "gpt2";
        case Pattern::kCl100k:
            return "cl100k";
    }
    CHECK(false, "[pretokenize] pattern %d", int(pattern));
    return "";
}

const char* piece_end(Pattern pattern, const char* begin, const char* end) {
    DCHECK(begin < end, "[pretokenize] no text");
    switch (pattern) {
        case Pattern::kGpt2:
            return gpt2_piece_end(begin, end);
        case Pattern::kCl100k:
            return cl100k_piece_end(begin, end);
        case Pattern::kNone:
            break;
    }
    return end;
}

size_t certain_cut(Pattern pattern, std::string_view text, size_t at) {
    if (pattern == Pattern::kNone) return text.size();
    const char* const end = text.data() + text.size();
    const char* p = text.data() + std::min(at, text.size());
    // No character begins at a continuation byte, unless it is a stray one; every split agrees on the others.
    while (p < end && (uint8_t(*p) & 0xc0) == 0x80) p++;
    if (p == end) return text.size();
    for (Character left = character_at(p, end); left.end < end;) {
        const Character right = character_at(left.end, end);
        if (is_certain(left.kind, right.kind, is_newline(*left.end))) return size_t(left.end - text.data());
        left = right;
    }
    return text.size();
}
