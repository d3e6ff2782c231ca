// test_html.cpp - text from outside stays text, and a page stays offline.
#include "io/html.h"

#include "tests/support/catch.h"

namespace {
const std::string kHostile = "</script><img src=x onerror=\"alert('1')\">&";
}

TEST_CASE("html: hostile text is escaped between tags and in attributes", "[cpu]") {
    REQUIRE(html::escape(kHostile) ==
            "&lt;/script&gt;&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;");
    REQUIRE(html::escape("caf\xc3\xa9\n\tx") == "caf\xc3\xa9\n\tx");
    REQUIRE(html::escape(std::string("a\0b", 3)) ==
            "a\xef\xbf\xbd"
            "b");
    REQUIRE(html::escape("\xff\xc0\xaf") == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_CASE("html: JSON in a script cannot close it", "[cpu]") {
    REQUIRE(html::json_string("</script>\"\\\n") == "\"\\u003c/script\\u003e\\\"\\\\\\u000a\"");
    REQUIRE(html::json_string("\xe2\x80\xa8\xff") == "\"\\u2028\xef\xbf\xbd\"");
    REQUIRE(html::json_in_script("{\"a\":\"</script>\"}") == "{\"a\":\"\\u003c/script>\"}");
}

TEST_CASE("html: a page forbids the network and, unless asked, scripts", "[cpu]") {
    html::Page page;
    page.title = kHostile;
    page.body = "<p>hello</p>\n";
    const std::string text = html::page(page);
    REQUIRE_THAT(text, contains("default-src 'none'; style-src 'unsafe-inline'; img-src data:;"));
    REQUIRE(text.find("script-src") == std::string::npos);
    REQUIRE(text.find("<img") == std::string::npos);
    REQUIRE(text.find("http://") == std::string::npos);
    REQUIRE(text.find("https://") == std::string::npos);
    REQUIRE_THAT(text, contains("<title>&lt;/script&gt;"));
    REQUIRE_THAT(text, contains("prefers-color-scheme: dark"));
    REQUIRE_THAT(text, contains("width=device-width"));
    page.has_script = true;
    REQUIRE_THAT(html::page(page), contains("script-src 'unsafe-inline';"));
}
