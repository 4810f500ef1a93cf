"""Chromium, as a user of the page handles it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

WIDE, NARROW = (1400, 1000), (400, 900)


@contextmanager
def chromium(profile: Path, logged: bool = False) -> Iterator[webdriver.Chrome]:
    """Chromium without a window.

    Args:
        profile: Folder of its own.
        logged: Keep what goes wrong in pages, and what they ask of servers.
    """
    binary, chromedriver = shutil.which('chromium'), shutil.which('chromedriver')
    assert binary and chromedriver, 'install Chromium: apt-get install chromium chromium-driver'
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        '--headless=new',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-dev-shm-usage',
        '--disable-background-networking',
        '--no-first-run',
        f'--user-data-dir={profile}',
    ):
        options.add_argument(argument)
    if logged:
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
    with webdriver.Chrome(options, webdriver.ChromeService(chromedriver)) as driver:
        yield driver


class Browser:
    """Chromium with the page open."""

    def __init__(self, driver, address):
        self.driver = driver
        self.address = address

    def resize(self, size):
        self.driver.set_window_size(*WIDE)
        shown = dict(width=size[0], height=size[1], deviceScaleFactor=1, mobile=False)
        self.driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', shown)

    def open(self, size=WIDE, path=''):
        self.resize(size)
        self.driver.get(f'{self.address}/{path}')
        self.wait('.ps-drop')

    def wait(self, css, text=None):
        def there(driver):
            found = driver.find_elements(By.CSS_SELECTOR, css)
            return next((e for e in found if text is None or text in e.text), None)

        return WebDriverWait(self.driver, 30, 0.1).until(there, f'{css}: {text}')

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def labelled(self, text):
        """Press what a label or button of the form says."""

        def there(_):
            found = self.all('label, button')
            return next((e for e in found if e.is_displayed() and text in e.text), None)

        found = WebDriverWait(self.driver, 10, 0.1).until(there, text)
        self.run('arguments[0].scrollIntoView({block: "center"})', found)
        found.click()

    def press(self, *keys):
        for key in keys:
            webdriver.ActionChains(self.driver).send_keys(key).perform()

    def focused(self):
        return self.driver.switch_to.active_element

    def tab_to(self, test, limit=60):
        """Press Tab until the focused element passes a test."""
        for _ in range(limit):
            self.press(Keys.TAB)
            if test(self.focused()):
                return self.focused()
        raise AssertionError('Tab does not lead there')

    def ids(self):
        return self.run(
            "return [...document.querySelectorAll('[data-act=open]')].map(b => b.dataset.id)"
        )
