#!/usr/bin/env python3
# browse.py - opens an attention page in a headless browser and uses it as a reader does: pointer, keyboard, slider, light
# and dark; compares what the page shows with the numbers in it, and measures how long it takes to answer.
#   tests/chapter02/browse.py BROWSER PAGE [PICTURES]      PICTURES: a folder for screenshots
# Prints "ok NAME" or "FAILED NAME: why" for each check; exits 1 when one failed. Not here: whether the page's numbers are
# the model's (test_attention_page.cpp).
# The browser is spoken to in the DevTools protocol, JSON with a zero byte behind it, over two pipes.
import base64, json, os, select, struct, subprocess, sys, tempfile, time

BROWSER, PAGE = sys.argv[1], os.path.abspath(sys.argv[2])
PICTURES = sys.argv[3] if len(sys.argv) > 3 else None
LAG_MS = 50  # an answer within 50 ms is felt as immediate
failures = 0


def check(name, condition, why=""):
    global failures
    print(f"ok {name}" if condition else f"FAILED {name}: {why}")
    failures += not condition


class Browser:
    def __init__(self, profile):
        to_read, self.to = os.pipe()
        self.source, from_write = os.pipe()
        # the browser reads from descriptor 3 and writes to descriptor 4, which bash arranges
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{from_write}', "bash", BROWSER, *flags], pass_fds=(to_read, from_write),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read), os.close(from_write)
        self.unread, self.count, self.session, self.events = b"", 0, None, []

    def receive(self, seconds):
        end = time.time() + seconds
        while b"\0" not in self.unread:
            if not select.select([self.source], [], [], max(0, end - time.time()))[0]:
                raise TimeoutError("the browser does not answer")
            part = os.read(self.source, 1 << 20)
            if not part:
                raise EOFError("the browser is gone")
            self.unread += part
        message, self.unread = self.unread.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive(60)
            if answer.get("id") == self.count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def js(self, expression):
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def press(self, key):
        for kind in ("rawKeyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])

    def point_at(self, selector, x=0.5, y=0.5):
        self.js(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        left, top, width, height = self.js(
            f"(r => [r.left, r.top, r.width, r.height])(document.querySelector({json.dumps(selector)}).getBoundingClientRect())")
        place = {"x": left + x * width, "y": top + y * height}
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", **place)
        return place

    def click(self, selector):
        place = self.point_at(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def picture(self, name):
        if PICTURES:
            data = self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            with open(os.path.join(PICTURES, name + ".png"), "wb") as file:
                file.write(base64.b64decode(data))


KEYS = {"Tab": 9, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13}


# The numbers of the page, read without its script: rows of a map, by state, layer and head as the page counts them.
def rows_of(data, state, layer, head):
    packed = base64.b64decode(data["states"][state]["maps"][layer * len(data["heads"]) + head])
    values, rows, at = struct.unpack(f"<{len(packed) // 2}H", packed), [], 0
    for i in range(len(data["tokens"])):
        rows.append([v / 65535 for v in values[at:at + i + 1]])
        at += i + 1
    return rows


# What the sentence below the tokens must say: the five places of the largest weights.
def expected_looks(row):
    best = sorted(range(len(row)), key=lambda j: (-row[j], j))[:5]
    return [(j, f"{100 * row[j]:.1f} %") for j in best]


def looks_agree(shown, row):
    # Python and JavaScript may round a half differently: by 0.1 at most. Equal weights may come in any order.
    import re
    found = [(int(j), float(p)) for j, p in re.findall(r"\((\d+)\) ([0-9.]+) %", shown.split("looks at", 1)[1])]
    wanted = expected_looks(row)
    return len(found) == len(wanted) and all(abs(100 * row[j] - p) < 0.11 for j, p in found) and \
        all(abs(p - float(w[1][:-2])) < 0.11 for (_, p), w in zip(found, wanted))


def run(browser):
    target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
    browser.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.ask(f"{domain}.enable")
    browser.ask("Emulation.setDeviceMetricsOverride", width=1200, height=1400, deviceScaleFactor=1, mobile=False)
    scheme = lambda name: browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])
    scheme("light")
    browser.ask("Page.navigate", url="file://" + PAGE)
    for _ in range(600):
        if browser.js("document.readyState === 'complete' && !!document.getElementById('looks')?.textContent"):
            break
        time.sleep(0.05)
    data = json.loads(browser.js("document.getElementById('data').textContent"))
    n, states, heads, layers = len(data["tokens"]), len(data["states"]), len(data["heads"]), len(data["layers"])
    looks = lambda: browser.js("document.getElementById('looks').textContent")
    last = states - 1
    check("draws: a token for each token, a map for each head",
          browser.js("[document.querySelectorAll('#tokens button').length, document.querySelectorAll('#grid canvas').length]")
          == [n, layers * heads])
    check("begins with the last token of the last state", looks_agree(looks(), rows_of(data, last, 0, 0)[n - 1]), looks())
    browser.picture("light")

    # ---- pointer ----
    wrong = ""
    for token in (0, 1, n // 2, n - 1):
        browser.point_at(f"#tokens button:nth-child({token + 1})")
        if f"(token {token}) looks at" not in looks() or not looks_agree(looks(), rows_of(data, last, 0, 0)[token]):
            wrong = f"token {token}: {looks()}"
    check("pointer: a token tells where it looks", not wrong, wrong)
    browser.click(f"#grid button:nth-child({layers * heads})")
    check("pointer: a click on a small map chooses the head",
          looks_agree(looks(), rows_of(data, last, layers - 1, heads - 1)[n - 1]) and
          browser.js("[+document.getElementById('layer').value, +document.getElementById('head').value]") == [layers - 1, heads - 1], looks())
    browser.point_at("#map", 0.2, (n // 3 + 0.5) / n)
    check("pointer: a row of the large map is its token", f"(token {n // 3}) looks at" in looks(), looks())
    alpha = browser.js(f"""(() => {{ const c = document.getElementById('map').getContext('2d');
        return [c.getImageData({n - 1}, 0, 1, 1).data[3], c.getImageData(0, {n - 1}, 1, 1).data[3]]; }})()""")
    check("the map is a lower triangle", alpha == [0, 255], alpha)

    # ---- keyboard ----
    browser.js("document.activeElement.blur(); document.querySelector('#tokens button[tabindex=\"0\"]').focus()")
    browser.press("Home")
    check("keyboard: Home", "(token 0) looks at" in looks(), looks())
    for _ in range(3):
        browser.press("ArrowRight")
    browser.press("ArrowLeft")
    check("keyboard: arrows", "(token 2) looks at" in looks(), looks())
    browser.press("End")
    check("keyboard: End", f"(token {n - 1}) looks at" in looks(), looks())
    check("keyboard: one stop for Tab among the tokens", browser.js("document.querySelectorAll('#tokens [tabindex=\"0\"]').length") == 1)
    browser.js("document.querySelector('#grid button').focus()")
    browser.press("ArrowDown" if layers > 1 else "ArrowRight")
    chosen = [1, 0] if layers > 1 else [0, 1 % heads]
    check("keyboard: arrows among the maps", looks_agree(looks(), rows_of(data, last, *chosen)[n - 1]), looks())
    reached = set()
    browser.js("document.activeElement.blur(); scrollTo(0, 0)")
    for _ in range(12 + layers * heads):
        browser.press("Tab")
        reached.add(browser.js("(document.activeElement.closest('#tokens, #grid') || document.activeElement).id"))
    check("keyboard: Tab reaches everything", {"layer", "head", "tokens", "grid"} | ({"state"} if states > 1 else set()) <= reached, reached)

    # ---- means and states ----
    choose = lambda select, value: browser.js(
        f"(s => {{ s.value = {value}; s.dispatchEvent(new Event('change')); }})(document.getElementById('{select}'))")
    choose("layer", 0), choose("head", -1)
    rows = [rows_of(data, last, 0, h)[n - 1] for h in range(heads)]
    check("the mean of a layer", looks_agree(looks(), [sum(column) / heads for column in zip(*rows)]), looks())
    choose("layer", -1)
    rows = [rows_of(data, last, l, h)[n - 1] for l in range(layers) for h in range(heads)]
    check("the mean of all", looks_agree(looks(), [sum(column) / len(rows) for column in zip(*rows)]), looks())
    choose("layer", layers - 1), choose("head", heads - 1)
    if states > 1:
        browser.js("document.getElementById('state').focus()")
        browser.press("Home")
        name = browser.js("document.getElementById('state-name').textContent")
        check("slider: the first state", name.startswith(data["states"][0]["name"]) and
              looks_agree(looks(), rows_of(data, 0, layers - 1, heads - 1)[n - 1]), f"{name}: {looks()}")
        browser.press("ArrowRight")
        check("slider: the next state", looks_agree(looks(), rows_of(data, 1, layers - 1, heads - 1)[n - 1]), looks())
        browser.picture("earlier")
        browser.press("End")
        check("slider: and back", looks_agree(looks(), rows_of(data, last, layers - 1, heads - 1)[n - 1]), looks())
    else:
        check("slider: hidden where there is one state", browser.js("document.getElementById('state').parentElement.hidden"))

    # ---- ablation and lens ----
    bars = browser.js("[...document.querySelectorAll('#ablation tr')].map(r => [r.cells[1].textContent, r.querySelector('.bar').getBoundingClientRect().width])")
    changes = data["states"][last]["ablation"]
    shown = [float(text.replace("\u2212", "-")) for text, _ in bars]
    most = max(abs(c) for c in changes)
    widest = max(width for _, width in bars)
    check("ablation: a bar for each head of the model", len(bars) == len(changes) == data["all_layers"] * data["all_heads"])
    check("ablation: numbers and lengths of the bars",
          all(abs(s - c) < 6e-5 for s, c in zip(shown, changes)) and
          all(abs(width / widest - abs(c) / most) < 0.02 or width <= 1.5 for (_, width), c in zip(bars, changes)), bars)
    below = browser.js("[...document.querySelectorAll('#layers tr')].map(r => r.cells[1].textContent)")
    wanted = data["states"][last]["layers"] + [data["states"][last]["all"]]
    check("ablation: whole layers, and all",
          len(below) == len(wanted) and all(abs(float(s.replace("\u2212", "-")) - w) < 6e-5 for s, w in zip(below, wanted)), below)
    lens = browser.js("[...document.querySelectorAll('#lens tr')].map(r => [...r.cells].map(c => c.textContent))")
    check("lens: the embedding and every block, five guesses each",
          len(lens) == data["all_layers"] + 1 and all(len(row) == 6 for row in lens), lens)
    at = (data["all_layers"] * n + n - 1) * data["guesses"] * 2
    check("lens: the last block's first guess", lens[-1][1].endswith(f"{data['states'][last]['lens'][at + 1] / 10:.1f} %"), lens[-1])

    # ---- lag: of the event and the layout that it causes, the fastest of five for each: others use this machine, too ----
    measure = """((things, act) => {
        const times = [...things].map(thing => Math.min(...[1, 2, 3, 4, 5].map(() => {
            const start = performance.now();
            act(thing);
            document.body.getBoundingClientRect();
            return performance.now() - start;
        })));
        return [times.reduce((a, b) => a + b, 0) / times.length, Math.max(...times)];
    })"""
    # now.token = -1: as if the pointer came from elsewhere; cache.clear(): as if for the first time
    mean, most = browser.js(f"{measure}(document.getElementById('tokens').children, token => "
                            "{ now.token = -1; token.dispatchEvent(new PointerEvent('pointerenter')); })")
    check(f"lag: {n} tokens, {mean:.1f} ms each, at most {most:.1f}", mean < LAG_MS, f"more than {LAG_MS} ms")
    mean, most = browser.js(f"{measure}([0, {last}], state => {{ const s = document.getElementById('state'); cache.clear(); "
                            "s.value = state; s.dispatchEvent(new Event('input')); })")
    check(f"lag: another state, {len(data['states'][0]['maps'])} maps, {mean:.1f} ms", mean < 4 * LAG_MS, f"more than {4 * LAG_MS} ms")

    # ---- dark, narrow, silent ----
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    light = browser.js(colours)
    scheme("dark")
    dark = browser.js(colours)
    brightness = lambda colour: sum(int(part) for part in colour[4:-1].split(","))
    check("dark: light text on a dark page", brightness(dark[0]) < 150 < 500 < brightness(dark[1]) and
          brightness(light[1]) < 150 < 500 < brightness(light[0]), [light, dark])
    browser.picture("dark")
    browser.ask("Emulation.setDeviceMetricsOverride", width=380, height=1400, deviceScaleFactor=1, mobile=True)
    check("narrow: nothing sticks out", browser.js("document.documentElement.scrollWidth") <= 380, browser.js("document.documentElement.scrollWidth"))
    browser.picture("narrow")
    problems = [e for e in browser.events if e.get("method") == "Runtime.exceptionThrown" or
                (e.get("method") == "Log.entryAdded" and e["params"]["entry"]["level"] == "error") or
                (e.get("method") == "Runtime.consoleAPICalled" and e["params"]["type"] == "error")]
    check("no error, no alert", not problems and not any(e.get("method") == "Page.javascriptDialogOpening" for e in browser.events), problems)
    asked = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    check("asks for nothing but itself", all(url.startswith("file://") and url.endswith(".html") for url in asked), asked)


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    browser = Browser(profile)
    try:
        run(browser)
    except (EOFError, TimeoutError, RuntimeError) as problem:
        check("the browser answers", False, problem)
    finally:
        browser.process.kill()
        browser.process.wait()
sys.exit(failures > 0)
