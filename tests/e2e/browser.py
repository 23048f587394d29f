"""A headless Chromium, and how to wait for what it shows."""

import shutil
import time
from collections.abc import Callable
from typing import TypeVar

from selenium.common.exceptions import JavascriptException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

WAIT_SECONDS = 60.0
POLL_SECONDS = 0.1
WINDOW = (1600, 1100)
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # CI runs as root in a container
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    # Nothing but the loopback is reached, neither by the pages nor by Chromium itself.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

T = TypeVar("T")


def start_browser() -> Chrome:
    """A headless Chromium, Debian's or whatever stands in PATH."""
    options = ChromeOptions()
    for option in OPTIONS:
        options.add_argument(option)
    binary, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not binary or not driver:
        raise RuntimeError("No Chromium. On Debian: apt-get install chromium chromium-driver")
    options.binary_location = binary
    browser = Chrome(options=options, service=Service(driver))
    browser.set_page_load_timeout(WAIT_SECONDS)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": WINDOW[0], "height": WINDOW[1], "deviceScaleFactor": 1, "mobile": False},
    )
    return browser


def wait_for(read: Callable[[], T], what: str, seconds: float = WAIT_SECONDS) -> T:
    """Poll `read` until it gives something true; TimeoutError names what never came."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = read()
        except (JavascriptException, WebDriverException) as error:  # the page is on its way
            value, failure = None, str(error).splitlines()[0]
        else:
            failure = repr(value)
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"No {what} after {seconds:.0f} s: {failure}")
        time.sleep(POLL_SECONDS)


def do(action: Callable[[], object], what: str) -> None:
    """Do it, and again while the page replaces what is to be clicked between finding and clicking it."""

    def done() -> bool:
        action()
        return True

    wait_for(done, what)
