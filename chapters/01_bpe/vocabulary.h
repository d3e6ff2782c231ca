// vocabulary.h - what a tokenizer has learned: its tokens, the merges that make them, its special tokens, its pattern.
// Not here: how text becomes ids (bpe.h), how merges are learned (trainer.h).
// Source: Sennrich, Haddow, Birch 2016 (BPE); Radford et al. 2019, section 2.2 (on bytes).
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chapters/01_bpe/pretokenize.h"

// Two neighbours that become one token. Merges are tried in the order of their rank: the smallest first.
struct Merge {
    int left, right, token;  // ids
    int rank;
};

struct SpecialToken {
    std::string text;  // "<|endoftext|>"
    int id;
};

struct Vocabulary {
    std::string name;  // for people: "gpt2", a folder
    Pattern pattern = Pattern::kGpt2;
    std::vector<std::string> tokens;  // the bytes of each id; empty for an id that no file names
    std::array<int, 256> byte_ids{};  // the token that is this one byte: every vocabulary here has all 256
    std::vector<Merge> merges;  // by rank; a rank file has one for each way to halve a token into two others
    std::vector<SpecialToken> specials;  // their text is also in `tokens`
    // A piece that is a token is that token, whether or not merges lead there: so tiktoken reads its rank files. GPT-2's
    // files say merges and nothing else. (For GPT-2 and for what we train it makes no difference; a test proves it.)
    bool whole_piece_first = false;

    int size() const { return int(tokens.size()); }
};

// For each id, whether it is a special token.
std::vector<bool> special_ids(const Vocabulary& vocabulary);

// How GPT-2's two files spell bytes: each byte is one printable character. 188 bytes stand for themselves, the other 68
// are U+0100, U+0101 ... in their order, so a blank is U+0120. The order of the 256 characters is also the order of
// GPT-2's first 256 ids: "!" is 0, a blank 220.
const std::array<uint32_t, 256>& byte_spelling();  // byte -> code point
const std::array<uint8_t, 256>& byte_of_id();      // GPT-2's id -> byte

// The 256 bytes in GPT-2's order, no merges: what training starts from.
Vocabulary byte_vocabulary(Pattern pattern);

// ---- Files ----------------------------------------------------------------------------------------------------------
// Every file is hostile until checked: an error names the file, the line or entry, and the reason (exit code 1).

// "gpt2" and "cl100k" are found through data/ like every data set; anything else is a folder that save_vocabulary wrote,
// or that holds encoder.json and vocab.bpe, or vocab.json and merges.txt, or one *.tiktoken file. Pattern and special tokens
// come from tokenizer_config.json beside them; without it, GPT-2's pattern, and special is what is written like <this> or
// [this] and made by no merge. A rank file has them by its name (cl100k_base, r50k_base, p50k_base); any other needs the
// config. Every vocabulary needs all 256 bytes; files take at most 256 MiB, ids go up to 2^20 - 1.
Vocabulary load_vocabulary(const std::string& name_or_folder);

// GPT-2's pair of files: token -> id as JSON, and one merge per line after a version line. Every token must be a byte, made
// by a merge, or special: one that is not says that the merges are cut short.
Vocabulary load_gpt2_files(const std::string& vocab_json, const std::string& merges_txt);

// tiktoken's: "base64 rank" per line. Merges are all ways to halve a token into two tokens, ranked by what they make.
// A token has at most 1,024 bytes.
Vocabulary load_rank_file(const std::string& path, Pattern pattern, std::vector<SpecialToken> specials);

// Writes vocab.json, merges.txt and tokenizer_config.json (pattern and special tokens) into `folder`.
void save_vocabulary(const Vocabulary& vocabulary, const std::string& folder);
