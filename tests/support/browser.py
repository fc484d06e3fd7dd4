"""A real browser for tests: headless Chromium, spoken to through pipes, so that no package is needed."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
]  # fmt: skip
PATIENCE = 180.0
REPORT_READY = "!!(window.softmarginReport && window.softmarginReport.ready)"
LOADED = "document.readyState === 'complete'"

PLUG = """
import os, sys
first, second = os.dup(int(sys.argv[1])), os.dup(int(sys.argv[2]))
os.dup2(first, 3), os.dup2(second, 4)
os.set_inheritable(3, True), os.set_inheritable(4, True)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium reads commands from 3 and answers on 4."""


class Browser:
    """One page at a time; `problems` holds every error of its console and every request that left it."""

    def __init__(self) -> None:
        self.profile = tempfile.mkdtemp(prefix="softmargin-browser-")
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()

        arguments = [CHROMIUM, *FLAGS, f"--user-data-dir={self.profile}", "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PLUG, str(to_read), str(to_write), *arguments],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._number, self._rest, self.events = 0, b"", []
        self.problems: list[str] = []
        self.session = None
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            piece = os.read(self._from, 1 << 20)
            assert piece, "the browser has gone"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        name, found = event.get("method"), event.get("params", {})
        self.events.append(name)
        if name == "Runtime.exceptionThrown":
            self.problems.append("exception: " + json.dumps(found["exceptionDetails"])[:600])
        elif name == "Runtime.consoleAPICalled" and found["type"] in ("error", "warning", "assert"):
            self.problems.append("console: " + json.dumps(found["args"])[:600])
        elif name == "Log.entryAdded" and found["entry"]["level"] in ("error", "warning"):
            self.problems.append("log: " + found["entry"]["text"])
        elif name == "Page.javascriptDialogOpening":
            self.problems.append("dialog: " + found["message"])
        elif name == "Network.requestWillBeSent":
            url = found["request"]["url"]
            if not url.startswith(("file:", "data:", "about:")):
                self.problems.append("request: " + url)

    def open(
        self, path: Path, width: int = 1280, height: int = 900, dark: bool = False, ready: str = REPORT_READY
    ) -> float:
        """Open a page, wait until the expression `ready` is true there, and return the seconds that took."""
        self.problems.clear()
        self.view(width, height, dark)
        begun = time.monotonic()
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait(ready)
        self.drawn()
        return time.monotonic() - begun

    def view(self, width: int, height: int = 900, dark: bool = False) -> None:
        """Set the size of the screen and the theme that the user prefers."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}  # gliding would move the targets
        self.call("Emulation.setEmulatedMedia", features=[scheme, still])

    def drawn(self) -> None:
        """Wait until all changes so far are drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def wait(self, ready: str) -> None:
        """Wait until the expression is true on the page."""
        begun = time.monotonic()
        while not self.run(ready):
            assert time.monotonic() < begun + PATIENCE, f"the page is never ready: {self.problems}"
            assert not any("exception" in said for said in self.problems), self.problems
            time.sleep(0.02)

    def run(self, code: str) -> Any:
        """Return the value of an expression of the page; promises are waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        codes = {
            "ArrowLeft": 37,
            "ArrowUp": 38,
            "ArrowRight": 39,
            "ArrowDown": 40,
            "Enter": 13,
            "Escape": 27,
            "Tab": 9,
        }
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        keys = {"key": key, "code": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **keys)
        self.call("Input.dispatchKeyEvent", type="keyUp", **keys)

    def mouse(self, kind: str, x: float, y: float) -> None:
        button = {"button": "left", "buttons": 1, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def screenshot(self, whole: bool = True) -> bytes:
        """Return a PNG of the whole page, or of the window."""
        options: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        return base64.b64decode(self.call("Page.captureScreenshot", **options)["data"])

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self.profile, ignore_errors=True)


def click(browser: Browser, selector: str, text: str = "") -> None:
    """Click the first element of this selector that holds the text."""
    first = f"[...document.querySelectorAll({selector!r})].find(e => e.textContent.includes({text!r}))"
    found = browser.run(f"(e => {{ if (!e) return false; e.scrollIntoView(); e.click(); return true; }})({first})")
    assert found, f"{selector} with {text!r} is not there"


def enter(browser: Browser, selector: str, place: int, value: object) -> None:
    """Give the control at this place of the selector a value, as a user does."""
    events = "e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change'));"
    browser.run(
        f"(e => {{ e.value = {str(value)!r}; {events} }})(document.querySelectorAll({selector!r})[{place}])"
    )
