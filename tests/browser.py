"""browser.py -- the page of `ctpgbench compare` in a real browser, headless: as wide as a desk's and as a phone's
screen, its switches, what its points say, what it prints. Installs Debian's chromium where it is missing; where that is
not possible, it fails and says so."""

import html
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from matplotlib import image

from analysis_package import analysis
from test_compare import PROBLEMS, write

# Asks the page itself, and leaves the answers in it.
QUESTIONS = """
window.addEventListener("load", () => {
  const answers = {}, box = document.querySelectorAll("nav input")[1];
  answers.overflow = document.documentElement.scrollWidth - window.innerWidth;
  answers.letters = getComputedStyle(document.querySelector("td")).fontSize;
  box.click();
  const curves = [...document.querySelectorAll(`[data-series="${box.value}"]`)];
  answers.curves = curves.length;
  answers.hidden = curves.filter(one => getComputedStyle(one).display === "none").length;
  box.click();
  answers.shown = curves.filter(one => getComputedStyle(one).display !== "none").length;
  const plot = document.querySelector(".plot"), svg = plot.querySelector("svg"), rect = svg.getBoundingClientRect();
  const point = JSON.parse(plot.querySelector("script").textContent)[0], scale = rect.width / svg.viewBox.baseVal.width;
  svg.dispatchEvent(new PointerEvent("pointermove",
    {clientX: rect.left + point[0] * scale, clientY: rect.top + point[1] * scale, bubbles: true}));
  answers.tip = plot.querySelector(".tip").textContent;
  answers.expected = point[3];
  const out = document.createElement("pre");
  out.id = "answers";
  out.textContent = JSON.stringify(answers);
  document.body.append(out);
});
"""
SCREENS = {"desk": (1280, 2000), "phone": (390, 2400)}


def chromium():
    """The browser, installed if need be."""
    if not shutil.which("chromium"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"], check=True,
                       env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, stdout=subprocess.DEVNULL)
    return shutil.which("chromium")


class Browser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        keeper = tempfile.TemporaryDirectory()
        cls.addClassCleanup(keeper.cleanup)
        cls.folder, cls.program = Path(keeper.name), chromium()
        path = write(cls.folder / "m.h5", ["better", "lucky"], 8, PROBLEMS[:2])
        code, _, err = analysis("compare", path, "-o", cls.folder / "v", "--at", "1e-3,1e-5", "--dpi", "40")
        if code:
            raise RuntimeError(err)
        page = (cls.folder / "v" / "index.html").read_text(encoding="utf-8")
        (cls.folder / "v" / "asked.html").write_text(page.replace("</body>", f"<script>{QUESTIONS}</script></body>"),
                                                     encoding="utf-8")

    def browse(self, page, *options):
        """What the browser prints."""
        return subprocess.run([self.program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                               f"--user-data-dir={self.folder / 'profile'}", *options,
                               (self.folder / "v" / page).as_uri()],
                              check=True, capture_output=True, text=True, timeout=300).stdout

    def test_it_answers_at_the_width_of_a_desk_and_of_a_phone(self):
        for name, (width, height) in SCREENS.items():
            with self.subTest(name):
                dom = self.browse("asked.html", "--dump-dom", f"--window-size={width},{height}")
                found = re.search(r'<pre id="answers">(.*?)</pre>', dom, re.DOTALL)
                answers = json.loads(html.unescape(found[1]))
                self.assertLessEqual(answers["overflow"], 0)
                self.assertEqual(answers["letters"], "13.6px", "the style is read to its end")
                self.assertGreater(answers["curves"], 10)
                self.assertEqual(answers["hidden"], answers["curves"])
                self.assertEqual(answers["shown"], answers["curves"])
                self.assertEqual(answers["tip"], answers["expected"])

    def test_it_shows_something(self):
        for name, (width, height) in SCREENS.items():
            with self.subTest(name):
                self.browse("index.html", f"--screenshot={self.folder / name}.png", f"--window-size={width},{height}")
                pixels = image.imread(f"{self.folder / name}.png")
                self.assertGreater((pixels[..., :3].min(axis=2) < 0.5).mean(), 0.01)

    def test_it_prints(self):
        self.browse("index.html", f"--print-to-pdf={self.folder / 'page.pdf'}", "--no-pdf-header-footer")
        pages = len(re.findall(rb"/Type\s*/Page\b", (self.folder / "page.pdf").read_bytes()))
        self.assertTrue(3 <= pages <= 20, pages)


if __name__ == "__main__":
    unittest.main()
