// program_symbols.cpp - reads the symbol table of /proc/self/exe once; see program_symbols.h.
#include "cuda_on_host/program_symbols.h"

#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>

#include "core/check.h"
#include "cuda_on_host/readable_name.h"

namespace cuda_on_host {
namespace {

struct Symbol {
    std::string name;  // mangled
    uint64_t value;    // of a function: address before relocation; of a thread_local: offset in its segment
    uint64_t bytes;
    unsigned type;  // STT_FUNC or STT_TLS
};

std::vector<Symbol> read_symbols() {
    std::vector<Symbol> symbols;
    std::ifstream file("/proc/self/exe", std::ios::binary);
    const std::vector<char> image{std::istreambuf_iterator<char>(file), {}};
    const auto at = [&](uint64_t offset, auto* out) {
        if (offset + sizeof *out > image.size()) return false;
        std::memcpy(out, &image[offset], sizeof *out);
        return true;
    };
    ElfW(Ehdr) header;
    if (!at(0, &header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return symbols;
    for (unsigned s = 0; s < header.e_shnum; s++) {
        ElfW(Shdr) section, names;
        if (!at(header.e_shoff + s * sizeof section, &section) || section.sh_type != SHT_SYMTAB) continue;
        if (!at(header.e_shoff + section.sh_link * sizeof names, &names)) continue;
        for (uint64_t i = 0; i < section.sh_size / sizeof(ElfW(Sym)); i++) {
            ElfW(Sym) symbol;
            if (!at(section.sh_offset + i * sizeof symbol, &symbol)) break;
            const unsigned type = symbol.st_info & 0xf;
            const uint64_t name = names.sh_offset + symbol.st_name;
            if ((type != STT_FUNC && type != STT_TLS) || symbol.st_shndx == SHN_UNDEF) continue;
            if (name < image.size()) symbols.push_back({&image[name], symbol.st_value, symbol.st_size, type});
        }
    }
    return symbols;
}

const std::vector<Symbol>& symbols() {
    static const std::vector<Symbol> all = read_symbols();
    return all;
}

// Of the program itself, the first object that dl_iterate_phdr visits.
struct Loaded {
    uint64_t base = 0;                  // what relocation added to every address
    char* thread_local_data = nullptr;  // the calling OS thread's copy
};

Loaded loaded_program() {
    Loaded loaded;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* result) {
            *static_cast<Loaded*>(result) = {info->dlpi_addr, static_cast<char*>(info->dlpi_tls_data)};
            return 1;  // no further object
        },
        &loaded);
    return loaded;
}

// The thread_local variables of functions whose contents no constructor sets.
std::vector<Symbol> find_static_shared() {
    std::set<std::string> names;
    for (const Symbol& symbol : symbols()) names.insert(symbol.name);
    std::vector<Symbol> found;
    for (const Symbol& symbol : symbols()) {
        const bool is_in_function = symbol.name.rfind("_ZZ", 0) == 0;  // how mangled names of such begin
        const bool is_ours = symbol.name.find("12cuda_on_host") != std::string::npos;
        // A variable with a constructor or a destructor has a guard beside it; __shared__ has neither.
        const bool is_guarded = is_in_function && names.count("_ZGV" + symbol.name.substr(2)) > 0;
        if (symbol.type == STT_TLS && is_in_function && !is_ours && !is_guarded) found.push_back(symbol);
    }
    return found;
}

}  // namespace

std::string function_name(const void* address) {
    const uint64_t wanted = reinterpret_cast<uintptr_t>(address) - loaded_program().base;
    for (const Symbol& symbol : symbols())
        if (symbol.type == STT_FUNC && symbol.value == wanted) return readable_name(symbol.name);
    return format("the kernel at %p", address);
}

std::vector<StaticShared> static_shared_arrays() {
    static const std::vector<Symbol> found = find_static_shared();
    std::vector<StaticShared> arrays;
    char* const begin = loaded_program().thread_local_data;
    if (!begin) return arrays;
    for (const Symbol& symbol : found) arrays.push_back({begin + symbol.value, symbol.bytes});
    return arrays;
}

}  // namespace cuda_on_host
