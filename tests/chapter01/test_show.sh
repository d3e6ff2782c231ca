#!/usr/bin/env bash
# What show and trace print and write: colours only where they are wanted, nothing unescaped, every merge in order.
# shellcheck source=tests/chapter01/support.sh
# shellcheck disable=SC2016  # single quotes are for eval
source "$(dirname "$0")/support.sh"
escape=$'\e'

# ---- show in a terminal ----
run show 'the lazy dogs' --vocab small
check 'show: ends well' [ "$status" = 0 ]
check 'show: the strip, with bars' eval 'sed -n 2p out | grep -qE "^\|.*the.*\|.*dogs\|$|^\|.*\|$"'
check 'show: no colours in a file' eval '! grep -q "$escape" out'
check 'show: the ids of encode' eval '[ "$(awk "NR > 3 { print \$2 }" out | tr "\n" " ")" = "$(printf "the lazy dogs" | "$program" encode --vocab small) " ]'
check 'show: byte ranges' eval '[ "$(awk "NR > 3 { print \$3 }" out | tail -1)" != "" ] && awk "NR > 3 { print \$3 }" out | tail -1 | grep -q "\.\.13$"'
run show 'the lazy dogs' --vocab small --colour always
check 'show: --colour always' grep -q "$escape\[48;5;" out
if script -qec true /dev/null </dev/null >/dev/null 2>&1; then  # it is here, and gets a terminal
    on_terminal() { TERM=xterm script -qec "$*" /dev/null </dev/null >out 2>err; }
    on_terminal "env -u NO_COLOR $program show the --vocab small"
    check 'show: colours on a terminal' grep -q "$escape\[48;5;" out
    on_terminal "NO_COLOR=1 $program show the --vocab small"
    check 'show: NO_COLOR' eval '! grep -q "$escape\[48" out'
    on_terminal "NO_COLOR= $program show the --vocab small"
    check 'show: an empty NO_COLOR does not count' grep -q "$escape\[48;5;" out
    on_terminal "TERM=dumb $program show the --vocab small"
    check 'show: a dumb terminal' eval '! grep -q "$escape\[48" out'
else
    skip 'show: colours on a terminal' 'script is not here'
fi
run show $'a\tb\nc\e[2Jd\x7f\xff' --vocab small
check 'show: control characters as numbers' eval '! LC_ALL=C grep -q "[^[:print:][:space:]]" <(LC_ALL=C tr -d "\200-\377" <out) && grep -q "x1b" out'
run show $'k\xc3\xa9\xf0\x9f\x98\x80k' --vocab small
check 'show: parts of characters' eval 'grep -q "xf0 *part of " out'
run show $'\xe2\x80\xae' --vocab small
check 'show: marks that turn the line around' eval '! grep -q $(printf "\xe2\x80\xae") <(head -2 out)'
run show '' --vocab small
check 'show: an empty text' eval '[ $status = 0 ] && grep -q "0 tokens for 0 bytes" out'
run show --file text.txt --vocab small
check 'show: a long text is cut' grep -q 'more; chapter01 encode --offsets' out
run show 'a[PAD]b' --vocab small --special
check 'show: special tokens' eval 'grep -qE "299 .*special +\[PAD\]" out'
run show 'the lazy dogs' --vocab small --compare small
check 'show: two of them' [ "$(grep -c ' tokens for 13 bytes' out)" = 2 ]
run show --vocab small -- '--vocab'
check 'show: a text with dashes' grep -q 'for 7 bytes' out

# ---- the page ----
attack=$'</script><img src=x onerror=alert(1)>"\'&\e[31m\xff\x01\xe2\x80\xae --><!-- ]]> </title></style>'
run show "$attack" --vocab small --compare small --html page.html
check 'page: written' eval '[ $status = 0 ] && [ -s page.html ]'
check 'page: no tag of theirs' eval '! grep -qE "<img|</script><|alert\(1\)>" page.html'
check 'page: two script elements, as we wrote them' [ "$(grep -o '</script>' page.html | wc -l)" = 2 ]
check 'page: loads nothing' eval '! grep -qE "(src|href)=" page.html && grep -q "default-src .none." page.html'
check 'page: no control characters' eval '! LC_ALL=C grep -q "[^[:print:][:space:]]" <(LC_ALL=C tr -d "\200-\377" <page.html)'
check 'page: no turned line' eval '! grep -q $(printf "\xe2\x80\xae") page.html'
for word in 'prefers-color-scheme: dark' 'aria-label' 'title="id ' 'Both need'; do check "page: $word" grep -q -- "$word" page.html; done
if command -v python3 >/dev/null; then
    check 'page: its data are the ids' eval 'python3 - page.html "$("$program" encode --vocab small <(printf %s "$attack"))" <<"END"
import html.parser, json, sys
class Page(html.parser.HTMLParser):
    data, inside, tags, text = "", False, [], ""
    def handle_starttag(self, tag, attributes):
        self.inside = ("id", "data") in attributes
        self.tags.append(tag)
    def handle_data(self, text):
        if self.inside: self.data += text
    def handle_endtag(self, tag):
        self.inside = False
page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
views = json.loads(page.data)
ids = [int(i) for i in sys.argv[2].split()]
assert len(views) == 2 and all([t[0] for t in v["tokens"]] == ids for v in views)
assert all(str(i) in views[0]["about"] for i in ids)
assert "img" not in page.tags and page.tags.count("script") == 2
assert page.tags.count("section") == 2
END'
fi
mkdir "$(printf 'a<b>&')" 2>/dev/null && cp small/* "$(printf 'a<b>&')/"
run show text --vocab 'a<b>&' --html named.html
check 'page: a hostile name of a vocabulary' eval 'grep -q "a&lt;b&gt;&amp;" named.html && ! grep -q "a<b>" named.html'
run show '' --vocab small --html empty.html
check 'page: an empty text' [ -s empty.html ]
echo keep >kept.html
run show text --vocab nothing --html kept.html
check 'page: not touched by an error' [ "$(cat kept.html)" = keep ]

# ---- trace ----
run trace tokenization --vocab small
check 'trace: ends well' [ "$status" = 0 ]
check 'trace: its end is what encode gives' eval '[ "$(sed -n "s/.*ids: //p" out)" = "$(printf tokenization | "$program" encode --vocab small)" ]'
check 'trace: a line per merge' eval '[ "$(grep -c " + " out)" = $((12 - $(printf tokenization | "$program" encode --vocab small | wc -w))) ]'
run trace 'the lazy dogs' --vocab small
check 'trace: each piece in turn' [ "$(grep -c 'ids: ' out)" = 3 ]
check 'trace: together the ids of encode' eval '[ "$(sed -n "s/.*ids: //p" out | tr "\n" " ")" = "$(printf "the lazy dogs" | "$program" encode --vocab small) " ]'
run trace '' --vocab small
check 'trace: nothing' eval '[ $status = 0 ] && grep -q "0 pieces" out'
run trace $'\xff\e[2J' --vocab small
check 'trace: no escapes' eval '[ $status = 0 ] && ! grep -q "$escape" out'
finish
