"""The page in a browser: headless Chromium, driven as a reader would."""

import json
import shutil

import pytest
from page_study import HOSTILE, with_failures

from alignrec.studies.page.document import write_study_page

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install 'alignrec[test]'")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="no Chromium with its chromedriver on PATH: 'make browser' installs them on Debian",
)
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-extensions")


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(page_study, tmp_path_factory):
    return write_study_page(with_failures(page_study), tmp_path_factory.mktemp("out")).resolve().as_uri()


@pytest.fixture
def page(browser, address):
    """The page as just opened, and everything said before forgotten."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(address)
    return browser


def column(page, number):
    script = (
        "return [...document.querySelector('table.sortable').tBodies[0].rows].map(r => (r.cells[%d] || {}).innerText)"
    )
    return page.execute_script(script % number)


def click_header(page, number):
    page.execute_script(f"document.querySelectorAll('table.sortable th button')[{number}].click()")


def aria_sort(page):
    script = "return [...document.querySelector('table.sortable').tHead.rows[0].cells].map(c => c.ariaSort)"
    return page.execute_script(script)


def test_nothing_is_said_on_the_console_and_nothing_asked_of_the_network(page, address):
    page.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    assert page.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert [event for event in events if event["method"] == "Network.loadingFailed"] == []


def test_every_picture_and_figure_loads(page):
    sizes = page.execute_script("return [...document.images].map(i => [i.complete, i.naturalWidth])")
    assert len(sizes) > 20
    assert all(complete and width > 0 for complete, width in sizes)


def test_text_that_looks_like_code_is_not_run(page):
    assert page.title == f"Small & {HOSTILE}"


def test_a_click_sorts_by_the_mean_alone_and_the_third_restores_the_order(page):
    before = column(page, 2)
    means = [float(text.split(" ")[0].rstrip("†‡")) for text in before[:-1]]
    click_header(page, 2)
    assert aria_sort(page) == ["none", "none", "descending", "none", "none"]
    assert [float(text.split(" ")[0].rstrip("†‡")) for text in column(page, 2)[:-1]] == sorted(means, reverse=True)
    click_header(page, 2)
    assert aria_sort(page)[2] == "ascending"
    assert [float(text.split(" ")[0].rstrip("†‡")) for text in column(page, 2)[:-1]] == sorted(means)
    assert "NaN" in column(page, 2)[-1]  # what failed stays below in both
    click_header(page, 2)
    assert aria_sort(page) == ["none"] * 5
    assert column(page, 2) == before


def test_numbers_sort_as_numbers(page):
    page.execute_script(
        "const cells = [...document.querySelector('table.sortable').tBodies[0].rows].map(r => r.cells[2]);"
        "const set = (value, at) => { cells[at].dataset.value = value; cells[at].textContent = value; };"
        "[9, 10.5, -1e-5, 2e3].forEach(set)"
    )
    click_header(page, 2)
    assert column(page, 2)[:4] == ["2000", "10.5", "9", "-0.00001"]


def test_the_keyboard_sorts_too(page):
    from selenium.webdriver.common.keys import Keys

    page.execute_script("document.querySelector('table.sortable th button').focus()")
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert aria_sort(page)[0] == "ascending"
    names = [text.splitlines()[0] for text in column(page, 0)]
    assert names == ["<u>flat</u>", "broken", "deep (n_layers=1)", "deep (n_layers=2)", "popularity"]


def test_the_button_copies_the_command(page):
    everything = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.execute_cdp_cmd("Browser.grantPermissions", everything)
    button = page.find_element("css selector", "pre.code button")
    assert button.accessible_name == "Copy the command"
    button.click()
    said = (
        "const done = arguments[0]; setTimeout(() => done(document.querySelector('pre.code button').textContent), 200)"
    )
    assert page.execute_async_script(said) == "Copied"
    pasted = page.execute_async_script("const done = arguments[0]; navigator.clipboard.readText().then(done, done)")
    assert pasted == page.execute_script("return document.querySelector('pre.code code').textContent")


def test_without_a_clipboard_the_button_selects_the_text(page):
    page.execute_script(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined }); document.execCommand = () => false;"
        "document.querySelectorAll('pre.code button')[1].click()"
    )
    said = "const done = arguments[0]; setTimeout(() => done(String(getSelection())), 200)"
    selected = page.execute_async_script(said)
    assert selected.startswith("name: ")
    assert page.execute_script("return document.querySelectorAll('pre.code button')[1].textContent") == "Selected"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_only_tables_and_shelves_scroll_sideways(page, width):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    assert page.execute_script("return document.documentElement.scrollWidth") <= width


def test_text_stands_out_in_the_dark(page):
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    colours = page.execute_script("const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    ink, ground = (sum(int(part) for part in colour[4:-1].split(",")) / 3 for colour in colours)
    assert ink - ground > 180


def test_what_is_folded_is_printed(page):
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert page.execute_script("return document.querySelectorAll('details[open]').length") == 0
