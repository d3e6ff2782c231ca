// task_items.cpp - reads the items of the tasks; see tasks.h. Files from outside: each line is checked.
#include <nlohmann/json.hpp>

#include "chapters/02_small_gpt/tasks.h"
#include "io/file.h"
#include "io/utf8.h"

namespace small_gpt {

namespace {

using nlohmann::json;

constexpr size_t kMaxFileBytes = size_t(1) << 30;

// One line of the file as JSON; complaints name it.
class Line {
  public:
    Line(const std::string& path, int64_t number, const std::string& text) : path_(path), number_(number) {
        document_ = json::parse(text, nullptr, false);
        if (document_.is_discarded() || !document_.is_object()) refuse("it is no JSON object");
    }
    [[noreturn]] void refuse(const std::string& reason) const {
        user_error("%s: line %lld: %s", utf8::printable(path_).c_str(), (long long)number_, reason.c_str());
    }
    bool has(const char* key) const { return document_.contains(key); }
    const json& operator[](const char* key) const {
        if (!has(key)) refuse(format("it has no \"%s\"", key));
        return document_[key];
    }
    std::string text(const char* key) const {
        const json& value = (*this)[key];
        if (!value.is_string() || value.get_ref<const std::string&>().empty())
            refuse(format("\"%s\" wants a text that is not empty", key));
        return value.get<std::string>();
    }

  private:
    const std::string& path_;
    int64_t number_;
    json document_;
};

template <class Item, class Read>
std::vector<Item> read_lines(const std::string& path, int64_t limit, Read read) {
    const std::string file = read_file(path, kMaxFileBytes);
    std::vector<Item> items;
    int64_t number = 0;
    for (size_t begin = 0; begin < file.size() && (limit == 0 || int64_t(items.size()) < limit);) {
        const size_t end = std::min(file.find('\n', begin), file.size());
        const std::string text = file.substr(begin, end - begin);
        begin = end + 1;
        number++;
        if (text.find_first_not_of(" \t\r") != std::string::npos)
            items.push_back(read(Line(path, number, text)));
    }
    if (items.empty()) user_error("%s: no items in it", utf8::printable(path).c_str());
    return items;
}

}  // namespace

std::vector<HellaSwagItem> read_hellaswag(const std::string& path, int64_t limit) {
    return read_lines<HellaSwagItem>(path, limit, [](const Line& line) {
        HellaSwagItem item;
        item.context = line.text("ctx");
        const json &endings = line["endings"], &label = line["label"];
        if (!endings.is_array() || endings.size() < 2) line.refuse("\"endings\" wants two texts or more");
        for (const json& ending : endings) {
            if (!ending.is_string() || ending.get_ref<const std::string&>().empty())
                line.refuse("an ending wants to be a text that is not empty");
            item.endings.push_back(ending.get<std::string>());
        }
        if (!label.is_number_integer() || label < 0 || label >= int64_t(endings.size()))
            line.refuse(format("\"label\" wants the number of an ending, 0 to %zu", endings.size() - 1));
        item.label = label.get<int>();
        return item;
    });
}

std::vector<LambadaItem> read_lambada(const std::string& path, int64_t limit) {
    return read_lines<LambadaItem>(path, limit, [](const Line& line) {
        if (line.has("context")) return LambadaItem{line.text("context"), line.text("continuation")};
        const std::string text = line.text("text");
        const size_t blank = text.find_last_of(' ');
        if (blank == std::string::npos || blank == 0 || blank + 1 == text.size())
            line.refuse("\"text\" wants two words or more, with a blank in front of the last");
        return LambadaItem{text.substr(0, blank), text.substr(blank + 1)};
    });
}

}  // namespace small_gpt
