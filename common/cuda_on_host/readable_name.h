// readable_name.h - a kernel's name as people write it, from the one that the linker knows.
#pragma once
#include <cxxabi.h>

#include <cstdlib>
#include <string>

// "void (anonymous namespace)::kernel<float>(float*, int)", mangled, -> "kernel<float>". What is not mangled stays.
inline std::string readable_name(const std::string& mangled) {
    if (mangled.rfind("_Z", 0) != 0) return mangled;
    int status = 0;
    char* demangled = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
    std::string name = status == 0 ? demangled : mangled;
    std::free(demangled);
    const std::string anonymous = "(anonymous namespace)::";
    for (size_t at; (at = name.find(anonymous)) != std::string::npos;) name.erase(at, anonymous.size());
    name = name.substr(0, name.find('('));
    if (name.rfind("void ", 0) == 0) name.erase(0, 5);  // templates say what they return
    return name;
}
