"""The report in headless Chromium: what a reader really sees, at what width, in light and in dark."""

# ruff: noqa: RUF001 - the page's own typography

import html
import json
import re
import shutil
import subprocess

import pytest

from isobench_operator.reporting import write_report
from isobench_runner.contract import Reason
from support.run_folder import CASES, Case, write_run_folder

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "chromium"
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--hide-scrollbars", "--disable-dev-shm-usage", "--allow-file-access-from-files", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr", "--virtual-time-budget=4000",
)  # fmt: skip
SCHEMES = {"dark": 0, "light": 1}
LONG = "averyveryverylongnamewithoutanyplacetobreakitwhateverthewidthofthescreenmightbe" * 3

PROBE = """<!doctype html><title>probe</title><iframe id="page" src="report.html" style="border:0;width:%dpx;height:1200px"></iframe>
<script>
const luminance = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const colour = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 || n[3] === 1 ? n.slice(0, 3) : null; };
const behind = (element, view) => { for (let e = element; e; e = e.parentElement) {
  const c = colour(view.getComputedStyle(e).backgroundColor); if (c) return c; } return [255, 255, 255]; };
document.getElementById("page").onload = event => {
  const view = event.target.contentWindow, doc = view.document, root = doc.documentElement;
  doc.querySelectorAll("details").forEach(d => { d.open = true; });
  const wide = [...doc.querySelectorAll("body *")].filter(e => !e.parentElement.closest("pre") && !e.closest(".skip")
    && e.getBoundingClientRect().right > root.clientWidth + 0.5).map(e => `${e.tagName}.${e.className.baseVal ?? e.className}`);
  const faint = [...doc.querySelectorAll("body *")].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
    const style = view.getComputedStyle(e), text = colour(e.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const [high, low] = [luminance(text), luminance(behind(e, view))].sort((a, b) => b - a);
    return [(high + 0.05) / (low + 0.05), `${e.tagName}.${e.className.baseVal ?? e.className}`];
  }).filter(([ratio]) => ratio < 4.5).map(([ratio, name]) => `${name} ${ratio.toFixed(2)}`);
  const off = [...doc.querySelectorAll("svg text")].filter(t => t.getBoundingClientRect().left < -0.5).length;
  const out = document.createElement("pre"); out.id = "found";
  out.textContent = JSON.stringify({scroll: root.scrollWidth, width: root.clientWidth, wide, faint: [...new Set(faint)], off,
    requests: view.performance.getEntriesByType("resource").map(r => r.name), dots: doc.querySelectorAll("circle.dot").length,
    text: doc.body.innerText, page: view.getComputedStyle(doc.body).backgroundColor});
  document.body.append(out);
};
</script>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "out"
    hard = Case(
        name=LONG[:200], subject=LONG, speedup=1.2, repository=f"owner/{LONG}", flags=("unheard_of",), gpu=LONG, main=Reason.PACKAGE_NOT_FOUND.value
    )  # fmt: skip
    failed = Case(name="long-tail", subject="A long tail", reason=Reason.TEST_FAILED, tail=f"{LONG} {LONG}\n" * 60)
    write_run_folder(folder, (*CASES, hard, failed))
    write_report(folder)
    return folder


def probe(folder, tmp_path, *, width, scheme):
    page = folder / f"probe-{width}.html"
    page.write_text(PROBE % width)
    command = [
        CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
        "--window-size=1500,1300", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("width", [320, 360, 1400])
def test_the_page_fits_its_screen_can_be_read_and_asks_for_nothing(width, scheme, folder, tmp_path):
    found = probe(folder, tmp_path, width=width, scheme=scheme)
    seen = {name: found[name] for name in ("wide", "faint", "off", "requests")}
    assert seen == {"wide": [], "faint": [], "off": 0, "requests": []}
    assert found["scroll"] <= found["width"]


@pytest.mark.browser
@pytest.mark.slow
def test_a_reader_sees_verdicts_intervals_reasons_samples_and_sources(folder, tmp_path):
    found = probe(folder, tmp_path, width=1400, scheme="light")
    for words in (
        "head is 1.83× faster than base (95 % interval 1.80–1.86).", "head is 1.24× slower than base", "Too noisy to tell",
        "a difference that counts is ruled out", "real but less than the 2 % that counts", "InstallFailed", "BehaviourChanged", "TestFailed",
        "fatal error: ffi.h", "isolation: none", "SameAsHead: main is the same commit as head.", "def check_equivalence(reference, result):",
        "+        self._key_cache = None", "AMD EPYC 9474F", "numpy 2.2.4", "NoCode: the answer holds no Python code", "20 lines above these are left out here.",
    ):  # fmt: skip
        assert words in found["text"], words
    dots = sum(
        (2 * case.rounds * case.samples + case.rounds) * (2 if case.main == "measured" else 1)
        for case in CASES
        if case.reason is None
    )
    assert found["dots"] == dots + 2 * 16 * 5 + 16


@pytest.mark.browser
@pytest.mark.slow
def test_dark_is_dark_and_light_is_light(folder, tmp_path):
    light, dark = (probe(folder, tmp_path / scheme, width=1400, scheme=scheme)["page"] for scheme in ("light", "dark"))
    assert min(map(int, re.findall(r"\d+", light))) > 200
    assert max(map(int, re.findall(r"\d+", dark))) < 60
